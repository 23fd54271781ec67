package handlers

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func (b *browser) cookies(part string) (list []*http.Cookie) {
	u, _ := url.Parse(b.w.url)
	return slices.DeleteFunc(b.client.Jar.Cookies(u), func(c *http.Cookie) bool { return !strings.Contains(c.Name, part) })
}

// choose presses the button of an account on the page of accounts.
func (b *browser) choose(place, decision, name string) page {
	b.w.t.Helper()
	shown := b.get(place)
	for _, form := range strings.Split(shown.body, "<form ")[1:] {
		session := regexp.MustCompile(`name="session" value="([^"]*)"`).FindStringSubmatch(form)
		if session != nil && strings.Contains(html.UnescapeString(form), "<bdi>"+name+"</bdi>") {
			return b.post(place+"?step=select", url.Values{"decision": {decision}, "session": {session[1]}})
		}
	}
	b.w.t.Fatalf("there is no account %s:\n%s", name, shown.body)
	return page{}
}

// whose returns who a code is for.
func (b *browser) whose(answer url.Values) string {
	b.w.t.Helper()
	tokens := b.token(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"own"}, "code": {answer.Get("code")},
		"redirect_uri": {"https://own.example/cb"}, "code_verifier": {verifier},
	}).json(b.w.t)
	access, _ := tokens["access_token"].(string)
	r, err := http.NewRequest(http.MethodGet, b.w.absolute("/oauth/userinfo"), nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+access)
	sub, _ := b.send(r).json(b.w.t)["sub"].(string)
	return sub
}

const ownCallback = "https://own.example/cb"

func (w *world) own(change ...string) string {
	return w.authorize("own", append([]string{"code_challenge", challengeOf(verifier)}, change...)...)
}

func TestSeveralAccounts(t *testing.T) {
	w := newWorld(t, options{several: 3})
	b := w.browser()
	b.signIn("alice")
	if n := len(b.cookies(accountPrefix)); n != 0 {
		t.Errorf("one account has %d cookies beside the session's", n)
	}
	place := b.get(w.own("prompt", "select_account")).to(t)
	b.get(place).shows(t, http.StatusOK, "Choose an account", "alice", "Use another account")
	b.post(place+"?step=select", url.Values{"decision": {"other"}}).to(t)
	b.get(place).shows(t, http.StatusOK, "Sign in")
	if got := b.whose(b.post(place+"?step=login", url.Values{"username": {"bob"}, "password": {"right"}}).answer(t, ownCallback)); got != "sub-bob" {
		t.Fatalf("the code is for %s", got)
	}
	if n := len(b.cookies(accountPrefix)); n != 2 {
		t.Errorf("two accounts have %d cookies", n)
	}
	// Bob was there last; a hint names another.
	for _, row := range [][2]string{{"nobody", "sub-bob"}, {"ALICE", "sub-alice"}, {"sub-bob", "sub-bob"}, {"", "sub-bob"}} {
		if got := b.whose(b.get(w.own("login_hint", row[0], "prompt", "none")).answer(t, ownCallback)); got != row[1] {
			t.Errorf("login_hint %q leads to %s", row[0], got)
		}
	}
	// Whoever is chosen is there from then on, without a password.
	place = b.get(w.own("prompt", "select_account")).to(t)
	w.browser().get(place).shows(t, http.StatusForbidden)
	if got := b.whose(b.choose(place, "account", "alice").answer(t, ownCallback)); got != "sub-alice" {
		t.Errorf("the code is for %s", got)
	}
	if got := b.whose(b.get(w.own("prompt", "none")).answer(t, ownCallback)); got != "sub-alice" {
		t.Errorf("the next code is for %s", got)
	}
	// Signed out is who was there, and the browser does not go on as another by itself.
	place = b.get("/oauth/logout").to(t)
	out := b.get(place)
	out.shows(t, http.StatusOK, "Sign out of all accounts", "alice")
	action := html.UnescapeString(regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(out.body)[1])
	b.post(action, decide("signout")).shows(t, http.StatusOK)
	if got := b.get(w.own("prompt", "none")).answer(t, ownCallback).Get("error"); got != "account_selection_required" {
		t.Errorf("with nobody there the client gets %s", got)
	}
	place = b.get(w.own()).to(t)
	if shown := b.get(place); strings.Contains(shown.body, "alice") {
		t.Errorf("who signed out is still there:\n%s", shown.body)
	}
	if got := b.whose(b.choose(place, "account", "bob").answer(t, ownCallback)); got != "sub-bob" {
		t.Errorf("the code is for %s", got)
	}
	// Removing the last one leads to the login.
	place = b.get(w.own("prompt", "select_account")).to(t)
	b.choose(place, "remove", "bob").to(t)
	b.get(place).to(t)
	b.get(place).shows(t, http.StatusOK, "Password")
	if n := len(b.cookies(accountPrefix)) + len(b.cookies("_session")); n != 0 {
		t.Errorf("after all left there are %d cookies of sessions", n)
	}
}

// What was asked of the sign-in holds for who is chosen too.
func TestTheChosenMustSignInAgain(t *testing.T) {
	w := newWorld(t, options{several: 2})
	b := w.browser()
	b.signIn("alice")
	w.advance(time.Hour)
	place := b.get(w.own("prompt", "select_account", "max_age", "60")).to(t)
	b.choose(place, "account", "alice").to(t)
	b.get(place).shows(t, http.StatusOK, "Confirm it", `value="alice"`)
	b.post(place+"?step=login", alice()).answer(t, ownCallback)
}

func TestSignOutOfAll(t *testing.T) {
	w := newWorld(t, options{several: 2})
	b := w.browser()
	b.signIn("alice")
	b.signIn("bob")
	place := b.get("/oauth/logout").to(t)
	b.post(place+"?step=logout", decide("all")).shows(t, http.StatusOK)
	for _, sub := range []string{"sub-alice", "sub-bob"} {
		if list, err := w.h.Sessions(t.Context(), sub); err != nil || len(list) != 0 {
			t.Errorf("%s has %d sessions, %v", sub, len(list), err)
		}
	}
	if n := len(b.cookies(accountPrefix)) + len(b.cookies("_session")); n != 0 {
		t.Errorf("there are %d cookies of sessions left", n)
	}
}

// No more than the configured number stays, the one that was seen least recently goes.
func TestTooManyAccounts(t *testing.T) {
	w := newWorld(t, options{several: 2, login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		in.Accept(rw, r, Subject{ID: r.PostFormValue("username")})
	})})
	b := w.browser()
	for _, name := range []string{"u1", "u2", "u3"} {
		w.advance(time.Second)
		b.signIn(name)
	}
	for name, want := range map[string]int{"u1": 0, "u2": 1, "u3": 1} {
		if list, err := w.h.Sessions(t.Context(), name); err != nil || len(list) != want {
			t.Errorf("%s has %d sessions, %v", name, len(list), err)
		}
	}
	if n := len(b.cookies(accountPrefix)); n != 2 {
		t.Errorf("there are %d cookies of accounts", n)
	}
}

// Tabs that sign in different people at the same time lose none of them.
func TestSignInsAtTheSameTime(t *testing.T) {
	w := newWorld(t, options{several: 5, login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		in.Accept(rw, r, Subject{ID: r.PostFormValue("username")})
	})})
	b := w.browser()
	b.signIn("u0")
	names := []string{"u1", "u2", "u3", "u4"}
	var wg sync.WaitGroup
	for _, name := range names {
		place := b.get(w.own("prompt", "login")).to(t)
		wg.Go(func() { b.post(place+"?step=login", url.Values{"username": {name}}) })
	}
	wg.Wait()
	place := b.get(w.own("prompt", "select_account")).to(t)
	shown := b.get(place)
	for _, name := range append(names, "u0") {
		if !strings.Contains(shown.body, "<bdi>"+name+"</bdi>") {
			t.Errorf("%s was lost", name)
		}
	}
}

func TestRemember(t *testing.T) {
	w := newWorld(t, options{login: PasswordLogin{Verify: verifyAlice, AskRemember: true}})
	for _, ticked := range []bool{false, true} {
		b := w.browser()
		place := b.get(w.own()).to(t)
		b.get(place).shows(t, http.StatusOK, "Stay signed in", `name="remember"`)
		form := alice()
		if ticked {
			form.Set("remember", "yes")
		}
		answer := b.post(place+"?step=login", form)
		answer.answer(t, ownCallback)
		at := slices.IndexFunc(answer.Cookies(), func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "_session") })
		if lasts := answer.Cookies()[at].MaxAge > 0; lasts != ticked {
			t.Errorf("ticked %v: the cookie lives %d seconds", ticked, answer.Cookies()[at].MaxAge)
		}
		w.advance(9 * time.Hour)
		if got := b.get(w.own("prompt", "none")).answer(t, ownCallback); (got.Get("error") == "") != ticked {
			t.Errorf("ticked %v: nine hours later the client gets %v", ticked, got)
		}
	}
}

func TestAccountsInJSON(t *testing.T) {
	w := newWorld(t, options{several: 2})
	b := w.browser()
	b.signIn("alice")
	b.signIn("bob")
	place := b.get(w.own("prompt", "select_account")).to(t)
	_, told := b.script(http.MethodGet, place, "")
	list, _ := told["accounts"].([]any)
	if told["step"] != "select" || len(list) != 2 {
		t.Fatalf("the choice is told as %v", told)
	}
	second := list[1].(map[string]any)
	if second["name"] != "alice" {
		t.Errorf("the second account is %v", second)
	}
	_, told = b.script(http.MethodPost, told["action"].(string), `{"decision":"account","session":"`+second["session"].(string)+`"}`)
	if to, _ := told["redirect_to"].(string); !strings.Contains(to, "code=") {
		t.Errorf("the choice leads to %v", told)
	}
}

// account returns the cookies of the session of whoever was there last.
func (b *browser) account() []*http.Cookie {
	b.w.t.Helper()
	here := b.cookies("_session")
	return slices.DeleteFunc(b.cookies(accountPrefix), func(c *http.Cookie) bool { return len(here) == 0 || c.Value != here[0].Value })
}

// Two tabs that sign the same person in at the same time make two sessions; who signs out
// is signed out of both.
func TestSignOutOfTwoSessionsOfOnePerson(t *testing.T) {
	w := newWorld(t, options{several: 3})
	b := w.browser()
	b.signIn("bob")
	before := b.cookies("_session")
	b.signIn("alice")
	first, u := b.account(), mustParse(t, w.url)
	for _, c := range first { // the other tab sees what was there before
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Path: "/", MaxAge: -1}, {Name: before[0].Name, Value: before[0].Value, Path: "/"}})
	}
	b.signIn("alice")
	for _, c := range first {
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/"}})
	}
	place := b.get("/oauth/logout").to(t)
	action := html.UnescapeString(regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(b.get(place).body)[1])
	b.post(action, decide("signout")).shows(t, http.StatusOK)
	for sub, want := range map[string]int{"sub-alice": 0, "sub-bob": 1} {
		if list, err := w.h.Sessions(t.Context(), sub); err != nil || len(list) != want {
			t.Errorf("%s has %d sessions, %v", sub, len(list), err)
		}
	}
	if n := len(b.cookies(accountPrefix)); n != 1 {
		t.Errorf("there are %d cookies of accounts", n)
	}
}

// Sessions that ended leave no cookies for good: enough of them would hide who is signed in.
func TestCookiesOfEndedSessionsGo(t *testing.T) {
	w := newWorld(t, options{several: 3})
	b := w.browser()
	b.signIn("bob")
	b.signIn("alice")
	for range mostAccounts + 2 {
		if err := w.h.EndOtherSessions(t.Context(), "sub-alice", ""); err != nil {
			t.Fatal(err)
		}
		w.advance(time.Second)
		place := b.get(w.own()).to(t)
		b.post(place+"?step=select", decide("other")).to(t)
		b.post(place+"?step=login", alice()).answer(t, ownCallback)
	}
	if n := len(b.cookies(accountPrefix)); n != 2 {
		t.Errorf("there are %d cookies of accounts", n)
	}
}

// A second click on the button that signs one account out does not ask about the next.
func TestTwoClicksSignOneOut(t *testing.T) {
	w := newWorld(t, options{several: 3})
	b := w.browser()
	b.signIn("bob")
	b.signIn("alice")
	place := b.get("/oauth/logout?client_id=notes&post_logout_redirect_uri=https%3A%2F%2Fnotes.example%2Fbye").to(t)
	action := html.UnescapeString(regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(b.get(place).body)[1])
	for range 2 {
		if to := b.post(action, decide("signout")).to(t); to != "https://notes.example/bye" {
			t.Errorf("a click leads to %s", to)
		}
	}
	if list, err := w.h.Sessions(t.Context(), "sub-bob"); err != nil || len(list) != 1 {
		t.Errorf("bob has %d sessions, %v", len(list), err)
	}
}

// A question about one account is no answer about another that is there by then.
func TestSignOutOfWhoWasShown(t *testing.T) {
	w := newWorld(t, options{several: 3})
	b := w.browser()
	b.signIn("alice")
	place := b.get("/oauth/logout").to(t)
	action := html.UnescapeString(regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(b.get(place).body)[1])
	b.signIn("bob")
	if err := w.h.EndOtherSessions(t.Context(), "sub-alice", ""); err != nil {
		t.Fatal(err)
	}
	b.post(action, decide("signout")).shows(t, http.StatusOK, "bob")
	if list, err := w.h.Sessions(t.Context(), "sub-bob"); err != nil || len(list) != 1 {
		t.Errorf("bob has %d sessions, %v", len(list), err)
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
