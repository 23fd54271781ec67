// Package seal encrypts and authenticates small values under random data keys,
// and wraps those keys under a secret that is kept elsewhere.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeySize is the length of a data key and the least length of a secret, in bytes.
const KeySize = chacha20poly1305.KeySize

// ErrOpen means that a sealed value was not sealed under this key for this
// context, or was changed since.
var ErrOpen = errors.New("seal: the value does not belong here or was changed")

const (
	version    = 1
	headerSize = 1 + 4 // version, key number
)

// Ring holds the data keys by number. Values are sealed under the current key
// and opened under whichever key their header names. A Ring is not changed after
// NewRing, so it may be shared.
type Ring struct {
	current uint32
	ciphers map[uint32]cipher.AEAD
}

// NewRing makes a Ring of keys, each KeySize bytes long.
func NewRing(current uint32, keys map[uint32][]byte) (*Ring, error) {
	r := &Ring{current: current, ciphers: make(map[uint32]cipher.AEAD, len(keys))}
	for number, key := range keys {
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return nil, fmt.Errorf("seal: data key %d: %w", number, err)
		}
		r.ciphers[number] = aead
	}
	if _, ok := r.ciphers[current]; !ok {
		return nil, fmt.Errorf("seal: the current data key %d is missing", current)
	}
	return r, nil
}

// Seal encrypts plain and appends the result to dst. context is authenticated but not
// stored: the value opens only where the same context is given, so a sealed value can't be
// moved.
func (r *Ring) Seal(dst, plain, context []byte) []byte {
	aead := r.ciphers[r.current]
	dst = slices.Grow(dst, len(plain)+r.Overhead())
	dst = binary.BigEndian.AppendUint32(append(dst, version), r.current)
	nonce := dst[len(dst) : len(dst)+aead.NonceSize()]
	rand.Read(nonce) // never fails, crypto/rand since Go 1.24
	return aead.Seal(dst[:len(dst)+len(nonce)], nonce, plain, context)
}

// Overhead is how much longer a sealed value is than the plain one.
func (r *Ring) Overhead() int {
	aead := r.ciphers[r.current]
	return headerSize + aead.NonceSize() + aead.Overhead()
}

// Current is the number of the key that seals.
func (r *Ring) Current() uint32 { return r.current }

// Has says whether the Ring has a key of this number.
func (r *Ring) Has(number uint32) bool { return r.ciphers[number] != nil }

// Number returns the number of the key that a value says it was sealed under.
func Number(sealed []byte) (number uint32, ok bool) {
	if len(sealed) < headerSize || sealed[0] != version {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:headerSize]), true
}

// Open decrypts what Seal made. The error is ErrOpen.
func (r *Ring) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < headerSize || sealed[0] != version {
		return nil, ErrOpen
	}
	aead, ok := r.ciphers[binary.BigEndian.Uint32(sealed[1:headerSize])]
	if !ok || len(sealed) < headerSize+aead.NonceSize() {
		return nil, ErrOpen
	}
	nonce, box := sealed[headerSize:headerSize+aead.NonceSize()], sealed[headerSize+aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, box, context)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Wrap seals plain under a key derived from secret.
func Wrap(secret, plain, context []byte) ([]byte, error) {
	r, err := wrapping(secret)
	if err != nil {
		return nil, err
	}
	return r.Seal(nil, plain, context), nil
}

// Unwrap opens what Wrap made. The error is ErrOpen when secret is another one.
func Unwrap(secret, wrapped, context []byte) ([]byte, error) {
	r, err := wrapping(secret)
	if err != nil {
		return nil, err
	}
	return r.Open(wrapped, context)
}

func wrapping(secret []byte) (*Ring, error) {
	if len(secret) < KeySize {
		return nil, fmt.Errorf("seal: a secret has at least %d bytes, not %d", KeySize, len(secret))
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "doorward wrapping key v1", KeySize)
	if err != nil {
		return nil, fmt.Errorf("seal: derive the wrapping key: %w", err)
	}
	return NewRing(0, map[uint32][]byte{0: key})
}
