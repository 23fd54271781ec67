package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is written can be used as it is, and changed.
func TestPagesAreWrittenToBeChanged(t *testing.T) {
	folder := t.TempDir()
	at, config := filepath.Join(folder, "look"), filepath.Join(folder, "idp.yaml")
	if out := must(t, "", "pages", at); !strings.Contains(out, "login.html") || !strings.Contains(out, "messages/de.json") {
		t.Errorf("it says\n%s", out)
	}
	writeFile(t, config, "issuer: http://"+freeAddress(t)+"\nstore: {path: x.db}\npages: look\n")
	must(t, "", "config", "check", config)
	mustFail(t, exitFailed, "is there already", "pages", at, "signedout.html")
	mustFail(t, exitUsage, `there is no page "nothing.html"`, "pages", at, "nothing.html")
	one := filepath.Join(folder, "one")
	must(t, "", "pages", one, "signedout.html")
	if left, err := os.ReadDir(one); err != nil || len(left) != 1 {
		t.Errorf("it wrote %v, %v", left, err)
	}
}

func TestTheme(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "idp.yaml")
	head := "issuer: http://" + freeAddress(t) + "\nstore: {path: x.db}\n"
	writeFile(t, filepath.Join(folder, "logo.svg"), `<svg xmlns="http://www.w3.org/2000/svg"/>`)
	writeFile(t, filepath.Join(folder, "words.txt"), "no picture")
	for text, want := range map[string]string{
		"theme: {light: {brand: red}}":          `idp.yaml:3: theme.light.brand: found "red", which is no colour; write it as in #1a73e8`,
		"theme: {dark: {brand_text: \"#eee\"}}": "idp.yaml:3: theme.dark.brand_text: found #eeeeee, which has a contrast of 1.8 on the brand colour, #8fb0ff, and needs 4.5; choose one",
		"theme: {logo: words.txt}":              "idp.yaml:3: theme.logo: found what is neither an SVG nor a PNG; choose",
		"theme: {logo: nowhere.svg}":            "idp.yaml:3: theme.logo: open ",
		"theme: {light: {colour: \"#b3261e\"}}": "idp.yaml:3: theme.light.colour",
	} {
		writeFile(t, config, head+text+"\n")
		mustFail(t, exitFailed, want, "config", "check", config)
	}
	writeFile(t, config, head+"theme: {logo: logo.svg, light: {brand: \"#b3261e\"}}\n")
	r := start(t, "--config", config)
	b := newBrowser(t)
	if b.get(r.issuer + "/"); !strings.Contains(b.body, `<img src="/oauth/assets/logo.svg"`) {
		t.Errorf("the front page has no logo:\n%s", b.body)
	}
	if b.get(r.issuer + "/oauth/assets/logo.svg"); b.code != http.StatusOK {
		t.Errorf("the logo: %d", b.code)
	}
	if b.get(r.issuer + "/oauth/assets/style.css"); !strings.Contains(b.body, "#b3261e") {
		t.Error("the stylesheet has other colours")
	}
}
