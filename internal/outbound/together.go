package outbound

import (
	"context"
	"sync"
	"time"
)

// Budget is the time that several fetches share: no more than one alone would have, counted
// from when the first begins. Who names a document that names another which names a third
// would else make somebody wait for each of them. The zero Budget is unspent.
type Budget struct {
	mu  sync.Mutex
	end time.Time // zero until the first of them begins
}

// BudgetKey is the key of the *Budget of a context. Without one each fetch has its own time.
type BudgetKey struct{}

// shared returns when the time is over that the fetches of ctx share, and whether none of
// it was spent yet; ok is false where each has its own.
func shared(ctx context.Context, total time.Duration) (end time.Time, unspent, ok bool) {
	with, ok := ctx.Value(BudgetKey{}).(*Budget)
	if !ok {
		return time.Time{}, true, false
	}
	with.mu.Lock()
	defer with.mu.Unlock()
	if with.end.IsZero() {
		with.end, unspent = time.Now().Add(total), true
	}
	return with.end, unspent, true
}

// within bounds one fetch.
func within(ctx context.Context, total time.Duration) (context.Context, context.CancelFunc) {
	if end, _, ok := shared(ctx, total); ok {
		return context.WithDeadline(ctx, end)
	}
	return context.WithTimeout(ctx, total)
}
