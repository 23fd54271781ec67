package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// person is a browser that talks to a handler: it keeps cookies and follows nothing.
type person struct {
	t       *testing.T
	handler http.Handler
	issuer  string
	cookies map[string]*http.Cookie
}

// send makes one request and returns where it leads.
func (p *person) send(method, place string, form url.Values) *url.URL {
	p.t.Helper()
	r := httptest.NewRequest(method, p.issuer+place, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	w := serve(p.handler, r)
	for _, c := range w.Result().Cookies() {
		p.cookies[c.Name] = c
	}
	to, err := w.Result().Location()
	if err != nil {
		p.t.Fatalf("%s %s is answered by %d: %s", method, place, w.Code, w.Body)
	}
	return to
}

// The mark that ends a session must live as long as the session would have: it may be
// far longer than any refresh token.
func TestARevokedSessionStaysRevoked(t *testing.T) {
	now := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	const day = 24 * time.Hour
	c := valid(t)
	c.Clock = now.Now
	c.Lifetimes = server.Lifetimes{RefreshIdle: day, RefreshAbsolute: day, SessionIdle: 60 * day, SessionAbsolute: 60 * day}
	c.Login = handlers.PasswordLogin{Verify: func(context.Context, string, string) (handlers.Subject, error) {
		return handlers.Subject{ID: "alice"}, nil
	}}
	c.Clients = []storage.Client{{
		ID: "spa", TokenEndpointAuthMethod: storage.AuthMethodNone, FirstParty: true,
		RedirectURIs: []string{"https://spa.example.com/cb"}, Scope: "openid",
	}}
	s := start(t, c)
	p := &person{t, s.Handler(), c.Issuer, map[string]*http.Cookie{}}
	authorize := func(prompt string) *url.URL {
		t.Helper()
		return p.send(http.MethodGet, "/oauth/authorize?"+url.Values{
			"client_id": {"spa"}, "response_type": {"code"}, "redirect_uri": {"https://spa.example.com/cb"}, "scope": {"openid"},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, "prompt": {prompt},
		}.Encode(), nil)
	}
	if back := p.send(http.MethodPost, authorize("login").Path+"?step=login", url.Values{"username": {"alice"}, "password": {"x"}}); back.Query().Get("code") == "" {
		t.Fatalf("the sign-in led to %s", back)
	}
	if back := authorize("none"); back.Query().Get("code") == "" {
		t.Fatalf("signed in, prompt=none leads to %s", back)
	}
	sessions, _, err := storage.Sessions(s.Store()).List(t.Context(), storage.IndexSubject, s.Store().SubjectKey("alice"), storage.Page{})
	if err != nil || len(sessions) != 1 {
		t.Fatalf("the sessions are %v, %v", sessions, err)
	}
	if err := s.RevokeSession(t.Context(), sessions[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{0, 5 * day, 50 * day} {
		now.now = now.now.Add(later)
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if back := authorize("none"); back.Query().Get("error") != "login_required" {
			t.Errorf("%v after it was revoked the session leads to %s", later, back)
		}
	}
}
