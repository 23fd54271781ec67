package integration

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
)

// TestAccountFormOfAnother sends a form that was made for bob when alice has signed in in
// the same browser: her application of the same name must not be disconnected by it.
func TestAccountFormOfAnother(t *testing.T) {
	w := start(t, plan{})
	alice, shared := w.person(), w.person()
	hers := tokensOf(t, w, alice, "web", "alice")
	tokensOf(t, w, shared, "web", "bob")
	form, err := shared.open(w.endpoint("account/apps") + "?app=web")
	if err != nil {
		t.Fatal(err)
	}
	address, _ := w.authorizeURL("web", url.Values{"prompt": {"login"}})
	if _, err := shared.signIn(address, "alice"); err != nil {
		t.Fatal(err)
	}
	shared.last = form
	if _, err := shared.submit(url.Values{"app": {"web"}, "decision": {"remove"}}); err != nil {
		t.Fatal(err)
	}
	if again, err := w.refresh("web", hers.text("refresh_token"), nil); err != nil || again.status != http.StatusOK {
		t.Errorf("alice was disconnected by bob's form: %v %s", err, again)
	}
	shared.last, err = shared.open(w.endpoint("account/apps") + "?app=web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.submit(url.Values{"app": {"web"}, "decision": {"remove"}}); err != nil {
		t.Fatal(err)
	}
	if again, err := w.refresh("web", hers.text("refresh_token"), nil); err != nil || again.text("error") != "invalid_grant" {
		t.Errorf("her own form does nothing: %v %s", err, again)
	}
}

// TestApps holds the list of what a person is connected with.
func TestApps(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) {
		alice := w.person()
		list := func() []handlers.AppView {
			t.Helper()
			apps, err := w.server.Apps(t.Context(), "alice")
			if err != nil {
				t.Fatal(err)
			}
			return apps
		}
		if apps := list(); len(apps) != 0 {
			t.Errorf("connected with %v", apps)
		}
		if _, _, err := w.code(alice, "other", "alice", url.Values{"scope": {"openid notes:read"}}); err != nil {
			t.Fatal(err)
		}
		tokens := tokensOf(t, w, alice, "web", "alice")
		tokensOf(t, w, w.person(), "web", "bob")
		w.advance(24 * time.Hour)
		if _, err := w.refresh("web", tokens.text("refresh_token"), nil); err != nil {
			t.Fatal(err)
		}
		apps := list()
		if len(apps) != 2 || apps[0].ClientID != "other" || apps[1].ClientID != "web" {
			t.Fatalf("connected with %+v", apps)
		}
		never, used := apps[0], apps[1]
		if !never.LastUsed.IsZero() || never.Since.IsZero() || len(never.Access) != 0 || never.Scopes[1].Description != "Read your notes" {
			t.Errorf("allowed and never used: %+v", never)
		}
		if used.LastUsed.Sub(used.Since) < 23*time.Hour || !used.Offline || len(used.Access) != 1 || used.Access[0].SessionID != sidOf(t, tokens) ||
			used.Access[0].Device || used.Name != "The web app" || !slices.Contains(used.Audience, "https://api.test") {
			t.Errorf("used: %+v", used)
		}
		if err := w.server.RevokeGrant(t.Context(), used.Access[0].Grant, "test"); err != nil {
			t.Fatal(err)
		}
		if apps := list(); len(apps) != 2 || len(apps[1].Access) != 0 {
			t.Errorf("after its grant was revoked the consent remains: %+v", apps)
		}
		if err := w.server.RevokeApp(t.Context(), "alice", "web"); err != nil {
			t.Fatal(err)
		}
		if apps := list(); len(apps) != 1 {
			t.Errorf("after one was revoked: %+v", apps)
		}
		w.advance(91 * 24 * time.Hour)
		if apps := list(); len(apps) != 0 {
			t.Errorf("after all has ended: %+v", apps)
		}
	})
}

// TestSessionsAPI lists sessions and ends all but one.
func TestSessionsAPI(t *testing.T) {
	w := start(t, plan{})
	var kept string
	for range 25 { // more than one commit takes
		kept = sidOf(t, tokensOf(t, w, w.person(), "web", "alice"))
	}
	tokensOf(t, w, w.person(), "web", "bob")
	sessions, err := w.server.Sessions(t.Context(), "alice")
	if err != nil || len(sessions) != 25 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	if s := sessions[0]; s.Subject != "alice" || s.Address != "192.0.2.1" || s.AuthTime.IsZero() || s.SeenAt.IsZero() || s.AMR[0] != "pwd" {
		t.Errorf("a session is %+v", s)
	}
	if err := w.server.RevokeOtherSessions(t.Context(), "alice", kept); err != nil {
		t.Fatal(err)
	}
	sessions, err = w.server.Sessions(t.Context(), "alice")
	if err != nil || len(sessions) != 1 || sessions[0].ID != kept {
		t.Errorf("left are %+v, %v", sessions, err)
	}
	if sessions, err := w.server.Sessions(t.Context(), "bob"); err != nil || len(sessions) != 1 {
		t.Errorf("bob has %d sessions, %v", len(sessions), err)
	}
}

// TestAccountOfHost serves the page of connected apps with the host's own session: who is
// not signed in goes to the host's login page and comes back.
func TestAccountOfHost(t *testing.T) {
	signedIn := false
	w := start(t, plan{configure: func(c *server.Config) {
		c.Login = handlers.ExistingSession{LoginURL: "/login", CurrentUser: func(*http.Request) (handlers.Subject, error) {
			if !signedIn {
				return handlers.Subject{}, nil
			}
			return handlers.Subject{ID: "alice", SessionID: "host-1", AuthTime: c.Clock()}, nil
		}}
	}})
	alice := w.person()
	begin, err := send(alice.client, http.MethodGet, w.endpoint("account/apps"), nil, "")
	if err != nil || begin.location() == nil {
		t.Fatalf("%v %s", err, begin)
	}
	login, err := send(alice.client, http.MethodGet, begin.location().String(), nil, "")
	if err != nil || login.location() == nil || login.location().Path != "/login" {
		t.Fatalf("%v %s", err, login)
	}
	signedIn = true
	back, err := alice.open(w.issuer + login.location().Query().Get("return_to"))
	if err != nil || back.status != http.StatusOK || back.at.Path != "/oauth/account/apps" {
		t.Errorf("%v %s", err, back)
	}
	if none, err := send(alice.client, http.MethodGet, w.endpoint("account/sessions"), nil, ""); err != nil || none.status != http.StatusNotFound {
		t.Errorf("sessions of the host: %v %s", err, none)
	}
	if sessions, err := w.server.Sessions(t.Context(), "alice"); err != nil || len(sessions) != 0 {
		t.Errorf("%v %v", sessions, err)
	}
}
