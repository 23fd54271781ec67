package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// sweepBatch is how many records one transaction of a sweep deletes at most: some
// milliseconds of work, for which a batch that writes one of them may have to wait.
const sweepBatch = 200

// Sweep implements storage.Backend. Records that a sweep of another replica or a batch
// holds at the moment are left to it, and do not count as left: two replicas share the
// work and never do the same.
func (b *Backend) Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	start := time.Now()
	total := 0
	for {
		n, err := b.sweepOnce(ctx, now)
		total += n
		b.swept.Add(int64(n))
		if err != nil || n < sweepBatch || time.Since(start) >= budget {
			return total, err
		}
	}
}

// sweepOnce is one transaction. To repeat it after a lost answer does no harm.
func (b *Backend) sweepOnce(ctx context.Context, now time.Time) (n int, err error) {
	var sent time.Time
	err = b.read(ctx, b.sql.sweep, []any{now.UnixMilli(), int32(sweepBatch)}, func() { n, sent = 0, time.Now() },
		func(rows pgx.Rows) error {
			var us int64
			err := rows.Scan(&n, &us)
			if err == nil {
				b.clock.note(sent, time.Now(), us)
			}
			return err
		})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// LastCommit implements storage.ClockWitness. It is exact for the batches of this process
// and short by less than a second for those of others and of earlier ones: one row for all
// replicas would stop them all if every batch wrote it.
func (b *Backend) LastCommit(ctx context.Context) (time.Time, error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer leave()
	var at *int64
	err = b.read(ctx, b.sql.clock, nil, func() { at = nil }, func(rows pgx.Rows) error { return rows.Scan(&at) })
	if err != nil {
		return time.Time{}, err
	}
	ms := b.latest.Load()
	if at != nil && (*at > ms || ms == 0) {
		ms = *at
	}
	if at == nil && ms == 0 {
		return time.Time{}, nil
	}
	return time.UnixMilli(ms).UTC(), nil
}

// witness notes the time of a batch that is stored.
func (b *Backend) witness(now time.Time) {
	ms := now.UnixMilli()
	for {
		seen := b.latest.Load()
		if seen >= ms || b.latest.CompareAndSwap(seen, ms) {
			return
		}
	}
}
