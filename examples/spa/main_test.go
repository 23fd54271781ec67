package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/doorward/doorward/examples/internal/busyport"
	"github.com/doorward/doorward/storage/memory"
)

// window is the page in a real browser.
type window struct {
	t   *testing.T
	ctx context.Context
}

func openWindow(t *testing.T) *window {
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
		return &window{t, ctx}
	}
	const missing = "no Chromium was found; the page was not looked at in a real browser"
	if os.Getenv("DOORWARD_REQUIRE") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return nil
}

func (w *window) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, end := context.WithTimeout(w.ctx, time.Minute)
	defer end()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("%s: %v; the page says %s", what, err, w.value(`location.href + " " + document.body.innerText`))
	}
}

func (w *window) value(expression string) string {
	ctx, end := context.WithTimeout(w.ctx, 10*time.Second)
	defer end()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		return err.Error()
	}
	return v
}

// see waits until the page says something.
func (w *window) see(words string) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		text := w.value(`document.body ? document.body.innerText : ""`)
		if strings.Contains(text, words) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the page does not say %q:\n%s\n%s", words, w.value("location.href"), text)
		}
	}
}

// look keeps a picture where DOORWARD_SCREENSHOTS says.
func (w *window) look(name string) {
	folder := os.Getenv("DOORWARD_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(90))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "spa-"+name+".png"), picture, 0o600)
	}
	if err != nil {
		w.t.Error(err)
	}
}

// TestPage: a person signs in on a page of another origin, which keeps them over a reload,
// refreshes, and signs out; what could be stolen from its storage is of no use elsewhere.
func TestPage(t *testing.T) {
	w := openWindow(t)
	provider, page := httptest.NewServer(nil), httptest.NewServer(nil)
	t.Cleanup(provider.Close)
	t.Cleanup(page.Close)
	issuer, application := strings.Replace(provider.URL, "127.0.0.1", "localhost", 1), strings.Replace(page.URL, "127.0.0.1", "localhost", 1)
	idp, err := newProvider(t.Context(), issuer, application, memory.New())
	if err != nil {
		t.Fatal(err)
	}
	provider.Config.Handler = idp.Handler()
	if page.Config.Handler, err = newPage(issuer); err != nil {
		t.Fatal(err)
	}

	w.do("open", chromedp.Navigate(application))
	w.see("You are not signed in.")
	w.look("stranger")
	w.do("sign in", chromedp.Click("#sign-in"))
	w.see("to continue to A page in your browser")
	w.do("password", chromedp.SendKeys("input[name=username]", "alice"),
		chromedp.SendKeys("input[name=password]", "wonderland\r"))
	w.see("See your name")
	w.do("allow", chromedp.Click("button[value=allow]"))
	w.see("You are signed in.")
	w.see("Alice Liddell")
	w.look("person")
	if at := w.value("location.href"); at != application+"/" {
		t.Errorf("the answer stays in the address: %s", at)
	}
	w.do("reload", chromedp.Reload())
	w.see("Alice Liddell")
	w.do("refresh", chromedp.Click("#refresh"))
	w.see("The token is a new one.")

	stolen := w.value(`sessionStorage.getItem("refresh_token")`)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {stolen}, "client_id": {clientID}}
	if status, body := post(t, issuer+"/oauth/token", form); status != http.StatusBadRequest || !strings.Contains(body, "dpop") {
		t.Errorf("a stolen refresh token is answered %d %s", status, body)
	}
	w.do("ask", chromedp.Click("#ask"))
	w.see("You are signed in.")

	w.do("sign out", chromedp.Click("#sign-out"))
	w.see("You are not signed in.")
	if at := w.value("location.href"); !strings.HasPrefix(at, application+"/") {
		t.Errorf("signed out at %s", at)
	}
	if left := w.value(`JSON.stringify(Object.keys(sessionStorage))`); left != "[]" {
		t.Errorf("the tab keeps %s", left)
	}
	w.do("sign in again", chromedp.Click("#sign-in"))
	w.see("Password") // the session at the provider ended too
}

func post(t *testing.T, address string, form url.Values) (int, string) {
	t.Helper()
	answer, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var body strings.Builder
	if _, err := fmt.Fprint(&body, answer.Header, " "); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, _ := answer.Body.Read(buffer)
	body.Write(buffer[:n])
	return answer.StatusCode, body.String()
}

// A port that is taken is an error that names it, and nobody is sent there before.
func TestBusyPort(t *testing.T) {
	busyport.Test(t,
		func(busy string) error { return run(t.Context(), busy, "127.0.0.1:0") },
		func(busy string) error { return run(t.Context(), "127.0.0.1:0", busy) })
}
