package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestInBrowser signs in by the page that talks JSON and by the second step, in a real
// browser.
func TestInBrowser(t *testing.T) {
	ctx := openBrowser(t)
	w := newWorld(t)
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		within, end := context.WithTimeout(ctx, time.Minute)
		defer end()
		if err := chromedp.Do(within, steps...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	text := func() string {
		within, end := context.WithTimeout(ctx, 10*time.Second)
		defer end()
		found, err := chromedp.Run(within, chromedp.Evaluate[string](`location.href + " " + (document.documentElement.dataset.ready ?? "") + " " + document.body?.innerText`))
		if err != nil {
			return err.Error()
		}
		return found
	}
	see := func(words string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !strings.Contains(text(), words); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the page does not say %q: %s", words, text())
			}
		}
	}
	look := func(name string) {
		folder := os.Getenv("DOORWARD_SCREENSHOTS")
		if folder == "" {
			return
		}
		picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(90))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "custom-login-"+name+".png"), picture, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}

	do("open", chromedp.Navigate(w.address+"/demo/start"))
	see("The demo application")
	see(" yes ") // the script has run
	do("type a wrong password", chromedp.SendKeys("#name", "alice"), chromedp.SendKeys("#password", "wrong\n"))
	see("do not belong together")
	look("wrong")
	do("type the right one", chromedp.SendKeys("#password", "\b\b\b\b\bwonderland\n"))
	see("Enter the code")
	look("factor")
	do("type the code", chromedp.SendKeys("#code", w.codes[0]+"\n"))
	see("See your email address")
	do("allow", chromedp.Click("button.primary"))
	see("alice@example.com")
}

func openBrowser(t *testing.T) context.Context {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(2*time.Minute))
		allocator, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
		t.Cleanup(end)
		ctx, end := chromedp.NewContext(allocator)
		t.Cleanup(end)
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the browser lives as long as this context
			t.Fatalf("start the browser: %v", err)
		}
		return ctx
	}
	const missing = "no Chromium was found; the page was not looked at in a real browser"
	if os.Getenv("DOORWARD_REQUIRE") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return nil
}
