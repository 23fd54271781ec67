package integration

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// printed finds what the binary told its operator at the first start.
func printed(t *testing.T, p *process, name string) string {
	t.Helper()
	found := regexp.MustCompile(name + `\s+(\S+)`).FindStringSubmatch(p.output.String())
	if found == nil {
		t.Fatalf("the binary did not print its %s:\n%s", name, p.output.String())
	}
	return found[1]
}

// TestDemoInBrowser does what a person does in the first minute: start the binary
// with nothing, open the URL, sign in, allow, look, refresh, sign out.
func TestDemoInBrowser(t *testing.T) {
	b := chromium(t)
	p := launch(t, t.TempDir(), []string{}...)
	start := regexp.MustCompile(p.issuer + `/demo\S*`).FindString(p.output.String())
	if start == "" {
		t.Fatalf("the binary printed no URL to open:\n%s", p.output.String())
	}
	b.open(start)
	b.see("Welcome")
	b.look("demo-home")
	b.press("Sign in with")
	b.see("Sign in", "Demo application")
	b.look("login")

	b.fill("username", printed(t, p, "Username"))
	b.fill("password", "certainly wrong")
	b.press("Sign in")
	b.see("match")
	b.look("login-wrong")
	b.fill("password", printed(t, p, "Password"))
	b.press("Sign in")
	b.see("Allow", "Demo application", strings.TrimPrefix(p.issuer, "http://"))
	b.look("consent")
	b.press("Allow")

	b.see("Hello, Demo User", "ID token", "Userinfo", p.issuer, "demo@example.com")
	b.look("demo-signed-in")
	b.press("Refresh the tokens")
	b.see("The tokens were refreshed", "a new one came and was verified")
	b.look("demo-refreshed")
	b.press("Ask userinfo again")
	b.see("Userinfo was asked again")
	b.press("Sign out")
	b.see("You are signed out", "The refresh token from before is refused")
	b.look("demo-signed-out")

	// Saying no brings people back to where they began, and signing in again asks
	// for the password: the session is over.
	b.open(start)
	b.press("Sign in with")
	b.see("Password")
	b.press("Cancel")
	b.see("Start again")
	b.look("demo-denied")
	b.quiet("422 (Unprocessable", "favicon.ico")
}

// TestPagesInBrowser looks at the pages that people rarely see.
func TestPagesInBrowser(t *testing.T) {
	b := chromium(t)
	p := launch(t, t.TempDir())
	for name, page := range map[string]struct{ place, words string }{
		"home":             {p.issuer + "/", "identity provider"},
		"errors":           {p.issuer + "/errors", "What the errors mean"},
		"error":            {p.endpoint("authorize") + "?client_id=nobody", "Request ID"},
		"redirect-unknown": {p.endpoint("authorize") + "?" + p.authorizeParams("web", "x", url.Values{"redirect_uri": {"https://web.test/cb/"}}).Encode(), "Request ID"},
		"unknown-link":     {p.endpoint("interaction/dwi_nonsense"), "expired"},
		"signed-out":       {p.endpoint("logout"), "signed out"},
	} {
		b.open(page.place)
		b.see(page.words)
		b.look(name)
	}
	address, _ := p.authorizeURL("app", nil)
	b.open(address)
	b.fill("username", "alice")
	b.fill("password", people["alice"])
	b.press("Sign in")
	b.see("The app app", "Keep this access")
	b.look("consent-offline")
	b.press("Allow")
	b.see("Return to")
	b.look("return-to-app")
	// That tab now waits for an answer whether to open the app; the person goes on in another.
	other := b.another()
	other.open(p.endpoint("logout"))
	other.see("Sign out?")
	other.look("logout")
	other.press("Stay")
	other.see("still signed in")
	other.look("stayed")
	other.quiet("favicon.ico")
	// A script that somebody smuggled in would not run, and the console would tell.
	evaluate[int](other, `(() => { const s = document.createElement("script"); s.textContent = "document.title = 'smuggled'"; document.body.append(s); return 1 })()`)
	if title := evaluate[string](other, `document.title`); title == "smuggled" {
		t.Error("an inline script runs on a page of ours")
	}
	other.told("Content Security Policy")
	b.quiet("favicon.ico", "the server responded with a status of 4", "custom protocol", "Failed to launch", "Not allowed to launch")
}

// receiver is an application on this machine that takes answers at /cb and sends the
// browser on to another origin, as many applications do.
type receiver struct {
	*httptest.Server
	landing *httptest.Server

	mu  sync.Mutex
	got map[string][]url.Values // by state
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{got: map[string][]url.Values{}}
	r.landing = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<title>Landed</title><link rel=icon href=data:,><p>Landed with " + in.URL.Query().Get("state")))
	}))
	t.Cleanup(r.landing.Close)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		if in.URL.Path != "/cb" {
			http.NotFound(w, in)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		state := in.URL.Query().Get("state")
		r.got[state] = append(r.got[state], in.URL.Query())
		http.Redirect(w, in, r.landing.URL+"/?state="+state, http.StatusFound)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(state string) []url.Values {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[state]
}

// TestTwoTabs opens the sign-in of two applications in two tabs and finishes them in
// reverse order; a double click on Allow gives one code.
func TestTwoTabs(t *testing.T) {
	first := chromium(t)
	p := launch(t, t.TempDir())
	app := newReceiver(t)
	second := first.another()
	request := func(client, state string) (address, verifier string) {
		return p.authorizeURL(client, url.Values{"redirect_uri": {app.URL + "/cb"}, "state": {state}})
	}
	one, verifierOne := request("cli", "one")
	two, verifierTwo := request("desk", "two")
	first.open(one)
	first.see("Sign in", "The cli app")
	second.open(two)
	second.see("Sign in", "The desk app")

	finish := func(b *tab, state string) {
		t.Helper()
		b.fill("username", "alice")
		b.fill("password", people["alice"])
		b.click("Sign in")
		b.see("Allow")
		b.do("double click on Allow", chromedp.DoubleClick(button("Allow")))
		b.see("Landed with " + state)
		if n := len(app.answers(state)); n != 1 {
			t.Errorf("the application was answered %d times for %s", n, state)
		}
	}
	finish(second, "two")
	finish(first, "one")
	for _, done := range []struct{ client, state, verifier string }{{"cli", "one", verifierOne}, {"desk", "two", verifierTwo}} {
		answers := app.answers(done.state)
		if len(answers) == 0 {
			t.Fatalf("no answer for %s", done.state)
		}
		if iss := answers[0].Get("iss"); iss != p.issuer {
			t.Errorf("iss is %q", iss)
		}
		tokens, err := p.exchange(done.client, answers[0].Get("code"), done.verifier, url.Values{"redirect_uri": {app.URL + "/cb"}})
		if err != nil || tokens.status != http.StatusOK {
			t.Errorf("exchange for %s: %v %s", done.client, err, tokens)
		}
	}

	// Back to a page that was finished: it is asked for again, though the browser
	// likes to keep pages in memory, and says so and offers to begin again.
	evaluate[int](first, `setTimeout(() => history.back(), 0)`)
	first.see("already been used", "Start again")
	first.look("used-link")
	first.quiet("410 (Gone)", "favicon.ico")
	second.quiet("favicon.ico")
}
