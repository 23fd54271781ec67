package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
)

// FaultKind is one way in which a call of a Backend goes wrong.
type FaultKind uint8

const (
	// Unavailable refuses the call with storage.ErrUnavailable; nothing is done.
	Unavailable FaultKind = iota + 1
	// UnknownWritten carries an Apply out and answers storage.ErrUnknown.
	UnknownWritten
	// UnknownLost carries nothing out and answers storage.ErrUnknown.
	UnknownLost
	// UncertainWritten carries an Apply out and answers with an error that is both
	// storage.ErrUnknown and storage.ErrUnavailable, as after a failed sync.
	UncertainWritten
	// UncertainLost answers as UncertainWritten and carries nothing out.
	UncertainLost
	// Conflict refuses an Apply with storage.ErrConflict; nothing is done.
	Conflict
	// Late lets the call wait until its context ends and answers with that error;
	// nothing is done. A call that can't be cancelled waits for Fault.Wait and is
	// carried out.
	Late
)

// FaultKinds are all of them.
func FaultKinds() []FaultKind {
	return []FaultKind{Unavailable, UnknownWritten, UnknownLost, UncertainWritten, UncertainLost, Conflict, Late}
}

// String names the kind.
func (k FaultKind) String() string {
	names := [...]string{"none", "unavailable", "unknown-written", "unknown-lost", "uncertain-written", "uncertain-lost", "conflict", "late"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("FaultKind(%d)", k)
}

// writesOnly says that the kind is a thing of Apply.
func (k FaultKind) writesOnly() bool { return k != Unavailable && k != Late }

// Fault makes one call go wrong.
type Fault struct {
	Kind FaultKind
	// Call is the number of the call, from 1, counted from Arm. A kind that is a
	// thing of Apply counts calls of Apply alone, the others all calls but Close.
	Call int
	// Wait bounds what Late waits. 0: a second.
	Wait time.Duration
}

// ErrInjected is what every error of a Faulty is, beside being one of package storage.
var ErrInjected = errors.New("storagetest: a fault that the test asked for")

// Faulty is a sound Backend in which single calls go wrong on demand, for tests that
// hold a whole server to its promises: an answer is a success that is stored, or a
// clean failure after which trying again is right.
//
//	f := storagetest.NewFaulty(memory.New())
//	// make a server over f, then for every n:
//	f.Arm(storagetest.Fault{Kind: storagetest.Unavailable, Call: n})
//
// It is safe for concurrent use.
type Faulty struct {
	storage.Backend

	mu     sync.Mutex
	fault  Fault
	calls  int
	writes int
	fired  bool
}

// NewFaulty makes a Faulty over a backend, which works until it is armed.
func NewFaulty(b storage.Backend) *Faulty { return &Faulty{Backend: b} }

// Unwrap implements storage.Decorator.
func (f *Faulty) Unwrap() storage.Backend { return f.Backend }

// Arm sets the fault to come and begins to count anew. It takes the place of an
// earlier one; the zero Fault never comes.
func (f *Faulty) Arm(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.calls, f.writes, f.fired = fault, 0, 0, false
}

// Calls returns how many calls there were since Arm, and how many of them were of
// Apply.
func (f *Faulty) Calls() (all, writes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.writes
}

// Fired says whether the fault has come.
func (f *Faulty) Fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// next counts a call and says what is to happen to it.
func (f *Faulty) next(write bool) (kind FaultKind, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	at := f.calls
	if write {
		f.writes++
	}
	if f.fault.Kind.writesOnly() {
		if !write {
			return 0, 0
		}
		at = f.writes
	}
	if f.fault.Kind == 0 || at != f.fault.Call {
		return 0, 0
	}
	f.fired = true
	wait = f.fault.Wait
	if wait == 0 {
		wait = time.Second
	}
	return f.fault.Kind, wait
}

// refusal is what a call that is not carried out is answered; nil lets it pass.
func refusal(ctx context.Context, kind FaultKind, wait time.Duration) error {
	switch kind {
	case Unavailable:
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, ErrInjected)
	case UnknownLost:
		return fmt.Errorf("%w: %w", storage.ErrUnknown, ErrInjected)
	case UncertainLost:
		return fmt.Errorf("%w: %w: %w", storage.ErrUnknown, storage.ErrUnavailable, ErrInjected)
	case Conflict:
		return fmt.Errorf("%w: %w", storage.ErrConflict, ErrInjected)
	case Late:
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), ErrInjected)
		case <-timer.C:
		}
	}
	return nil
}

// Get implements storage.Backend.
func (f *Faulty) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	kind, wait := f.next(false)
	if err := refusal(ctx, kind, wait); err != nil {
		return nil, err
	}
	return f.Backend.Get(ctx, keys...)
}

// List implements storage.Backend.
func (f *Faulty) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	kind, wait := f.next(false)
	if err := refusal(ctx, kind, wait); err != nil {
		return nil, err
	}
	return f.Backend.List(ctx, q)
}

// Apply implements storage.Backend.
func (f *Faulty) Apply(ctx context.Context, b storage.Batch) error {
	kind, wait := f.next(true)
	if err := refusal(ctx, kind, wait); err != nil {
		return err
	}
	if err := f.Backend.Apply(ctx, b); err != nil {
		return err // it refused the batch, so nothing is unknown
	}
	switch kind {
	case UnknownWritten:
		return fmt.Errorf("%w: %w", storage.ErrUnknown, ErrInjected)
	case UncertainWritten:
		return fmt.Errorf("%w: %w: %w", storage.ErrUnknown, storage.ErrUnavailable, ErrInjected)
	default:
		return nil
	}
}

// Sweep implements storage.Backend.
func (f *Faulty) Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	kind, wait := f.next(false)
	if err := refusal(ctx, kind, wait); err != nil {
		return 0, err
	}
	return f.Backend.Sweep(ctx, now, budget)
}

// LastCommit implements storage.ClockWitness. It is never made to fail, and is the
// zero time when the backend remembers none.
func (f *Faulty) LastCommit(ctx context.Context) (time.Time, error) {
	if witness, ok := storage.As[storage.ClockWitness](f.Backend); ok {
		return witness.LastCommit(ctx)
	}
	return time.Time{}, nil
}

// Secret implements storage.SecretKeeper. It is never made to fail, unless the
// backend keeps no secret.
func (f *Faulty) Secret(ctx context.Context, create bool) ([]byte, error) {
	if keeper, ok := storage.As[storage.SecretKeeper](f.Backend); ok {
		return keeper.Secret(ctx, create)
	}
	return nil, fmt.Errorf("%w: storagetest: the backend keeps no secret", storage.ErrInvalid)
}
