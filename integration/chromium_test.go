package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// pageWait is how long a page may take, on a machine that is busy.
const pageWait = time.Minute

// chromium starts a headless browser with a profile of its own.
func chromium(t *testing.T) *tab {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		const missing = "no Chromium was found; the pages were not looked at in a real browser"
		if os.Getenv("DOORWARD_REQUIRE") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(ample))
	allocator, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(end)
	shots := os.Getenv("DOORWARD_SCREENSHOTS") // a folder to keep them in
	if shots == "" {
		shots = t.TempDir()
	}
	return openTab(t, allocator, shots)
}

// tab is one tab of the browser.
type tab struct {
	t     *testing.T
	ctx   context.Context
	shots string

	mu       sync.Mutex
	messages []string
}

func openTab(t *testing.T, parent context.Context, shots string) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(parent)
	t.Cleanup(end)
	tb := &tab{t: t, ctx: ctx, shots: shots}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return // the tab was closed
			}
			tb.mu.Lock()
			tb.messages = append(tb.messages, fmt.Sprintf("%s %s: %s (%s)", m.Type, m.Source, m.Text, m.URL))
			tb.mu.Unlock()
		}
	}()
	return tb
}

// another opens a tab in the same window, with the same cookies.
func (b *tab) another() *tab {
	b.t.Helper()
	return openTab(b.t, b.ctx, b.shots)
}

// do runs steps within the time that pages may take.
func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, pageWait)
	defer end()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v; the page is %s", what, err, b.text())
	}
}

func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, pageWait)
	defer end()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func (b *tab) open(address string) { b.t.Helper(); b.do("open "+address, chromedp.Navigate(address)) }

// text is what the page says, with its address.
func (b *tab) text() string {
	ctx, end := context.WithTimeout(b.ctx, pageWait)
	defer end()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.body ? document.body.innerText : "")`))
	if err != nil {
		return err.Error()
	}
	return text
}

// see waits until the page says something.
func (b *tab) see(words ...string) {
	b.t.Helper()
	deadline := time.Now().Add(pageWait)
	for {
		text := b.text()
		missing := ""
		for _, w := range words {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the page does not say %q but:\n%s", missing, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (b *tab) fill(id, value string) {
	b.t.Helper()
	b.do("fill in "+id, chromedp.SendKeys("#"+id, value))
}

// button is a button by the words on it.
func button(words string) string {
	return fmt.Sprintf("//button[starts-with(normalize-space(.), '%s')]", words)
}

// press presses a button by the keyboard, as people without a mouse do; wherever the
// page has moved it to, the key reaches it.
func (b *tab) press(words string) {
	b.t.Helper()
	b.do("press "+words, chromedp.SendKeys(button(words), "\r"))
}

// click presses it by the mouse.
func (b *tab) click(words string) {
	b.t.Helper()
	b.do("click on "+words, chromedp.Click(button(words)))
}

// look makes pictures of the page, wide and narrow, light and dark, and holds it to
// fit on a narrow screen.
func (b *tab) look(name string) {
	b.t.Helper()
	for _, v := range []struct {
		name   string
		width  int64
		height int64
		scheme string
	}{{"wide-light", 1280, 800, "light"}, {"wide-dark", 1280, 800, "dark"}, {"narrow-light", 320, 640, "light"}, {"narrow-dark", 320, 640, "dark"}} {
		b.do("change the window", chromedp.EmulateViewport(v.width, v.height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			return t.Call(ctx, "Emulation.setEmulatedMedia", map[string]any{
				"features": []map[string]string{{"name": "prefers-color-scheme", "value": v.scheme}},
			}, nil)
		}))
		if over := evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			b.t.Errorf("the page %s is %d pixels wider than a screen of %d", name, over, v.width)
		}
		dark := evaluate[bool](b, `(() => { const c = getComputedStyle(document.body).backgroundColor.match(/\d+(\.\d+)?/g).map(Number); return c.length >= 3 && c[0] + c[1] + c[2] < 200 })()`)
		if dark != (v.scheme == "dark") {
			b.t.Errorf("the page %s is not %s", name, v.scheme)
		}
		b.picture(name + "-" + v.name)
	}
	b.do("change the window back", chromedp.ResetViewport())
}

// picture keeps a picture of the whole page.
func (b *tab) picture(name string) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, pageWait)
	defer end()
	shoot := chromedp.FullScreenshot(100)
	if evaluate[bool](b, `document.documentElement.scrollHeight <= innerHeight`) {
		shoot = chromedp.CaptureScreenshot() // a full one of a page from right to left is displaced
	}
	picture, err := chromedp.Run(ctx, shoot)
	if err != nil {
		b.t.Fatalf("a picture of %s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(b.shots, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// quiet holds the console to have reported nothing, violations of the content
// security policy above all.
func (b *tab) quiet(but ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		expected := false
		for _, words := range but {
			expected = expected || strings.Contains(m, words)
		}
		if !expected {
			b.t.Errorf("the browser reports: %s", m)
		}
	}
}

// told waits until the console reports something.
func (b *tab) told(words string) {
	b.t.Helper()
	for deadline := time.Now().Add(pageWait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		b.mu.Lock()
		found := strings.Contains(strings.Join(b.messages, "\n"), words)
		b.mu.Unlock()
		if found {
			return
		}
	}
	b.t.Errorf("the console did not report %q", words)
}
