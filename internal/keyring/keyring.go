// Package keyring keeps the signing keys of a server: made on first start, kept
// sealed in one record, published before they sign, rotated by schedule, and kept
// for verification until the last token they signed has ended.
package keyring

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/doorward/doorward/storage"
)

// Options are the settings of a Ring.
type Options struct {
	Algorithms []string      // RS256, ES256, EdDSA; one key chain each
	Rotation   time.Duration // how long a key signs
	CacheTime  time.Duration // how long a client may cache the JWKS
	TokenLife  time.Duration // longest life of a token signed
	Logger     *slog.Logger
}

// Ring is the set of signing keys.
type Ring struct{}

var errStub = errors.New("stub")

// Open ...
func Open(ctx context.Context, s *storage.Store, o Options) (*Ring, error) { return nil, errStub }

// Algorithms returns the algorithms that the ring can sign with, the default first.
func (r *Ring) Algorithms() []string { return nil }

// Sign makes a compact JWS.
func (r *Ring) Sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	return "", errStub
}

// Verify checks a compact JWS of ours against every key that is kept, retired ones too.
func (r *Ring) Verify(ctx context.Context, token string) (typ string, payload []byte, err error) {
	return "", nil, errStub
}

// JWKS returns the published key set and how long it may be cached. RFC 7517 §5
func (r *Ring) JWKS(ctx context.Context) (body []byte, cache time.Duration, err error) {
	return nil, 0, errStub
}

// Rotate makes the next keys the active ones at once.
func (r *Ring) Rotate(ctx context.Context) error { return errStub }

// Maintain does what is due: makes next keys, activates, retires, drops. It returns when it wants to be called again.
func (r *Ring) Maintain(ctx context.Context) (next time.Time, err error) {
	return time.Time{}, errStub
}
