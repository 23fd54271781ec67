// Package jws signs and verifies compact JSON Web Signatures with asymmetric keys, and
// verifies those of clients that share a secret.
//
// It knows few algorithms and nothing of claims: what a payload says, and whether
// it is still good, is the caller's matter. A signer may be any crypto.Signer, so a
// key can live in a security module or a key service. The algorithm of a token is
// always that of the key it names, never one that the token chose.
//
// RFC 7515, RFC 7518, RFC 8037, RFC 8725
package jws

import (
	"crypto"
	"encoding/base64"
	"errors"
	"strings"

	_ "crypto/sha256" // hashes of at_hash and of the signatures
	_ "crypto/sha512"
)

// The algorithms of Generate, Sign and Verify; PS256 and Ed25519 are for Verify alone,
// since others sign by them. RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2
const (
	RS256 = "RS256" // RSA, at least 2048 bits
	ES256 = "ES256" // ECDSA on P-256
	EdDSA = "EdDSA" // Ed25519
	PS256 = "PS256" // RSASSA-PSS, at least 2048 bits

	// Ed25519 is the newer name of EdDSA with the one curve that is known here. A Header
	// and a Key say EdDSA for both: whoever compares must not tell them apart.
	Ed25519 = "Ed25519"
)

// HS256 is a keyed hash with a secret of at least 32 bytes, for VerifySecret alone: what
// both sides can make proves nothing to a third. RFC 7518 §3.2
const HS256 = "HS256"

// Algorithms returns the names of all algorithms that a key of ours can have.
func Algorithms() []string { return []string{RS256, ES256, EdDSA} }

// Verifiable returns the names of all algorithms that a signature of somebody else can
// have.
func Verifiable() []string { return []string{RS256, PS256, ES256, EdDSA, Ed25519} }

// Canonical returns the one name of an algorithm that has two, and any other as it is.
// RFC 9864 §4.1.2
func Canonical(alg string) string {
	if alg == Ed25519 {
		return EdDSA
	}
	return alg
}

// What the errors of this package are about. Their texts say more, and never hold
// the token or its payload.
var (
	ErrAlgorithm  = errors.New("jws: algorithm not allowed")           // unknown, or not the one of the key
	ErrKey        = errors.New("jws: key does not fit its algorithm")  // type, curve or length
	ErrForm       = errors.New("jws: not an acceptable compact token") // parts, encoding, size, header
	ErrUnknownKey = errors.New("jws: unknown key")                     // the kid is nobody's
	ErrSignature  = errors.New("jws: wrong signature")                 // made with another key, or the token was changed
)

// HalfHash returns the left half of the hash of value in base64url, which is how an
// ID token binds an access token (at_hash), a code (c_hash) or a state (s_hash). The
// hash is the one of the token's algorithm, SHA-512 for EdDSA. It is empty for an
// unknown algorithm. OpenID Connect Core §3.1.3.6, §3.3.2.11
func HalfHash(alg, value string) string {
	var hash crypto.Hash
	switch {
	case alg == EdDSA: // Ed25519 hashes with SHA-512. RFC 8032 §5.1
		hash = crypto.SHA512
	case len(alg) != len(RS256):
		return ""
	case strings.HasSuffix(alg, "S256"):
		hash = crypto.SHA256
	case strings.HasSuffix(alg, "S384"):
		hash = crypto.SHA384
	case strings.HasSuffix(alg, "S512"):
		hash = crypto.SHA512
	default:
		return ""
	}
	h := hash.New()
	h.Write([]byte(value))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
