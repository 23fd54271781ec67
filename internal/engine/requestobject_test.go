package engine_test

import (
	"maps"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

// addRequester adds a client that signs its authorize requests.
func (w *world) addRequester(change func(*storage.Client)) *signer {
	w.t.Helper()
	s := &signer{w: w, id: "spa", key: newKey(w.t, jws.ES256), typ: "oauth-authz-req+jwt"}
	c := publicClient()
	c.JWKS = keySet(w.t, s.key)
	if change != nil {
		change(&c)
	}
	w.add(c)
	return s
}

// object signs a good authorize request with these changes; a nil value takes a member
// away.
func (s *signer) object(changes map[string]any) string {
	s.w.t.Helper()
	claims := map[string]any{"iss": s.id, "aud": issuer, "exp": s.w.now().Add(time.Minute).Unix()}
	for name := range request() {
		claims[name] = request().Get(name)
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	token, err := jws.Sign(s.key, s.typ, claims)
	must(s.w.t, err)
	return token
}

func carrying(object string, pairs ...string) url.Values {
	return with(url.Values{"client_id": {"spa"}, "request": {object}}, pairs...)
}

// TestRequestObject: what was signed counts, by its types, and nothing beside it.
// RFC 9101 §4, §6.3
func TestRequestObject(t *testing.T) {
	w := newWorld(t, nil)
	s := w.addRequester(nil)
	a, refusal := w.CheckAuthorize(t.Context(), carrying(
		s.object(map[string]any{"max_age": 0, "resource": []string{issuer}, "ui_locales": "de fr", "display": nil}),
		"redirect_uri", "https://evil.example/cb", "scope", "openid email", "state", "evil", "prompt", "none", "nonce", "evil", "login_hint", "mallory"))
	w.fine(refusal)
	if a.RedirectURI != callback || a.State != "xyz" || a.Nonce != "n" || len(a.Prompt) > 0 || a.LoginHint != "" || a.MaxAge == nil || *a.MaxAge != 0 {
		t.Errorf("the request is %+v", a)
	}
	if len(a.Scopes) != 3 || len(a.Audience) != 1 || len(a.UILocales) != 2 {
		t.Errorf("scopes %v, audience %v, locales %v", a.Scopes, a.Audience, a.UILocales)
	}
	// The person takes longer than the object is good for, and the answer comes once.
	w.advance(30 * time.Minute)
	again, refusal := w.ResumeAuthorize(t.Context(), a.Params)
	w.fine(refusal)
	answer, refusal := w.Approve(t.Context(), again, engine.Approval{Subject: "alice", AuthTime: w.now(), Scopes: a.Scopes})
	w.fine(refusal)
	if answer.Params.Get("code") == "" || answer.Params.Get("state") != "xyz" {
		t.Errorf("the answer is %v", answer.Params)
	}
	_, refusal = w.ResumeAuthorize(t.Context(), a.Params)
	refused(t, refusal, "invalid_request_object", "request_object_used")
}

// TestRequestObjectRefusals holds what an object must say, each time beside one that says
// it. RFC 9101 §5, §6, §10, RFC 9101 §7, §10.8, RFC 7519 §4.1.4, §4.1.5, §4.1.6
func TestRequestObjectRefusals(t *testing.T) {
	w := newWorld(t, nil)
	s := w.addRequester(func(c *storage.Client) { c.RequestObjectSigningAlg = jws.ES256 })
	web := &signer{w: w, id: "web", key: newKey(t, jws.ES256)}
	w.add(storage.Client{ID: "web", TokenEndpointAuthMethod: "none", RedirectURIs: []string{callback}, Scope: "openid", JWKS: keySet(t, web.key)})
	at := func(d time.Duration) any { return w.now().Add(d).Unix() }
	as := func(typ string) string {
		other := &signer{w: w, id: "spa", key: s.key, typ: typ}
		return other.object(nil)
	}
	good := s.object(nil)
	for _, c := range []struct {
		name, object, reason string
	}{
		{"no JWT", "e30", "request_object_malformed"},
		{"no signature", encoded(`{"alg":"none"}`) + "." + encoded(`{}`) + ".", "request_object_malformed"},
		{"the secret as key", encoded(`{"alg":"HS256"}`) + "." + encoded(`{}`) + "." + encoded("x"), "request_object_malformed"},
		{"a changed one", good[:len(good)-4] + "AAAA", "request_object_signature"},
		{"another client's key", web.object(map[string]any{"iss": "spa"}), "request_object_key_unknown"},
		{"an access token's typ", as("at+jwt"), "request_object_type"},
		{"an assertion's typ", as("client-authentication+jwt"), "request_object_type"},
		{"no iss", s.object(map[string]any{"iss": nil}), "request_object_client"},
		{"another iss", s.object(map[string]any{"iss": "web"}), "request_object_client"},
		{"no client_id", s.object(map[string]any{"client_id": nil}), "request_object_client"},
		{"another client_id", s.object(map[string]any{"client_id": "web"}), "request_object_client"},
		{"no aud", s.object(map[string]any{"aud": nil}), "request_object_audience"},
		{"another aud", s.object(map[string]any{"aud": "https://other.example"}), "request_object_audience"},
		{"two of aud", s.object(map[string]any{"aud": []string{issuer, "https://other.example"}}), "request_object_audience"},
		{"a sub", s.object(map[string]any{"sub": "spa"}), "request_object_subject"},
		{"no exp", s.object(map[string]any{"exp": nil}), "request_object_expiry"},
		{"exp as text", s.object(map[string]any{"exp": "tomorrow"}), "request_object_expiry"},
		{"an old one", s.object(map[string]any{"exp": at(-time.Hour)}), "request_object_expired"},
		{"one for years", s.object(map[string]any{"exp": at(24 * 365 * time.Hour)}), "request_object_life"},
		{"one to come", s.object(map[string]any{"nbf": at(time.Hour)}), "request_object_early"},
		{"a long jti", s.object(map[string]any{"jti": string(make([]byte, 300))}), "request_object_jti"},
		{"one in one", s.object(map[string]any{"request": "e30"}), "request_object_nested"},
		{"one by reference", s.object(map[string]any{"request_uri": "https://spa.example/r"}), "request_object_nested"},
		{"a list", s.object(map[string]any{"scope": []string{"openid"}}), "request_object_member"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Where an unsigned request would be answered, this one is.
			a, refusal := w.CheckAuthorize(t.Context(), carrying(c.object, "redirect_uri", callback, "state", "s"))
			refused(t, refusal, "invalid_request_object", c.reason)
			if a.RedirectURI != callback || a.State != "s" {
				t.Errorf("the refusal goes to %q with %q", a.RedirectURI, a.State)
			}
			a, _ = w.CheckAuthorize(t.Context(), carrying(c.object, "redirect_uri", "https://evil.example/cb"))
			if a.RedirectURI != "" {
				t.Errorf("the refusal goes to %q", a.RedirectURI)
			}
		})
	}
	_, refusal := w.CheckAuthorize(t.Context(), carrying(good, "request_uri", "https://spa.example/r"))
	refused(t, refusal, "invalid_request", "request_object_twice")
	_, refusal = w.CheckAuthorize(t.Context(), request("request", "6d61726b")) // no mark of a stranger is believed
	refused(t, refusal, "invalid_request_object", "request_object_malformed")
	_, refusal = w.CheckAuthorize(t.Context(), carrying(as("")))
	w.fine(refusal)
	_, refusal = w.CheckAuthorize(t.Context(), carrying(good))
	w.fine(refusal)
}

// TestRequestObjectRequired holds the two ways of asking for signed requests.
// RFC 9101 §10.5
func TestRequestObjectRequired(t *testing.T) {
	for name, global := range map[string]bool{"of the client": false, "of the server": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *engine.Config) { c.RequireSigned = global })
			s := w.addRequester(func(c *storage.Client) { c.RequireSignedRequestObject = !global })
			a, refusal := w.CheckAuthorize(t.Context(), request())
			refused(t, refusal, "invalid_request", "request_object_required")
			if a.RedirectURI != callback {
				t.Error("the client is not told")
			}
			_, refusal = w.CheckAuthorize(t.Context(), carrying(s.object(nil)))
			w.fine(refusal)
			_, refusal = w.Push(t.Context(), engine.PushRequest{Credentials: spa, Form: request("client_id", "")})
			refused(t, refusal, "invalid_request", "request_object_required")
			// A pushed one is signed for good: it is verified when it is pushed.
			pushed, refusal := w.Push(t.Context(), engine.PushRequest{Credentials: spa, Form: url.Values{"request": {s.object(nil)}, "scope": {"openid email"}}})
			w.fine(refusal)
			a, refusal = w.CheckAuthorize(t.Context(), reference("spa", pushed.RequestURI))
			w.fine(refusal)
			if len(a.Scopes) != 3 || a.Object == "" || a.Pushed == "" {
				t.Errorf("the request is %+v", a)
			}
			_, refusal = w.Approve(t.Context(), a, engine.Approval{Subject: "alice", AuthTime: w.now(), Scopes: a.Scopes})
			w.fine(refusal)
		})
	}
}

// TestRequestObjectRace: of many tabs that finish with one object, one gets a code.
// RFC 9101 §10.2
func TestRequestObjectRace(t *testing.T) {
	w := newWorld(t, nil)
	object := w.addRequester(nil).object(map[string]any{"jti": "one"})
	codes := make(chan string, 64)
	var all sync.WaitGroup
	for range cap(codes) {
		all.Go(func() {
			a, refusal := w.CheckAuthorize(t.Context(), carrying(object))
			if refusal == nil {
				var answer *engine.Answer
				if answer, refusal = w.Approve(t.Context(), a, engine.Approval{Subject: "alice", AuthTime: w.now(), Scopes: a.Scopes}); refusal == nil {
					codes <- answer.Params.Get("code")
					return
				}
			}
			if refusal.Reason != "request_object_used" {
				t.Error(refusal)
			}
		})
	}
	all.Wait()
	if len(codes) != 1 {
		t.Errorf("%d codes for one request object", len(codes))
	}
}

// TestSecretAssertion: a client that signs with its secret is believed for the secrets
// that have not ended, and in no other way. OpenID Connect Core §9
func TestSecretAssertion(t *testing.T) {
	w := newWorld(t, nil)
	const current, ended, other = "a secret of more than 32 bytes, current", "a secret of more than 32 bytes, ended!!", "a secret of more than 32 bytes, other!!"
	keep := func(plain storage.Secret, end time.Time) storage.ClientSecret {
		s := w.secrets.Keyed(plain)
		s.Value, s.ExpiresAt = plain, end
		return s
	}
	w.add(storage.Client{
		ID: "keyed", TokenEndpointAuthMethod: storage.AuthMethodSecretJWT, Scope: "notes:read", DefaultScope: "notes:read",
		Secrets: []storage.ClientSecret{keep(ended, w.now()), keep(current, time.Time{})},
	})
	n := 0
	by := func(secret, id string) engine.Credentials {
		n++
		token := storage.Secret(keyedJWT(secret, map[string]any{
			"iss": id, "sub": id, "aud": issuer, "jti": string(rune('a' + n)), "exp": w.now().Add(time.Minute).Unix(),
		}))
		return engine.Credentials{ClientID: id, Method: engine.AssertionMethod(token), Assertion: token}
	}
	ask := func(c engine.Credentials) *engine.Error {
		_, refusal := w.Token(t.Context(), engine.TokenRequest{Credentials: c, Form: url.Values{"grant_type": machine}})
		return refusal
	}
	once := by(current, "keyed")
	w.fine(ask(once))
	refused(t, ask(once), "invalid_client", "assertion_replayed")
	refused(t, ask(by(ended, "keyed")), "invalid_client", "assertion_signature")
	refused(t, ask(by(other, "keyed")), "invalid_client", "assertion_signature")
	refused(t, ask(by(current, "nobody")), "invalid_client", "client_unknown")
	refused(t, ask(engine.Credentials{ClientID: "keyed", Secret: current, Method: "client_secret_basic"}), "invalid_client", "client_method_wrong")
	s := w.addSigner(storage.Client{ID: "signer"})
	refused(t, ask(by(current, "signer")), "invalid_client", "assertion_unexpected")
	s.id = "keyed"
	refused(t, ask(s.assert(nil)), "invalid_client", "assertion_unexpected")
}

// TestSignaturesTaken: where the server takes fewer algorithms, a right signature by
// another one proves nothing, of an assertion and of a request alike. FAPI 2.0 Security
// Profile §5.4.1
func TestSignaturesTaken(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) { c.Signatures = []string{jws.ES256} })
	rsa := newKey(t, jws.RS256)
	s := w.addRequester(func(c *storage.Client) { c.JWKS = keySet(t, rsa) })
	s.key = rsa
	_, refusal := w.CheckAuthorize(t.Context(), carrying(s.object(nil)))
	refused(t, refusal, "invalid_request_object", "request_object_malformed")
	robot := w.addSigner(storage.Client{ID: "robot", JWKS: nil})
	ask := func() *engine.Error {
		_, refusal := w.Token(t.Context(), engine.TokenRequest{Credentials: robot.assert(nil), Form: url.Values{"grant_type": machine, "scope": {"notes:read"}}})
		return refusal
	}
	w.fine(ask())
	c, err := w.clients.Get(t.Context(), "robot")
	must(t, err)
	c.JWKS, robot.key = keySet(t, rsa), rsa
	must(t, w.clients.Put(t.Context(), c))
	refused(t, ask(), "invalid_client", "assertion_malformed")
}
