package storage

import (
	"context"
	"errors"
	"time"
)

// epoch tells apart the times before and after everything of one person, app or
// session was revoked. An absent one stands at 0, so it must outlive whatever was
// stamped with 0.
type epoch struct {
	ID        string    `json:"id"`
	Count     uint64    `json:"count"` // rises; never one that the holder had before, see Raise
	At        time.Time `json:"at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Epochs reads and raises the epochs that a Stamp depends on.
type Epochs struct {
	store   *Store
	records *Collection[epoch]
	names   generations[naming, string] // of holders, which are asked for again and again
}

// naming is what the name of a holder is made of.
type naming struct{ of, first, second string }

// holder returns who is named by the values. They are parts of n.
func (e *Epochs) holder(n naming, values ...string) Holder {
	name, ok := e.names.get(n)
	if !ok {
		name = e.store.Lookup(n.of, values...)
		e.names.put(n, name)
	}
	return Holder{name}
}

// NewEpochs returns the epochs of a store.
func NewEpochs(s *Store) *Epochs {
	return &Epochs{store: s, records: Collect(s, "epoch", 1, func(e *epoch) Meta {
		return Meta{ID: e.ID, Expiry: e.ExpiresAt}
	})}
}

// Holder names whose epoch is meant.
type Holder struct{ id string }

// OfSubject is everything of a person.
func (e *Epochs) OfSubject(subject string) Holder {
	return e.holder(naming{of: "epoch subject", first: subject}, subject)
}

// OfApp is everything a person allowed one client.
func (e *Epochs) OfApp(subject, clientID string) Holder {
	return e.holder(naming{"epoch app", subject, clientID}, subject, clientID)
}

// OfSession is everything that hangs on one session; an empty sessionID has no
// epoch.
func (e *Epochs) OfSession(sessionID string) Holder {
	if sessionID == "" {
		return Holder{}
	}
	return e.holder(naming{of: "epoch session", first: sessionID}, sessionID)
}

// Ref returns the reference of the holder's record, for Store.Load.
func (e *Epochs) Ref(h Holder) Ref { return e.records.Ref(h.id) }

// At returns the epoch of a holder.
func (e *Epochs) At(ctx context.Context, h Holder) (uint64, error) {
	if h.id == "" {
		return 0, nil
	}
	found, err := e.records.Get(ctx, h.id)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return found.Count, nil
}

// Raise revokes everything that was made under the holder's epoch so far. until
// is when the last of it will have ended anyway; the zero time keeps the epoch for
// ever, as is right for a holder that goes on living.
//
// Who loses a race to another Raise writes nothing: that one came after this call
// had begun, so it revoked the same.
func (e *Epochs) Raise(ctx context.Context, h Holder, until time.Time) error {
	if h.id == "" {
		return nil
	}
	return e.store.Do(ctx, func(ctx context.Context) error {
		count, err := e.At(ctx, h)
		if err != nil {
			return err
		}
		began, err := Memo(ctx, e.store, h, func() (uint64, error) { return count, nil })
		if err != nil || count > began {
			return err
		}
		// The time in milliseconds, because an epoch that ended leaves no count to go
		// on from: counting anew would give a later epoch the number of an earlier
		// one, and revive what was stamped with that.
		now := e.store.Now()
		count = max(count+1, uint64(max(0, now.UnixMilli())))
		return e.records.Put(ctx, &epoch{ID: h.id, Count: count, At: now, ExpiresAt: until})
	})
}
