package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/seal"
)

const (
	// viewLife is how long a Store seals by what it read of the keys. settled is how long
	// after a new key nobody seals under the one before, with much to spare; only then is
	// a look at all records a proof that a key is not needed any more.
	// A Store that can't read the keys, as while their secret is rotated and it has the
	// old one alone, goes on for viewLimit.
	viewLife  = 10 * time.Minute
	viewLimit = 30 * time.Minute
	settled   = time.Hour

	// resealOps and resealBytes bound one step: what it reads and what it writes.
	resealOps   = MaxOps
	resealBytes = 128 << 10

	// resealPause is what a step leaves to requests, keysLook the time between two looks
	// at keys to which nothing is due.
	resealPause = 50 * time.Millisecond
	keysLook    = time.Hour
)

// DataKeys says how far the rotation of the data keys is.
type DataKeys struct {
	Current int       `json:"current"`         // the number of the key that seals
	Since   time.Time `json:"since,omitzero"`  // it was made; zero: by an earlier release
	Older   int       `json:"older,omitempty"` // keys that records may still be sealed under

	// Looked and Resealed count the records of the pass under way or of the last one, in
	// this process.
	Looked   int `json:"looked,omitempty"`
	Resealed int `json:"resealed,omitempty"`
}

// resealing is the pass over all records that seals them under the current key. It is
// kept in memory: a pass begun anew passes over what is sealed already.
type resealing struct {
	mu sync.Mutex
	pass
}

type pass struct {
	key      uint32 // that the pass is for
	began    time.Time
	ended    bool
	kinds    []string // left to do
	after    string   // in the first of them
	looked   int
	resealed int
	left     int // that could not be sealed anew
}

// DataKeys reads the keys and says how far their rotation is.
func (s *Store) DataKeys(ctx context.Context) (DataKeys, error) {
	if err := s.loadKeys(ctx); err != nil {
		return DataKeys{}, unavailable(err)
	}
	k := &s.view.Load().keys
	s.resealing.mu.Lock()
	defer s.resealing.mu.Unlock()
	return DataKeys{
		Current: int(k.Current), Since: k.Made, Older: len(k.Data) - 1,
		Looked: s.resealing.looked, Resealed: s.resealing.resealed,
	}, nil
}

// RotateDataKey makes a new data key, which seals what is written from now on.
// MaintainDataKeys seals the older records anew. Other replicas need not be told: what
// they find sealed under a key they do not know makes them read the keys anew.
func (s *Store) RotateDataKey(ctx context.Context) error { return unavailable(s.rotate(ctx, 0)) }

// rotate makes a key unless the current one is younger than age.
func (s *Store) rotate(ctx context.Context, age time.Duration) error {
	var made uint32
	err := s.changeKeys(ctx, func(k *envelopeKeys) bool {
		if made = 0; s.Now().Sub(k.Made) < age {
			return false
		}
		made = k.Current + 1
		k.Data[made], k.Current, k.Made = opaque.Random(seal.KeySize), made, s.Now()
		return true
	})
	if err == nil && made != 0 {
		s.log.InfoContext(ctx, "a new data key seals from now on", "key", made)
	}
	return err
}

// MaintainDataKeys does a small step of what is due to the data keys, and returns when to
// call it again: it makes a new key when the current one is older than age, seals a page
// of older records anew, and drops the older keys once nothing is sealed under them. A
// record that somebody else writes meanwhile stays theirs. Several replicas may do it at
// once. The Backend must be a Census for older keys to be dropped.
func (s *Store) MaintainDataKeys(ctx context.Context, age time.Duration) (next time.Duration, err error) {
	r := &s.resealing
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kinds) == 0 || s.aged() {
		if err := s.dueKey(ctx, age); err != nil {
			return keysLook, unavailable(err)
		}
	}
	k := &s.view.Load().keys
	if r.key != k.Current {
		r.pass = pass{key: k.Current}
	}
	due := min(max(age-s.Now().Sub(k.Made), time.Second), keysLook)
	if len(k.Data) == 1 {
		r.kinds = nil
		return due, nil
	}
	if len(r.kinds) == 0 {
		// The first pass is made at once, the next when it can prove something.
		if wait := k.Made.Add(settled).Sub(s.Now()); r.ended && wait > 0 {
			return min(wait, due), nil
		}
		if err := s.beginPass(ctx); err != nil || len(r.kinds) == 0 {
			return keysLook, err
		}
	}
	if err := s.resealPage(ctx); err != nil {
		return keysLook, unavailable(err)
	}
	if len(r.kinds) > 0 {
		return resealPause, nil
	}
	return s.endPass(ctx, k.Made)
}

// dueKey reads the keys and makes a new one when it is time.
func (s *Store) dueKey(ctx context.Context, age time.Duration) error {
	err := s.changeKeys(ctx, func(k *envelopeKeys) bool {
		if !k.Made.IsZero() {
			return false
		}
		k.Made = s.Now() // its age is not known, so it counts from here
		return true
	})
	if err != nil {
		return err
	}
	return s.rotate(ctx, age)
}

// beginPass lists what there is to look at; nothing when the backend can't tell.
func (s *Store) beginPass(ctx context.Context) error {
	census, ok := As[Census](s.backend)
	if !ok {
		return nil
	}
	began := s.Now()
	tallies, err := census.Count(ctx, began)
	if err != nil {
		return unavailable(err)
	}
	r := &s.resealing
	r.pass = pass{key: r.key, began: began}
	for _, t := range tallies {
		if t.Namespace == s.namespace && t.Kind != envelopeKind {
			r.kinds = append(r.kinds, t.Kind)
		}
	}
	if len(r.kinds) == 0 {
		r.kinds = []string{envelopeKind} // nothing to do, but to end
	}
	return nil
}

// resealPage looks at one page of records, and seals anew those that older keys seal.
func (s *Store) resealPage(ctx context.Context) error {
	r := &s.resealing
	page, err := s.backend.List(ctx, Query{Namespace: s.namespace, Kind: r.kinds[0], After: r.after, Limit: resealOps})
	if err != nil {
		return err
	}
	var ops []Op
	size := 0
	for i := range page {
		op, due, err := s.resealed(ctx, &page[i])
		switch {
		case errors.Is(err, ErrDamaged), errors.Is(err, ErrNewer):
			r.left++
			s.log.ErrorContext(ctx, "a record does not open, so an older data key is kept for it; check the database", "kind", page[i].Kind)
		case err != nil:
			return err
		case due && page[i].Expired(s.Now()):
			r.left++ // it can't be written any more, and is swept within a day
		case due:
			ops, size = append(ops, op), size+len(op.Value)
		}
		r.looked, r.after = r.looked+1, page[i].ID
		if size > resealBytes {
			break
		}
	}
	if err := s.reseal(ctx, ops); err != nil {
		r.left++ // what is behind r.after is looked at again in the next pass
		return err
	}
	if len(page) < resealOps && (len(page) == 0 || r.after == page[len(page)-1].ID) {
		r.kinds, r.after = r.kinds[1:], ""
	}
	return nil
}

// resealed returns the operation that seals a record anew. due says whether it is.
func (s *Store) resealed(ctx context.Context, record *Record) (op Op, due bool, err error) {
	if unsealed(record) || record.Kind == envelopeKind || record.Revision == 0 {
		return Op{}, false, nil
	}
	if len(record.Value) >= schemaSize {
		if n, ok := seal.Number(record.Value[schemaSize:]); ok && n == s.view.Load().keys.Current {
			return Op{}, false, nil
		}
	}
	schema, plain, err := s.open(ctx, record)
	if err != nil {
		return Op{}, false, err
	}
	return Op{
		Action: ActionPut, Key: record.Key, If: At(record.Revision),
		Value: s.seal(record.Key, schema, plain), Index: record.Index, Expiry: record.Expiry,
	}, true, nil
}

// reseal writes the records at the revisions that were read: all of them, or when
// somebody else has written one meanwhile, those that are as they were, one by one.
func (s *Store) reseal(ctx context.Context, ops []Op) error {
	if len(ops) == 0 {
		return nil
	}
	r := &s.resealing
	err := s.apply(ctx, ops)
	if err == nil {
		r.resealed += len(ops)
		return nil
	}
	if !errors.Is(err, ErrConflict) {
		return err
	}
	for i := range ops {
		switch err := s.apply(ctx, ops[i:i+1]); {
		case err == nil:
			r.resealed++
		case errors.Is(err, ErrConflict):
			r.resealed++ // by who wrote it; a pass that finds nothing left to do tells
		default:
			return err
		}
	}
	return nil
}

// endPass drops the older keys when the pass has proved that nothing needs them: nobody
// sealed under them any more when it began, and it found nothing sealed under them.
func (s *Store) endPass(ctx context.Context, made time.Time) (next time.Duration, err error) {
	r := &s.resealing
	r.ended = true
	s.log.InfoContext(ctx, "the records were looked at for older data keys", "key", r.key, "looked", r.looked, "resealed", r.resealed, "left", r.left)
	switch {
	case r.left > 0:
		return keysLook, nil
	case r.began.Before(made.Add(settled)) || r.resealed > 0:
		return resealPause, nil
	}
	dropped := 0
	err = s.changeKeys(ctx, func(k *envelopeKeys) bool {
		dropped = 0
		if k.Current != r.key {
			return false // another key was made meanwhile: the pass proves nothing for it
		}
		for n := range k.Data {
			if n != k.Current {
				delete(k.Data, n)
				dropped++
			}
		}
		return dropped > 0
	})
	if err != nil {
		return keysLook, unavailable(err)
	}
	if dropped > 0 {
		s.log.InfoContext(ctx, "nothing is sealed under the older data keys any more; they are dropped", "key", r.key, "dropped", dropped)
	}
	return resealPause, nil
}

// aged says that others may have changed the keys since they were read.
func (s *Store) aged() bool { return s.sinceView() > viewLife }

// sinceView is how long ago the keys were read. A clock that was ahead then tells no more
// than that it is far from now.
func (s *Store) sinceView() time.Duration { return s.Now().Sub(s.view.Load().read).Abs() }

// sealedNow lets a batch pass whose values are sealed under the current key, by a reading
// of the keys that is not old; otherwise it is ErrConflict, and the unit of work is run
// again. So nothing is written under a key that somebody is about to drop.
func (s *Store) sealedNow(ctx context.Context, ops []Op) error {
	if s.aged() {
		if err := s.loadKeys(ctx); err != nil && s.sinceView() > viewLimit {
			return unavailable(fmt.Errorf("the data keys can't be read: %w", err))
		}
	}
	current := s.view.Load().keys.Current
	for i := range ops {
		if ops[i].Action != ActionPut || len(ops[i].Value) < schemaSize {
			continue
		}
		if n, ok := seal.Number(ops[i].Value[schemaSize:]); ok && n != current {
			return fmt.Errorf("%w: a %s record was sealed under the data key before", ErrConflict, ops[i].Key.Kind)
		}
	}
	return nil
}
