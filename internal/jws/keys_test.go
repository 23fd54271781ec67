package jws_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v3"

	"github.com/doorward/doorward/internal/jws"
)

// public writes a key as clients do, with what edit makes of it.
func public(t testing.TB, key crypto.PublicKey, edit func(*jose.JSONWebKey)) string {
	t.Helper()
	jwk := jose.JSONWebKey{Key: key}
	if edit != nil {
		edit(&jwk)
	}
	body, err := jwk.MarshalJSON()
	check(t, err)
	return string(body)
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func parse(t testing.TB, keys ...string) jws.Keys {
	t.Helper()
	s, err := jws.ParseKeys([]byte(set(keys...)))
	check(t, err)
	return s
}

func named(id, alg string) func(*jose.JSONWebKey) {
	return func(k *jose.JSONWebKey) { k.KeyID, k.Algorithm = id, alg }
}

func TestKeysVerify(t *testing.T) {
	for _, alg := range jws.Algorithms() {
		k, other := generate(t, alg), generate(t, alg)
		token, err := jws.Sign(k, "JWT", map[string]any{"sub": "alice"})
		check(t, err)
		for name, c := range map[string]struct {
			keys jws.Keys
			want error
		}{
			"named":              {parse(t, public(t, other.Public, named("x", "")), public(t, k.Public, named(k.ID, alg))), nil},
			"two of the name":    {parse(t, public(t, other.Public, named(k.ID, "")), public(t, k.Public, named(k.ID, ""))), nil},
			"another name":       {parse(t, public(t, k.Public, named("x", alg))), jws.ErrUnknownKey},
			"without a name":     {parse(t, public(t, k.Public, nil)), jws.ErrUnknownKey},
			"another key":        {parse(t, public(t, other.Public, named(k.ID, alg))), jws.ErrSignature},
			"of another purpose": {parse(t, public(t, k.Public, func(j *jose.JSONWebKey) { j.KeyID, j.Use = k.ID, "enc" })), jws.ErrUnknownKey},
			"no keys":            {jws.Keys{}, jws.ErrUnknownKey},
		} {
			if _, _, err := c.keys.Verify(token); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", alg, name, err, c.want)
			}
		}
		unnamed := forge(t, k, fmt.Sprintf(`{"alg":%q}`, alg))
		keys := parse(t, public(t, other.Public, named("x", "")), public(t, k.Public, named("y", "")))
		if _, payload, err := keys.Verify(unnamed); err != nil || string(payload) != `{"sub":"mallory"}` {
			t.Errorf("%s: a token without a kid: %v", alg, err)
		}
		if _, _, err := parse(t, public(t, other.Public, nil)).Verify(unnamed); !errors.Is(err, jws.ErrSignature) {
			t.Errorf("%s: a token without a kid of another key: %v", alg, err)
		}
		if _, _, err := jws.Verify(unnamed, ring(k)); !errors.Is(err, jws.ErrForm) {
			t.Errorf("%s: a token without a kid for Verify: %v", alg, err)
		}
	}
}

// TestEd25519 verifies what is signed under the newer name, with keys that name the
// algorithm in either way or in none, and tells callers the one name. RFC 9864 §2.2, RFC 9864
// §4.1.2
func TestEd25519(t *testing.T) {
	k, other := generate(t, jws.EdDSA), generate(t, jws.EdDSA)
	token := forge(t, k, fmt.Sprintf(`{"alg":"Ed25519","kid":%q}`, k.ID))
	for _, alg := range []string{"Ed25519", "EdDSA", ""} {
		body := public(t, k.Public, named(k.ID, alg))
		h, payload, err := parse(t, body).Verify(token)
		if err != nil || h.Algorithm != jws.EdDSA || string(payload) != `{"sub":"mallory"}` {
			t.Errorf("a key for %q: %+v %s %v", alg, h, payload, err)
		}
		read, err := jws.ReadSet([]byte(set(body)))
		check(t, err)
		if len(read) != 1 || read[0].Algorithm != jws.EdDSA {
			t.Errorf("a key for %q is read as %+v", alg, read)
		}
	}
	if _, _, err := jws.Verify(token, ring(k)); err != nil {
		t.Error(err)
	}
	if _, _, err := parse(t, public(t, other.Public, named(k.ID, "Ed25519"))).Verify(token); !errors.Is(err, jws.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	rs := generate(t, jws.RS256)
	if _, _, err := parse(t, public(t, rs.Public, named(k.ID, ""))).Verify(token); !errors.Is(err, jws.ErrUnknownKey) {
		t.Errorf("a key of another kind: %v", err)
	}
}

// TestPS256 verifies what others sign; an RSA key that names its algorithm takes no
// other. RFC 7518 §3.5, RFC 8725 §3.1
func TestPS256(t *testing.T) {
	k := generate(t, jws.RS256)
	input := encode(`{"alg":"PS256","kid":"k"}`) + "." + encode(`{}`)
	digest := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPSS(rand.Reader, k.Signer.(*rsa.PrivateKey), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	check(t, err)
	token := input + "." + base64.RawURLEncoding.EncodeToString(signature)
	for alg, want := range map[string]error{"": nil, "PS256": nil, "RS256": jws.ErrUnknownKey} {
		if _, _, err := parse(t, public(t, k.Public, named("k", alg))).Verify(token); !errors.Is(err, want) {
			t.Errorf("a key for %q: %v, want %v", alg, err, want)
		}
	}
	confused := encode(`{"alg":"RS256","kid":"k"}`) + "." + encode(`{}`) + "." + base64.RawURLEncoding.EncodeToString(signature)
	if _, _, err := parse(t, public(t, k.Public, named("k", ""))).Verify(confused); !errors.Is(err, jws.ErrSignature) {
		t.Errorf("under another algorithm: %v", err)
	}
	if _, _, err := jws.Verify(token, func(string) (string, crypto.PublicKey, bool) { return jws.RS256, k.Public, true }); !errors.Is(err, jws.ErrAlgorithm) {
		t.Errorf("where RS256 is meant: %v", err)
	}
}

// RFC 7517 §4, §5, RFC 7518 §6
func TestParseKeys(t *testing.T) {
	es := generate(t, jws.ES256)
	good := public(t, es.Public, named("k", ""))
	private := public(t, es.Signer, named("k", ""))
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	odd, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	for name, c := range map[string]struct {
		raw  string
		want int // keys; -1: refused
	}{
		"one":              {set(good), 1},
		"empty":            {set(), 0},
		"other members":    {`{"keys":[` + strings.TrimSuffix(good, "}") + `,"x5c":["nonsense"],"x5u":7,"ext":true}],"more":1}`, 1},
		"other kinds":      {set(good, `{"kty":"AKP","alg":"ML-DSA-44","pub":"x"}`, `{"kty":"OKP","crv":"X25519","x":"AA"}`, public(t, &odd.PublicKey, nil)), 1},
		"other algorithm":  {set(public(t, es.Public, named("k", "ES512"))), 0},
		"for encryption":   {set(public(t, es.Public, func(k *jose.JSONWebKey) { k.Use = "enc" })), 0},
		"for signing":      {set(public(t, es.Public, func(k *jose.JSONWebKey) { k.Use = "sig" })), 1},
		"operations":       {set(strings.TrimSuffix(good, "}") + `,"key_ops":["verify"]}`), 1},
		"other operations": {set(strings.TrimSuffix(good, "}") + `,"key_ops":["sign"]}`), 0},
		"private":          {set(good, private), -1},
		"symmetric":        {set(`{"kty":"oct","k":"c2VjcmV0"}`), -1},
		"weak":             {set(public(t, &weak.PublicKey, nil)), -1},
		"wrong algorithm":  {set(public(t, es.Public, named("k", "RS256"))), -1},
		"not on the curve": {set(`{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`), -1},
		"short":            {set(`{"kty":"OKP","crv":"Ed25519","x":"AA"}`), -1},
		"kid no string":    {set(strings.Replace(good, `"k"`, `7`, 1)), -1},
		"kid twice":        {set(strings.TrimSuffix(good, "}") + `,"kid":"z"}`), -1},
		"no object":        {`{"keys":[7]}`, -1},
		"no array":         {`{"keys":{}}`, -1},
		"null":             {`{"keys":null}`, -1},
		"no keys":          {`{}`, -1},
		"a key itself":     {good, -1},
		"text":             {`<html>`, -1},
		"keys twice":       {`{"keys":[],"keys":[` + good + `]}`, -1},
		"many":             {set(strings.Split(strings.Repeat(`{"kty":"x"} `, 33), " ")[:33]...), -1},
	} {
		s, err := jws.ParseKeys([]byte(c.raw))
		if c.want < 0 != (err != nil) || err == nil && s.Len() != c.want || err != nil && !errors.Is(err, jws.ErrKeys) {
			t.Errorf("%s: %d keys, %v; want %d", name, s.Len(), err, c.want)
		}
		if err != nil && strings.Contains(private, "\"d\"") && strings.Contains(err.Error(), c.raw) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
}

func TestPeek(t *testing.T) {
	k := generate(t, jws.EdDSA)
	h, claims, err := jws.Peek(forge(t, k, `{"alg":"EdDSA"}`))
	if err != nil || h.Algorithm != "EdDSA" || string(claims["sub"]) != `"mallory"` {
		t.Errorf("%+v, %v, %v", h, claims, err)
	}
	for _, bad := range []string{"", "a.b", "a.b.c", encode(`{"alg":"none"}`) + "." + encode(`{}`) + ".", encode(`{"alg":"ES256"}`) + "." + encode(`[]`) + ".AA"} {
		if _, _, err := jws.Peek(bad); !errors.Is(err, jws.ErrForm) && !errors.Is(err, jws.ErrAlgorithm) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if _, err := jws.Members([]byte(`{"aud":"a","aud":"b"}`)); !errors.Is(err, jws.ErrForm) {
		t.Errorf("a name that stands there twice: %v", err)
	}
}

// FuzzParseKeys holds that whatever a stranger publishes is read or refused, and that
// what is read verifies nothing that was never signed.
func FuzzParseKeys(f *testing.F) {
	k := generate(f, jws.ES256)
	f.Add([]byte(set(public(f, k.Public, named("k", "ES256")))))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	token := encode(`{"alg":"ES256"}`) + "." + encode(`{}`) + "." + strings.Repeat("A", 86)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := jws.ParseKeys(raw)
		if err == nil && !json.Valid(raw) {
			t.Errorf("%q was read", raw)
		}
		if _, _, err := s.Verify(token); err == nil {
			t.Error("nobody signed this")
		}
	})
}
