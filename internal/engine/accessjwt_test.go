package engine_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

// jwtClient is the public client, registered for JWTs.
func jwtClient() storage.Client {
	c := publicClient()
	c.AccessTokenFormat = storage.AccessTokenJWT
	return c
}

func (w *world) machine(by engine.Credentials, pairs ...string) (*engine.TokenResponse, *engine.Error) {
	form := with(url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}}, pairs...)
	return w.Token(w.t.Context(), engine.TokenRequest{Credentials: by, Form: form})
}

func header(t testing.TB, token string) map[string]any {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	return payload(t, "."+head+".")
}

// RFC 9068 §2.1, §2.2, RFC 9068 §2, §2.2.1
func TestAccessJWT(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) {
		c.Claims = func(_ context.Context, r *engine.ClaimsRequest) error {
			maps.Copy(r.AccessToken, map[string]any{
				"tenant": "acme", "account": int64(9007199254740993),
			})
			return nil
		}
	})
	w.add(jwtClient())
	answer := w.approveAs(request(), engine.Approval{ACR: "high", AMR: []string{"pwd", "otp"}})
	var tokens *engine.TokenResponse
	if n := w.commits(func() {
		var refusal *engine.Error
		tokens, refusal = w.redeem(spa, answer.Params.Get("code"))
		w.fine(refusal)
	}); n != 1 {
		t.Errorf("%d commits for a code, want 1", n)
	}
	token, now := tokens.AccessToken, w.now()
	got, head := payload(t, token), header(t, token)
	if head["typ"] != "at+jwt" || head["alg"] != "ES256" || head["kid"] == "" || len(head) != 3 {
		t.Errorf("the header is %v", head)
	}
	if got["jti"] == "" || got["gid"] == "" {
		t.Errorf("jti %v, gid %v", got["jti"], got["gid"])
	}
	want := map[string]any{
		"iss": issuer, "sub": "alice", "aud": issuer, "client_id": "spa", "scope": "openid profile notes:read",
		"iat": float64(now.Unix()), "exp": float64(now.Add(10 * time.Minute).Unix()), "auth_time": float64(now.Add(-time.Minute).Unix()),
		"acr": "high", "amr": []any{"pwd", "otp"}, "jti": got["jti"], "gid": got["gid"], "cin": "one",
		"tenant": "acme", "account": float64(9007199254740993),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the claims differ (-want +got):\n%s", diff)
	}
	if tokens.ExpiresIn != 10*time.Minute || tokens.TokenType != "Bearer" {
		t.Errorf("the answer says %v, %s", tokens.ExpiresIn, tokens.TokenType)
	}
	if payload(t, tokens.IDToken)["at_hash"] != jws.HalfHash("ES256", token) {
		t.Error("at_hash is not of the access token")
	}
	var a *engine.Access
	if n := w.commits(func() {
		var refusal *engine.Error
		a, refusal = w.Access(t.Context(), token)
		w.fine(refusal)
	}); n != 0 {
		t.Errorf("%d commits for a look", n)
	}
	if diff := cmp.Diff(&engine.Access{
		Subject: "alice", Told: "alice", ClientID: "spa", SessionID: "session-1", Grant: a.Grant, Scopes: []string{"openid", "profile", "notes:read"},
		Audience: []string{issuer}, IssuedAt: now, ExpiresAt: now.Add(10 * time.Minute),
		Claims:   map[string]any{"tenant": "acme", "account": json.Number("9007199254740993")},
		AuthTime: now.Add(-time.Minute), ACR: "high", AMR: []string{"pwd", "otp"},
	}, a); diff != "" || a.Grant != got["gid"] {
		t.Errorf("the access differs (-want +got):\n%s", diff)
	}
	if body, refusal := w.UserInfo(t.Context(), a); refusal != nil || body["sub"] != "alice" {
		t.Errorf("userinfo says %v, %v", body, refusal)
	}
	second := w.mustRefresh(tokens.RefreshToken)
	if payload(t, second.AccessToken)["jti"] == got["jti"] || !w.works(second.AccessToken) || !w.works(token) {
		t.Error("a refresh brings a second token beside the first")
	}
	w.advance(10 * time.Minute)
	_, refusal := w.Access(t.Context(), token)
	refused(t, refusal, "invalid_token", "token_expired")
}

// A machine's token costs the store nothing and says nothing of a person.
func TestAccessJWTOfMachine(t *testing.T) {
	w := newWorld(t, nil)
	by := w.addConfidential(storage.Client{ID: "m", AccessTokenFormat: storage.AccessTokenJWT, Audiences: []string{api}, Incarnation: "one"})
	var tokens *engine.TokenResponse
	if n := w.commits(func() {
		var refusal *engine.Error
		tokens, refusal = w.machine(by)
		w.fine(refusal)
	}); n != 0 {
		t.Errorf("%d commits, want 0", n)
	}
	got := payload(t, tokens.AccessToken)
	want := map[string]any{
		"iss": issuer, "sub": "m", "aud": api, "client_id": "m", "scope": "notes:read", "cin": "one",
		"iat": float64(w.now().Unix()), "exp": float64(w.now().Add(10 * time.Minute).Unix()), "jti": got["jti"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the claims differ (-want +got):\n%s", diff)
	}
	answer, refusal := w.Introspect(t.Context(), by, tokens.AccessToken)
	w.fine(refusal)
	if answer["active"] != true || answer["sub"] != "m" {
		t.Errorf("introspection says %v", answer)
	}
	if w.count(engine.EventTokenIssued) != 1 {
		t.Error("the event is missing")
	}
}

// Whoever asks this server learns at once that a token has ended, though nothing is
// kept of it.
func TestAccessJWTEnds(t *testing.T) {
	replace := func(w *world, id string, change func(*storage.Client)) {
		c, err := w.clients.Get(w.t.Context(), id)
		must(w.t, err)
		change(c)
		must(w.t, w.clients.Put(w.t.Context(), c))
	}
	for _, c := range []struct {
		reason string
		end    func(w *world, a *engine.Access) error
	}{
		{"grant_revoked", func(w *world, a *engine.Access) error { return w.RevokeGrant(w.t.Context(), a.Grant, "test") }},
		{"subject_revoked", func(w *world, a *engine.Access) error { return w.RevokeSubject(w.t.Context(), a.Subject) }},
		{"app_revoked", func(w *world, a *engine.Access) error { return w.RevokeApp(w.t.Context(), a.Subject, a.ClientID) }},
		{"session_ended", func(w *world, a *engine.Access) error { return w.RevokeSession(w.t.Context(), a.SessionID) }},
		{"grant_ended", func(w *world, a *engine.Access) error { return w.grants.Delete(w.t.Context(), a.Grant) }},
		{"client_unknown", func(w *world, a *engine.Access) error { return w.clients.Delete(w.t.Context(), a.ClientID) }},
		{"client_disabled", func(w *world, a *engine.Access) error {
			replace(w, a.ClientID, func(c *storage.Client) { c.Disabled = true })
			return nil
		}},
		{"client_replaced", func(w *world, a *engine.Access) error {
			replace(w, a.ClientID, func(c *storage.Client) { c.Incarnation = "two" })
			return nil
		}},
	} {
		w := newWorld(t, nil)
		w.add(jwtClient())
		token := w.signIn().AccessToken
		a, refusal := w.Access(t.Context(), token)
		w.fine(refusal)
		must(t, c.end(w, a))
		_, refusal = w.Access(t.Context(), token)
		refused(t, refusal, "invalid_token", c.reason)
	}
	w := newWorld(t, nil)
	by := w.addConfidential(storage.Client{ID: "m", AccessTokenFormat: storage.AccessTokenJWT, Incarnation: "one"})
	tokens, refusal := w.machine(by)
	w.fine(refusal)
	replace(w, "m", func(c *storage.Client) { c.Incarnation = "two" })
	_, refusal = w.Access(t.Context(), tokens.AccessToken)
	refused(t, refusal, "invalid_token", "client_replaced")
}

// RFC 7009 §2: what has no record gets one when it is revoked.
func TestAccessJWTRevocation(t *testing.T) {
	w := newWorld(t, nil)
	w.add(jwtClient())
	stranger := jwtClient()
	stranger.ID = "stranger"
	w.add(stranger)
	tokens := w.signIn()
	second := w.mustRefresh(tokens.RefreshToken)
	revoke := func(as string) int64 {
		t.Helper()
		return w.commits(func() {
			w.fine(w.Revoke(t.Context(), engine.Credentials{ClientID: as, Method: "none"}, tokens.AccessToken))
		})
	}
	if n := revoke("stranger"); n != 0 || !w.works(tokens.AccessToken) {
		t.Fatalf("a stranger made %d commits", n)
	}
	if n := revoke("spa"); n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	_, refusal := w.Access(t.Context(), tokens.AccessToken)
	refused(t, refusal, "invalid_token", "token_revoked")
	if !w.works(second.AccessToken) || w.count(engine.EventTokenRevoked) != 1 {
		t.Error("it is revoked alone, with one event")
	}
	if n := revoke("spa"); n != 0 {
		t.Errorf("%d commits for a second time", n)
	}
	w.backend.failGet.Store(true)
	if refusal := w.Revoke(t.Context(), spa, second.AccessToken); refusal == nil || refusal.Status != 503 {
		t.Errorf("a failing store: %v", refusal)
	}
	w.backend.failGet.Store(false)
	w.advance(10 * time.Minute)
	if n := revoke("spa"); n != 0 {
		t.Errorf("%d commits for an ended token", n)
	}
}

// Each attack first has a token that works. RFC 9068 §5, RFC 8725
func TestAccessJWTForgeries(t *testing.T) {
	w := newWorld(t, nil)
	w.add(jwtClient())
	tokens := w.signIn()
	good := payload(t, tokens.AccessToken)
	signed := func(typ string, change map[string]any) string {
		t.Helper()
		body := maps.Clone(good)
		maps.Copy(body, change)
		maps.DeleteFunc(body, func(_ string, v any) bool { return v == nil })
		token, err := w.keys.Sign(t.Context(), "ES256", typ, body)
		must(t, err)
		return token
	}
	if !w.works(tokens.AccessToken) || !w.works(signed("at+jwt", nil)) {
		t.Fatal("the unmodified tokens do not work")
	}
	head := func(alg string) string {
		raw, err := json.Marshal(map[string]any{"alg": alg, "typ": "at+jwt", "kid": header(t, tokens.AccessToken)["kid"]})
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	parts := strings.Split(tokens.AccessToken, ".")
	jwks, _, err := w.keys.JWKS(t.Context())
	must(t, err)
	mac := hmac.New(sha256.New, jwks)
	mac.Write([]byte(head("HS256") + "." + parts[1]))
	signer, err := jws.Generate(jws.ES256)
	must(t, err)
	key, err := jws.New(jws.ES256, signer)
	must(t, err)
	strange, err := jws.Sign(key, "at+jwt", good)
	must(t, err)
	now := float64(w.now().Unix())
	for name, c := range map[string]struct{ token, reason string }{
		"alg none":             {head("none") + "." + parts[1] + ".", "token_unknown"},
		"alg none, signed":     {head("none") + "." + parts[1] + "." + parts[2], "token_unknown"},
		"HS256 by public keys": {head("HS256") + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), "token_unknown"},
		"another algorithm":    {head("EdDSA") + "." + parts[1] + "." + parts[2], "token_unknown"},
		"a stranger's key":     {strange, "token_unknown"},
		"other claims":         {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"mallory"}`)) + "." + parts[2], "token_unknown"},
		"an ID token":          {tokens.IDToken, "token_unknown"},
		"typ JWT":              {signed("JWT", nil), "token_unknown"},
		"typ of a logout":      {signed("logout+jwt", nil), "token_unknown"},
		"no typ":               {signed("", nil), "token_unknown"},
		"another issuer":       {signed("at+jwt", map[string]any{"iss": other}), "token_unknown"},
		"no issuer":            {signed("at+jwt", map[string]any{"iss": nil, "ISS": issuer}), "token_unknown"},
		"expired":              {signed("at+jwt", map[string]any{"exp": now}), "token_expired"},
		"no end":               {signed("at+jwt", map[string]any{"exp": nil}), "token_expired"},
		"an end in words":      {signed("at+jwt", map[string]any{"exp": "never"}), "token_expired"},
		"no jti":               {signed("at+jwt", map[string]any{"jti": nil}), "token_unknown"},
		"no client":            {signed("at+jwt", map[string]any{"client_id": nil}), "token_unknown"},
		"another client":       {signed("at+jwt", map[string]any{"client_id": "web"}), "client_unknown"},
		"no incarnation":       {signed("at+jwt", map[string]any{"cin": nil}), "client_replaced"},
		"a grant that is none": {signed("at+jwt", map[string]any{"gid": "x"}), "grant_ended"},
		"two dots":             {"..", "token_unknown"},
	} {
		_, refusal := w.Access(t.Context(), c.token)
		if refusal == nil || refusal.Code != "invalid_token" || refusal.Reason != c.reason {
			t.Errorf("%s: %v, want %s", name, refusal, c.reason)
		}
	}
	if _, err := w.ReadHint(t.Context(), tokens.AccessToken); err == nil {
		t.Error("an access token is taken for an ID token")
	}
	if hint, err := w.ReadHint(t.Context(), tokens.IDToken); err != nil || hint.Subject != "alice" {
		t.Errorf("the ID token is no hint: %v", err)
	}
	for range 2 { // keys that were retired are good for what they signed
		must(t, w.keys.Rotate(t.Context()))
	}
	if !w.works(tokens.AccessToken) {
		t.Error("a token of a retired key does not work")
	}
	w.advance(6 * time.Second) // the keys are read again
	w.backend.failGet.Store(true)
	if _, refusal := w.Access(t.Context(), tokens.AccessToken); refusal == nil || refusal.Status != 503 {
		t.Errorf("a failing store: %v, want 503", refusal)
	}
}

func TestAccessJWTTooLong(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) {
		c.Claims = func(_ context.Context, r *engine.ClaimsRequest) error {
			r.AccessToken["groups"] = strings.Repeat("x", 6<<10)
			return nil
		}
	})
	w.add(jwtClient())
	_, refusal := w.redeem(spa, w.approve(request()))
	refused(t, refusal, "server_error", "access_token_failed")
}

// Without ES256 the first algorithm of the server signs.
func TestAccessJWTAlgorithm(t *testing.T) {
	w := newWorld(t, nil)
	w.config.Keys = w.ring("EdDSA")
	var err error
	w.Engine, err = engine.New(w.config)
	must(t, err)
	by := w.addConfidential(storage.Client{ID: "m", AccessTokenFormat: storage.AccessTokenJWT})
	tokens, refusal := w.machine(by)
	w.fine(refusal)
	if alg := header(t, tokens.AccessToken)["alg"]; alg != "EdDSA" || !w.works(tokens.AccessToken) {
		t.Errorf("signed by %v", alg)
	}
	if _, _, err := jws.Verify(tokens.AccessToken, func(string) (string, crypto.PublicKey, bool) { return "", nil, false }); !errors.Is(err, jws.ErrUnknownKey) {
		t.Errorf("it has another form than others read: %v", err)
	}
}
