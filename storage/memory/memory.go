// Package memory keeps a store in the memory of one process. It holds the whole
// storage.Backend contract except that nothing outlives the process, which makes
// it the backend of tests and of a first try.
//
//	store, err := storage.Open(ctx, memory.New(), storage.Options{Namespace: issuer})
package memory

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
)

var (
	_ storage.Backend      = (*Backend)(nil)
	_ storage.ClockWitness = (*Backend)(nil)
	_ storage.SecretKeeper = (*Backend)(nil)
)

// secretSize is the length that storage.SecretKeeper promises.
const secretSize = 32

// Backend is a storage.Backend, storage.ClockWitness and storage.SecretKeeper in
// memory. Make one with New. It is safe for concurrent use.
type Backend struct {
	secret [secretSize]byte

	mu         sync.RWMutex
	closed     bool
	table      table
	revision   storage.Revision
	commits    int
	lastCommit time.Time
}

// New returns an empty Backend with a random secret.
func New() *Backend {
	b := &Backend{table: newTable()}
	_, _ = rand.Read(b.secret[:]) // documented never to fail: the process ends instead
	return b
}

// Stats counts what a Backend did.
type Stats struct {
	Commits int // successful calls of Apply
	Records int // records held now, expired ones included
}

// Stats returns the counts, also after Close. Tests use it to hold a request to
// the number of commits it may cost.
func (b *Backend) Stats() Stats {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return Stats{Commits: b.commits, Records: len(b.table.records)}
}

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	found := make([]storage.Record, len(keys))
	for i, key := range keys {
		if r, ok := b.table.records[key]; ok {
			found[i] = copyRecord(r)
		}
	}
	return found, nil
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	return b.table.page(q), nil
}

// Apply implements storage.Backend. The lock can't be given up while waiting, so
// the context is judged once more when it is held.
func (b *Backend) Apply(ctx context.Context, batch storage.Batch) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ready(ctx); err != nil {
		return err
	}
	sums, err := b.table.judge(batch)
	if err != nil {
		return err
	}
	b.revision++
	for i, op := range batch.Ops {
		b.table.carryOut(op, sums[i], batch.Now, b.revision)
	}
	b.commits++
	if batch.Now.After(b.lastCommit) {
		b.lastCommit = batch.Now
	}
	return nil
}

// Sweep implements storage.Backend. It looks at expired records only, soonest
// expiry first.
func (b *Backend) Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	const stride = 64 // deletions between two looks at the time
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ready(ctx); err != nil {
		return 0, err
	}
	start := time.Now()
	for n := 0; ; n++ {
		if n > 0 && n%stride == 0 && (time.Since(start) >= budget || ctx.Err() != nil) {
			return n, ctx.Err()
		}
		if !b.table.removeExpired(now) {
			return n, nil
		}
	}
}

// LastCommit implements storage.ClockWitness.
func (b *Backend) LastCommit(ctx context.Context) (time.Time, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.lastCommit, b.ready(ctx)
}

// Secret implements storage.SecretKeeper. The secret was made by New, so create
// changes nothing.
func (b *Backend) Secret(ctx context.Context, _ bool) ([]byte, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	secret := b.secret
	return secret[:], nil
}

// Close implements storage.Backend. The records are forgotten.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.table = newTable()
	}
	return nil
}

// ready is called with the lock held.
func (b *Backend) ready(ctx context.Context) error {
	if b.closed {
		return fmt.Errorf("%w: the memory store is closed", storage.ErrUnavailable)
	}
	return ctx.Err()
}
