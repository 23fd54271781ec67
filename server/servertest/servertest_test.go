package servertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/server/servertest"
	"github.com/doorward/doorward/storage"
)

func TestToken(t *testing.T) {
	p := servertest.New(t)
	token := p.Token("alice", "notes:read")
	a, err := p.Server.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if a.Subject != "alice" || !a.Allows("notes:read") || a.Allows("notes:write") || !a.MeantFor(p.Issuer) || a.MeantFor("https://other.example") {
		t.Errorf("the token gives %+v", a)
	}
	for _, bad := range []string{"", "x", token + "x"} {
		if _, err := p.Server.Verify(t.Context(), bad); !errors.Is(err, bearer.ErrInvalid) {
			t.Errorf("the token %q: %v, want ErrInvalid", bad, err)
		}
	}
	p.Advance(61 * time.Minute)
	if _, err := p.Server.Verify(t.Context(), token); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("after an hour: %v, want ErrInvalid", err)
	}
}

// A token belongs to who verified it: what an API does to it, as to narrow it, does not
// reach the next request that comes with it.
func TestATokenBelongsToItsCaller(t *testing.T) {
	p := servertest.New(t, func(c *server.Config) {
		c.Claims = func(_ context.Context, r *handlers.ClaimsRequest) error {
			r.AccessToken["teams"] = []string{"red", "blue"}
			r.AccessToken["limits"] = map[string]any{"notes": []int{1, 2}}
			return nil
		}
	})
	token := p.Token("alice", "openid", "notes:read", "notes:write")
	verified := func() *bearer.Token {
		t.Helper()
		a, err := p.Server.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var told [2]string
	for i := range told {
		a := verified()
		text, err := json.Marshal(a)
		if err != nil || len(a.Scopes) != 3 {
			t.Fatalf("%+v, %v", a, err)
		}
		told[i] = string(text)
		a.Scopes = slices.DeleteFunc(a.Scopes, func(s string) bool { return s != "notes:read" })
		a.Audience[0] = "https://other.example"
		slices.Reverse(a.Claims["teams"].([]any))
		clear(a.Claims["limits"].(map[string]any)["notes"].([]any))
		if amr, ok := a.Claims["amr"].([]string); ok {
			clear(amr)
		}
		clear(a.Claims)
	}
	if told[0] != told[1] {
		t.Errorf("at first the token says\n%s\nthen\n%s", told[0], told[1])
	}
}

func TestRefresh(t *testing.T) {
	p := servertest.New(t)
	first := p.Tokens("alice", "openid", "offline_access")
	p.Advance(24 * time.Hour)
	second := p.Refresh(first.RefreshToken)
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken || second.IDToken == "" {
		t.Errorf("refreshed to %+v", second)
	}
}

// TestFailStore holds that a failing store can be seen, and passes.
func TestFailStore(t *testing.T) {
	p := servertest.New(t)
	token := p.Token("alice", "openid")
	userinfo := func() int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Issuer+"/oauth/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := p.HTTP.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	p.FailStore(true)
	if got := userinfo(); got != http.StatusServiceUnavailable {
		t.Errorf("with a failing store: %d, want 503", got)
	}
	if _, err := p.Server.Verify(t.Context(), token); !errors.Is(err, bearer.ErrUnavailable) || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("with a failing store: %v, want ErrUnavailable", err)
	}
	p.FailStore(false)
	if got := userinfo(); got != http.StatusOK {
		t.Errorf("with a healthy store again: %d, want 200", got)
	}
}

// application is a client under test: an ordinary one, with x/oauth2 and go-oidc.
type application struct {
	t        *testing.T
	provider *oidc.Provider
	oauth    oauth2.Config
	http     *httptest.Server
	verifier string
	tokens   *oauth2.Token
	claims   map[string]any
	refused  string
}

func newApplication(t *testing.T, p *servertest.Provider) *application {
	t.Helper()
	a := &application{t: t, verifier: oauth2.GenerateVerifier()}
	a.http = httptest.NewServer(a)
	t.Cleanup(a.http.Close)
	provider, err := oidc.NewProvider(t.Context(), p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	c := p.Client("app", a.http.URL+"/callback")
	a.provider = provider
	a.oauth = oauth2.Config{ClientID: c.ID, RedirectURL: c.RedirectURIs[0], Endpoint: provider.Endpoint(), Scopes: []string{"openid", "email"}}
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login" {
		http.Redirect(w, r, a.oauth.AuthCodeURL("s", oauth2.S256ChallengeOption(a.verifier)), http.StatusSeeOther)
		return
	}
	a.refused = r.FormValue("error")
	if a.refused != "" {
		return
	}
	var err error
	if a.tokens, err = a.oauth.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(a.verifier)); err != nil {
		a.t.Error(err)
		return
	}
	idToken, err := a.provider.Verifier(&oidc.Config{ClientID: a.oauth.ClientID}).Verify(r.Context(), a.tokens.Extra("id_token").(string))
	if err != nil {
		a.t.Error(err)
		return
	}
	a.claims = nil
	if err := idToken.Claims(&a.claims); err != nil {
		a.t.Error(err)
	}
}

func (a *application) login(browser *http.Client) {
	a.t.Helper()
	resp, err := browser.Get(a.http.URL + "/login")
	if err != nil {
		a.t.Fatal(err)
	}
	resp.Body.Close()
}

// TestForeignClient goes through what a host's test wants of its client: another
// person, refused consent, a key that rotated, an account that was closed.
func TestForeignClient(t *testing.T) {
	p := servertest.New(t)
	app := newApplication(t, p)
	browser := p.Browser()

	p.SignIn("alice", map[string]any{"email": "alice@example.com", "given_name": "Alice"})
	app.login(browser)
	if app.claims["sub"] != "alice" || app.claims["email"] != "alice@example.com" || app.claims["given_name"] != nil {
		t.Errorf("alice is told as %v", app.claims)
	}
	p.SignIn("bob", map[string]any{"email": "bob@example.com"})
	app.login(browser)
	if app.claims["sub"] != "bob" || app.claims["email"] != "bob@example.com" {
		t.Errorf("bob is told as %v", app.claims)
	}
	p.RotateKeys()
	app.login(browser)
	p.Deny(true)
	app.login(browser)
	if app.refused != "access_denied" {
		t.Errorf("after Deny the client is told %q", app.refused)
	}
	p.Deny(false)
	p.Disable("bob")
	_, err := app.oauth.TokenSource(t.Context(), &oauth2.Token{RefreshToken: app.tokens.RefreshToken}).Token()
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
		t.Errorf("the refresh of a closed account: %v, want invalid_grant", err)
	}
}

// TestSignOut holds that nobody is signed in then. OpenID Connect Core §3.1.2.6
func TestSignOut(t *testing.T) {
	p := servertest.New(t)
	app := newApplication(t, p)
	p.SignIn("alice", nil)
	p.SignOut()
	browser := p.Browser()
	var back url.Values
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), app.oauth.RedirectURL) {
			back = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := browser.Get(app.oauth.AuthCodeURL("s", oauth2.S256ChallengeOption(app.verifier), oauth2.SetAuthURLParam("prompt", "none")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if back.Get("error") != "login_required" {
		t.Errorf("prompt=none with nobody signed in: %v, want login_required", back)
	}
}

// TestClientCredentials registers a machine.
func TestClientCredentials(t *testing.T) {
	p := servertest.New(t, func(c *server.Config) { c.Scopes = append(c.Scopes, server.Scope{Name: "notes:read"}) })
	c, secret := p.ConfidentialClient("machine")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer+"/oauth/token", strings.NewReader("grant_type=client_credentials&scope=notes%3Aread"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(c.ID, string(secret))
	resp, err := p.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var tokens servertest.Tokens
	if err := json.NewDecoder(resp.Body).Decode(&tokens); err != nil {
		t.Fatal(err)
	}
	if tokens.AccessToken == "" || tokens.RefreshToken != "" || tokens.Scope != "notes:read" {
		t.Errorf("a machine gets %+v", tokens)
	}
}

// TestFast tells what a provider costs a unit test: less than 50 ms on a machine that does
// nothing else. One that is busy, with the race detector, is given a hundred times as long.
func TestFast(t *testing.T) {
	const most = 5 * time.Second
	fastest := time.Hour
	for range 5 {
		begin := time.Now()
		servertest.New(t).Token("alice", "notes:read")
		fastest = min(fastest, time.Since(begin))
	}
	t.Logf("a provider and a token take %v", fastest)
	if fastest > most {
		t.Errorf("a provider and a token take %v, want at most %v", fastest, most)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		servertest.New(b)
	}
}

// TestGrants goes through what a host may ask and end. It stands here because it
// needs a whole provider.
func TestGrants(t *testing.T) {
	ctx := context.Background()
	p := servertest.New(t)
	count := func(subject string) int {
		t.Helper()
		grants, _, err := p.Server.Grants(ctx, subject, storage.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grants {
			if g.Subject != subject {
				t.Errorf("a grant of %q among those of %q", g.Subject, subject)
			}
		}
		return len(grants)
	}
	expect := func(step string, alice, bob int) {
		t.Helper()
		if a, b := count("alice"), count("bob"); a != alice || b != bob {
			t.Errorf("%s: %d grants of alice and %d of bob, want %d and %d", step, a, b, alice, bob)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p.Token("alice", "openid")
	p.Token("alice", "openid")
	offline := p.Token("alice", "openid", "offline_access")
	bob := p.Token("bob", "openid")
	expect("at first", 3, 1)

	grants, _, err := p.Server.Grants(ctx, "alice", storage.Page{Limit: 1})
	must(err)
	must(p.Server.RevokeGrant(ctx, grants[0].ID, "a test"))
	must(p.Server.RevokeGrant(ctx, grants[0].ID, "a test"))
	expect("after RevokeGrant", 2, 1)
	must(p.Server.RevokeSession(ctx, "session-of-alice"))
	expect("after RevokeSession", 1, 1)
	if _, err := p.Server.Verify(ctx, offline); err != nil {
		t.Errorf("a token with offline_access ended with the session: %v", err)
	}
	must(p.Server.RevokeApp(ctx, "alice", "servertest"))
	expect("after RevokeApp", 0, 1)
	if _, err := p.Server.Verify(ctx, offline); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("after RevokeApp: %v, want ErrInvalid", err)
	}
	p.Token("alice", "openid")
	expect("after another sign-in", 1, 1)
	must(p.Server.RevokeSubject(ctx, "bob"))
	expect("after RevokeSubject", 1, 0)
	if _, err := p.Server.Verify(ctx, bob); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("after RevokeSubject: %v, want ErrInvalid", err)
	}
}
