package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v3"
)

// Bounds of an RSA modulus: the least by RFC 7518 §3.3, the most so that checking a
// signature with a stranger's key stays cheap.
const (
	minRSA = 2048
	maxRSA = 8192
)

// Key is a key with what a token must say of it. A Key without a Signer only
// verifies. Use New or NewPublic, which check that the parts fit.
type Key struct {
	ID        string           // kid: the RFC 7638 thumbprint, unless the caller sets another
	Algorithm string           // RS256, ES256 or EdDSA
	Signer    crypto.Signer    // nil for a key that only verifies
	Public    crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// New makes a Key of a signer, named by its thumbprint. The error is ErrAlgorithm or
// ErrKey.
func New(alg string, signer crypto.Signer) (Key, error) {
	if signer == nil {
		return Key{}, fmt.Errorf("%w: there is no key for %q", ErrKey, alg)
	}
	k, err := NewPublic(alg, signer.Public())
	k.Signer = signer
	return k, err
}

// NewPublic makes a Key that only verifies, named by its thumbprint. The error is
// ErrAlgorithm or ErrKey.
func NewPublic(alg string, public crypto.PublicKey) (Key, error) {
	if err := fits(alg, public); err != nil {
		return Key{}, err
	}
	id, err := Thumbprint(public)
	if err != nil {
		return Key{}, err
	}
	return Key{ID: id, Algorithm: alg, Public: public}, nil
}

// Generate makes a private key for alg; RSA has 2048 bits. The error is ErrAlgorithm
// for an unknown one.
func Generate(alg string) (crypto.Signer, error) {
	var (
		signer crypto.Signer
		err    error
	)
	switch alg {
	case RS256:
		signer, err = rsa.GenerateKey(rand.Reader, minRSA)
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, unknownAlgorithm(alg, Algorithms())
	}
	if err != nil {
		return nil, fmt.Errorf("jws: generate a key for %s: %w", alg, err)
	}
	return signer, nil
}

// Thumbprint returns the SHA-256 thumbprint of a public key in base64url. RFC 7638
func Thumbprint(public crypto.PublicKey) (string, error) {
	jwk := jose.JSONWebKey{Key: public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrKey, err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// PublicJWK encodes the public part of a key for a JWKS, with its kid, alg and use:
// a client that must guess one of them guesses wrong. RFC 7517 §4
func PublicJWK(k Key) (json.RawMessage, error) {
	public := k.Public
	if public == nil && k.Signer != nil {
		public = k.Signer.Public()
	}
	if err := fits(k.Algorithm, public); err != nil {
		return nil, err
	}
	jwk := jose.JSONWebKey{Key: public, KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"}
	body, err := jwk.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKey, err)
	}
	return body, nil
}

// MarshalPrivate encodes a private key as PKCS #8 DER, which the caller must seal
// before it stores it. The error is ErrKey for a signer that keeps its key to itself.
// RFC 5958
func MarshalPrivate(signer crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("%w: a %T can't be exported", ErrKey, signer)
	}
	return der, nil
}

// ParsePrivate is the inverse of MarshalPrivate. Its error never holds key material.
func ParsePrivate(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: the private key is no PKCS #8", ErrKey)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a %T can't sign", ErrKey, key)
	}
	return signer, nil
}

// fits says whether a public key has the type and the strength that alg wants.
// RFC 8725 §3.1, §3.2
func fits(alg string, public crypto.PublicKey) error {
	switch alg {
	case RS256, PS256:
		key, ok := public.(*rsa.PublicKey)
		if !ok || key == nil || key.N == nil {
			return fmt.Errorf("%w: %s needs an RSA key, not a %T", ErrKey, alg, public)
		}
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("%w: %s needs an RSA key of %d to %d bits, not %d", ErrKey, alg, minRSA, maxRSA, bits)
		}
	case ES256:
		key, ok := public.(*ecdsa.PublicKey)
		if !ok || key == nil || key.Curve != elliptic.P256() {
			return fmt.Errorf("%w: ES256 needs an ECDSA key on the curve P-256, not a %T of another kind", ErrKey, public)
		}
	case EdDSA:
		if key, ok := public.(ed25519.PublicKey); !ok || len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: EdDSA needs an Ed25519 key, not a %T", ErrKey, public)
		}
	default:
		return unknownAlgorithm(alg, Algorithms())
	}
	return nil
}

func unknownAlgorithm(alg string, known []string) error {
	return fmt.Errorf("%w: %.40q is none of %v", ErrAlgorithm, alg, known)
}
