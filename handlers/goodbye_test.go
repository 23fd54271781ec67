package handlers

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// framedWorld is a world whose client "own" signs people out in a frame.
func framedWorld(t *testing.T, o options) *world {
	w := newWorld(t, o)
	w.clients["own"].FrontchannelLogoutURI = "https://own.example/out"
	w.clients["own"].PostLogoutRedirectURIs = []string{"https://own.example/bye"}
	return w
}

const ownFrame = `src="https://own.example/out?iss=`

// action is where the form of a page posts to.
func (p page) action(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(p.body)
	if found == nil {
		t.Fatalf("the page has no form:\n%s", p.body)
	}
	return html.UnescapeString(found[1])
}

// The browser drops the answer to the first of two clicks, so the second gets the same
// page: the frames sign the person out elsewhere.
func TestASecondClickSignsOutElsewhereToo(t *testing.T) {
	for name, row := range map[string]struct {
		several  int
		query    string
		decision string
	}{
		"the account":     {0, "", "signout"},
		"with the way on": {0, "?client_id=own&post_logout_redirect_uri=https%3A%2F%2Fown.example%2Fbye", "signout"},
		"one of several":  {3, "", "signout"},
		"all of them":     {3, "", "all"},
	} {
		w := framedWorld(t, options{several: row.several})
		b := w.browser()
		b.signIn("bob")
		b.signIn("alice")
		place := b.get("/oauth/logout" + row.query).to(t)
		action := b.get(place).action(t)
		first := b.post(action, decide(row.decision))
		first.shows(t, http.StatusOK, ownFrame)
		commits := w.backend.Stats().Commits
		second := b.post(action, decide(row.decision))
		if second.body != first.body || second.Header.Get("Refresh") != first.Header.Get("Refresh") ||
			second.Header.Get("Content-Security-Policy") != first.Header.Get("Content-Security-Policy") {
			t.Errorf("%s: the first click gets\n%s\nthe second\n%s", name, first.body, second.body)
		}
		if n := w.backend.Stats().Commits - commits; n != 0 {
			t.Errorf("%s: the second click makes %d commits", name, n)
		}
		// A new sign-in is not meant by it, and keeps its cookies.
		again := b.get(w.authorize("own", "prompt", "login")).to(t)
		if row.several > 0 && row.decision == "signout" { // bob is there to be chosen
			b.post(again+"?step=select", decide("other")).to(t)
		}
		b.post(again+"?step=login", alice()).answer(t, ownCallback)
		b.post(action, decide(row.decision)).shows(t, http.StatusOK, ownFrame)
		if got := b.get(w.authorize("own", "prompt", "none")).answer(t, ownCallback); got.Get("code") == "" {
			t.Errorf("%s: a repeated click ends the session that began after it: %v", name, got)
		}
		w.advance(repeatLife)
		if late := b.post(action, decide(row.decision)); strings.Contains(late.body, ownFrame) {
			t.Errorf("%s: after a minute the frames are still there", name)
		}
	}
}

// The page that follows a request by POST is reloaded as it was.
func TestAReloadedSignOut(t *testing.T) {
	w := framedWorld(t, options{})
	b := w.browser()
	hint, _ := b.signedIn("alice")["id_token"].(string)
	place := b.post("/oauth/logout", url.Values{"id_token_hint": {hint}}).to(t)
	first := b.get(place)
	first.shows(t, http.StatusOK, ownFrame)
	if second := b.get(place); second.body != first.body {
		t.Errorf("a reload gets\n%s", second.body)
	}
}

// Of many clicks at once each gets the frames.
func TestManySignOutsAtOnce(t *testing.T) {
	for _, several := range []int{0, 2} {
		w := framedWorld(t, options{several: several})
		for range 10 {
			b := w.browser()
			b.signIn("alice")
			action := b.get(b.get("/oauth/logout").to(t)).action(t)
			bodies := make([]string, 8)
			var group sync.WaitGroup
			for i := range bodies {
				group.Go(func() { bodies[i] = b.post(action, decide("signout")).body })
			}
			group.Wait()
			for _, body := range bodies {
				if body != bodies[0] || !strings.Contains(body, ownFrame) {
					t.Fatalf("one click gets\n%s\nanother\n%s", bodies[0], body)
				}
			}
		}
	}
}

// A host whose session is its cookie alone is asked to end it again, since the browser
// lost the answer that took the cookie away.
func TestASecondClickEndsTheHostsSession(t *testing.T) {
	ended := 0
	w := framedWorld(t, options{login: ExistingSession{
		LoginURL: "/login",
		CurrentUser: func(r *http.Request) (Subject, error) {
			c, err := r.Cookie("host")
			if err != nil {
				return Subject{}, nil
			}
			return Subject{ID: "u1", SessionID: c.Value}, nil
		},
		SignOut: func(w http.ResponseWriter, _ *http.Request) error {
			ended++
			http.SetCookie(w, &http.Cookie{Name: "host", MaxAge: -1, Path: "/"})
			return nil
		},
	}})
	b := w.browser()
	u, _ := url.Parse(w.url)
	signIn := func(session string) {
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "host", Value: session, Path: "/"}})
	}
	signIn("h1")
	b.get(w.authorize("own")).answer(t, ownCallback)
	action := b.get(b.get("/oauth/logout").to(t)).action(t)
	b.post(action, decide("signout")).shows(t, http.StatusOK, ownFrame)
	signIn("h1") // the first answer was dropped
	again := b.post(action, decide("signout"))
	again.shows(t, http.StatusOK, ownFrame)
	if ended != 2 || !strings.HasPrefix(again.Header.Get("Set-Cookie"), "host=") {
		t.Errorf("the host was asked %d times; the cookies are %v", ended, again.Header["Set-Cookie"])
	}
	signIn("h2")
	b.get(b.post(action, decide("signout")).to(t)).shows(t, http.StatusOK, "Sign out?")
	if ended != 2 {
		t.Error("the session that began after it is ended")
	}
}

// With prompt=none nobody sees a page: what the server itself fails at is told to the
// client, once it is known where that is. OpenID Connect Core §3.1.2.1, RFC 6749 §4.1.2.1
func TestSilentFailuresReachTheClient(t *testing.T) {
	w := newWorld(t, options{login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		switch in.LoginHint {
		case "down":
			in.Fail(rw, r, errors.New("the directory is down"))
		case "bug":
			panic("a bug of the host")
		}
	}), steps: []Step{{
		Name:   "terms",
		Needed: func(context.Context, *Interaction) (bool, error) { return false, errors.New("no answer") },
		Serve:  func(http.ResponseWriter, *http.Request, *Interaction) {},
	}}})
	silent := func(change ...string) string { return w.authorize("own", append(change, "prompt", "none")...) }
	for hint, want := range map[string]string{"down": "temporarily_unavailable", "bug": "server_error", "": "login_required"} {
		got := w.browser().get(silent("login_hint", hint)).answer(t, ownCallback)
		if got.Get("error") != want || got.Get("state") != "state-of-own" || got.Get("iss") != w.url {
			t.Errorf("%q: the client is told %v, want %s", hint, got, want)
		}
		if hint == "" {
			continue
		}
		w.browser().get(w.authorize("own", "prompt", "none", "login_hint", hint, "redirect_uri", "https://evil.example")).shows(t, http.StatusBadRequest)
	}
	for _, line := range []string{"reason=login_unavailable", "reason=panic", "the directory is down"} {
		if !strings.Contains(w.logged(), line) {
			t.Errorf("the log lacks %s", line)
		}
	}
	// Without prompt=none the person can read what to do.
	b := w.browser()
	place := b.get(w.authorize("own", "login_hint", "down")).to(t)
	b.get(place).shows(t, http.StatusServiceUnavailable)

	w = newWorld(t, options{})
	w.h.config.GrantLimit = 1
	b = w.browser()
	b.signIn("alice")
	for mode, check := range map[string]func(p page) string{
		"query":     func(p page) string { return p.answer(t, ownCallback).Get("error") },
		"form_post": func(p page) string { return fmt.Sprint(strings.Contains(p.body, `value="temporarily_unavailable"`)) },
	} {
		posted, _ := url.ParseQuery(strings.TrimPrefix(w.authorize("own", "prompt", "none", "response_mode", mode), "/oauth/authorize?"))
		place := b.post("/oauth/authorize", posted).to(t)
		for _, at := range []string{w.authorize("own", "prompt", "none", "response_mode", mode), place} {
			if got := check(b.get(at)); got != "temporarily_unavailable" && got != "true" {
				t.Errorf("%s: the client is told %s", mode, got)
			}
		}
	}
	// A page is shown where the answer could never be opened.
	w.clients["own"].RedirectURIs = []string{"javascript:alert(1)"}
	if got := b.get(w.authorize("own", "prompt", "none")); got.Header.Get("Location") != "" || got.StatusCode < 400 {
		t.Errorf("the answer is %s %s", got.Status, got.Header.Get("Location"))
	}
}

// A sign-in for a page of the account that is set back to its beginning, while somebody
// signed in in another tab, leads to the page: there is no client to grant anything to.
func TestAnAccountPageAfterAFreshStart(t *testing.T) {
	steps := []Step{deed("factor", func(in *Interaction) bool { return in.Client.ID == "" && in.Subject.ACR != "high" }, func(s *Subject) { s.ACR = "high" })}
	for _, several := range []int{0, 2} {
		w := newWorld(t, options{steps: steps, several: several})
		w.mux.HandleFunc("/oauth/account/apps", w.route((*Handlers).AccountApps))
		b := w.browser()
		begin := func() string {
			place := b.get("/oauth/account/apps").to(t)
			b.post(place+"?step=login", alice()).to(t)
			b.get(place).shows(t, http.StatusOK, "the page of factor")
			w.advance(1000)
			if err := w.h.engine.RevokeSubject(t.Context(), "sub-alice"); err != nil { // what was proved is void
				t.Fatal(err)
			}
			if got := b.post(place+"?step=x-factor", nil).to(t); got != place {
				t.Fatalf("the browser is sent to %s", got)
			}
			return place
		}
		place := begin()
		if got := b.get(place).to(t); got != place {
			t.Fatalf("with nobody there the browser is sent to %s", got)
		}
		b.get(place).shows(t, http.StatusOK, "Password")

		place = begin()
		b.signIn("alice")
		for range 2 { // the same again, by Back
			if got := b.get(place).to(t); got != "/oauth/account/apps" {
				t.Errorf("the browser is sent to %s", got)
			}
		}
		b.get("/oauth/account/apps").shows(t, http.StatusOK)
	}
}

// However long the addresses of the clients' pages are, signing out works: what is kept
// for a second click is bounded, and those of the others are shown all the same.
func TestSigningOutOfManyClients(t *testing.T) {
	for name, query := range map[string]string{"long": strings.Repeat("x", 1900), "with characters that grow in JSON": strings.Repeat("&", 1900)} {
		w := framedWorld(t, options{several: 2})
		b := w.browser()
		for _, person := range []string{"bob", "alice"} {
			b.signIn(person)
			for i := range 50 {
				id := fmt.Sprintf("client%d", i)
				w.clients[id] = w.clients["own"].Clone()
				w.clients[id].ID, w.clients[id].FrontchannelLogoutURI = id, "https://own.example/"+id+"?"+query
				if got := b.get(w.authorize(id, "prompt", "none", "login_hint", "sub-"+person)).answer(t, ownCallback); got.Get("code") == "" {
					t.Fatalf("%s at %s gets %v", person, id, got)
				}
			}
		}
		action := b.get(b.get("/oauth/logout").to(t)).action(t)
		for range 2 {
			b.post(action, decide("all")).shows(t, http.StatusOK, ownFrame)
		}
		if got := b.get(w.authorize("own", "prompt", "none")).answer(t, ownCallback).Get("error"); got != "login_required" {
			t.Errorf("%s: after signing out a request is answered with %q", name, got)
		}
	}
}
