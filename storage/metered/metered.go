// Package metered tells a host what every call of a backend cost, for whatever keeps its
// metrics.
//
//	backend := metered.New(file, func(ctx context.Context, c metered.Call) {
//		seconds.WithLabelValues(string(c.Op), string(c.Outcome)).Observe(c.Took.Seconds())
//	})
//
// It sees what passes between the Store and the backend, and none of it is secret: a Call
// holds no key and no value. With package moving, put it inside: moving.New(metered.New(b,
// observe)), and around the destination too.
package metered

import (
	"context"
	"errors"
	"time"

	"github.com/doorward/doorward/storage"
)

// Op names a method of storage.Backend.
type Op string

// The methods that are told of.
const (
	Get   Op = "get"
	List  Op = "list"
	Apply Op = "apply"
	Sweep Op = "sweep"
)

// Outcome is what came of a call, one word for a label.
type Outcome string

// The outcomes. All but Unavailable, Unknown and Failed are in order: a conflict is a race
// that somebody lost, and is run again.
const (
	OK          Outcome = "ok"
	Conflict    Outcome = "conflict"    // storage.ErrConflict
	Limit       Outcome = "limit"       // storage.ErrLimit
	Cancelled   Outcome = "cancelled"   // the caller went away
	Unavailable Outcome = "unavailable" // storage.ErrUnavailable: requests are answered 503
	Unknown     Outcome = "unknown"     // storage.ErrUnknown: perhaps stored
	Invalid     Outcome = "invalid"     // storage.ErrInvalid
	Failed      Outcome = "failed"      // anything else
)

// Call is one call of a backend that has ended.
type Call struct {
	Op      Op
	Took    time.Duration
	Outcome Outcome
	Err     error // nil for OK

	// Records is how many records Get and List found, how many operations Apply was to
	// carry out, or how many records Sweep deleted.
	Records int
	// Bytes are those of the keys, index entries and values that were found or were to be
	// written.
	Bytes int
}

// Backend is a storage.Backend whose calls are told of. Make one with New.
type Backend struct {
	inner   storage.Backend
	observe func(context.Context, Call)
}

var (
	_ storage.Backend   = (*Backend)(nil)
	_ storage.Decorator = (*Backend)(nil)
)

// New returns a Backend before b that calls observe after each of its calls, in the
// goroutine of the caller. observe may be called concurrently, and what it takes the
// request waits for. Closing it closes b.
func New(b storage.Backend, observe func(context.Context, Call)) *Backend {
	return &Backend{inner: b, observe: observe}
}

// Unwrap implements storage.Decorator.
func (b *Backend) Unwrap() storage.Backend { return b.inner }

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	start := time.Now()
	found, err := b.inner.Get(ctx, keys...)
	b.tell(ctx, Get, start, err, found)
	return found, err
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	start := time.Now()
	page, err := b.inner.List(ctx, q)
	b.tell(ctx, List, start, err, page)
	return page, err
}

// Apply implements storage.Backend.
func (b *Backend) Apply(ctx context.Context, batch storage.Batch) error {
	start := time.Now()
	err := b.inner.Apply(ctx, batch)
	c := Call{Op: Apply, Took: time.Since(start), Outcome: OutcomeOf(err), Err: err, Records: len(batch.Ops)}
	for i := range batch.Ops {
		op := &batch.Ops[i]
		c.Bytes += size(op.Key, op.Index, op.Value)
	}
	b.observe(ctx, c)
	return err
}

// Sweep implements storage.Backend.
func (b *Backend) Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	start := time.Now()
	n, err := b.inner.Sweep(ctx, now, budget)
	b.observe(ctx, Call{Op: Sweep, Took: time.Since(start), Outcome: OutcomeOf(err), Err: err, Records: n})
	return n, err
}

// Close implements storage.Backend.
func (b *Backend) Close() error { return b.inner.Close() }

func (b *Backend) tell(ctx context.Context, op Op, start time.Time, err error, records []storage.Record) {
	c := Call{Op: op, Took: time.Since(start), Outcome: OutcomeOf(err), Err: err}
	for i := range records {
		if r := &records[i]; r.Revision != 0 {
			c.Records++
			c.Bytes += size(r.Key, r.Index, r.Value)
		}
	}
	b.observe(ctx, c)
}

func size(k storage.Key, index []storage.Index, value []byte) int {
	n := len(k.Namespace) + len(k.Kind) + len(k.ID) + len(value)
	for _, x := range index {
		n += len(x.Name) + len(x.Value)
	}
	return n
}

// OutcomeOf returns the word for an error of a backend.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, storage.ErrConflict):
		return Conflict
	case errors.Is(err, storage.ErrLimit):
		return Limit
	case errors.Is(err, storage.ErrUnknown): // before ErrUnavailable, which it may be too
		return Unknown
	case errors.Is(err, storage.ErrUnavailable):
		return Unavailable
	case errors.Is(err, storage.ErrInvalid):
		return Invalid
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Cancelled
	default:
		return Failed
	}
}
