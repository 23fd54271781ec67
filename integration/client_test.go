package integration

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// TestForeignClient drives the real binary with the clients that most Go programs
// use, from discovery to logout.
func TestForeignClient(t *testing.T) {
	p := launch(t, t.TempDir())
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: p.transport})
	provider, err := oidc.NewProvider(ctx, p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleAutoDetect, oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		f := &foreign{process: p, ctx: ctx, provider: provider, config: &oauth2.Config{
			ClientID: "web", ClientSecret: string(p.clients["web"].Secret), RedirectURL: p.redirectURI("web"),
			Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
		}}
		f.config.Endpoint.AuthStyle = style
		f.wholeJob(t)
	}
	t.Run("public", func(t *testing.T) {
		f := &foreign{process: p, ctx: ctx, provider: provider, config: &oauth2.Config{
			ClientID: "spa", RedirectURL: p.redirectURI("spa"), Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID},
		}}
		f.config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		f.wholeJob(t)
	})
}

// foreign is a client made of golang.org/x/oauth2 and go-oidc.
type foreign struct {
	*process
	ctx      context.Context
	provider *oidc.Provider
	config   *oauth2.Config
}

func (f *foreign) wholeJob(t *testing.T) {
	t.Helper()
	alice := f.person()
	tokens, verifier := f.signIn(t, alice)
	idToken := f.verify(t, tokens, "nonce-of-ours")

	info, err := f.provider.UserInfo(f.ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		t.Fatalf("userinfo: %v", err)
	}
	if info.Subject != idToken.Subject {
		t.Errorf("userinfo is about %q, the ID token about %q", info.Subject, idToken.Subject)
	}
	refreshed, err := f.config.TokenSource(f.ctx, &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if refreshed.AccessToken == tokens.AccessToken || refreshed.RefreshToken == tokens.RefreshToken {
		t.Error("the refresh gave nothing new")
	}
	if again := f.verify(t, refreshed, ""); again.Subject != idToken.Subject {
		t.Errorf("the refreshed ID token is about %q, the first about %q", again.Subject, idToken.Subject)
	}
	f.revoke(t, refreshed)
	f.refuses(t, func() error {
		_, err := f.config.TokenSource(f.ctx, &oauth2.Token{RefreshToken: refreshed.RefreshToken}).Token()
		return err
	}, "a refresh token of a grant that was revoked")
	f.refuses(t, func() error {
		_, err := f.config.Exchange(f.ctx, "dwc_nonsense", oauth2.VerifierOption(verifier))
		return err
	}, "a code that is none")
	f.logout(t, alice, tokens)
}

func (f *foreign) signIn(t *testing.T, who *person) (*oauth2.Token, string) {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	answer, err := who.signIn(f.config.AuthCodeURL("state-of-ours", oauth2.S256ChallengeOption(verifier), oidc.Nonce("nonce-of-ours")), "alice")
	if err != nil {
		t.Fatal(err)
	}
	back := answer.location()
	if back == nil {
		t.Fatalf("the browser did not come back: %s", answer)
	}
	told := back.Query()
	if told.Get("state") != "state-of-ours" || told.Get("iss") != f.issuer || told.Get("error") != "" {
		t.Fatalf("the client was told %v", told)
	}
	tokens, err := f.config.Exchange(f.ctx, told.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return tokens, verifier
}

func (f *foreign) verify(t *testing.T, tokens *oauth2.Token, nonce string) *oidc.IDToken {
	t.Helper()
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		t.Fatal("there is no ID token")
	}
	idToken, err := f.provider.VerifierContext(f.ctx, &oidc.Config{ClientID: f.config.ClientID}).Verify(f.ctx, raw)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if err := idToken.VerifyAccessToken(tokens.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	if idToken.Nonce != nonce {
		t.Errorf("the nonce is %q, not %q", idToken.Nonce, nonce)
	}
	return idToken
}

// endpointOf is what the library has no word for.
func (f *foreign) endpointOf(t *testing.T, name string) string {
	t.Helper()
	metadata := map[string]any{}
	if err := f.provider.Claims(&metadata); err != nil {
		t.Fatal(err)
	}
	place, ok := metadata[name].(string)
	if !ok {
		t.Fatalf("the metadata have no %s", name)
	}
	return place
}

func (f *foreign) revoke(t *testing.T, tokens *oauth2.Token) {
	t.Helper()
	answer, err := f.post(f.endpointOf(t, "revocation_endpoint"), f.config.ClientID, url.Values{"token": {tokens.RefreshToken}})
	if err != nil || answer.status != http.StatusOK {
		t.Fatalf("revoke: %v %s", err, answer)
	}
	if _, err := f.provider.UserInfo(f.ctx, oauth2.StaticTokenSource(tokens)); err == nil {
		t.Error("an access token outlives its grant")
	}
}

func (f *foreign) refuses(t *testing.T, do func() error, what string) {
	t.Helper()
	var refused *oauth2.RetrieveError
	if err := do(); !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" || refused.ErrorURI == "" {
		t.Errorf("%s: %v", what, err)
	}
}

func (f *foreign) logout(t *testing.T, who *person, tokens *oauth2.Token) {
	t.Helper()
	query := url.Values{"id_token_hint": {tokens.Extra("id_token").(string)}, "state": {"bye"}}
	if c := f.clients[f.config.ClientID]; len(c.PostLogoutRedirectURIs) > 0 {
		query.Set("post_logout_redirect_uri", c.PostLogoutRedirectURIs[0])
	}
	answer, err := who.open(f.endpointOf(t, "end_session_endpoint") + "?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if query.Has("post_logout_redirect_uri") {
		if to := answer.location(); to == nil || to.Query().Get("state") != "bye" {
			t.Errorf("the browser was not sent back: %s", answer)
		}
	}
	silent, err := who.open(f.config.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()), oauth2.SetAuthURLParam("prompt", "none")))
	if err != nil {
		t.Fatal(err)
	}
	if to := silent.location(); to == nil || to.Query().Get("error") != "login_required" {
		t.Errorf("somebody is signed in after the logout: %s", silent)
	}
}
