// Package opaque makes random identifiers and tokens whose storage keys are
// ordered by the time they were made, so that a B-tree appends instead of
// scattering.
package opaque

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

const (
	timeSize   = 6  // milliseconds since 1970, big endian: good until the year 10889
	randomSize = 32 // 256 bits, RFC 6749 §10.10
	idRandom   = 10 // 80 bits beside the time: unique, not secret
)

// ordered is base32 whose text sorts as its bytes do.
var ordered = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// strict is the base64 of tokens, in which a text is the only one for its bytes.
var strict = base64.RawURLEncoding.Strict()

// NewID returns a unique identifier of 26 characters that sorts by time. It is
// not a secret.
func NewID(now time.Time) string {
	raw := make([]byte, timeSize+idRandom)
	stamp(raw, now)
	rand.Read(raw[timeSize:])
	return ordered.EncodeToString(raw)
}

// IDBytes returns the 16 bytes of an identifier, or false when s is not one.
func IDBytes(s string) ([]byte, bool) {
	raw, err := ordered.DecodeString(s)
	if err != nil || len(raw) != timeSize+idRandom || ordered.EncodeToString(raw) != s {
		return nil, false
	}
	return raw, true
}

// IDString is the inverse of IDBytes.
func IDString(raw []byte) string { return ordered.EncodeToString(raw) }

// NewToken returns prefix followed by 51 characters: the time and 256 random
// bits.
func NewToken(prefix string, now time.Time) string {
	raw := make([]byte, timeSize+randomSize)
	stamp(raw, now)
	rand.Read(raw[timeSize:])
	return prefix + base64.RawURLEncoding.EncodeToString(raw)
}

// TokenKey returns the key under which a token with this prefix is stored: its
// time and its SHA-256, so that the store never holds the token itself. ok is
// false when token does not have the form that NewToken gives.
func TokenKey(prefix, token string) (key string, ok bool) {
	body, found := strings.CutPrefix(token, prefix)
	if !found || len(body) != base64.RawURLEncoding.EncodedLen(timeSize+randomSize) {
		return "", false
	}
	var raw [timeSize + randomSize]byte
	if n, err := strict.Decode(raw[:], []byte(body)); err != nil || n != len(raw) { // the decoder passes over line breaks
		return "", false
	}
	sum := sha256.Sum256([]byte(token))
	copy(raw[timeSize:], sum[:])
	return string(raw[:]), true
}

// Random returns n random bytes.
func Random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func stamp(raw []byte, now time.Time) {
	var wide [8]byte
	binary.BigEndian.PutUint64(wide[:], uint64(now.UnixMilli()))
	copy(raw[:timeSize], wide[2:])
}
