package storagetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/storage"
)

func sweepCases() []testCase {
	return []testCase{
		{"sweep/only expired", "Sweep deletes what had expired at its time, index entries too, and nothing else", checkSweepOnlyExpired},
		{"sweep/budget", "each Sweep makes progress within its budget, and returns 0 when none is left", checkSweepBudget},
		{"sweep/renewed", "a record whose expiry was moved or taken away is not swept by its old one", checkSweepRenewed},
		{"sweep/renewed meanwhile", "a record renewed while the sweep runs survives", checkSweepRenewedMeanwhile},
	}
}

// sweepAll sweeps until none is left.
func sweepAll(ctx context.Context, b storage.Backend, at time.Time) (int, error) {
	const most = 10_000
	total := 0
	for range most {
		n, err := b.Sweep(ctx, at, 50*time.Millisecond)
		if err != nil {
			return total, fmt.Errorf("Sweep failed: %w", err)
		}
		if n == 0 {
			return total, nil
		}
		total += n
	}
	return total, fmt.Errorf("Sweep still found something after %d calls", most)
}

func checkSweepOnlyExpired(ctx context.Context, b storage.Backend) error {
	if n, err := b.Sweep(ctx, now, time.Second); n != 0 || err != nil {
		return fmt.Errorf("Sweep of an empty store returned %d and error %v", n, err)
	}
	other := expiring(put("gone", storage.Absent(), "v", entry("x", "1")), now)
	other.Key.Namespace, other.Key.Kind = "other", "other"
	err := arrange(ctx, b, other,
		expiring(put("long gone", storage.Absent(), "v", entry("x", "1")), now.AddDate(-30, 0, 0)),
		expiring(put("just gone", storage.Absent(), "v", entry("x", "1"), entry("x", "2")), now),
		add("count gone", 1, 0, now.Add(-time.Millisecond)),
		expiring(put("live", storage.Absent(), "v", entry("x", "1")), now.Add(time.Millisecond)),
		add("count live", 1, 0, now.AddDate(100, 0, 0)),
		put("for ever", storage.Absent(), "v", entry("x", "1")))
	if err != nil {
		return err
	}
	n, err := sweepAll(ctx, b, now)
	if err != nil {
		return err
	}
	if n != 4 {
		return fmt.Errorf("Sweep says that %d records went, want 4", n)
	}
	found, err := getAll(ctx, b, other.Key)
	if err == nil && found[0].Revision != 0 {
		err = errors.New("Sweep left an expired record of another namespace")
	}
	return errors.Join(err,
		expectList(ctx, b, storage.Query{}, []string{"count live", "for ever", "live"}, "after a sweep"),
		expectList(ctx, b, storage.Query{Index: "x", Value: "1"}, []string{"for ever", "live"}, "after a sweep, an index entry"),
		expectList(ctx, b, storage.Query{Index: "x", Value: "2"}, nil, "after a sweep, an index entry"),
		expectList(ctx, b, storage.Query{Namespace: "other", Kind: "other", Index: "x", Value: "1"}, nil, "after a sweep, an index entry"))
}

func checkSweepBudget(ctx context.Context, b storage.Backend) error {
	const expired = 5000
	ops := []storage.Op{put("stays", storage.Absent(), "v")}
	for i := range expired {
		ops = append(ops, expiring(put(fmt.Sprint(i), storage.Absent(), "v"), now.Add(time.Duration(i-expired)*time.Second)))
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	total := 0
	for calls := 0; ; calls++ {
		n, err := b.Sweep(ctx, now, time.Nanosecond)
		if err != nil {
			return fmt.Errorf("Sweep failed: %w", err)
		}
		if calls == 0 && n == expired {
			return fmt.Errorf("Sweep held the writer for all %d records on a budget of a nanosecond", expired)
		}
		if n == 0 {
			break
		}
		if total += n; total > expired {
			return fmt.Errorf("Sweep says that %d records went though %d had expired", total, expired)
		}
	}
	if total != expired {
		return fmt.Errorf("Sweep returned 0 after %d records though %d had expired", total, expired)
	}
	return expectList(ctx, b, storage.Query{}, []string{"stays"}, "after many sweeps")
}

func checkSweepRenewed(ctx context.Context, b storage.Backend) error {
	var ops, renewals []storage.Op
	var want []string
	for i, expiry := range []time.Time{{}, now.Add(time.Hour), now.AddDate(1, 0, 0)} {
		id := fmt.Sprint(i)
		ops = append(ops, expiring(put(id, storage.Absent(), "v", entry("x", "1")), now.Add(time.Second)))
		renewals = append(renewals, expiring(put(id, storage.Any(), "renewed", entry("x", "1")), expiry))
		want = append(want, id)
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	if err := arrange(ctx, b, renewals...); err != nil {
		return err
	}
	if n, err := sweepAll(ctx, b, now.Add(time.Minute)); n != 0 || err != nil {
		return fmt.Errorf("Sweep deleted %d renewed records, error %v", n, err)
	}
	if err := expectList(ctx, b, storage.Query{Index: "x", Value: "1"}, want, "renewed records after a sweep"); err != nil {
		return err
	}
	// A record made to expire sooner must go by the new time.
	if err := arrange(ctx, b, expiring(put("0", storage.Any(), "v"), now), expiring(put("2", storage.Any(), "v"), now)); err != nil {
		return err
	}
	if n, err := sweepAll(ctx, b, now); n != 2 || err != nil {
		return fmt.Errorf("Sweep deleted %d of 2 records whose expiry was moved forward, error %v", n, err)
	}
	return expectList(ctx, b, storage.Query{}, []string{"1"}, "after the second sweep")
}

// checkSweepRenewedMeanwhile renews expired records one by one while they are
// swept. A renewal that was acknowledged must be there afterwards.
func checkSweepRenewedMeanwhile(ctx context.Context, b storage.Backend) error {
	const rounds, records, renewers = 5, 200, 4
	for round := range rounds {
		id := func(n int) string { return fmt.Sprintf("%d/%d", round, n) }
		var ops []storage.Op
		for n := range records {
			ops = append(ops, expiring(put(id(n), storage.Absent(), "v"), now.Add(-time.Duration(n)*time.Second)))
		}
		if err := arrange(ctx, b, ops...); err != nil {
			return err
		}
		var renewed atomic.Int64
		err := together(1+renewers, func(i int) error {
			if i == 0 {
				for renewed.Load() < renewers {
					if _, err := b.Sweep(ctx, now, time.Nanosecond); err != nil {
						return fmt.Errorf("Sweep failed: %w", err)
					}
					runtime.Gosched()
				}
				return nil
			}
			defer renewed.Add(1)
			for n := i - 1; n < records; n += renewers {
				if err := apply(ctx, b, expiring(put(id(n), storage.Any(), "renewed"), now.Add(time.Hour))); err != nil {
					return fmt.Errorf("a renewal failed: %w", err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for n := range records {
			if err := expectValue(ctx, b, id(n), "renewed", "Sweep deleted a record renewed meanwhile"); err != nil {
				return err
			}
		}
	}
	return nil
}
