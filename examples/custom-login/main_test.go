package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/examples/internal/busyport"
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
	idp, err := newProvider(t.Context(), w.address, memory.New(), &login{accounts}, newFactor(func(_, code string) { w.codes = append(w.codes, code) }))
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

// script sends JSON to a page's interaction, as its script does, and returns the answer.
func (w *world) script(method, address, body string) map[string]any {
	w.t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		w.t.Fatalf("%s: %s: %v", address, resp.Status, err)
	}
	return answer
}

// RFC 8176
func TestTwoSteps(t *testing.T) {
	w := newWorld(t)
	p := w.get(w.address + "/demo/start")
	w.shows(p, "/demo/login.js")
	asked := w.script(http.MethodGet, p.url.String(), "")
	if name := asked["client"].(map[string]any)["name"]; name != "The demo application" {
		t.Errorf("the client is %v", name)
	}
	action := w.address + asked["action"].(string)
	if got := w.script(http.MethodPost, action, `{"name":"alice","password":"wrong"}`); got["message"] != errPassword.Error() {
		t.Errorf("a wrong password is answered %v", got)
	}
	to, _ := w.script(http.MethodPost, action, `{"name":"alice","password":"wonderland"}`)["redirect_to"].(string)
	p = w.get(to)
	w.shows(p, `name="code"`)
	w.get(to) // a reload sends no other one
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
	// The session remembers that the second step was taken.
	w.shows(w.get(w.address+"/demo/start"), "Signed in as")
}

func TestPasswords(t *testing.T) {
	accounts, err := newAccounts()
	if err != nil {
		t.Fatal(err)
	}
	l := &login{accounts}
	for _, row := range []struct {
		name, password string
		want           bool
	}{{"alice", "wonderland", true}, {"alice", "x", false}, {"carol", "wonderland", false}} {
		if got := l.right(row.name, row.password); got != row.want {
			t.Errorf("%s with %s: %v", row.name, row.password, got)
		}
	}
}

func TestCodes(t *testing.T) {
	var sent string
	f := newFactor(func(_, code string) { sent = code })
	now := time.Now()
	f.now = func() time.Time { return now }
	begin := func() {
		t.Helper()
		if err := f.begin("i", "alice"); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	begin()
	wants("a code at another interaction", f.check("other", sent), errStale)
	wants("the right code", f.check("i", sent), nil)
	wants("the code a second time", f.check("i", sent), errStale)
	begin()
	for range codeTries - 1 {
		wants("a wrong code", f.check("i", "x"), errCode)
	}
	wants("the last wrong code", f.check("i", "x"), errStale)
	wants("the right code after too many wrong ones", f.check("i", sent), errStale)
	begin()
	wants("a code more than an account is sent", f.begin("j", "alice"), errMany)
	now = now.Add(codeLife + time.Second)
	wants("an old code", f.check("i", sent), errStale)
	begin()
}

// The login and the second step are each short enough to be read at once.
func TestShort(t *testing.T) {
	for _, name := range []string{"login.go", "factor.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n >= 150 {
			t.Errorf("%s has %d lines, want less than 150", name, n)
		}
	}
}

// A port that is taken is an error that names it, and nobody is sent there before.
func TestBusyPort(t *testing.T) {
	busyport.Test(t, func(busy string) error { return run(t.Context(), busy) })
}
