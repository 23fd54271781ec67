package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/doorward/doorward/handlers/pages"
)

// axeScript is the program that judges whether pages can be used by everybody.
func axeScript(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("npm", "node_modules", "axe-core", "axe.min.js"))
	if errors.Is(err, fs.ErrNotExist) {
		const missing = "axe-core is not there; run npm ci --prefix integration/npm"
		if os.Getenv("DOORWARD_REQUIRE") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mode is how somebody looks at a page.
type mode struct {
	name          string
	width, height int64
	scheme, lang  string
	forced        bool // colours of the person's own choosing
}

var modes = []mode{
	{"light", 1280, 800, "light", "en", false},
	{"dark", 1280, 800, "dark", "en", false},
	{"narrow", 320, 640, "light", "de", false}, // German words are long
	{"narrow-dark", 320, 640, "dark", "ja", false},
	{"rtl", 1280, 800, "light", "ar", false},
	{"rtl-narrow-dark", 320, 640, "dark", "ar", false},
	{"forced-colors", 1280, 800, "dark", "fr", true},
}

func (b *tab) enter(m mode) {
	b.t.Helper()
	b.do("change the window", chromedp.EmulateViewport(m.width, m.height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		forced := "none"
		if m.forced {
			forced = "active"
		}
		return t.Call(ctx, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
			{"name": "prefers-color-scheme", "value": m.scheme}, {"name": "forced-colors", "value": forced},
		}}, nil)
	}))
}

// violations are what axe-core finds wrong with the page, in words. The script runs
// beside the page's own: a page of ours lets none in.
func (b *tab) violations(axe string) (found []string) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, pageWait)
	defer end()
	var result string
	_, err := chromedp.Run(ctx, chromedp.Evaluate[any](axe+"; undefined"))
	if err == nil {
		result, err = chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run(document, {runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}).then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	}
	if err != nil {
		b.t.Fatalf("axe-core: %v", err)
	}
	var list []struct {
		ID    string
		Help  string
		Nodes []struct{ HTML, FailureSummary string }
	}
	if err := json.Unmarshal([]byte(result), &list); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range list {
		for _, n := range v.Nodes {
			found = append(found, fmt.Sprintf("%s: %s: %s: %s", v.ID, v.Help, n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", " ")))
		}
	}
	return found
}

// TestPagesAreAccessible shows every page in every state and mode to axe-core, holds
// it to fit on its screen, and keeps a picture of it.
func TestPagesAreAccessible(t *testing.T) {
	axe := axeScript(t)
	b := chromium(t)
	set, err := pages.New(pages.Config{Name: "Example"})
	if err != nil {
		t.Fatal(err)
	}
	preview := httptest.NewServer(set.Preview())
	t.Cleanup(preview.Close)
	for _, m := range modes {
		b.enter(m)
		for _, sample := range pages.Samples(set.Language(nil, "")) {
			b.open(preview.URL + "/" + sample.Name + "?lang=" + m.lang)
			for _, v := range b.violations(axe) {
				t.Errorf("%s, %s: %s", sample.Name, m.name, v)
			}
			if over := evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf("%s, %s: the page is %d pixels wider than its screen", sample.Name, m.name, over)
			}
			b.picture("page-" + sample.Name + "-" + m.name)
		}
	}
}

// TestAxeFindsFaults shows axe-core a page that is wrong in known ways: a check that
// finds nothing must be able to find something.
func TestAxeFindsFaults(t *testing.T) {
	axe := axeScript(t)
	b := chromium(t)
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = w.Write([]byte(`<!doctype html><title>Wrong</title><main><h1>Wrong</h1><input type="text"><p style="color:#aaa;background:#fff">Pale words</p></main>`))
	}))
	t.Cleanup(wrong.Close)
	b.open(wrong.URL)
	found := strings.Join(b.violations(axe), "\n")
	for _, id := range []string{"html-has-lang", "label", "color-contrast"} {
		if !strings.Contains(found, id+":") {
			t.Errorf("axe-core does not find %s, but:\n%s", id, found)
		}
	}
}
