package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// OpenID Connect Core §3.1.2.1, §3.1.2.6
func TestPromptNone(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	wants := func(what, client, code string, change ...string) {
		t.Helper()
		got := b.get(w.authorize(client, append([]string{"prompt", "none"}, change...)...)).answer(t, w.clients[client].RedirectURIs[0])
		if code != "" && got.Get("error") != code || code == "" && got.Get("code") == "" {
			t.Errorf("%s: the client gets %v, want %q", what, got, code)
		}
		if got.Get("iss") != w.url {
			t.Errorf("%s: the answer lacks iss: %v", what, got)
		}
	}
	wants("nobody", "own", "login_required")
	b.signIn("alice")
	wants("first party", "own", "")
	wants("never asked", "notes", "consent_required")
	wants("a device", "cli", "consent_required")
	w.advance(10 * time.Minute)
	wants("too old", "own", "login_required", "max_age", "300")
	wants("max_age 0", "own", "login_required", "max_age", "0")
	wants("young enough", "own", "", "max_age", "900")
}

func TestPromptLoginAndMaxAgeAskAgain(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	b.signIn("alice")
	w.advance(time.Minute)
	for name, value := range map[string]string{"prompt": "login", "max_age": "0"} {
		place := b.get(w.authorize("own", name, value)).to(t)
		b.get(place).shows(t, http.StatusOK, "Confirm it’s you")
		if got := b.post(place+"?step=login", alice()).answer(t, "https://own.example/cb"); got.Get("code") == "" {
			t.Errorf("%s=%s: after a new sign-in the client gets %v", name, value, got)
		}
	}
	place := b.get(w.authorize("own", "prompt", "select_account")).to(t)
	b.get(place).shows(t, http.StatusOK, "Sign in")
	asked := b.get(w.authorize("own", "prompt", "consent")).to(t)
	b.get(asked).shows(t, http.StatusOK, "Continue")
}

// A host whose session is older than what the client asked for, and that sends the
// person back without asking, must not get a code.
func TestExistingSessionFailsClosed(t *testing.T) {
	var who Subject
	var failing error
	w := newWorld(t, options{login: ExistingSession{
		CurrentUser: func(*http.Request) (Subject, error) { return who, failing },
		LoginURL:    "/login?theme=dark",
		SignOut: func(rw http.ResponseWriter, r *http.Request) error {
			who = Subject{}
			http.SetCookie(rw, &http.Cookie{Name: "host", Value: "", MaxAge: -1})
			http.Redirect(rw, r, "/somewhere", http.StatusFound)
			return nil
		},
	}})
	b := w.browser()
	back := func(place string) string {
		t.Helper()
		login := b.get(place).to(t)
		u, err := url.Parse(login)
		if err != nil || u.Path != "/login" || u.Query().Get("theme") != "dark" || !strings.HasPrefix(u.Query().Get("return_to"), "/oauth/interaction/") {
			t.Fatalf("the login page is %s", login)
		}
		return u.Query().Get("return_to")
	}
	place := back(b.get(w.authorize("own")).to(t))
	back(place) // still nobody
	who = Subject{ID: "u1", AuthTime: w.now}
	if got := b.get(place).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("after the host's login the client gets %v", got)
	}
	if got := b.get(w.authorize("own")).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("a signed-in person is not recognised: %v", got)
	}
	w.advance(time.Hour)
	for name, want := range map[string]string{"prompt=login": "login_required", "max_age=60": "unmet_authentication_requirements"} {
		param, value, _ := strings.Cut(name, "=")
		place := back(b.get(w.authorize("own", param, value)).to(t))
		if got := b.get(place).answer(t, "https://own.example/cb"); got.Get("error") != want {
			t.Errorf("%s, and nobody was asked: the client gets %v, want %s", name, got, want)
		}
		place = back(b.get(w.authorize("own", param, value)).to(t))
		w.advance(time.Second)
		who.AuthTime = w.now.Truncate(time.Second)
		if got := b.get(place).answer(t, "https://own.example/cb"); got.Get("code") == "" {
			t.Errorf("%s, and the person signed in: the client gets %v", name, got)
		}
		w.advance(time.Hour)
	}
	who.AuthTime = time.Time{} // a host that does not know
	if got := b.get(w.authorize("own", "prompt", "none", "max_age", "9000")).answer(t, "https://own.example/cb"); got.Get("code") != "" {
		t.Errorf("max_age is met by a sign-in of unknown age: %v", got)
	}
	for _, id := range []string{"two words", "ünïcode", strings.Repeat("x", 256), "tab\t"} {
		who = Subject{ID: id, AuthTime: w.now}
		if got := b.get(w.authorize("own")).answer(t, "https://own.example/cb"); got.Get("error") != "server_error" {
			t.Errorf("subject %q: the client gets %v", id, got)
		}
	}
	who = Subject{ID: "u1", AuthTime: w.now.Add(time.Hour)}
	if got := b.get(w.authorize("own")).answer(t, "https://own.example/cb"); got.Get("error") != "server_error" {
		t.Errorf("a sign-in in the future: the client gets %v", got)
	}
	failing = errors.New("the session store is down")
	if got := b.get(w.authorize("own")); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("a failing host is answered with %s", got.Status)
	}
	failing, who = nil, Subject{ID: "u1", Name: "Una"}
	place = b.get("/oauth/logout").to(t)
	b.get(place).shows(t, http.StatusOK, "Sign out?", "Una")
	got := b.post(place+"?step=logout", decide("signout"))
	got.shows(t, http.StatusOK, "You are signed out")
	if who.ID != "" || !strings.HasPrefix(got.Header.Get("Set-Cookie"), "host=") {
		t.Errorf("the host's session goes on: %v", got.Header)
	}
}

// RFC 8252 §8.6
func TestADeviceIsNeverAnsweredWithoutAPage(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("cli")).to(t)
	if got := b.post(place+"?step=login", alice()).answer(t, "http://127.0.0.1/cb"); got.Get("code") == "" {
		t.Errorf("a login just completed does not count: %v", got)
	}
	place = b.get(w.authorize("cli")).to(t)
	b.get(place).shows(t, http.StatusOK, "Continue", "127.0.0.1")
	if got := b.post(place+"?step=consent", decide("allow")).answer(t, "http://127.0.0.1/cb"); got.Get("code") == "" {
		t.Errorf("after the page the client gets %v", got)
	}
	b.get(b.get(w.authorize("cli")).to(t)).shows(t, http.StatusOK, "Continue")
}

// RFC 8252 §7.1
func TestAnAppIsReachedByALink(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("phone")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	got := b.post(place+"?step=consent", decide("allow"))
	got.shows(t, http.StatusOK, `href="com.example.phone:/cb?`, "Return to Phone")
	if !strings.HasPrefix(got.Header.Get("Refresh"), "0; url=com.example.phone:/cb?") {
		t.Errorf("the page does not lead on by itself: %v", got.Header)
	}
}

func TestFormPost(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	b.signIn("alice")
	got := b.get(w.authorize("own", "response_mode", "form_post"))
	got.shows(t, http.StatusOK, `<form method="post" action="https://own.example/cb"`, `name="code"`, `name="iss"`, `name="state" value="state-of-own"`, `<script src="/oauth/assets/submit.js">`)
	if p := got.Header.Get("Content-Security-Policy"); strings.Contains(p, "unsafe") || strings.Contains(p, "form-action") {
		t.Errorf("the policy is %q", p)
	}
	if js := b.get("/oauth/assets/submit.js"); js.StatusCode != http.StatusOK || !strings.Contains(js.Header.Get("Content-Type"), "javascript") {
		t.Errorf("the script is answered with %s", js.Status)
	}
}

// A client that changes its name or where it returns to is asked for again.
// RFC 6819 §5.2.3
func TestConsentIsForWhatWasSeen(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("notes")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	w.clients["notes"].Name = "Bank"
	if got := b.post(place+"?step=consent", decide("allow")).to(t); got != place {
		t.Fatalf("a consent to Notes counts for Bank: %s", got)
	}
	b.get(place).to(t) // it starts over
	b.get(place).shows(t, http.StatusOK, "Bank")
	b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb")
	b.get(w.authorize("notes")).answer(t, "https://notes.example/cb")
	w.clients["notes"].RedirectURIs = append(w.clients["notes"].RedirectURIs, "https://elsewhere.example/cb")
	b.get(b.get(w.authorize("notes")).to(t)).shows(t, http.StatusOK, "Allow")
}

func TestSignedOutBeforeConsent(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("notes")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	other := b.get("/oauth/logout").to(t)
	b.post(other+"?step=logout", decide("signout")).shows(t, http.StatusOK, "You are signed out")
	b.post(place+"?step=consent", decide("allow")).to(t)
	b.get(place).to(t)
	b.get(place).shows(t, http.StatusOK, "Sign in")
}
