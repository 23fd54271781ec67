package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/seal"
)

// The envelope is the one record that is not sealed by a data key: it holds the
// data keys and the lookup key, wrapped under the configured secret or under one that a
// key service wraps. Changing these rewraps this record and nothing else.
const (
	envelopeKind = "envelope"
	envelopeID   = "keys"
)

type envelope struct {
	Version int    `json:"version"`
	Wrapped []byte `json:"wrapped"`

	// Service is the ID of the KeyWrapper that wrapped Secret, the secret of Wrapped.
	Service string `json:"service,omitempty"`
	Secret  []byte `json:"secret,omitempty"`
}

type envelopeKeys struct {
	Current uint32            `json:"current"`
	Data    map[uint32][]byte `json:"data"`
	Lookup  []byte            `json:"lookup"`
	Made    time.Time         `json:"made,omitzero"` // the current data key; zero: by an earlier release
}

// keyView is what a Store knows of its keys. It is not changed.
type keyView struct {
	envelope envelope
	keys     envelopeKeys
	ring     *seal.Ring
	revision Revision  // 0: the keys were just made
	secret   []byte    // that opened the envelope
	stale    bool      // it is to be wrapped anew
	read     time.Time // no later than the read
}

// keyTries is how often the envelope is read again because others write it.
const keyTries = 5

// openEnvelope finds or creates the store's keys and, when they were wrapped
// under an earlier secret, wraps them under the current one.
func (s *Store) openEnvelope(ctx context.Context, k *keeping) error {
	if err := checkSecrets(k.secrets); err != nil {
		return err
	}
	s.keeping = k
	return s.changeKeys(ctx, func(*envelopeKeys) bool { return false })
}

func checkSecrets(secrets [][]byte) error {
	for i, secret := range secrets {
		if err := checkSecret(secret); err != nil {
			return fmt.Errorf("storage: secret %d of %d: %w", i+1, len(secrets), err)
		}
	}
	return nil
}

// changeKeys reads the keys, and writes them when they were changed by change, which is
// called anew when others were faster. The first time, as the Store is opened, it also
// makes those of a new store and wraps anew what is not wrapped under what is current;
// later it does not, or replicas that are configured one after the other would take turns.
func (s *Store) changeKeys(ctx context.Context, change func(*envelopeKeys) bool) error {
	for range keyTries {
		now := s.Now()
		record, err := s.readEnvelope(ctx)
		if err != nil {
			return err
		}
		opened := s.view.Load() != nil
		if opened && record.Revision == 0 {
			return fmt.Errorf("%w: the data keys are gone", ErrDamaged)
		}
		v, err := s.openKeys(ctx, record)
		if err != nil {
			return err
		}
		v.read, v.stale = now, v.stale && !opened
		changed := change(&v.keys)
		if v.stale || changed {
			switch err := s.writeEnvelope(ctx, v); {
			case errors.Is(err, ErrConflict):
				continue
			case err != nil:
				return fmt.Errorf("storage: write the data keys: %w", err)
			}
		}
		if v.ring, err = seal.NewRing(v.keys.Current, v.keys.Data); err != nil {
			return err
		}
		if s.lookupKey == nil { // it never changes, and is read without a lock
			s.lookupKey = v.keys.Lookup
		}
		s.setView(v)
		return nil
	}
	return fmt.Errorf("%w: others kept changing the data keys", ErrUnavailable)
}

// setView takes what was read, unless a later reading was faster. One of a time to come is
// none: the clock was ahead then.
func (s *Store) setView(v *keyView) {
	for {
		was := s.view.Load()
		if was != nil && was.read.After(v.read) && !was.read.After(s.Now()) {
			return
		}
		if s.view.CompareAndSwap(was, v) {
			return
		}
	}
}

// loadKeys reads the keys as they are now.
func (s *Store) loadKeys(ctx context.Context) error {
	return s.changeKeys(ctx, func(*envelopeKeys) bool { return false })
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
func (s *Store) secrets(ctx context.Context, fresh bool) ([][]byte, error) {
	if len(s.keeping.secrets) > 0 {
		return s.keeping.secrets, nil
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

// openKeys returns the keys in the record, or new ones when there is no record.
func (s *Store) openKeys(ctx context.Context, record Record) (*keyView, error) {
	v := &keyView{revision: record.Revision}
	if record.Revision == 0 {
		v.stale = true
		v.keys = envelopeKeys{
			Current: 1,
			Data:    map[uint32][]byte{1: opaque.Random(seal.KeySize)},
			Lookup:  opaque.Random(seal.KeySize),
			Made:    s.Now(),
		}
		return v, nil
	}
	if err := json.Unmarshal(record.Value, &v.envelope); err != nil {
		return nil, fmt.Errorf("%w: the data keys: %w", ErrDamaged, err)
	}
	if v.envelope.Version > 1 {
		return nil, fmt.Errorf("%w: the data keys have version %d", ErrNewer, v.envelope.Version)
	}
	var secrets [][]byte
	if id := v.envelope.Service; id != "" {
		secret, err := s.keeping.unwrap(ctx, id, v.envelope.Secret)
		if err != nil {
			return nil, err
		}
		secrets = [][]byte{secret}
		v.stale = s.keeping.service == nil || s.keeping.service.ID() != id
	} else {
		var err error
		if secrets, err = s.secrets(ctx, false); err != nil {
			return nil, err
		}
		v.stale = s.keeping.service != nil
	}
	for i, secret := range secrets {
		plain, err := seal.Unwrap(secret, v.envelope.Wrapped, s.envelopeContext())
		if errors.Is(err, seal.ErrOpen) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("storage: the data keys: %w", err)
		}
		if err := json.Unmarshal(plain, &v.keys); err != nil {
			return nil, fmt.Errorf("%w: the data keys: %w", ErrDamaged, err)
		}
		v.secret, v.stale = secret, v.stale || i > 0
		return v, nil
	}
	if id := v.envelope.Service; id != "" {
		return nil, fmt.Errorf("%w: what the key service %q unwrapped does not open the data keys", ErrDamaged, id)
	}
	return nil, fmt.Errorf("%w: none of the %d secrets opens the data keys; add the secret that this database was made with to Secrets", ErrInvalid, len(secrets))
}

// writeEnvelope writes the keys, over the revision that was read.
func (s *Store) writeEnvelope(ctx context.Context, v *keyView) error {
	e, secret := envelope{Version: 1, Service: v.envelope.Service, Secret: v.envelope.Secret}, v.secret
	switch {
	case !v.stale:
	case s.keeping.service != nil:
		made, wrapped, err := s.keeping.wrap(ctx)
		if err != nil {
			return err
		}
		e.Service, e.Secret, secret = s.keeping.service.ID(), wrapped, made
	default:
		use, err := s.secrets(ctx, v.revision == 0)
		if err != nil {
			return err
		}
		e.Service, e.Secret, secret = "", nil, use[0]
	}
	plain, err := json.Marshal(v.keys)
	if err != nil {
		return err
	}
	if e.Wrapped, err = seal.Wrap(secret, plain, s.envelopeContext()); err != nil {
		return err
	}
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	ops := []Op{{Action: ActionPut, Key: s.key(envelopeKind, envelopeID), If: At(v.revision), Value: value}}
	if v.revision == 0 { // a new store must not begin where a move to this database began meanwhile
		ops = append(ops, Op{Action: ActionCheck, Key: placeKey, If: At(s.placeRead)})
	}
	if err := s.backend.Apply(ctx, Batch{Now: s.Now(), Ops: ops}); err != nil {
		return err
	}
	if e.Service != "" {
		s.keeping.remember(e.Secret, secret)
	}
	return nil
}

func (s *Store) envelopeContext() []byte { return []byte(s.namespace + "\x00" + envelopeKind) }
