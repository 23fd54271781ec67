package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/dpop"
)

const endpoint = "https://id.example/oauth/token"

var now = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// maker makes proofs by the standard library alone.
type maker struct {
	alg  string
	jwk  map[string]any
	sign func(input []byte) []byte
}

func makers(t testing.TB) map[string]maker {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	point, err := p256.PublicKey.Bytes()
	check(t, err)
	rsaKey := map[string]any{"kty": "RSA", "n": encode(big.N.Bytes()), "e": "AQAB"}
	digest := func(input []byte) []byte {
		sum := sha256.Sum256(input)
		return sum[:]
	}
	return map[string]maker{
		"ES256": {"ES256", map[string]any{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}, func(input []byte) []byte {
			r, s, err := ecdsa.Sign(rand.Reader, p256, digest(input))
			check(t, err)
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}},
		"RS256": {"RS256", rsaKey, func(input []byte) []byte {
			sig, err := rsa.SignPKCS1v15(nil, big, crypto.SHA256, digest(input))
			check(t, err)
			return sig
		}},
		"PS256": {"PS256", rsaKey, func(input []byte) []byte {
			sig, err := rsa.SignPSS(rand.Reader, big, crypto.SHA256, digest(input), &rsa.PSSOptions{SaltLength: 32})
			check(t, err)
			return sig
		}},
		"EdDSA": {"EdDSA", map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}, func(input []byte) []byte {
			return ed25519.Sign(private, input)
		}},
	}
}

// proof makes one with these changes, a nil taking a member away.
func (m maker) proof(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	h := map[string]any{"typ": "dpop+jwt", "alg": m.alg, "jwk": m.jwk}
	c := map[string]any{"jti": "one", "htm": "POST", "htu": endpoint, "iat": now.Unix()}
	maps.Copy(h, header)
	maps.Copy(c, claims)
	for _, of := range []map[string]any{h, c} {
		maps.DeleteFunc(of, func(_ string, v any) bool { return v == nil })
	}
	head, err := json.Marshal(h)
	check(t, err)
	body, err := json.Marshal(c)
	check(t, err)
	input := encode(head) + "." + encode(body)
	return input + "." + encode(m.sign([]byte(input)))
}

func request(proofs ...string) dpop.Request {
	return dpop.Request{Proofs: proofs, Method: "POST", URLs: []string{endpoint}}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
