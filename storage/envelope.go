package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/seal"
)

// The envelope is the one record that is not sealed by a data key: it holds the
// data keys and the lookup key, wrapped under the configured secret. Changing the
// secret rewraps this record and nothing else.
const (
	envelopeKind = "envelope"
	envelopeID   = "keys"
)

type envelope struct {
	Version int    `json:"version"`
	Wrapped []byte `json:"wrapped"`
}

type envelopeKeys struct {
	Current uint32            `json:"current"`
	Data    map[uint32][]byte `json:"data"`
	Lookup  []byte            `json:"lookup"`
}

// openEnvelope finds or creates the store's keys and, when they were wrapped
// under an earlier secret, wraps them under the current one.
func (s *Store) openEnvelope(ctx context.Context, secrets [][]byte) error {
	for i, secret := range secrets {
		if err := checkSecret(secret); err != nil {
			return fmt.Errorf("storage: secret %d of %d: %w", i+1, len(secrets), err)
		}
	}
	const tries = 3 // another replica may create or rewrap at the same moment
	for range tries {
		record, err := s.readEnvelope(ctx)
		if err != nil {
			return err
		}
		use, err := s.secrets(ctx, secrets, record.Revision == 0)
		if err != nil {
			return err
		}
		keys, stale, err := s.unwrapEnvelope(record, use)
		if err != nil {
			return err
		}
		if stale {
			switch err := s.writeEnvelope(ctx, keys, use[0], record.Revision); {
			case errors.Is(err, ErrConflict):
				continue
			case err != nil:
				return fmt.Errorf("storage: write the data keys: %w", err)
			}
		}
		s.lookupKey = keys.Lookup
		s.ring, err = seal.NewRing(keys.Current, keys.Data)
		return err
	}
	return fmt.Errorf("%w: others kept changing the data keys", ErrUnavailable)
}

func (s *Store) readEnvelope(ctx context.Context) (Record, error) {
	found, err := s.backend.Get(ctx, s.key(envelopeKind, envelopeID))
	if err != nil {
		return Record{}, fmt.Errorf("storage: read the data keys: %w", err)
	}
	return found[0], nil
}

// secrets returns the configured secrets or the one that the backend keeps. A
// kept secret is created only for a store that has no keys yet: a missing one
// must never be replaced, since everything sealed would be lost.
func (s *Store) secrets(ctx context.Context, configured [][]byte, fresh bool) ([][]byte, error) {
	if len(configured) > 0 {
		return configured, nil
	}
	keeper, ok := As[SecretKeeper](s.backend)
	if !ok {
		return nil, fmt.Errorf("%w: this backend keeps no secret of its own: set Secrets to at least one secret of 32 random bytes", ErrInvalid)
	}
	secret, err := keeper.Secret(ctx, fresh)
	if err != nil {
		return nil, fmt.Errorf("storage: the secret that wraps the data keys: %w", err)
	}
	return [][]byte{secret}, nil
}

// unwrapEnvelope returns the keys in the record, or new ones when there is no
// record. stale says that they must be written under the first secret.
func (s *Store) unwrapEnvelope(record Record, secrets [][]byte) (keys envelopeKeys, stale bool, err error) {
	if record.Revision == 0 {
		keys = envelopeKeys{
			Current: 1,
			Data:    map[uint32][]byte{1: opaque.Random(seal.KeySize)},
			Lookup:  opaque.Random(seal.KeySize),
		}
		return keys, true, nil
	}
	var e envelope
	if err := json.Unmarshal(record.Value, &e); err != nil {
		return keys, false, fmt.Errorf("%w: the data keys: %w", ErrDamaged, err)
	}
	if e.Version > 1 {
		return keys, false, fmt.Errorf("%w: the data keys have version %d", ErrNewer, e.Version)
	}
	for i, secret := range secrets {
		plain, err := seal.Unwrap(secret, e.Wrapped, s.envelopeContext())
		if errors.Is(err, seal.ErrOpen) {
			continue
		}
		if err != nil {
			return keys, false, fmt.Errorf("storage: the data keys: %w", err)
		}
		if err := json.Unmarshal(plain, &keys); err != nil {
			return keys, false, fmt.Errorf("%w: the data keys: %w", ErrDamaged, err)
		}
		return keys, i > 0, nil
	}
	return keys, false, fmt.Errorf("%w: none of the %d secrets opens the data keys; add the secret that this database was made with to Secrets", ErrInvalid, len(secrets))
}

func (s *Store) writeEnvelope(ctx context.Context, keys envelopeKeys, secret []byte, at Revision) error {
	plain, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	wrapped, err := seal.Wrap(secret, plain, s.envelopeContext())
	if err != nil {
		return err
	}
	value, err := json.Marshal(envelope{Version: 1, Wrapped: wrapped})
	if err != nil {
		return err
	}
	ops := []Op{{Action: ActionPut, Key: s.key(envelopeKind, envelopeID), If: At(at), Value: value}}
	if at == 0 { // a new store must not begin where a move to this database began meanwhile
		ops = append(ops, Op{Action: ActionCheck, Key: placeKey, If: At(s.placeRead)})
	}
	return s.backend.Apply(ctx, Batch{Now: s.Now(), Ops: ops})
}

func (s *Store) envelopeContext() []byte { return []byte(s.namespace + "\x00" + envelopeKind) }

func checkSecret(secret []byte) error {
	if len(secret) < seal.KeySize {
		return fmt.Errorf("%w: it has %d bytes, at least %d random ones are needed", ErrInvalid, len(secret), seal.KeySize)
	}
	distinct := map[byte]struct{}{}
	for _, b := range secret {
		distinct[b] = struct{}{}
	}
	if len(distinct) < 8 || bytes.Contains(bytes.ToLower(secret), []byte("change")) || bytes.Contains(bytes.ToLower(secret), []byte("secret")) {
		return fmt.Errorf("%w: it looks like a sample; make one with: openssl rand -base64 32", ErrInvalid)
	}
	return nil
}
