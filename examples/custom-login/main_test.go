package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/storage/memory"
)

// world is the example on a port of its own, with its codes caught.
type world struct {
	t       *testing.T
	browser *http.Client
	address string
	codes   []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, browser: &http.Client{Jar: jar}}
	routes := mux.NewRouter()
	web := httptest.NewServer(routes)
	t.Cleanup(web.Close)
	w.address = web.URL
	accounts, err := newAccounts()
	if err != nil {
		t.Fatal(err)
	}
	idp, err := newProvider(t.Context(), w.address, memory.New(), newLogin(accounts, func(_, code string) { w.codes = append(w.codes, code) }))
	if err != nil {
		t.Fatal(err)
	}
	if err := idp.Mount(routes); err != nil {
		t.Fatal(err)
	}
	newClient(w.address).mount(routes)
	return w
}

// view is what the browser shows.
type view struct {
	url  *url.URL
	text string
}

func (w *world) get(address string) view {
	w.t.Helper()
	return w.read(w.browser.Get(address))
}

// send sends the form of a page.
func (w *world) send(from view, form url.Values) view {
	w.t.Helper()
	action := regexp.MustCompile(`<form[^>]* action="([^"]*)"`).FindStringSubmatch(from.text)
	if action == nil {
		w.t.Fatalf("the page has no form:\n%s", from.text)
	}
	to, err := from.url.Parse(strings.ReplaceAll(action[1], "&amp;", "&"))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.read(w.browser.PostForm(to.String(), form))
}

func (w *world) read(resp *http.Response, err error) view {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		w.t.Fatalf("%s: %s\n%s", resp.Request.URL, resp.Status, body)
	}
	return view{resp.Request.URL, string(body)}
}

func (w *world) shows(p view, text string) {
	w.t.Helper()
	if !strings.Contains(p.text, text) {
		w.t.Fatalf("the page at %s does not show %q:\n%s", p.url.Path, text, p.text)
	}
}

func TestTwoSteps(t *testing.T) {
	w := newWorld(t)
	p := w.get(w.address + "/demo/start")
	w.shows(p, "The demo application")
	p = w.send(p, url.Values{"name": {"alice"}, "password": {"wrong"}})
	w.shows(p, "do not belong together")
	p = w.send(p, url.Values{"name": {"alice"}, "password": {"wonderland"}})
	w.shows(p, `name="code"`)
	if len(w.codes) != 1 {
		t.Fatalf("%d codes were sent, want 1", len(w.codes))
	}
	p = w.send(p, url.Values{"code": {"x"}})
	w.shows(p, "not the code")
	p = w.send(p, url.Values{"code": w.codes})
	w.shows(p, "See your email address")
	p = w.send(p, url.Values{"decision": {"allow"}})
	w.shows(p, "You are signed in")
	w.shows(p, "alice@example.com")
}

func TestCodes(t *testing.T) {
	accounts, err := newAccounts()
	if err != nil {
		t.Fatal(err)
	}
	var sent string
	l := newLogin(accounts, func(_, code string) { sent = code })
	now := time.Now()
	l.now = func() time.Time { return now }
	begin := func() {
		t.Helper()
		if err := l.checkPassword("i", "alice", "wonderland"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.checkPassword("i", "carol", "wonderland"); !errors.Is(err, errPassword) {
		t.Errorf("an unknown name: %v", err)
	}
	begin()
	if _, err := l.checkCode("other", sent); !errors.Is(err, errStale) {
		t.Errorf("a code at another interaction: %v", err)
	}
	if user, err := l.checkCode("i", sent); err != nil || user != "alice" {
		t.Errorf("the right code: %q, %v", user, err)
	}
	if _, err := l.checkCode("i", sent); !errors.Is(err, errStale) {
		t.Errorf("the code a second time: %v", err)
	}
	begin()
	for range codeTries - 1 {
		if _, err := l.checkCode("i", "x"); !errors.Is(err, errCode) {
			t.Errorf("a wrong code: %v", err)
		}
	}
	if _, err := l.checkCode("i", "x"); !errors.Is(err, errStale) {
		t.Errorf("the last wrong code: %v", err)
	}
	if _, err := l.checkCode("i", sent); !errors.Is(err, errStale) {
		t.Errorf("the right code after too many wrong ones: %v", err)
	}
	begin()
	if err := l.checkPassword("j", "alice", "wonderland"); !errors.Is(err, errMany) {
		t.Errorf("a code more than an account is sent: %v", err)
	}
	now = now.Add(codeLife + time.Second)
	if _, err := l.checkCode("i", sent); !errors.Is(err, errStale) {
		t.Errorf("an old code: %v", err)
	}
	begin()
}
