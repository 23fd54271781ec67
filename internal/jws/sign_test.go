package jws_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v3/jwt"

	"github.com/doorward/doorward/internal/jws"
)

type claims map[string]any

func sign(t testing.TB, k jws.Key) string {
	t.Helper()
	token, err := jws.Sign(k, "JWT", claims{"sub": "alice", "iss": "https://idp.example", "aud": "app", "exp": 4102444800})
	check(t, err)
	return token
}

// RFC 7515 §5.1, RFC 7518 §3.1, RFC 8037 §3.1
func TestSignAndVerify(t *testing.T) {
	for _, alg := range jws.Algorithms() {
		plain := generate(t, alg)
		for _, k := range []jws.Key{plain, opaque(t, plain)} {
			for _, typ := range []string{"", "JWT", "at+jwt", "logout+jwt"} {
				token, err := jws.Sign(k, typ, claims{"sub": "<alice> & böb"})
				check(t, err)
				h, payload, err := jws.Verify(token, ring(plain))
				check(t, err)
				if want := (jws.Header{KeyID: plain.ID, Algorithm: alg, Type: typ}); h != want {
					t.Errorf("the header is %+v, want %+v", h, want)
				}
				var got claims
				check(t, json.Unmarshal(payload, &got))
				if got["sub"] != "<alice> & böb" {
					t.Errorf("%s: the payload is %s", alg, payload)
				}
			}
		}
	}
}

// A header that says more than it must tells strangers about us, and one that embeds
// the key invites them to trust it.
func TestHeaderSaysNoMoreThanItMust(t *testing.T) {
	for typ, want := range map[string][]string{"": {"alg", "kid"}, "at+jwt": {"alg", "kid", "typ"}} {
		token, err := jws.Sign(opaque(t, generate(t, jws.EdDSA)), typ, claims{})
		check(t, err)
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
		check(t, err)
		var fields map[string]any
		check(t, json.Unmarshal(raw, &fields))
		if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("typ %q: the header holds %v, want %v", typ, got, want)
		}
	}
}

// What we sign, other people's libraries must accept. RFC 7518 §3.3, §3.4, RFC 8037 §3.1
func TestForeignVerifiersAgree(t *testing.T) {
	for _, alg := range jws.Algorithms() {
		plain := generate(t, alg)
		for _, k := range []jws.Key{plain, opaque(t, plain)} {
			token := sign(t, k)
			verifier := oidc.NewVerifier("https://idp.example", &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{k.Public}},
				&oidc.Config{ClientID: "app", SupportedSigningAlgs: []string{alg}})
			if id, err := verifier.Verify(t.Context(), token); err != nil || id.Subject != "alice" {
				t.Errorf("%s: go-oidc says %v", alg, err)
			}
			parsed, err := jwt.ParseSigned(token)
			check(t, err)
			var got jwt.Claims
			if err := parsed.Claims(k.Public, &got); err != nil || got.Subject != "alice" || parsed.Headers[0].KeyID != k.ID {
				t.Errorf("%s: go-jose says %v", alg, err)
			}
		}
	}
}

func TestSignRefuses(t *testing.T) {
	k := generate(t, jws.ES256)
	onlyPublic, err := jws.NewPublic(k.Algorithm, k.Public)
	check(t, err)
	unnamed, misfit := k, k
	unnamed.ID, misfit.Algorithm = "", jws.RS256
	for name, k := range map[string]jws.Key{"only public": onlyPublic, "unnamed": unnamed, "misfit": misfit, "zero": {}} {
		if _, err := jws.Sign(k, "", claims{}); !errors.Is(err, jws.ErrKey) {
			t.Errorf("%s: %v, want %v", name, err, jws.ErrKey)
		}
	}
	for _, payload := range []any{nil, "text", 7, []string{}, claims(nil), json.RawMessage(`[]`), func() {}} {
		if _, err := jws.Sign(k, "", payload); err == nil {
			t.Errorf("signed %T", payload)
		}
	}
}

// scripted is a module that answers what it is told to.
type scripted struct {
	crypto.Signer
	answer []byte
	err    error
}

func (s scripted) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.answer, s.err }

func TestBrokenSigners(t *testing.T) {
	k := generate(t, jws.ES256)
	pair := func(r, s *big.Int) []byte {
		der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		check(t, err)
		return der
	}
	large := new(big.Int).Lsh(big.NewInt(1), 256)
	for name, module := range map[string]scripted{
		"not ASN.1":    {answer: bytes.Repeat([]byte{7}, 64)},
		"empty":        {},
		"trailing":     {answer: append(pair(big.NewInt(1), big.NewInt(1)), 0)},
		"large number": {answer: pair(big.NewInt(1), large)},
		"zero":         {answer: pair(big.NewInt(0), big.NewInt(1))},
		"negative":     {answer: pair(big.NewInt(1), big.NewInt(-1))},
		"refusing":     {err: errOffline},
	} {
		module.Signer = k.Signer
		broken, err := jws.New(jws.ES256, module)
		check(t, err)
		_, err = jws.Sign(broken, "", claims{})
		if err == nil || module.err != nil && !errors.Is(err, module.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Short numbers are padded to their full length.
	short, err := jws.New(jws.ES256, scripted{Signer: k.Signer, answer: pair(big.NewInt(1), big.NewInt(2))})
	check(t, err)
	token, err := jws.Sign(short, "", claims{})
	check(t, err)
	signature, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[2])
	check(t, err)
	if len(signature) != 64 || signature[31] != 1 || signature[63] != 2 {
		t.Errorf("the signature is %x", signature)
	}
}

var errOffline = errors.New("the module is offline")

func BenchmarkSign(b *testing.B) {
	for _, alg := range jws.Algorithms() {
		b.Run(alg, func(b *testing.B) {
			k := generate(b, alg)
			for b.Loop() {
				sign(b, k)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range jws.Algorithms() {
		b.Run(alg, func(b *testing.B) {
			k := generate(b, alg)
			token, keys := sign(b, k), ring(k)
			for b.Loop() {
				_, _, err := jws.Verify(token, keys)
				check(b, err)
			}
		})
	}
}
