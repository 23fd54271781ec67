package jws

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v3"
)

// maxSet is how many keys of a set are read.
const maxSet = 64

// ReadSet returns the keys of somebody's JWKS that Verify can use, under the IDs they
// have there. Keys of other kinds, for other uses, without an ID, or with an ID that
// stands there before, are passed over: a set may serve others too. The algorithm is
// that of the key's alg, or the one that its type has here. The error is ErrForm when
// it is no set.
// RFC 7517 §5
func ReadSet(body []byte) ([]Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || set.Keys == nil {
		return nil, fmt.Errorf("%w: it is no JSON Web Key Set", ErrForm)
	}
	if len(set.Keys) > maxSet {
		return nil, fmt.Errorf("%w: it has %d keys, at most %d are read", ErrForm, len(set.Keys), maxSet)
	}
	var keys []Key
	known := map[string]bool{}
	for _, raw := range set.Keys {
		k, ok := readPublic(raw)
		if ok && !known[k.ID] {
			known[k.ID] = true
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// readPublic reads a key that signs. A symmetric or a private one does not fit: who
// publishes it has given it away.
func readPublic(raw []byte) (Key, bool) {
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(raw) != nil || !printable(jwk.KeyID) || (jwk.Use != "" && jwk.Use != "sig") {
		return Key{}, false
	}
	alg := Canonical(jwk.Algorithm)
	if alg == "" {
		switch jwk.Key.(type) {
		case *rsa.PublicKey:
			alg = RS256
		case *ecdsa.PublicKey:
			alg = ES256
		case ed25519.PublicKey:
			alg = EdDSA
		}
	}
	k, err := NewPublic(alg, jwk.Key)
	k.ID = jwk.KeyID
	return k, err == nil
}
