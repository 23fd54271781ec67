package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v3"
)

// maxKeys is how many keys a set may have, so that a token without a kid, for which
// each of them is tried, costs little.
const maxKeys = 32

// ErrKeys is what is wrong with a key set as a whole.
var ErrKeys = errors.New("jws: not an acceptable key set")

// Keys are the public keys of somebody else, by which their signatures are verified.
// The zero value has none. They are safe for concurrent use.
type Keys struct{ keys []setKey }

type setKey struct {
	id, alg string // each may be empty
	public  crypto.PublicKey
}

// ParseKeys reads a JWK Set. Keys that can't verify a signature here, for their type,
// use or algorithm, are passed over, as RFC 7517 §5 wants it; a set with a private or
// symmetric key is refused whole, because whoever published it has lost it. A weak key
// is refused as well: it is no matter of taste. The error is ErrKeys.
func ParseKeys(raw []byte) (Keys, error) {
	fields, err := members(raw)
	if err != nil {
		return Keys{}, fmt.Errorf("%w: it is not a JSON object: %v", ErrKeys, err)
	}
	var list []json.RawMessage
	if json.Unmarshal(fields["keys"], &list) != nil || list == nil {
		return Keys{}, fmt.Errorf("%w: it has no array keys", ErrKeys)
	}
	if len(list) > maxKeys {
		return Keys{}, fmt.Errorf("%w: it has %d keys, at most %d are read", ErrKeys, len(list), maxKeys)
	}
	var s Keys
	for i, raw := range list {
		k, err := parseJWK(raw)
		switch {
		case err != nil:
			return Keys{}, fmt.Errorf("%w: key %d: %v", ErrKeys, i+1, err)
		case k.public != nil:
			s.keys = append(s.keys, k)
		}
	}
	return s, nil
}

// Len returns how many keys the set has that verify.
func (s Keys) Len() int { return len(s.keys) }

// privateMembers are those that only who owns a key may know. RFC 7518 §6
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// publicMembers are those that make a public key. No other member reaches the parser:
// certificates of strangers are work that nobody needs.
var publicMembers = []string{"kty", "n", "e", "crv", "x", "y"}

// parseJWK returns a key without a public part for one that is to be passed over.
// RFC 7517 §4
func parseJWK(raw []byte) (setKey, error) {
	fields, err := members(raw)
	if err != nil {
		return setKey{}, fmt.Errorf("it is not a JSON object: %v", err)
	}
	for _, name := range privateMembers {
		if _, there := fields[name]; there {
			return setKey{}, fmt.Errorf("it has the private member %q", name)
		}
	}
	said := map[string]string{}
	for _, name := range []string{"kty", "crv", "kid", "alg", "use"} {
		value, there := fields[name]
		if !there {
			continue
		}
		var s string
		if value[0] != '"' || json.Unmarshal(value, &s) != nil || !printable(s) {
			return setKey{}, fmt.Errorf("its %s is not a string of 1 to %d printable characters", name, maxKeyID)
		}
		said[name] = s
	}
	if !verifies(said, fields["key_ops"]) {
		return setKey{}, nil
	}
	only := map[string]json.RawMessage{}
	for _, name := range publicMembers {
		if value, there := fields[name]; there {
			only[name] = value
		}
	}
	body, err := json.Marshal(only)
	if err != nil {
		return setKey{}, errors.New("it can't be read")
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(body); err != nil || !jwk.Valid() {
		return setKey{}, fmt.Errorf("it is not a public key of the type %.20q", said["kty"])
	}
	if _, ok := jwk.Key.(ed25519.PublicKey); ok && len(only["x"]) != len(`""`)+base64.RawURLEncoding.EncodedLen(ed25519.PublicKeySize) {
		return setKey{}, errors.New("its x does not have the length of an Ed25519 key") // go-jose would fill it up
	}
	k := setKey{id: said["kid"], alg: Canonical(said["alg"]), public: jwk.Key}
	return k, k.fits()
}

// verifies says whether a key is of a kind that verifies here, and meant to.
func verifies(said map[string]string, operations json.RawMessage) bool {
	if use := said["use"]; use != "" && use != "sig" {
		return false
	}
	if operations != nil {
		var list []string
		if json.Unmarshal(operations, &list) != nil || !slices.Contains(list, "verify") {
			return false
		}
	}
	if alg := said["alg"]; alg != "" && !slices.Contains(Verifiable(), alg) {
		return false
	}
	switch kind := said["kty"] + " " + said["crv"]; kind {
	case "RSA ", "EC P-256", "OKP Ed25519":
		return true
	default:
		return false
	}
}

// algorithms returns those that a key can have.
func (k setKey) algorithms() []string {
	switch k.public.(type) {
	case *rsa.PublicKey:
		return []string{RS256, PS256}
	case *ecdsa.PublicKey:
		return []string{ES256}
	case ed25519.PublicKey:
		return []string{EdDSA}
	}
	return nil
}

func (k setKey) fits() error {
	alg := k.alg
	if alg == "" && len(k.algorithms()) > 0 {
		alg = k.algorithms()[0]
	}
	return fits(alg, k.public)
}

// takes says whether a token's header may mean this key.
func (k setKey) takes(h Header) bool {
	return (h.KeyID == "" || h.KeyID == k.id) && (k.alg == "" || k.alg == h.Algorithm) && slices.Contains(k.algorithms(), h.Algorithm)
}

// Verify is the function Verify with the keys of a set, of which a token need not name
// one: without a kid, every key that fits its algorithm is tried. The errors are
// those of Verify; ErrUnknownKey says that a newer set might have the key.
func (s Keys) Verify(token string) (Header, []byte, error) {
	h, err := readHeader(token, false, Verifiable())
	if err != nil {
		return Header{}, nil, err
	}
	err = fmt.Errorf("%w: kid %.80q for %s", ErrUnknownKey, h.KeyID, h.Algorithm)
	for _, k := range s.keys {
		if !k.takes(h) {
			continue
		}
		var payload []byte
		if payload, err = verify(token, k.public); err == nil {
			return h, payload, nil
		}
	}
	return h, nil, err
}

// Members reads a JSON object, such as a payload, whose names are unique and compared
// exactly. RFC 8725 §3.12
func Members(raw []byte) (map[string]json.RawMessage, error) {
	fields, err := members(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrForm, err)
	}
	return fields, nil
}

// Peek returns the header and the members of a token of which nothing is proven: it
// serves to find whose keys would prove it, those of HS256 included. The header may lack
// a kid. The error is ErrForm or ErrAlgorithm.
func Peek(token string) (Header, map[string]json.RawMessage, error) {
	h, err := readHeader(token, false, append(Verifiable(), HS256))
	if err != nil {
		return Header{}, nil, err
	}
	fields, err := Members(payloadOf(token))
	return h, fields, err
}
