package engine_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

const tokenURL = issuer + "/oauth/token"

// signer is a client that signs assertions.
type signer struct {
	w   *world
	id  string
	key jws.Key
	typ string
	n   atomic.Int64
}

func newKey(t testing.TB, alg string) jws.Key {
	t.Helper()
	private, err := jws.Generate(alg)
	must(t, err)
	k, err := jws.New(alg, private)
	must(t, err)
	return k
}

func keySet(t testing.TB, keys ...jws.Key) json.RawMessage {
	t.Helper()
	var list []string
	for _, k := range keys {
		jwk, err := jws.PublicJWK(k)
		must(t, err)
		list = append(list, string(jwk))
	}
	return json.RawMessage(`{"keys":[` + strings.Join(list, ",") + `]}`)
}

// addSigner adds a client that proves itself by private_key_jwt.
func (w *world) addSigner(c storage.Client) *signer {
	w.t.Helper()
	s := &signer{w: w, id: c.ID, key: newKey(w.t, jws.ES256)}
	c.TokenEndpointAuthMethod = storage.AuthMethodPrivateKey
	if c.JWKSURI == "" {
		c.JWKS = keySet(w.t, s.key)
	}
	if c.Scope == "" {
		c.Scope = "notes:read notes:write"
	}
	w.add(c)
	return s
}

// assert makes credentials of a good assertion with these changes; a nil value takes
// a claim away.
func (s *signer) assert(changes map[string]any) engine.Credentials {
	s.w.t.Helper()
	claims := map[string]any{
		"iss": s.id, "sub": s.id, "aud": issuer, "jti": fmt.Sprintf("%s-%d", s.id, s.n.Add(1)),
		"iat": s.w.now().Unix(), "exp": s.w.now().Add(time.Minute).Unix(),
	}
	for name, value := range changes {
		if value == nil {
			delete(claims, name)
		} else {
			claims[name] = value
		}
	}
	token, err := jws.Sign(s.key, s.typ, claims)
	must(s.w.t, err)
	return engine.Credentials{ClientID: s.id, Method: "private_key_jwt", Assertion: storage.Secret(token)}
}

var machine = []string{"client_credentials"}

// TestAssertion holds what an assertion must say, and that only a good one is used up.
// RFC 7523 §3, OpenID Connect Core §9
func TestAssertion(t *testing.T) {
	w := newWorld(t, nil)
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine})
	at := func(d time.Duration) int64 { return w.now().Add(d).Unix() }
	for name, c := range map[string]struct {
		claims map[string]any
		reason string // "" is right
	}{
		"plain":                       {nil, ""},
		"without iat":                 {map[string]any{"iat": nil}, ""},
		"with nbf":                    {map[string]any{"nbf": at(0)}, ""},
		"a clock ahead":               {map[string]any{"iat": at(59 * time.Second), "nbf": at(59 * time.Second), "exp": at(10 * time.Minute)}, ""},
		"a clock behind":              {map[string]any{"iat": at(-2 * time.Minute), "exp": at(-59 * time.Second)}, ""},
		"as long as may be":           {map[string]any{"exp": at(10 * time.Minute)}, ""},
		"fractions":                   {map[string]any{"exp": float64(at(time.Minute)) + 0.5}, ""},
		"iss of another":              {map[string]any{"iss": "spa"}, "assertion_subject"},
		"sub of another":              {map[string]any{"sub": "spa"}, "assertion_subject"},
		"no iss":                      {map[string]any{"iss": nil}, "assertion_subject"},
		"no sub":                      {map[string]any{"sub": nil}, "assertion_subject"},
		"sub no string":               {map[string]any{"sub": []string{"robot"}}, "assertion_subject"},
		"no aud":                      {map[string]any{"aud": nil}, "assertion_audience"},
		"aud of another":              {map[string]any{"aud": other}, "assertion_audience"},
		"aud with a slash":            {map[string]any{"aud": issuer + "/"}, "assertion_audience"},
		"aud the token endpoint":      {map[string]any{"aud": tokenURL}, "assertion_audience"},
		"aud a list":                  {map[string]any{"aud": []string{issuer}}, "assertion_audience"},
		"aud a longer list":           {map[string]any{"aud": []string{issuer, other}}, "assertion_audience"},
		"aud empty":                   {map[string]any{"aud": ""}, "assertion_audience"},
		"no exp":                      {map[string]any{"exp": nil}, "assertion_expiry"},
		"exp null":                    {map[string]any{"exp": json.RawMessage("null")}, "assertion_expiry"},
		"exp a string":                {map[string]any{"exp": fmt.Sprint(at(time.Minute))}, "assertion_expiry"},
		"exp 0":                       {map[string]any{"exp": 0}, "assertion_expired"},
		"exp negative":                {map[string]any{"exp": -1}, "assertion_expiry"},
		"exp beyond all clocks":       {map[string]any{"exp": json.RawMessage("9223372036854775807")}, "assertion_expiry"},
		"exp beyond all numbers":      {map[string]any{"exp": json.RawMessage("1e400")}, "assertion_expiry"},
		"exp in 50 years":             {map[string]any{"exp": at(50 * 365 * 24 * time.Hour)}, "assertion_life"},
		"no iat, exp too late":        {map[string]any{"iat": nil, "exp": at(11*time.Minute + time.Second)}, "assertion_life"},
		"exp too late":                {map[string]any{"exp": at(11*time.Minute + time.Second)}, "assertion_life"},
		"expired":                     {map[string]any{"exp": at(-time.Minute)}, "assertion_expired"},
		"made long ago for long":      {map[string]any{"iat": at(-20 * time.Minute)}, "assertion_life"},
		"iat to come":                 {map[string]any{"iat": at(61 * time.Second)}, "assertion_early"},
		"nbf to come":                 {map[string]any{"nbf": at(61 * time.Second)}, "assertion_early"},
		"iat a string":                {map[string]any{"iat": "now"}, "assertion_expiry"},
		"no jti":                      {map[string]any{"jti": nil}, "assertion_jti"},
		"jti empty":                   {map[string]any{"jti": ""}, "assertion_jti"},
		"jti a number":                {map[string]any{"jti": 7}, "assertion_jti"},
		"jti of 256 bytes":            {map[string]any{"jti": strings.Repeat("j", 256)}, "assertion_jti"},
		"jti of 255 bytes":            {map[string]any{"jti": strings.Repeat("j", 255)}, ""},
		"a claim that nobody asks of": {map[string]any{"events": map[string]any{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			by := s.assert(c.claims)
			var refusal *engine.Error
			commits := w.commits(func() { _, refusal = w.ask(by) })
			if c.reason == "" {
				w.fine(refusal)
				if commits != 1 {
					t.Errorf("%d commits, want 1", commits)
				}
				_, again := w.ask(by)
				refused(t, again, "invalid_client", "assertion_replayed")
				return
			}
			refused(t, refusal, "invalid_client", c.reason)
			if commits != 0 || refusal.Status != 401 || refusal.Challenge != "" {
				t.Errorf("%d commits, status %d, challenge %q", commits, refusal.Status, refusal.Challenge)
			}
			if refusal.Anchor() != c.reason {
				t.Errorf("who holds the key is told %q", refusal.Anchor())
			}
		})
	}
}

// TestAssertionBurnsNothing: an assertion that was refused for another reason was not
// used, so nobody can use it up by sending it elsewhere first.
func TestAssertionBurnsNothing(t *testing.T) {
	w := newWorld(t, nil)
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine})
	for _, change := range []map[string]any{
		{"aud": other}, {"iss": "x"}, {"exp": w.now().Add(time.Hour).Unix()},
	} {
		change["jti"] = "one"
		if _, refusal := w.ask(s.assert(change)); refusal == nil {
			t.Fatalf("%v was taken", change)
		}
	}
	_, refusal := w.ask(s.assert(map[string]any{"jti": "one"}))
	w.fine(refusal)
	_, refusal = w.ask(s.assert(map[string]any{"jti": "one"}))
	refused(t, refusal, "invalid_client", "assertion_replayed")
	// Who is disabled gets nothing used up either.
	off := w.addSigner(storage.Client{ID: "off", GrantTypes: machine, Disabled: true})
	by := off.assert(nil)
	_, refusal = w.ask(by)
	refused(t, refusal, "invalid_client", "client_disabled")
	c, err := w.clients.Get(t.Context(), "off")
	must(t, err)
	c.Disabled = false
	must(t, w.clients.Put(t.Context(), c))
	_, refusal = w.ask(by)
	w.fine(refusal)
	// Another client's assertion of the same jti is another one.
	_, refusal = w.ask(w.addSigner(storage.Client{ID: "other", GrantTypes: machine}).assert(map[string]any{"jti": "one"}))
	w.fine(refusal)
	// It may come again once its first use can't be a replay any more.
	w.advance(2*time.Minute + time.Second)
	_, refusal = w.ask(s.assert(map[string]any{"jti": "one"}))
	w.fine(refusal)
}

// TestAssertionIsUsedThoughRefused: a request that fails for another reason has used
// its assertion all the same.
func TestAssertionIsUsedThoughRefused(t *testing.T) {
	w := newWorld(t, nil)
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine})
	by := s.assert(nil)
	if n := w.commits(func() {
		_, refusal := w.ask(by, "scope", "email")
		refused(t, refusal, "invalid_scope", "scope_not_allowed")
	}); n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	_, refusal := w.ask(by)
	refused(t, refusal, "invalid_client", "assertion_replayed")
	by = s.assert(nil)
	w.backend.failApply.Store(true)
	_, refusal = w.ask(by)
	refused(t, refusal, "temporarily_unavailable", "store_unavailable")
	w.backend.failApply.Store(false)
	_, refusal = w.ask(by)
	w.fine(refusal)
}

// TestAssertionRace: of many requests with one assertion, at any endpoint, one wins.
func TestAssertionRace(t *testing.T) {
	w := newWorld(t, nil)
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine})
	for range 20 {
		by := s.assert(nil)
		var wins atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				var refusal *engine.Error
				switch i % 3 {
				case 0:
					_, refusal = w.ask(by)
				case 1:
					refusal = w.Revoke(t.Context(), by, "nothing")
				default:
					_, refusal = w.Introspect(t.Context(), by, "nothing")
				}
				if refusal == nil {
					wins.Add(1)
				} else if refusal.Reason != "assertion_replayed" {
					t.Errorf("a loser is told %v", refusal)
				}
			})
		}
		all.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d requests won", wins.Load())
		}
	}
	if w.store.Exhausted() != 0 {
		t.Error("requests gave up")
	}
}

// TestAssertionForms: what a stranger may send is told apart in the log alone.
func TestAssertionForms(t *testing.T) {
	w := newWorld(t, nil)
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine})
	secret := w.addConfidential(storage.Client{ID: "web", GrantTypes: machine})
	off := w.addSigner(storage.Client{ID: "off", GrantTypes: machine, Disabled: true})
	fixed := w.addSigner(storage.Client{ID: "fixed", GrantTypes: machine, TokenEndpointAuthSigningAlg: "EdDSA"})
	legacy := w.addSigner(storage.Client{ID: "legacy", GrantTypes: machine, Insecure: storage.InsecureClient{AssertionForTokenEndpoint: true}})
	stranger := &signer{w: w, id: "robot", key: newKey(t, jws.ES256)}
	imitated := &signer{w: w, id: "robot", key: stranger.key}
	imitated.key.ID = s.key.ID
	good := s.assert(nil)
	parts := strings.Split(string(good.Assertion), ".")
	changed := good
	changed.Assertion = storage.Secret(parts[0] + "." + strings.Split(string(s.assert(nil).Assertion), ".")[1] + "." + parts[2])
	from := func(typ string) engine.Credentials {
		return (&signer{w: w, id: "robot", key: s.key, typ: typ}).assert(nil)
	}
	as := func(by engine.Credentials, id string) engine.Credentials { by.ClientID = id; return by }
	plain := func(text string) engine.Credentials {
		return engine.Credentials{ClientID: "robot", Method: "private_key_jwt", Assertion: storage.Secret(text)}
	}
	for name, c := range map[string]struct {
		by     engine.Credentials
		reason string // "" is right
		hidden bool
	}{
		"good":                  {good, "", false},
		"an access token's typ": {from("at+jwt"), "assertion_type", false},
		"a logout token's typ":  {from("logout+jwt"), "assertion_type", false},
		"another key":           {stranger.assert(nil), "assertion_key_unknown", true},
		"another key's name":    {imitated.assert(nil), "assertion_signature", true},
		"changed":               {changed, "assertion_signature", true},
		"nothing":               {plain(""), "assertion_malformed", true},
		"no token":              {plain("x"), "assertion_malformed", true},
		"none":                  {plain("eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb2JvdCJ9."), "assertion_malformed", true},
		"HS256":                 {plain("eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.e30.AA"), "assertion_malformed", true},
		"unknown client":        {as(good, "nobody"), "client_unknown", true},
		"client with a secret":  {as(good, "web"), "assertion_unexpected", true},
		"another signer":        {as(good, "legacy"), "assertion_key_unknown", true},
		"secret of a signer":    {engine.Credentials{ClientID: "robot", Method: "client_secret_basic", Secret: secret.Secret}, "client_secret_wrong", true},
		"nothing of a signer":   {engine.Credentials{ClientID: "robot", Method: "none"}, "assertion_missing", true},
		"disabled":              {off.assert(nil), "client_disabled", false},
		"another algorithm":     {fixed.assert(nil), "assertion_algorithm", false},
		"legacy, issuer":        {legacy.assert(nil), "", false},
		"legacy, token":         {legacy.assert(map[string]any{"aud": tokenURL}), "", false},
		"legacy, a list":        {legacy.assert(map[string]any{"aud": []string{tokenURL}}), "assertion_audience", false},
		"legacy, PAR":           {legacy.assert(map[string]any{"aud": issuer + "/oauth/par"}), "assertion_audience", false},
	} {
		_, refusal := w.ask(c.by)
		if c.reason == "" {
			if refusal != nil {
				t.Errorf("%s: %v", name, refusal)
			}
			continue
		}
		if refusal == nil || refusal.Code != "invalid_client" || refusal.Reason != c.reason {
			t.Errorf("%s: %v, want %s", name, refusal, c.reason)
			continue
		}
		if c.hidden != (refusal.Anchor() == "invalid_client") {
			t.Errorf("%s: the client is told %s: %s", name, refusal.Anchor(), refusal.Description)
		}
	}
}

// TestAdviceAboutAudiences: the exception is advised where a client may have it.
// FAPI 2.0 Security Profile §5.3.2
func TestAdviceAboutAudiences(t *testing.T) {
	for strict, setting := range map[bool]string{false: "insecure.assertion_for_token_endpoint", true: ""} {
		w := newWorld(t, func(c *engine.Config) { c.NoExceptions = strict })
		s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine})
		_, refusal := w.ask(s.assert(map[string]any{"aud": tokenURL}))
		refused(t, refusal, "invalid_client", "assertion_audience")
		if refusal.Setting != setting {
			t.Errorf("under a profile %v: the setting is %q", strict, refusal.Setting)
		}
	}
}

// TestAssertionTypes: each kind of signature and of typ that is meant for this.
func TestAssertionTypes(t *testing.T) {
	w := newWorld(t, nil)
	for _, alg := range []string{jws.RS256, jws.ES256, jws.EdDSA} {
		key := newKey(t, alg)
		for i, typ := range []string{"", "JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"} {
			s := w.addSigner(storage.Client{ID: fmt.Sprintf("%s-%d", alg, i), GrantTypes: machine})
			c, err := w.clients.Get(t.Context(), s.id)
			must(t, err)
			c.JWKS = keySet(t, key)
			must(t, w.clients.Put(t.Context(), c))
			s.key, s.typ = key, typ
			_, refusal := w.ask(s.assert(nil))
			w.fine(refusal)
			if got := engine.AssertedClient(s.assert(nil).Assertion); got != s.id {
				t.Errorf("it speaks of %q", got)
			}
		}
	}
	for _, bad := range []storage.Secret{"", "x", "a.b.c", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOjd9.AA"} {
		if got := engine.AssertedClient(bad); got != "" {
			t.Errorf("%q speaks of %q", bad, got)
		}
	}
}

// published is a JWKS on this machine.
type published struct {
	*httptest.Server
	keys     atomic.Value // json.RawMessage
	requests atomic.Int64
}

func publish(t testing.TB, keys json.RawMessage) *published {
	p := &published{}
	p.keys.Store(keys)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.requests.Add(1)
		body := p.keys.Load().(json.RawMessage)
		if body == nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *published) client(hosts ...string) *outbound.Client {
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	return outbound.New(outbound.Options{Hosts: hosts, Roots: roots})
}

// TestJWKSURI: keys are fetched once and again when one is unknown, a minute apart.
func TestJWKSURI(t *testing.T) {
	first, second := newKey(t, jws.ES256), newKey(t, jws.ES256)
	p := publish(t, keySet(t, first))
	host := strings.TrimPrefix(p.URL, "https://")
	w := newWorld(t, func(c *engine.Config) { c.Fetch = p.client(host) })
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine, JWKSURI: p.URL + "/jwks"})
	want := func(step string, key jws.Key, reason string, requests int64) {
		t.Helper()
		s.key = key
		_, refusal := w.ask(s.assert(nil))
		if reason == "" {
			w.fine(refusal)
		} else {
			refused(t, refusal, "invalid_client", reason)
			if refusal.Anchor() != "invalid_client" {
				t.Errorf("%s: the client is told %s", step, refusal.Anchor())
			}
		}
		if n := p.requests.Load(); n != requests {
			t.Errorf("%s: %d requests, want %d", step, n, requests)
		}
	}
	want("the first", first, "", 1)
	want("from memory", first, "", 1)
	p.keys.Store(keySet(t, second))
	want("a new key at once", second, "assertion_key_unknown", 1)
	w.advance(time.Minute)
	want("a new key", second, "", 2)
	want("the old key", first, "assertion_key_unknown", 2)
	for range 20 {
		want("invented keys", newKey(t, jws.ES256), "assertion_key_unknown", 2)
	}
	w.advance(time.Hour)
	p.keys.Store(json.RawMessage(nil))
	want("no answer", second, "assertion_keys_unusable", 3)
	want("no answer again", second, "assertion_keys_unusable", 3)
	p.keys.Store(keySet(t, second))
	w.advance(10 * time.Second)
	want("they are back", second, "", 4)
}

// TestJWKSURIInside: a client that points to this machine learns no more than one
// whose signature is wrong.
func TestJWKSURIInside(t *testing.T) {
	key := newKey(t, jws.ES256)
	p := publish(t, keySet(t, key))
	w := newWorld(t, func(c *engine.Config) { c.Fetch = p.client() })
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine, JWKSURI: p.URL})
	s.key = key
	_, refusal := w.ask(s.assert(nil))
	refused(t, refusal, "invalid_client", "assertion_keys_unusable")
	stranger := &signer{w: w, id: "plain", key: newKey(t, jws.ES256)}
	w.addSigner(storage.Client{ID: "plain", GrantTypes: machine})
	_, wrong := w.ask(stranger.assert(nil))
	if p.requests.Load() != 0 || refusal.Description != wrong.Description || refusal.Anchor() != wrong.Anchor() || refusal.Status != wrong.Status {
		t.Errorf("%d requests; %v differs from %v", p.requests.Load(), refusal, wrong)
	}
	u, err := url.Parse(p.URL)
	must(t, err)
	if strings.Contains(refusal.Description, u.Port()) || !strings.Contains(refusal.Detail, u.Port()) {
		t.Errorf("the client reads %q, the log %q", refusal.Description, refusal.Detail)
	}
}
