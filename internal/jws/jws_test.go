package jws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v3"

	"github.com/doorward/doorward/internal/jws"
)

// sealed hides a key as a security module does: nothing but crypto.Signer is left.
type sealed struct{ signer crypto.Signer }

func (s sealed) Public() crypto.PublicKey { return s.signer.Public() }

func (s sealed) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.signer.Sign(r, digest, o)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func generate(t testing.TB, alg string) jws.Key {
	t.Helper()
	signer, err := jws.Generate(alg)
	check(t, err)
	k, err := jws.New(alg, signer)
	check(t, err)
	return k
}

func opaque(t testing.TB, k jws.Key) jws.Key {
	t.Helper()
	hidden, err := jws.New(k.Algorithm, sealed{k.Signer})
	check(t, err)
	return hidden
}

// ring answers for the given keys.
func ring(keys ...jws.Key) func(string) (string, crypto.PublicKey, bool) {
	return func(kid string) (string, crypto.PublicKey, bool) {
		for _, k := range keys {
			if k.ID == kid {
				return k.Algorithm, k.Public, true
			}
		}
		return "", nil, false
	}
}

func TestKeyNames(t *testing.T) {
	// The example of RFC 7638 §3.1, and the one of RFC 8037 §A.3.
	for body, want := range map[string]string{
		`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}`: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
	} {
		var jwk jose.JSONWebKey
		check(t, jwk.UnmarshalJSON([]byte(body)))
		got, err := jws.Thumbprint(jwk.Key)
		if err != nil || got != want {
			t.Errorf("the thumbprint is %s (%v), want %s", got, err, want)
		}
	}
}

func TestPublicJWK(t *testing.T) {
	for _, alg := range jws.Algorithms() {
		k := generate(t, alg)
		onlyPublic, err := jws.NewPublic(alg, k.Public)
		check(t, err)
		for _, k := range []jws.Key{k, opaque(t, k), onlyPublic, {ID: k.ID, Algorithm: alg, Signer: k.Signer}} {
			body, err := jws.PublicJWK(k)
			check(t, err)
			var fields map[string]string
			check(t, json.Unmarshal(body, &fields))
			if fields["kid"] != k.ID || fields["alg"] != alg || fields["use"] != "sig" {
				t.Errorf("%s: kid, alg or use are wrong in %s", alg, body)
			}
			for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi"} {
				if fields[secret] != "" {
					t.Fatalf("%s: the public JWK holds the private %q", alg, secret)
				}
			}
			var jwk jose.JSONWebKey
			check(t, jwk.UnmarshalJSON(body))
			if id, _ := jws.Thumbprint(jwk.Key); id != k.ID {
				t.Errorf("%s: the JWK is of another key", alg)
			}
		}
	}
}

// RFC 5958
func TestPrivateKeysSurviveStorage(t *testing.T) {
	for _, alg := range jws.Algorithms() {
		k := generate(t, alg)
		der, err := jws.MarshalPrivate(k.Signer)
		check(t, err)
		signer, err := jws.ParsePrivate(der)
		check(t, err)
		again, err := jws.New(alg, signer)
		check(t, err)
		if again.ID != k.ID {
			t.Errorf("%s: a stored key came back as another", alg)
		}
		if _, err := jws.MarshalPrivate(sealed{k.Signer}); !errors.Is(err, jws.ErrKey) {
			t.Errorf("%s: exporting a key that is kept elsewhere: %v", alg, err)
		}
		if _, err := jws.ParsePrivate(der[1:]); !errors.Is(err, jws.ErrKey) {
			t.Errorf("%s: a damaged key: %v", alg, err)
		}
	}
}

// RFC 7518 §3.3, RFC 8725 §3.2
func TestKeysMustFitTheirAlgorithm(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	rs, es, ed := generate(t, jws.RS256), generate(t, jws.ES256), generate(t, jws.EdDSA)
	for _, c := range []struct {
		alg    string
		public crypto.PublicKey
		want   error
	}{
		{jws.RS256, &short.PublicKey, jws.ErrKey},
		{jws.RS256, es.Public, jws.ErrKey},
		{jws.RS256, (*rsa.PublicKey)(nil), jws.ErrKey},
		{jws.RS256, &rsa.PublicKey{}, jws.ErrKey},
		{jws.ES256, &p384.PublicKey, jws.ErrKey},
		{jws.ES256, (*ecdsa.PublicKey)(nil), jws.ErrKey},
		{jws.ES256, rs.Public, jws.ErrKey},
		{jws.EdDSA, es.Public, jws.ErrKey},
		{jws.EdDSA, ed25519.PublicKey{1, 2, 3}, jws.ErrKey},
		{jws.EdDSA, nil, jws.ErrKey},
		{"HS256", []byte("secret"), jws.ErrAlgorithm},
		{"none", nil, jws.ErrAlgorithm},
		{"", ed.Public, jws.ErrAlgorithm},
	} {
		if _, err := jws.NewPublic(c.alg, c.public); !errors.Is(err, c.want) {
			t.Errorf("%s with a %T: %v, want %v", c.alg, c.public, err, c.want)
		}
		_, _, err := jws.Verify(sign(t, ed), func(string) (string, crypto.PublicKey, bool) { return c.alg, c.public, true })
		if err == nil {
			t.Errorf("%s with a %T verified an EdDSA token", c.alg, c.public)
		}
	}
	if _, err := jws.New(jws.RS256, nil); !errors.Is(err, jws.ErrKey) {
		t.Errorf("no signer: %v", err)
	}
	for _, alg := range []string{"HS256", "none", "", "rs256"} {
		if _, err := jws.Generate(alg); !errors.Is(err, jws.ErrAlgorithm) {
			t.Errorf("Generate(%q): %v", alg, err)
		}
	}
}

// OpenID Connect Core §3.1.3.6, §3.3.2.11, RFC 8032 §5.1
func TestHalfHash(t *testing.T) {
	const token, code = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"
	for _, c := range []struct{ alg, value, want string }{
		{"RS256", token, "77QmUPtjPfzWtF2AnpK9RQ"}, // OpenID Connect Core §A.3, §A.4
		{"RS256", code, "LDktKdoQak3Pk0cnXxCltA"},
		{"ES256", code, "LDktKdoQak3Pk0cnXxCltA"},
		{"none", token, ""}, {"", token, ""}, {"EdDSAS256", token, ""},
	} {
		if got := jws.HalfHash(c.alg, c.value); got != c.want {
			t.Errorf("HalfHash(%s, %.6s...) = %q, want %q", c.alg, c.value, got, c.want)
		}
	}
	if got, want := jws.HalfHash("EdDSA", token), jws.HalfHash("PS512", token); got != want || len(got) != 43 {
		t.Errorf("EdDSA hashes to %q, want the half of SHA-512, %q", got, want)
	}
	if got := jws.HalfHash("ES384", token); len(got) != 32 {
		t.Errorf("ES384 hashes to %q", got)
	}
}

func TestErrorsHoldNoPayload(t *testing.T) {
	k := generate(t, jws.ES256)
	token := sign(t, k)
	parts := strings.Split(token, ".")
	for _, token := range []string{token, token + "A", strings.Join(parts[1:], "."), parts[0] + "." + parts[1] + "!." + parts[2]} {
		if _, _, err := jws.Verify(token, ring()); err == nil || strings.Contains(err.Error(), parts[1]) || strings.Contains(err.Error(), parts[2]) {
			t.Errorf("the error is %v", err)
		}
	}
}
