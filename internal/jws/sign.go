package jws

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-jose/go-jose/v3"
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
	options := &jose.SignerOptions{}
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: opaque{k}}, options)
	if err != nil {
		return "", fmt.Errorf("jws: sign with key %s: %w", k.ID, err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("jws: sign with key %s: %w", k.ID, err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("jws: encode the token: %w", err)
	}
	return token, nil
}

// opaque lets go-jose sign through a crypto.Signer. Every key takes this way, those
// held in memory too: a shortcut for them was not measurably faster.
type opaque struct{ key Key }

// Public gives go-jose the kid of the header.
func (o opaque) Public() *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: o.key.Signer.Public(), KeyID: o.key.ID, Algorithm: o.key.Algorithm}
}

func (o opaque) Algs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.SignatureAlgorithm(o.key.Algorithm)}
}

func (o opaque) SignPayload(payload []byte, alg jose.SignatureAlgorithm) ([]byte, error) {
	switch alg {
	case jose.RS256:
		return crypto.SignMessage(o.key.Signer, rand.Reader, payload, crypto.SHA256)
	case jose.ES256:
		signature, err := crypto.SignMessage(o.key.Signer, rand.Reader, payload, crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return fixed(signature)
	case jose.EdDSA: // Ed25519 hashes for itself
		return crypto.SignMessage(o.key.Signer, rand.Reader, payload, crypto.Hash(0))
	}
	return nil, unknownAlgorithm(string(alg), Algorithms())
}

// scalarSize is the length of each of the two numbers of an ES256 signature.
const scalarSize = 32

// fixed turns the ASN.1 signature of a crypto.Signer into the two numbers side by
// side that JWS wants. RFC 7518 §3.4
func fixed(der []byte) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &pair)
	if err != nil || len(rest) > 0 {
		return nil, errors.New("the signer's ECDSA signature is not ASN.1")
	}
	out := make([]byte, 2*scalarSize)
	for i, n := range []*big.Int{pair.R, pair.S} {
		if n.Sign() <= 0 || n.BitLen() > 8*scalarSize {
			return nil, errors.New("the signer's ECDSA signature is not one of P-256")
		}
		n.FillBytes(out[i*scalarSize : (i+1)*scalarSize])
	}
	return out, nil
}
