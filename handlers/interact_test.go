package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSignInAndConsent(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("notes", "scope", "openid notes")).to(t)
	b.get(place).shows(t, http.StatusOK, "Sign in", "<strong>Notes</strong>", `autocomplete="current-password"`)
	if got := b.post(place+"?step=login", alice()).to(t); got != place {
		t.Fatalf("after the login the browser is sent to %s, not to %s", got, place)
	}
	b.get(place).shows(t, http.StatusOK, "Allow", "Notes", "notes.example", "alice", "Read your notes")
	answer := b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb")
	if answer.Get("code") == "" || answer.Get("state") != "state-of-notes" || answer.Get("iss") != w.url {
		t.Errorf("the client gets %v", answer)
	}
	// What was allowed is not asked again; what was not, is.
	if got := b.get(w.authorize("notes", "scope", "openid notes")).answer(t, "https://notes.example/cb"); got.Get("code") == "" {
		t.Errorf("the second request gets %v", got)
	}
	again := b.get(w.authorize("notes", "scope", "openid profile")).to(t)
	b.get(again).shows(t, http.StatusOK, "Allow", "See your name")
	if got := b.post(again+"?step=consent", decide("deny")).answer(t, "https://notes.example/cb"); got.Get("error") != "access_denied" {
		t.Errorf("after Deny the client gets %v", got)
	}
}

func TestOneCommitForEachRequest(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	commits := func(what string, most int, do func()) {
		t.Helper()
		before := w.backend.Stats()
		do()
		if n := w.backend.Stats().Commits - before.Commits; n != most {
			t.Errorf("%s made %d commits, want %d", what, n, most)
		}
	}
	var place string
	commits("the request", 1, func() { place = b.get(w.authorize("notes")).to(t) })
	commits("the login page", 0, func() { b.get(place) })
	commits("a wrong password", 1, func() { b.post(place+"?step=login", url.Values{"username": {"alice"}, "password": {"x"}}) })
	commits("the login", 1, func() { b.post(place+"?step=login", alice()).to(t) })
	commits("the consent page", 0, func() { b.get(place) })
	commits("the consent", 1, func() { b.post(place+"?step=consent", decide("allow")).to(t) })
	commits("the next request", 1, func() { b.get(w.authorize("notes")).answer(t, "https://notes.example/cb") })
	commits("the next request, an hour later", 1, func() {
		w.advance(2 * time.Hour)
		b.get(w.authorize("notes")).answer(t, "https://notes.example/cb")
	})
}

func TestForeignBrowser(t *testing.T) {
	w := newWorld(t, options{})
	place := w.browser().get(w.authorize("notes")).to(t)
	thief := w.browser()
	thief.get(place).shows(t, http.StatusForbidden, "started in another browser")
	thief.post(place+"?step=login", alice()).shows(t, http.StatusForbidden, "started in another browser")
	if !strings.Contains(w.logged(), "foreign_browser") {
		t.Error("the log does not say so")
	}
}

func TestTwoTabs(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	first, second := b.get(w.authorize("notes")).to(t), b.get(w.authorize("own")).to(t)
	b.post(second+"?step=login", alice()).answer(t, "https://own.example/cb")
	b.post(first+"?step=login", alice()).to(t)
	got := b.post(first+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb")
	if got.Get("code") == "" || got.Get("state") != "state-of-notes" {
		t.Errorf("the first tab gets %v", got)
	}
}

// A sign-in in one tab makes the session's token anew; the consent that waits in
// another tab is not asked twice for it.
func TestTwoTabsOfOnePerson(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	first, second := b.get(w.authorize("notes")).to(t), b.get(w.authorize("own")).to(t)
	b.post(first+"?step=login", alice()).to(t)
	b.get(first).shows(t, http.StatusOK, "Allow")
	b.post(second+"?step=login", alice()).answer(t, "https://own.example/cb")
	if got := b.post(first+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb"); got.Get("code") == "" {
		t.Errorf("the first tab gets %v", got)
	}
	// Another person in the other tab ends it.
	first, second = b.get(w.authorize("notes", "prompt", "consent")).to(t), b.get(w.authorize("own", "prompt", "login")).to(t)
	b.get(first).shows(t, http.StatusOK, "alice")
	b.post(second+"?step=login", url.Values{"username": {"bob"}, "password": {"right"}}).answer(t, "https://own.example/cb")
	if got := b.post(first+"?step=consent", decide("allow")).to(t); got != first {
		t.Fatalf("what alice was asked is answered for bob: %s", got)
	}
	b.get(first).to(t)
	b.get(first).shows(t, http.StatusOK, "Allow", "bob")
}

func TestAtMostEightCookies(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	var places []string
	for range 10 {
		w.advance(time.Second)
		places = append(places, b.get(w.authorize("notes")).to(t))
	}
	u, _ := url.Parse(w.url)
	if n := len(b.client.Jar.Cookies(u)); n != maxInteractionCookies {
		t.Errorf("the browser holds %d cookies, want %d", n, maxInteractionCookies)
	}
	b.get(places[1]).shows(t, http.StatusForbidden)
	b.get(places[2]).shows(t, http.StatusOK)
}

func TestDoubleClick(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("notes")).to(t)
	// The browser drops the first answer, its cookies too.
	b.post(place+"?step=login", alice()).to(t)
	if got := b.post(place+"?step=login", alice()); got.to(t) != place || !strings.Contains(got.Header.Get("Set-Cookie"), "session") {
		t.Errorf("the second login is sent to %s with cookies %v", got.to(t), got.Header["Set-Cookie"])
	}
	first := b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb")
	for range 2 {
		if got := b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb"); got.Encode() != first.Encode() {
			t.Errorf("the same decision gets %v, then %v", first, got)
		}
	}
	b.post(place+"?step=consent", decide("deny")).shows(t, http.StatusGone, "already been used", "Start again")
	b.get(place).shows(t, http.StatusGone, "already been used")
	w.advance(repeatLife)
	b.post(place+"?step=consent", decide("allow")).shows(t, http.StatusGone, "already been used")
}

func TestDoubleClickAtOnce(t *testing.T) {
	w := newWorld(t, options{})
	for range 20 {
		b := w.browser()
		place := b.get(w.authorize("own")).to(t)
		answers := make([]string, 8)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = b.post(place+"?step=login", alice()).Header.Get("Location") })
		}
		wg.Wait()
		for _, a := range answers {
			if a != answers[0] || !strings.HasPrefix(a, "https://own.example/cb?") {
				t.Fatalf("one click is answered with %q, another with %q", answers[0], a)
			}
		}
	}
}

func TestExpiredStartsAgain(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("notes", "login_hint", "alice@example.com")).to(t)
	w.advance(time.Hour)
	b.get(place).shows(t, http.StatusGone, "This sign-in link has expired", "Start again", `value="restart"`)
	b.post(place+"?step=login", alice()).shows(t, http.StatusGone, "This sign-in link has expired")
	fresh := b.post(place, decide("restart")).to(t)
	if fresh == place {
		t.Fatal("the old interaction was revived")
	}
	b.get(fresh).shows(t, http.StatusOK, `value="alice@example.com"`)
	b.post(fresh+"?step=login", alice()).to(t)
	if got := b.post(fresh+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb"); got.Get("state") != "state-of-notes" {
		t.Errorf("the original request was not resumed: %v", got)
	}
	w.advance(strangerLife)
	b.get(place).shows(t, http.StatusGone, "This sign-in link has expired", "Go back to the application")
	b.get(fresh).shows(t, http.StatusGone, "already been used", "Start again") // of who signed in more is kept
	w.advance(restartLife)
	b.get(fresh).shows(t, http.StatusGone, "This sign-in link has expired", "Go back to the application")
	b.get("/oauth/interaction/nonsense").shows(t, http.StatusGone, "This sign-in link has expired")
}

func TestUsedStartsAgain(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	first := b.post(place+"?step=login", alice()).answer(t, "https://own.example/cb")
	b.get(place).shows(t, http.StatusGone, "already been used", "Start again")
	second := b.post(place, decide("restart")).answer(t, "https://own.example/cb")
	if second.Get("code") == "" || second.Get("code") == first.Get("code") {
		t.Errorf("starting again gives %v after %v", second, first)
	}
}

func TestRestartOfTheServer(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("notes")).to(t)
	w.open(options{})
	b.post(place+"?step=login", alice()).to(t)
	w.open(options{})
	b.get(place).shows(t, http.StatusOK, "Allow")
	first := b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb")
	w.open(options{})
	if again := b.post(place+"?step=consent", decide("allow")).answer(t, "https://notes.example/cb"); again.Encode() != first.Encode() {
		t.Errorf("after a restart the same decision gets %v, not %v", again, first)
	}
}

func TestFormOfAStepThatIsOver(t *testing.T) {
	w := newWorld(t, options{consent: ConsentFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		if r.Method == http.MethodPost { // a host's page that takes every POST for a yes
			in.Allow(rw, r)
			return
		}
		_, _ = rw.Write([]byte("mine"))
	})})
	b := w.browser()
	place := b.get(w.authorize("notes")).to(t)
	b.post(place+"?step=login", alice()).to(t)
	other := alice()
	other.Set("username", "bob")
	if got := b.post(place+"?step=login", other).to(t); got != place {
		t.Errorf("a late login form is taken for a consent: %s", got)
	}
	got := b.get(place)
	got.shows(t, http.StatusOK, "mine")
	if p := got.Header.Get("Content-Security-Policy"); !strings.Contains(p, "frame-ancestors 'none'") {
		t.Errorf("a host's page may be framed: %q", p)
	}
}

func TestCrossSitePost(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		r, _ := http.NewRequest(http.MethodPost, w.absolute(place), strings.NewReader(alice().Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(name, value)
		b.send(r).shows(t, http.StatusForbidden, "another site")
	}
	// To the authorization endpoint it is legal; the session is looked at later.
	b.signIn("alice")
	r, _ := http.NewRequest(http.MethodPost, w.url+"/oauth/authorize", strings.NewReader(strings.TrimPrefix(w.authorize("own"), "/oauth/authorize?")))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := b.get(b.send(r).to(t)).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("a posted request gets %v", got)
	}
}

func TestSessionsRotate(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	u, _ := url.Parse(w.url)
	token := func() string {
		for _, c := range b.client.Jar.Cookies(u) {
			if strings.HasSuffix(c.Name, sessionCookie) {
				return c.Value
			}
		}
		return ""
	}
	b.signIn("alice")
	old := token()
	b.signIn("alice")
	if token() == old {
		t.Error("the token is the same after a new sign-in")
	}
	thief := w.browser()
	thief.client.Jar.SetCookies(u, []*http.Cookie{w.h.cookies.cookie(sessionCookie, old, time.Hour)})
	thief.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb").Get("error")
	if got := thief.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb"); got.Get("error") != "login_required" {
		t.Errorf("the old token still signs in: %v", got)
	}
	w.advance(336 * time.Hour)
	if got := b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb"); got.Get("error") != "login_required" {
		t.Errorf("an idle session is still there: %v", got)
	}
}

// Many clicks at once are one decision: one answer, and nobody is told to try again.
func TestManyClicksAtOnce(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	click := func(what, place string, form url.Values, want int) string {
		t.Helper()
		const clicks = defaultLimit // that many passwords are tried at once
		answers := make(chan page, clicks)
		var group sync.WaitGroup
		for range clicks {
			group.Go(func() { answers <- b.post(place, form) })
		}
		group.Wait()
		close(answers)
		places := map[string]bool{}
		for a := range answers {
			if a.StatusCode != want {
				t.Errorf("%s: one of the clicks gets %s", what, a.Status)
			}
			places[a.Header.Get("Location")] = true
		}
		if len(places) != 1 {
			t.Errorf("%s: the clicks lead to %v", what, places)
		}
		for place := range places {
			return place
		}
		return ""
	}
	place := b.get(w.authorize("notes")).to(t)
	click("sign in", place+"?step=login", alice(), http.StatusSeeOther)
	if to := click("allow", place+"?step=consent", decide("allow"), http.StatusSeeOther); !strings.HasPrefix(to, "https://notes.example/cb?code=") {
		t.Errorf("the decision leads to %s", to)
	}
	place = b.get("/oauth/logout").to(t)
	click("sign out", place+"?step=logout", decide("signout"), http.StatusOK)
	if got := w.store.Exhausted(); got != 0 {
		t.Errorf("%d requests lost every try", got)
	}
}
