// Package moving moves a store from one database to another while it is used: from a file
// to PostgreSQL, and back.
//
//	backend := moving.New(file)          // the Store is opened on this
//	report, err := backend.Move(ctx, postgres, moving.Options{From: "doorward.db", To: "db.internal", Secrets: secrets})
//
// New costs two uncontended locks a call until somebody moves.
//
// # How
//
// Move copies every record while requests go on, sealed as they are, and notes which keys
// are written meanwhile. It copies those again until few are left, compares both databases
// record by record, and then holds writes back for a moment: reads go on, writes wait. It
// copies the last changes, compares what it has to, marks both databases and sends every
// call to the new one. Nobody who waits sees an error.
//
// Nothing is deleted in the old database; it is marked, and storage.Open refuses it with
// the place that the store was moved to. To go back is another Move.
//
// # What can go wrong
//
// A Move that fails or is killed before its last step has changed nothing for the store.
// Run again, it goes on with what is there: what was copied is compared, not copied anew.
// The last step is one write: that of the old database which says that the store has left.
// The new one is marked whole before, and home after it; if the process dies in between,
// a Move that is run again only finishes.
//
// The new database must be empty, or hold an earlier copy of the same store. What the
// process that moves does not see, it can't copy: a database that other processes write is
// refused as long as they are connected, so stop the other replicas first.
//
// Revisions are those of each database. The ones that a Backend gives out tell which
// database they are of, so a request that read before and writes after the change conflicts
// and is run again, even if the numbers happen to be the same.
package moving

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/storage"
)

// Revisions of a Backend hold the number of its database in their highest bits.
const (
	turnShift = 56
	mostTurns = 1 << 7
)

// Backend is a storage.Backend that stands before another one, which Move replaces. Make
// one with New.
type Backend struct {
	moves sync.Mutex // held by Move

	// current and turn change only while reads and writes are both held for writing.
	reads, writes sync.RWMutex
	current       storage.Backend
	turn          uint64 // how often current was replaced
	closed        bool

	fence   atomic.Pointer[fence]   // nil: writes go on
	changes atomic.Pointer[changes] // nil: nobody needs to know what is written
}

var (
	_ storage.Backend   = (*Backend)(nil)
	_ storage.Decorator = (*Backend)(nil)
)

// New returns a Backend that stands before b, and closes it.
func New(b storage.Backend) *Backend { return &Backend{current: b} }

// Unwrap implements storage.Decorator.
func (b *Backend) Unwrap() storage.Backend {
	b.reads.RLock()
	defer b.reads.RUnlock()
	return b.current
}

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	b.reads.RLock()
	defer b.reads.RUnlock()
	found, err := b.current.Get(ctx, keys...)
	b.stamp(found)
	return found, err
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	b.reads.RLock()
	defer b.reads.RUnlock()
	page, err := b.current.List(ctx, q)
	b.stamp(page)
	return page, err
}

// Apply implements storage.Backend. While the last changes are copied it waits, for the
// time that the Move was given and a little longer; then it is ErrUnavailable.
func (b *Backend) Apply(ctx context.Context, batch storage.Batch) (err error) {
	leave, err := b.admit(ctx)
	if err != nil {
		return err
	}
	defer leave()
	own, err := b.unstamp(batch)
	if err != nil {
		return err
	}
	if c := b.changes.Load(); c != nil {
		outcome := storage.ErrUnknown // of a call that panics
		defer func() { c.note(&batch, outcome) }()
		outcome = b.current.Apply(ctx, own)
		return outcome
	}
	return b.current.Apply(ctx, own)
}

// Sweep implements storage.Backend. During a Move it deletes nothing, since a backend does
// not tell what it swept.
func (b *Backend) Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	if b.changes.Load() != nil {
		return 0, ctx.Err()
	}
	leave, err := b.admit(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if b.changes.Load() != nil {
		return 0, nil
	}
	return b.current.Sweep(ctx, now, budget)
}

// Close implements storage.Backend: it closes the database that the store lives in. A Move
// under way fails.
func (b *Backend) Close() error {
	b.reads.Lock()
	b.closed = true
	current := b.current
	b.reads.Unlock()
	return current.Close()
}

// fence holds writes back.
type fence struct {
	lifted   chan struct{}
	patience time.Duration
}

// admit lets a write in until leave is called.
func (b *Backend) admit(ctx context.Context) (leave func(), err error) {
	for {
		if f := b.fence.Load(); f != nil {
			if err := f.wait(ctx); err != nil {
				return nil, err
			}
		}
		b.writes.RLock()
		if b.fence.Load() == nil {
			return b.writes.RUnlock, nil
		}
		b.writes.RUnlock()
	}
}

func (f *fence) wait(ctx context.Context) error {
	enough := time.NewTimer(f.patience)
	defer enough.Stop()
	select {
	case <-f.lifted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-enough.C:
		return fmt.Errorf("%w: moving: the store is being moved, and that takes longer than it should", storage.ErrUnavailable)
	}
}

// raise holds back all writes that begin from now on.
func (b *Backend) raise(patience time.Duration) (lift func()) {
	f := &fence{lifted: make(chan struct{}), patience: patience}
	b.fence.Store(f)
	return sync.OnceFunc(func() {
		b.fence.Store(nil)
		close(f.lifted)
	})
}

// drain waits until no write is under way that began before a fence.
func (b *Backend) drain(ctx context.Context) error {
	for !b.writes.TryLock() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	b.writes.Unlock()
	return nil
}

// replace sends every call from now on to another database. Nothing may be writing.
func (b *Backend) replace(to storage.Backend) error {
	b.writes.Lock()
	defer b.writes.Unlock()
	b.reads.Lock()
	defer b.reads.Unlock()
	b.current = to
	b.turn++
	if b.closed {
		return to.Close()
	}
	return nil
}

// stamp puts the number of the database into revisions.
func (b *Backend) stamp(records []storage.Record) {
	if b.turn == 0 {
		return
	}
	for i := range records {
		if records[i].Revision != 0 {
			records[i].Revision |= storage.Revision(b.turn << turnShift)
		}
	}
}

// unstamp takes it out of conditions. One that asks for a record of another database fails.
func (b *Backend) unstamp(batch storage.Batch) (storage.Batch, error) {
	if b.turn == 0 {
		return batch, nil
	}
	if err := batch.Validate(); err != nil {
		return batch, err
	}
	own := batch
	own.Ops = make([]storage.Op, len(batch.Ops))
	copy(own.Ops, batch.Ops)
	for i := range own.Ops {
		r, ok := own.Ops[i].If.Required()
		if !ok || r == 0 {
			continue
		}
		if uint64(r)>>turnShift != b.turn {
			return batch, fmt.Errorf("%w: moving: a %s record was read before the store was moved", storage.ErrConflict, own.Ops[i].Key.Kind)
		}
		own.Ops[i].If = storage.At(r & (1<<turnShift - 1))
	}
	return own, nil
}
