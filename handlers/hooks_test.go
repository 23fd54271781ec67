package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
)

// A host's own page, and a login that ends in a handler of the host's.
func TestOwnLogin(t *testing.T) {
	var seen *Interaction
	w := newWorld(t, options{login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		if !in.Interactive() {
			if c, err := r.Cookie("remembered"); err == nil {
				in.Accept(rw, r, Subject{ID: c.Value})
			}
			_, _ = rw.Write([]byte("what nobody must see"))
			return
		}
		seen = in
		switch r.PostFormValue("user") {
		case "":
			_, _ = rw.Write([]byte("<form action='" + in.Action + "'>"))
		case "silent":
		case "nobody":
			in.Deny(rw, r)
		case "twice":
			in.Accept(rw, r, Subject{ID: "first"})
			in.Accept(rw, r, Subject{ID: "second"})
		case "allow":
			in.Allow(rw, r)
		default:
			in.Accept(rw, r, Subject{ID: r.PostFormValue("user")})
		}
	})})
	b := w.browser()
	user := func(name string) url.Values { return url.Values{"user": {name}} }

	place := b.get(w.authorize("notes", "scope", "openid notes", "login_hint", "a@b.example", "acr_values", "gold", "max_age", "60", "ui_locales", "de en", "display", "page")).to(t)
	b.get(place).shows(t, http.StatusOK, place+"?step=login")
	want := ClientView{ID: "notes", Name: "Notes", Host: "notes.example", Origin: "https://notes.example", Entered: true}
	if d := cmp.Diff(want, seen.Client); d != "" {
		t.Errorf("the hook sees another client:\n%s", d)
	}
	if d := cmp.Diff([]ScopeView{{Name: "openid", Description: "Know who you are when you sign in"}, {Name: "notes", Description: "Read your notes"}}, seen.Scopes); d != "" {
		t.Errorf("the hook sees other scopes:\n%s", d)
	}
	if seen.LoginHint != "a@b.example" || *seen.MaxAge != time.Minute || seen.UILocales[0] != "de" || seen.ACRValues[0] != "gold" || seen.Display != "page" || seen.URL() != w.url+place {
		t.Errorf("the hook sees %+v", seen)
	}
	b.post(place+"?step=login", user("silent")).shows(t, http.StatusInternalServerError)
	b.post(place+"?step=login", user("allow")).shows(t, http.StatusInternalServerError)
	if got := b.post(place+"?step=login", user("nobody")).answer(t, "https://notes.example/cb"); got.Get("error") != "access_denied" {
		t.Errorf("Deny gives %v", got)
	}
	for _, id := range []string{"two words", strings.Repeat("x", 256)} {
		place := b.get(w.authorize("own")).to(t)
		if got := b.post(place+"?step=login", user(id)).answer(t, "https://own.example/cb"); got.Get("error") != "server_error" {
			t.Errorf("subject %q gives %v", id, got)
		}
	}
	place = b.get(w.authorize("own")).to(t)
	if got := b.post(place+"?step=login", user("twice")).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("the first of two Accepts gives %v", got)
	}

	fresh := w.browser()
	if got := fresh.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb"); got.Get("error") != "login_required" {
		t.Errorf("prompt=none gives %v", got)
	}
	r, _ := http.NewRequest(http.MethodGet, w.absolute(w.authorize("own", "prompt", "none")), nil)
	r.AddCookie(&http.Cookie{Name: "remembered", Value: "u9"})
	if got := fresh.send(r); got.answer(t, "https://own.example/cb").Get("code") == "" || strings.Contains(got.body, "nobody must see") {
		t.Errorf("a login that knows the person without a page gives %s %s", got.Header.Get("Location"), got.body)
	}
}

func TestLoginThatEndsElsewhere(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	w.mux.HandleFunc("/callback", func(rw http.ResponseWriter, r *http.Request) {
		in, err := w.h.Interaction(r)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusTeapot)
			return
		}
		in.Accept(rw, r, Subject{ID: "u1", AMR: []string{"hwk"}})
	})
	back := "/callback?interaction=" + url.QueryEscape(w.url+place)
	w.browser().get(back).shows(t, http.StatusTeapot, ErrNoInteraction.Error())
	b.get("/callback").shows(t, http.StatusTeapot, ErrNoInteraction.Error())
	if got := b.get(back).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("the login that ended elsewhere gives %v", got)
	}
	b.get(back).answer(t, "https://own.example/cb") // a double click
	w.advance(repeatLife)
	b.get(back).shows(t, http.StatusTeapot)
}

func TestPartOfTheScopes(t *testing.T) {
	w := newWorld(t, options{consent: ConsentFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
		in.Allow(rw, r, strings.Fields(r.PostFormValue("scopes"))...)
	})})
	b := w.browser()
	ask := func(scopes string) page {
		place := b.get(w.authorize("notes", "scope", "openid profile notes", "code_challenge", challengeOf(verifier), "prompt", "consent")).to(t)
		return b.post(place+"?step=consent", url.Values{"scopes": {scopes}})
	}
	b.signIn("alice")
	got := ask("notes").answer(t, "https://notes.example/cb")
	tokens := b.token(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"notes"}, "code": {got.Get("code")},
		"redirect_uri": {"https://notes.example/cb"}, "code_verifier": {verifier},
	}).json(t)
	if tokens["scope"] != "openid notes" {
		t.Errorf("the scope is %v", tokens["scope"])
	}
	ask("admin").shows(t, http.StatusInternalServerError)
}

func TestClaimsAreAdapted(t *testing.T) {
	hook := AdaptClaims(func(_ context.Context, c *ClaimsRequest) error {
		switch c.Subject {
		case "disabled":
			return Refuse("disabled by the operator")
		case "broken":
			return errors.New("the directory is down")
		}
		c.User["name"], c.IDToken["a"], c.UserInfo["b"], c.AccessToken["c"] = c.Subject, 1, 2, 3
		return nil
	})
	r := &engine.ClaimsRequest{Subject: "u1"}
	if err := hook(t.Context(), r); err != nil || r.User["name"] != "u1" || r.IDToken["a"] != 1 || r.UserInfo["b"] != 2 || r.AccessToken["c"] != 3 {
		t.Errorf("the claims are %+v, %v", r, err)
	}
	var denied *engine.Denied
	if err := hook(t.Context(), &engine.ClaimsRequest{Subject: "disabled"}); !errors.As(err, &denied) || denied.Reason != "disabled by the operator" {
		t.Errorf("a refusal becomes %v", err)
	}
	if err := hook(t.Context(), &engine.ClaimsRequest{Subject: "broken"}); err == nil || errors.As(err, &denied) {
		t.Errorf("a failure becomes %v", err)
	}
	if AdaptClaims(nil) != nil || AdaptEvents(nil) != nil {
		t.Error("no hook becomes one")
	}
	var got Event
	AdaptEvents(func(_ context.Context, e Event) { got = e })(t.Context(), engine.Event{Type: engine.EventRefreshReuse, ClientID: "c", Age: time.Minute})
	if got.Type != EventRefreshReuse || got.ClientID != "c" || got.Age != time.Minute {
		t.Errorf("the event becomes %+v", got)
	}
}

func TestWhereALoginPageSendsBack(t *testing.T) {
	w := newWorld(t, options{})
	in := &Interaction{ID: "x", LoginHint: "a&b", h: w.h}
	for page, want := range map[string]string{
		"/login":                     "/login?login_hint=a%26b&return_to=%2Foauth%2Finteraction%2Fx%3Ffrom%3Dlogin",
		"/login?a=1":                 "/login?a=1&login_hint=a%26b&return_to=%2Foauth%2Finteraction%2Fx%3Ffrom%3Dlogin",
		w.url + "/login":             w.url + "/login?login_hint=a%26b&return_to=%2Foauth%2Finteraction%2Fx%3Ffrom%3Dlogin",
		"https://www.example.com/in": "https://www.example.com/in?login_hint=a%26b&return_to=" + url.QueryEscape(w.url) + "%2Foauth%2Finteraction%2Fx%3Ffrom%3Dlogin",
	} {
		if got := (ExistingSession{LoginURL: page}).page(in, Subject{}); got != want {
			t.Errorf("%s leads to\n%s, want\n%s", page, got, want)
		}
	}
}
