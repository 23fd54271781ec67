package bearer_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/internal/jws"
)

// RFC 9068 §2.2, §4, RFC 7519 §2, §4.1.3
func TestJWT(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	token := i.sign("at+jwt", i.claims(map[string]any{"aud": []string{"https://other.example", resource}, "acr": "high"}))
	got, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(i.now.Unix(), 0)
	want := &bearer.Token{
		Subject: "alice", ClientID: "app", Scopes: []string{"notes:read", "profile"},
		Audience: []string{"https://other.example", resource}, IssuedAt: now, ExpiresAt: now.Add(10 * time.Minute),
		Claims: map[string]any{"jti": "one", "acr": "high"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the token (-want +got):\n%s", diff)
	}
	for range 20 {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if i.count("/jwks") != 1 || i.count("/.well-known/oauth-authorization-server") != 1 || i.count("/introspect") != 0 {
		t.Errorf("the issuer was asked %v", i.asked)
	}
}

func TestJWTAlgorithms(t *testing.T) {
	i := newIssuer(t)
	for _, alg := range jws.Algorithms() {
		i.keys = append(i.keys, newKey(t, alg))
	}
	v := i.remote()
	for _, k := range i.keys {
		if _, err := v.Verify(t.Context(), signWith(t, k, "application/at+JWT", i.claims(nil))); err != nil {
			t.Errorf("%s: %v", k.Algorithm, err)
		}
	}
}

// TestJWTAttacks presents what must not open an API. Each row is the good token with
// one change, and the good one passes. RFC 9068 §4, RFC 8725 §3, RFC 8725 §3.11, RFC 7519 §2,
// §4.1.3, FAPI 2.0 Security Profile §5.3.2.1
func TestJWTAttacks(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	stranger := newKey(t, jws.ES256)
	impostor := stranger
	impostor.ID = i.key.ID
	good := i.sign("at+jwt", i.claims(nil))
	parts := strings.Split(good, ".")
	changed := func(claims map[string]any) string { return i.sign("at+jwt", i.claims(claims)) }
	header := func(h map[string]any) string { return segment(h) + "." + parts[1] + "." + parts[2] }
	now := i.now.Unix()
	unsigned := segment(map[string]any{"alg": "none", "typ": "at+jwt", "kid": i.key.ID}) + "." + parts[1]

	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	for _, c := range []struct{ name, token string }{
		{"alg none", unsigned + "."},
		{"alg none with a signature", unsigned + "." + parts[2]},
		{"alg None", segment(map[string]any{"alg": "None", "typ": "at+jwt", "kid": i.key.ID}) + "." + parts[1] + "." + parts[2]},
		{"HS256 with the public key", publicKeyAsSecret(t, i.key, parts[1])},
		{"RS256 said of an ES256 key", header(map[string]any{"alg": "RS256", "typ": "at+jwt", "kid": i.key.ID})},
		{"its own key", header(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": i.key.ID, "jwk": map[string]any{"kty": "EC"}})},
		{"where its key is", header(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": i.key.ID, "jku": "https://evil.example"})},
		{"a critical extension", header(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": i.key.ID, "crit": []string{"exp"}})},
		{"no kid", header(map[string]any{"alg": "ES256", "typ": "at+jwt"})},
		{"a stranger's key", signWith(t, stranger, "at+jwt", i.claims(nil))},
		{"a stranger's key under a known name", signWith(t, impostor, "at+jwt", i.claims(nil))},
		{"other claims under the signature", parts[0] + "." + segment(i.claims(map[string]any{"sub": "mallory"})) + "." + parts[2]},
		{"a cut signature", good[:len(good)-4]},
		{"an ID token", i.sign("JWT", i.claims(nil))},
		{"no typ", i.sign("", i.claims(nil))},
		{"a logout token", i.sign("logout+jwt", i.claims(nil))},
		{"a client assertion", i.sign("client-authentication+jwt", i.claims(nil))},
		{"another audience", changed(map[string]any{"aud": "https://other.example"})},
		{"an audience that begins so", changed(map[string]any{"aud": resource + "/more"})},
		{"other audiences", changed(map[string]any{"aud": []string{"a", "b"}})},
		{"no audience", changed(map[string]any{"aud": nil})},
		{"audiences of no form", changed(map[string]any{"aud": []any{resource, 7}})},
		{"an audience object", changed(map[string]any{"aud": map[string]any{resource: true}})},
		{"another issuer", changed(map[string]any{"iss": "https://evil.example"})},
		{"the issuer with a slash", changed(map[string]any{"iss": i.url + "/"})},
		{"no issuer", changed(map[string]any{"iss": nil})},
		{"a claim in capitals", changed(map[string]any{"iss": nil, "ISS": i.url})},
		{"expired", changed(map[string]any{"exp": now - 31})},
		{"no expiry", changed(map[string]any{"exp": nil})},
		{"an expiry as text", changed(map[string]any{"exp": "9999999999"})},
		{"an expiry beyond time", changed(map[string]any{"exp": 1e300})},
		{"an expiry in the year 10000", changed(map[string]any{"exp": 253402300800})},
		{"a negative time of issue", changed(map[string]any{"iat": -1})},
		{"a negative expiry", changed(map[string]any{"exp": -1})},
		{"not valid yet", changed(map[string]any{"nbf": now + 45})},
		{"issued in the future", changed(map[string]any{"iat": now + 45})},
		{"no time of issue", changed(map[string]any{"iat": nil})},
		{"no subject", changed(map[string]any{"sub": nil})},
		{"no client", changed(map[string]any{"client_id": nil})},
		{"a subject that is a number", changed(map[string]any{"sub": 7})},
		{"scopes of no form", changed(map[string]any{"scope": []string{"notes:read"}})},
		{"five parts", good + ".a.b"},
		{"two parts", parts[0] + "." + parts[1]},
		{"a line break", parts[0] + "." + parts[1] + "\n." + parts[2]},
		{"padding", good + "="},
		{"nothing", ""},
		{"dots", ".."},
		{"claims that are a list", i.sign("at+jwt", i.claims(nil))[:len(parts[0])] + "." + segment([]int{1}) + "." + parts[2]},
		{"too long", good + strings.Repeat("A", 16<<10)},
	} {
		if got, err := v.Verify(t.Context(), c.token); !errors.Is(err, bearer.ErrInvalid) || got != nil {
			t.Errorf("%s: %v, %v, want ErrInvalid", c.name, got, err)
		} else if c.token != "" && len(c.token) > 40 && strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: the error holds the token", c.name)
		}
	}
	for name, claims := range map[string]map[string]any{
		"clocks that differ a little": {"exp": now - 20, "iat": now + 20, "nbf": now + 20},
		"fractions":                   {"exp": float64(now) + 100.5},
		"a null":                      {"nbf": verbatim("null")},
	} {
		if _, err := v.Verify(t.Context(), changed(claims)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// verbatim is a JSON value as it stands.
type verbatim string

func (j verbatim) MarshalJSON() ([]byte, error) { return []byte(j), nil }

// publicKeyAsSecret is the attack on verifiers that let the token choose the algorithm.
func publicKeyAsSecret(t *testing.T, k jws.Key, payload string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		t.Fatal(err)
	}
	body := segment(map[string]any{"alg": "HS256", "typ": "at+jwt", "kid": k.ID}) + "." + payload
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte(body))
	return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestUnknownKeys holds that a flood of invented key names costs one fetch a minute,
// and that a rotation is seen at once all the same.
func TestUnknownKeys(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	good := func() error {
		_, err := v.Verify(t.Context(), i.sign("at+jwt", i.claims(nil)))
		return err
	}
	junk := func() {
		t.Helper()
		k := newKey(t, jws.EdDSA)
		if _, err := v.Verify(t.Context(), signWith(t, k, "at+jwt", i.claims(nil))); !errors.Is(err, bearer.ErrInvalid) {
			t.Errorf("an unknown key: %v, want ErrInvalid", err)
		}
	}
	if err := good(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		junk()
	}
	if got := i.count("/jwks"); got != 2 {
		t.Errorf("the flood made %d fetches, want 1", got-1)
	}
	i.advance(61 * time.Second)
	for range 100 {
		junk()
	}
	if got := i.count("/jwks"); got != 3 {
		t.Errorf("after a minute the flood made %d fetches, want 1", got-2)
	}
	i.advance(61 * time.Second)
	i.change(func() {
		i.key = newKey(t, jws.ES256)
		i.keys = append(i.keys, i.key)
	})
	if err := good(); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if got := i.count("/jwks"); got != 4 {
		t.Errorf("the keys were read %d times, want 4", got)
	}
}

// TestRetiredKey holds that a key which is not published any more is forgotten.
func TestRetiredKey(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	verify := func() error {
		_, err := v.Verify(t.Context(), i.sign("at+jwt", i.claims(nil)))
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	i.change(func() { i.keys = nil })
	i.advance(4 * time.Minute)
	if err := verify(); err != nil {
		t.Errorf("while the set is fresh: %v", err)
	}
	i.advance(2 * time.Minute)
	if err := verify(); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("after its life: %v, want ErrInvalid", err)
	}
}
