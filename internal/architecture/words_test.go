package architecture_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unwanted are words that a file of this repository must not hold. The patterns are put
// together from pieces, so that this file does not hold them either.
var unwanted = []struct {
	pattern *regexp.Regexp
	files   string // a suffix; "" for every file
	why     string
}{
	{regexp.MustCompile(`(^|[^A-Za-z0-9._/-])/(` + strings.Join([]string{"work", "root", "farm"}, "|") + `)/`), "",
		"a path of one machine means nothing on another"},
	{regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + "ME|XX" + `X)\b`), ".go",
		"finish it, or write down what is decided"},
	{regexp.MustCompile(`(?i)\bnot (yet )?` + `implemented\b|\bfor ` + `now\b`), ".go",
		"finish it, or write down what is decided"},
}

func TestWords(t *testing.T) {
	private := privateRegistries(t)
	for _, name := range tracked(t) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, not committed
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // an image
		}
		report(t, wordFindings(name, string(text), private))
	}
}

func wordFindings(name, text string, hosts []string) []string {
	var findings []string
	for i, line := range strings.Split(text, "\n") {
		for _, u := range unwanted {
			if word := u.pattern.FindString(line); word != "" && strings.HasSuffix(name, u.files) {
				findings = append(findings, fmt.Sprintf("%s:%d: %q: %s", name, i+1, strings.TrimSpace(word), u.why))
			}
		}
		for _, host := range hosts {
			if strings.Contains(line, host) {
				findings = append(findings, fmt.Sprintf("%s:%d: %s is the package registry of one machine", name, i+1, host))
			}
		}
	}
	return findings
}

// privateRegistries returns the hosts that this machine takes packages from, but the public
// ones: an address of a company's or a build farm's mirror has no place in the tree.
func privateRegistries(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, variable := range []string{"PIP_INDEX_URL", "NPM_CONFIG_REGISTRY", "HTTP_PROXY", "HTTPS_PROXY"} {
		out = append(out, ","+os.Getenv(variable)...)
	}
	for _, address := range strings.FieldsFunc(string(out), func(r rune) bool { return strings.ContainsRune(",|\n ", r) }) {
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" || publicHost(u.Hostname()) {
			continue
		}
		hosts = append(hosts, u.Host)
	}
	return hosts
}

func publicHost(host string) bool {
	switch host {
	case "proxy.golang.org", "pypi.org", "registry.npmjs.org", "localhost", "127.0.0.1":
		return true
	}
	return false
}

// tracked returns the files that are in the repository or about to be; in a copy without
// git, every file.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	}
	var names []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		names = append(names, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUnwantedWordsAreFound(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"a.md", "see `/" + "work/tree/a.go`", 1},
		{"a.md", "cd /" + "root/x", 1},
		{"a.md", "https://example.com/" + "work/", 0},
		{"a.go", "// TO" + "DO: more", 1},
		{"a.go", "// good enough for " + "now", 1},
		{"a.md", "a TO" + "DO list app", 0},
		{"a.go", "var mastodon = todo", 0},
		{"go.env", "GOPROXY=https://mirror.example:8443/go", 1},
	} {
		if got := wordFindings(c.name, c.text, []string{"mirror.example:8443"}); len(got) != c.want {
			t.Errorf("%s: %q: %d findings, want %d: %v", c.name, c.text, len(got), c.want, got)
		}
	}
}
