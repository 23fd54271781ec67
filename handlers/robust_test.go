package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// A panic in a hook is that request's alone: a page with the request's id, nothing
// stored, and the next one works.
func TestPanicsOfHooks(t *testing.T) {
	var at string
	bug := func(here string) {
		if at == here {
			panic("a bug of the host")
		}
	}
	own := newWorld(t, options{
		login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
			bug("login")
			in.Accept(rw, r, Subject{ID: "u1"})
			bug("after accept")
		}),
		consent: ConsentFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
			bug("consent")
			in.Allow(rw, r)
		}),
	})
	session := newWorld(t, options{login: ExistingSession{LoginURL: "/login", CurrentUser: func(*http.Request) (Subject, error) {
		bug("current user")
		return Subject{ID: "u1"}, nil
	}}})
	grants := func(w *world) int {
		list, _, err := storage.Grants(w.store).List(t.Context(), "", "", storage.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for _, c := range []struct {
		at   string
		w    *world
		path func(b *browser) string
	}{
		{"login", own, func(b *browser) string { return b.get(own.authorize("own")).to(t) }},
		{"consent", own, func(b *browser) string {
			place := b.get(own.authorize("notes")).to(t)
			return b.get(place).to(t)
		}},
		{"current user", session, func(*browser) string { return session.authorize("own") }},
	} {
		at = ""
		b := c.w.browser()
		place := c.path(b)
		before := grants(c.w)
		at = c.at
		got := b.get(place)
		got.shows(t, http.StatusInternalServerError, "Something went wrong", got.Header.Get("X-Request-Id"))
		if strings.Contains(got.body, "a bug of the host") || grants(c.w) != before {
			t.Errorf("%s: %d grants before, %d after:\n%s", c.at, before, grants(c.w), got.body)
		}
		at = ""
		if to := b.get(place).to(t); !strings.Contains(to, "code=") {
			t.Errorf("%s: afterwards the browser is sent to %s", c.at, to)
		}
	}
}

// A store that panics, as by the bug of an observer before it, does so again while the
// client is to be told what a request with prompt=none ended in. Then it is a page.
func TestAPanicThatComesTwice(t *testing.T) {
	w := newWorld(t, options{})
	w.h.config.Client = func(context.Context, string) (*storage.Client, error) { panic("a bug of the host") }
	got := w.browser().get(w.authorize("own", "prompt", "none", "response_mode", "form_post"))
	got.shows(t, http.StatusInternalServerError, "Something went wrong", got.Header.Get("X-Request-Id"))
}

// What a login says of a person is judged before anything is made of it. OpenID
// Connect Core §2
func TestImpossiblePeople(t *testing.T) {
	var who Subject
	w := newWorld(t, options{login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) { in.Accept(rw, r, who) })})
	long := strings.Repeat("x", 1025)
	for name, s := range map[string]Subject{
		"nobody":                 {},
		"a huge one":             {ID: strings.Repeat("x", 10<<10)},
		"a line":                 {ID: "u1\nadmin"},
		"a NUL":                  {ID: "u1\x00"},
		"a client":               {ID: "notes"},
		"tomorrow":               {ID: "u1", AuthTime: w.now.Add(24 * time.Hour)},
		"a huge acr":             {ID: "u1", ACR: long},
		"control characters":     {ID: "u1", ACR: "a\x1b[2J"},
		"many methods":           {ID: "u1", AMR: []string{long}},
		"a huge org":             {ID: "u1", Org: long},
		"a huge name":            {ID: "u1", Name: long},
		"an org that is no text": {ID: "u1", Org: "\xff"},
		"a session of another":   {ID: "u1", SessionID: strings.Repeat("s", 256)},
	} {
		who = s
		b := w.browser()
		place := b.get(w.authorize("own")).to(t)
		from := len(w.logged())
		got := b.get(place)
		switch {
		case got.StatusCode == http.StatusInternalServerError:
		case got.StatusCode != http.StatusSeeOther || got.answer(t, "https://own.example/cb").Get("error") == "" && name != "nobody":
			t.Errorf("%s: answered with %s %s", name, got.Status, got.Header.Get("Location"))
		}
		if said := w.logged()[from:]; !strings.Contains(said, "subject_invalid") && !strings.Contains(said, "subject_is_client") {
			t.Errorf("%s: the log says:\n%s", name, said)
		}
	}
	list, _, err := storage.Grants(w.store).List(t.Context(), "", "", storage.Page{Limit: 10})
	if err != nil || len(list) != 0 {
		t.Errorf("%d grants were made, %v", len(list), err)
	}
}

// Requirements reach the client as OpenID Connect Core §3.1.2.6 names them, and with
// prompt=none no page is shown.
func TestRequirements(t *testing.T) {
	var what Requirement
	w := newWorld(t, options{login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) { in.Require(rw, r, what) })})
	for _, what = range []Requirement{LoginRequired, InteractionRequired, ConsentRequired, AccountSelectionRequired, UnmetAuthentication, "nonsense"} {
		want := string(what)
		if what == "nonsense" {
			want = "interaction_required"
		}
		b := w.browser()
		silent := b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb")
		place := b.get(w.authorize("own")).to(t)
		asked := b.get(place).answer(t, "https://own.example/cb")
		if silent.Get("error") != want || asked.Get("error") != want {
			t.Errorf("%s: the client is told %v, %v", what, silent, asked)
		}
	}
}

// What a request can ask reaches the hooks as values. OpenID Connect Core §3.1.2.1, §5.5
func TestWhatHooksSee(t *testing.T) {
	var login, consent *Interaction
	w := newWorld(t, options{
		login: LoginFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
			login = in
			in.Accept(rw, r, Subject{ID: "u1", ACR: "gold"})
		}),
		consent: ConsentFunc(func(rw http.ResponseWriter, r *http.Request, in *Interaction) {
			consent = in
			in.Allow(rw, r)
		}),
	})
	b := w.browser()
	ask := func(change ...string) {
		t.Helper()
		place := b.get(w.authorize("notes", change...)).to(t)
		for !strings.HasPrefix(place, "https://") {
			place = b.get(place).to(t)
		}
	}
	ask("scope", "openid notes", "claims", `{"userinfo":{"email":null}}`)
	if _, asked := login.Claims.UserInfo["email"]; consent.Granted != nil || !asked {
		t.Errorf("at first: granted %+v", consent.Granted)
	}
	ask("scope", "openid profile", "prompt", "login consent", "claims", `{"id_token":{"acr":{"essential":true,"values":["gold"]},"birthdate":{"essential":true}}}`)
	if g := consent.Granted; g == nil || strings.Join(g.Scopes, " ") != "openid notes" || strings.Join(g.Claims, " ") != "email" || g.At.IsZero() {
		t.Errorf("then: granted %+v", consent.Granted)
	}
	if strings.Join(login.EssentialACR, " ") != "gold" || !login.Claims.IDToken["birthdate"].Essential || login.Client.Origin != "https://notes.example" {
		t.Errorf("the login sees %+v", login)
	}
}

// A login page elsewhere is told what it has to do. OpenID Connect Core §3.1.2.1
func TestALoginPageIsToldWhatIsAsked(t *testing.T) {
	w := newWorld(t, options{})
	page := ExistingSession{LoginURL: "/login", SignUpURL: "/join"}
	told := func(in *Interaction, who Subject) url.Values {
		in.ID, in.h = "x", w.h
		u, err := url.Parse(page.page(in, who))
		if err != nil {
			t.Fatal(err)
		}
		return u.Query()
	}
	got := told(&Interaction{EssentialACR: []string{"gold"}, ACRValues: []string{"silver"}, UILocales: []string{"de", "en"}, MaxAge: new(time.Duration)}, Subject{ID: "u1"})
	if got.Get("acr_values") != "gold silver" || got.Get("ui_locales") != "de en" || got.Get("prompt") != "login" {
		t.Errorf("the page is told %v", got)
	}
	if got := told(&Interaction{Prompt: []string{"select_account"}}, Subject{}); got.Get("prompt") != "select_account" {
		t.Errorf("the page is told %v", got)
	}
	if !TakesSignUps(page) || TakesSignUps(ExistingSession{LoginURL: "/login"}) || TakesSignUps(PasswordLogin{}) {
		t.Error("who takes in new people is not told apart")
	}
}
