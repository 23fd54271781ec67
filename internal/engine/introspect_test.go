package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// RFC 7662 §2, §2.2
func TestIntrospection(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) {
		c.Claims = func(_ context.Context, r *engine.ClaimsRequest) error {
			r.AccessToken["tenant"] = "acme"
			return nil
		}
	})
	app := publicClient()
	app.ID, app.TokenEndpointAuthMethod, app.Audiences = "app", "", []string{api, "rs-by-name"}
	owner := w.addConfidential(app)
	w.add(publicClient())
	resource := w.addConfidential(storage.Client{ID: "rs", GrantTypes: []string{"client_credentials"}, Introspects: []string{api}})
	named := w.addConfidential(storage.Client{ID: "rs-by-name", GrantTypes: []string{"client_credentials"}})
	elsewhere := w.addConfidential(storage.Client{ID: "rs-other", GrantTypes: []string{"client_credentials"}, Introspects: []string{other}})
	service := w.addConfidential(storage.Client{ID: "service", GrantTypes: []string{"client_credentials"}, Audiences: []string{api}})
	partner := w.addConfidential(storage.Client{ID: "partner", RedirectURIs: []string{callback}, Audiences: []string{api}, Incarnation: "one"})
	tokens, refusal := w.redeem(owner, w.approveAs(request("client_id", "app"), engine.Approval{ACR: "high", AMR: []string{"pwd", "otp"}}).Params.Get("code"))
	w.fine(refusal)
	inactive := map[string]any{"active": false}
	active := map[string]any{
		"active": true, "scope": "openid profile notes:read", "client_id": "app", "sub": "alice", "aud": []string{api, "rs-by-name"},
		"iss": issuer, "iat": w.now().Unix(), "exp": w.now().Add(time.Hour).Unix(), "token_type": "Bearer", "tenant": "acme",
		"auth_time": w.now().Add(-time.Minute).Unix(), "acr": "high", "amr": []string{"pwd", "otp"},
	}
	refreshable := map[string]any{
		"active": true, "scope": "openid profile notes:read", "client_id": "app", "sub": "alice", "aud": []string{api, "rs-by-name"},
		"iss": issuer, "iat": w.now().Unix(), "exp": w.now().Add(30 * 24 * time.Hour).Unix(), "token_type": "refresh_token",
	}
	for _, c := range []struct {
		name  string
		by    engine.Credentials
		token string
		want  map[string]any
	}{
		{"its own client", owner, tokens.AccessToken, active},
		{"the resource", resource, tokens.AccessToken, active},
		{"a resource by name", named, tokens.AccessToken, active},
		{"another resource", elsewhere, tokens.AccessToken, inactive},
		{"a partner with the same resource", partner, tokens.AccessToken, inactive},
		{"a service with tokens for the same resource", service, tokens.AccessToken, inactive},
		{"a refresh token by its client", owner, tokens.RefreshToken, refreshable},
		{"a refresh token by a partner", partner, tokens.RefreshToken, inactive},
		{"a refresh token by the resource", resource, tokens.RefreshToken, inactive},
		{"a refresh token by a resource by name", named, tokens.RefreshToken, inactive},
		{"noise", owner, "noise", inactive},
		{"a code", owner, w.approve(request("client_id", "app")), inactive},
		{"an ID token", owner, tokens.IDToken, inactive},
		{"a changed refresh token", owner, tokens.RefreshToken[:90] + "AA", inactive},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := w.commits(func() {
				got, refusal := w.Introspect(t.Context(), c.by, c.token)
				w.fine(refusal)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("the answer differs (-want +got):\n%s", diff)
				}
			}); n != 0 {
				t.Errorf("%d commits", n)
			}
		})
	}
	_, refusal = w.Introspect(t.Context(), spa, tokens.AccessToken)
	refused(t, refusal, "invalid_client", "client_public")
	_, refusal = w.Introspect(t.Context(), engine.Credentials{ClientID: "rs", Secret: "wrong", Method: "client_secret_basic"}, tokens.AccessToken)
	refused(t, refusal, "invalid_client", "client_secret_wrong")
	_, refusal = w.Introspect(t.Context(), owner, "")
	refused(t, refusal, "invalid_request", "parameter_missing")

	second, refusal := w.refresh(owner, tokens.RefreshToken)
	w.fine(refusal)
	is := func(token string) bool {
		t.Helper()
		got, refusal := w.Introspect(t.Context(), owner, token)
		w.fine(refusal)
		return got["active"] == true
	}
	if !is(tokens.RefreshToken) || !is(second.RefreshToken) {
		t.Error("within the window both are good")
	}
	w.advance(30 * time.Second)
	if is(tokens.RefreshToken) || !is(second.RefreshToken) {
		t.Error("after the window only the head is good")
	}
	w.advance(time.Hour)
	if is(tokens.AccessToken) {
		t.Error("an ended token is active")
	}
	must(t, w.RevokeSubject(t.Context(), "alice"))
	if is(second.RefreshToken) {
		t.Error("a revoked refresh token is active")
	}
}

// RFC 7009 §2.1, §2.2
func TestRevocation(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	foreign := publicClient()
	foreign.ID = "foreign"
	w.add(foreign)
	stranger := engine.Credentials{ClientID: "foreign", Method: "none"}
	tokens := w.signIn()
	second := w.mustRefresh(tokens.RefreshToken)
	for _, token := range []string{tokens.AccessToken, tokens.RefreshToken, second.RefreshToken, "noise", w.approve(request())} {
		if n := w.commits(func() { w.fine(w.Revoke(t.Context(), stranger, token)) }); n != 0 {
			t.Errorf("a stranger made %d commits", n)
		}
	}
	if !w.works(tokens.AccessToken) {
		t.Fatal("a stranger revoked a token")
	}
	refused(t, w.Revoke(t.Context(), spa, ""), "invalid_request", "parameter_missing")
	refused(t, w.Revoke(t.Context(), engine.Credentials{ClientID: "nobody", Method: "none"}, "x"), "invalid_client", "client_unknown")

	if n := w.commits(func() { w.fine(w.Revoke(t.Context(), spa, tokens.AccessToken)) }); n != 1 {
		t.Errorf("revoking an access token made %d commits, want 1", n)
	}
	if w.works(tokens.AccessToken) || !w.works(second.AccessToken) || w.count(engine.EventTokenRevoked) != 1 {
		t.Error("an access token is revoked alone")
	}
	w.fine(w.Revoke(t.Context(), spa, tokens.AccessToken))
	if n := w.commits(func() { w.fine(w.Revoke(t.Context(), spa, tokens.RefreshToken)) }); n != 1 { // an old one of the chain
		t.Errorf("revoking a refresh token made %d commits, want 1", n)
	}
	if w.works(second.AccessToken) || w.count(engine.EventGrantRevoked) != 1 {
		t.Error("a refresh token takes the grant with it")
	}
	_, refusal := w.refresh(spa, second.RefreshToken)
	refused(t, refusal, "invalid_grant", "grant_revoked")
	w.fine(w.Revoke(t.Context(), spa, second.RefreshToken))
	if w.count(engine.EventGrantRevoked) != 1 {
		t.Error("a grant was revoked twice")
	}
}

// Other tokens that our keys sign are no hints.
func TestReadHint(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	good := w.signIn().IDToken
	if hint, err := w.ReadHint(t.Context(), good); err != nil || hint.Subject != "alice" || !hint.ExpiresAt.Equal(w.now().Add(time.Hour)) {
		t.Errorf("the hint is %+v, %v", hint, err)
	}
	sign := func(typ string, claims map[string]any) string {
		token, err := w.keys.Sign(t.Context(), "ES256", typ, claims)
		must(t, err)
		return token
	}
	full := func(change ...any) map[string]any {
		m := map[string]any{"iss": issuer, "sub": "alice", "aud": "spa", "iat": 1, "exp": 2}
		for i := 0; i < len(change); i += 2 {
			m[change[i].(string)] = change[i+1]
		}
		return m
	}
	for name, token := range map[string]string{
		"noise":              "a.b.c",
		"an access token":    sign("at+jwt", full()),
		"a logout token":     sign("logout+jwt", full()),
		"events":             sign("JWT", full("events", map[string]any{})),
		"of another issuer":  sign("JWT", full("iss", other)),
		"without a subject":  sign("JWT", full("sub", "")),
		"without a client":   sign("JWT", full("aud", "")),
		"changed":            good[:len(good)-8] + "AAAAAAAA",
		"of several clients": sign("JWT", full("aud", []string{"spa", "b"})),
	} {
		if hint, err := w.ReadHint(t.Context(), token); err == nil {
			t.Errorf("%s is taken for %+v", name, hint)
		}
	}
}
