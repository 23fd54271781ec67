package jws

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Sign makes a compact JWS of the JSON form of claims, which must be an object. Its
// header says alg and kid, and typ unless that is empty. The error is ErrKey or
// ErrAlgorithm for a key that can't sign, else what claims or the signer said.
// RFC 7515 §7.1, RFC 8725 §3.11
func Sign(k Key, typ string, claims any) (string, error) {
	switch {
	case k.Signer == nil:
		return "", fmt.Errorf("%w: key %q has no private part", ErrKey, k.ID)
	case k.ID == "": // a token that names no key can't outlive a rotation
		return "", fmt.Errorf("%w: the key has no ID", ErrKey)
	}
	// The signer's own word counts, not k.Public: a service may have changed the key.
	if err := fits(k.Algorithm, k.Signer.Public()); err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("jws: encode the claims: %w", err)
	}
	if !bytes.HasPrefix(payload, []byte("{")) {
		return "", fmt.Errorf("jws: claims must be a JSON object, not a %T", claims)
	}
	header, err := json.Marshal(protected{Algorithm: k.Algorithm, KeyID: k.ID, Type: typ})
	if err != nil {
		return "", fmt.Errorf("jws: encode the header: %w", err)
	}
	const longest = maxRSA / 8 // bytes of a signature
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, encoding.EncodedLen(len(header))+encoding.EncodedLen(len(payload))+encoding.EncodedLen(longest)+2)
	token = append(encoding.AppendEncode(token, header), '.')
	token = encoding.AppendEncode(token, payload)
	signature, err := k.sign(token)
	if err != nil {
		return "", fmt.Errorf("jws: sign with key %s: %w", k.ID, err)
	}
	return string(encoding.AppendEncode(append(token, '.'), signature)), nil
}

// protected is the header of what we sign.
type protected struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ,omitempty"`
}

// sign returns the signature of a signing input. Every key takes this way, those held in
// memory too: a shortcut for them was not measurably faster. RFC 7515 §5.1
func (k Key) sign(input []byte) ([]byte, error) {
	switch k.Algorithm {
	case RS256:
		return crypto.SignMessage(k.Signer, rand.Reader, input, crypto.SHA256)
	case ES256:
		signature, err := crypto.SignMessage(k.Signer, rand.Reader, input, crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return fixed(signature)
	case EdDSA: // Ed25519 hashes for itself
		return crypto.SignMessage(k.Signer, rand.Reader, input, crypto.Hash(0))
	}
	return nil, unknownAlgorithm(k.Algorithm, Algorithms())
}

// scalarSize is the length of each of the two numbers of an ES256 signature.
const scalarSize = 32

// fixed turns the ASN.1 signature of a crypto.Signer into the two numbers side by
// side that JWS wants. RFC 7518 §3.4
func fixed(der []byte) ([]byte, error) {
	var pair cryptobyte.String
	input, out := cryptobyte.String(der), make([]byte, 2*scalarSize)
	if !input.ReadASN1(&pair, asn1.SEQUENCE) || !input.Empty() {
		return nil, errors.New("the signer's ECDSA signature is not ASN.1")
	}
	for _, to := range [][]byte{out[:scalarSize], out[scalarSize:]} {
		var n []byte // not negative, without zeros in front
		if !pair.ReadASN1Integer(&n) || len(n) > scalarSize || !slices.ContainsFunc(n, func(b byte) bool { return b != 0 }) {
			return nil, errors.New("the signer's ECDSA signature is not one of P-256")
		}
		copy(to[scalarSize-len(n):], n)
	}
	if !pair.Empty() {
		return nil, errors.New("the signer's ECDSA signature is more than two numbers")
	}
	return out, nil
}
