package engine

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
)

const (
	keyedPrefix  = "hmac:"
	secretPrefix = "dws_" // lets scanners recognise a leaked secret
)

// ClientSecrets makes and checks the secrets of clients. It is safe for concurrent
// use.
type ClientSecrets struct {
	store *storage.Store
	slow  *secrethash.Checker
	// brought says that a slow hash was seen. From then on every failure takes one,
	// so that unknown clients and wrong secrets take the same time; before, all
	// failures are fast alike, and nobody can burn the processor.
	brought atomic.Bool
}

// NewClientSecrets returns the secrets of a store, those that people bring being
// checked by slow.
func NewClientSecrets(s *storage.Store, slow *secrethash.Checker) *ClientSecrets {
	return &ClientSecrets{store: s, slow: slow}
}

// Generate makes a secret of 256 bits and its keyed hash.
func (s *ClientSecrets) Generate(now time.Time) (storage.Secret, storage.ClientSecret) {
	plain := storage.Secret(secretPrefix + base64.RawURLEncoding.EncodeToString(opaque.Random(32)))
	hash := s.Keyed(plain)
	hash.CreatedAt = now
	return plain, hash
}

// Bring hashes a secret that somebody chose, slowly, to be stored.
func (s *ClientSecrets) Bring(plain storage.Secret, now time.Time) (storage.ClientSecret, error) {
	hash, err := s.slow.Hash(context.Background(), string(plain))
	if err != nil {
		return storage.ClientSecret{}, err
	}
	s.brought.Store(true)
	return storage.ClientSecret{Hash: hash, CreatedAt: now}, nil
}

// Expect tells which slow hashes there are before any of them is checked, so that not even
// the first failure shows whether a client exists.
func (s *ClientSecrets) Expect(c *storage.Client) {
	for _, secret := range c.Secrets {
		if !strings.HasPrefix(secret.Hash, keyedPrefix) {
			s.slow.Expect(secret.Hash)
			s.brought.Store(true)
		}
	}
}

// Keyed hashes a secret from the configuration, which lives in memory only.
func (s *ClientSecrets) Keyed(plain storage.Secret) storage.ClientSecret {
	return storage.ClientSecret{Hash: keyedPrefix + s.keyed(plain)}
}

func (s *ClientSecrets) keyed(plain storage.Secret) string {
	return base64.RawURLEncoding.EncodeToString(s.store.MAC("client secret", []byte(plain)))
}

// secretKey names the outcome of a check in the memo of a unit of work.
type secretKey struct{ hash, presented string }

// matches says whether plain is one of the client's secrets that have not ended.
func (s *ClientSecrets) matches(ctx context.Context, c *storage.Client, plain storage.Secret) (bool, error) {
	presented, now := s.keyed(plain), s.store.Now()
	right, slow := false, false
	for _, secret := range c.Secrets {
		if !secret.ExpiresAt.IsZero() && !now.Before(secret.ExpiresAt) {
			continue
		}
		if hash, ok := strings.CutPrefix(secret.Hash, keyedPrefix); ok {
			right = hmac.Equal([]byte(hash), []byte(presented)) || right
			continue
		}
		slow = true
		s.brought.Store(true)
		ok, err := storage.Memo(ctx, s.store, secretKey{secret.Hash, presented}, func() (bool, error) {
			return s.slow.Check(ctx, secret.Hash, string(plain))
		})
		if err != nil {
			return false, err
		}
		right = ok || right
	}
	if right = right && plain != ""; right || slow {
		return right, nil
	}
	return false, s.decoy(ctx, plain)
}

// mismatch does the work of a check that fails, for a client that is unknown or has
// no secret to compare.
func (s *ClientSecrets) mismatch(ctx context.Context, plain storage.Secret) error {
	hmac.Equal([]byte(s.keyed(plain)), []byte(s.keyed("")))
	return s.decoy(ctx, plain)
}

func (s *ClientSecrets) decoy(ctx context.Context, plain storage.Secret) error {
	if !s.brought.Load() {
		return nil
	}
	_, err := storage.Memo(ctx, s.store, secretKey{presented: s.keyed(plain)}, func() (bool, error) {
		return false, s.slow.CheckNone(ctx, string(plain))
	})
	return err
}
