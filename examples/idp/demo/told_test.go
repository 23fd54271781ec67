package demo

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Only the provider's word that a session has ended signs anybody out. OpenID Connect
// Back-Channel Logout §2.6
func TestLogoutTokens(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	part := func(value any) string {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := func(typ string, claims map[string]any) string {
		text := part(map[string]any{"alg": "RS256", "typ": typ}) + "." + part(claims)
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	const issuer = "https://id.example"
	right := map[string]any{
		"iss": issuer, "aud": "demo", "sub": "alice", "sid": "s1", "jti": "1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	client := &relying{verifier: oidc.NewVerifier(issuer, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key.Public()}}, &oidc.Config{ClientID: "demo"})}
	if sid, sub, err := client.ended(t.Context(), signed(logoutType, right)); err != nil || sid != "s1" || sub != "alice" {
		t.Errorf("a right token: %q, %q, %v", sid, sub, err)
	}
	forged := signed(logoutType, right)
	for what, raw := range map[string]string{
		"nothing": "", "no token": "a.b.c", "another type": signed("JWT", right), "another signature": forged[:len(forged)-8] + "AAAAAAAA",
	} {
		if _, _, err := client.ended(t.Context(), raw); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	for what, change := range map[string]map[string]any{
		"another issuer":   {"iss": "https://other.example"},
		"another audience": {"aud": "other"},
		"an old one":       {"exp": time.Now().Add(-time.Hour).Unix()},
		"no event":         {"events": map[string]any{"other": map[string]any{}}},
		"a nonce":          {"nonce": "n"},
		"nobody":           {"sub": "", "sid": ""},
	} {
		claims := maps.Clone(right)
		maps.Copy(claims, change)
		if _, _, err := client.ended(t.Context(), signed(logoutType, claims)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
