package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/storage"
)

func counterCases() []testCase {
	return []testCase{
		{"counter/sums", "Add keeps the sum, of negative numbers too, and Put and Delete act on a counter as on any record", checkCounterSums},
		{"counter/ceiling", "an Add that would pass its ceiling is ErrLimit and changes nothing", checkCounterCeiling},
		{"counter/expiry", "a live counter keeps its expiry, an expired one starts anew with the new one", checkCounterExpiry},
		{"counter/ceiling under load", "of many parallel Adds exactly as many succeed as the ceiling allows", checkCeilingUnderLoad},
		{"counter/never conflicts", "Adds never conflict, in whatever order batches name their counters", checkAddNeverConflicts},
	}
}

func checkCounterSums(ctx context.Context, b storage.Backend) error {
	sum := int64(0)
	for _, delta := range []int64{1, 41, -50, 0, 1 << 40, -(1 << 41)} {
		if err := arrange(ctx, b, add("n", delta, 0, time.Time{})); err != nil {
			return err
		}
		sum += delta
		if err := expectCount(ctx, b, "n", sum, "after some Adds"); err != nil {
			return err
		}
	}
	set := put("n", storage.Any(), string(storage.CounterValue(10)))
	if err := arrange(ctx, b, set, add("other", 1, 0, time.Time{})); err != nil {
		return err
	}
	if err := arrange(ctx, b, add("n", 1, 0, time.Time{})); err != nil {
		return err
	}
	if err := expectCount(ctx, b, "n", 11, "an Add to a counter that was Put at 10"); err != nil {
		return err
	}
	if err := arrange(ctx, b, remove("n", storage.Any())); err != nil {
		return err
	}
	if err := arrange(ctx, b, add("n", 1, 0, time.Time{})); err != nil {
		return err
	}
	return expectCount(ctx, b, "n", 1, "an Add to a counter that was deleted")
}

func checkCounterCeiling(ctx context.Context, b storage.Backend) error {
	steps := []struct {
		delta, ceiling int64
		want           error
		stands         int64
	}{
		{6, 5, storage.ErrLimit, 0},
		{4, 5, nil, 4},
		{2, 5, storage.ErrLimit, 4},
		{1, 5, nil, 5},
		{1, 5, storage.ErrLimit, 5},
		{-2, 5, nil, 3},
		{3, 5, storage.ErrLimit, 3},
		{3, 0, nil, 6},
		{1, 7, nil, 7},
	}
	for _, s := range steps {
		doing := fmt.Sprintf("an Add of %d with ceiling %d", s.delta, s.ceiling)
		if err := expect(apply(ctx, b, add("n", s.delta, s.ceiling, time.Time{})), s.want, doing); err != nil {
			return err
		}
		if err := expectCount(ctx, b, "n", s.stands, "after "+doing); err != nil {
			return err
		}
	}
	r, err := get(ctx, b, "n")
	if err != nil {
		return err
	}
	if err := apply(ctx, b, add("n", 1, 7, time.Time{}), check("n2", storage.Any())); !errors.Is(err, storage.ErrLimit) {
		return fmt.Errorf("an Add over its ceiling returned %v, want %q", err, storage.ErrLimit)
	}
	after, err := get(ctx, b, "n")
	if err == nil && after.Revision != r.Revision {
		err = errors.New("an Add over its ceiling wrote its counter anew")
	}
	return err
}

func checkCounterExpiry(ctx context.Context, b storage.Backend) error {
	first, second := now.Add(time.Minute), now.Add(time.Hour)
	steps := []struct {
		story  string
		at     time.Time
		expiry time.Time
		stands int64
		ends   time.Time
	}{
		{"a new counter", now, first, 1, first},
		{"a live counter, a later expiry offered", now, second, 2, first},
		{"a live counter, no expiry offered", first.Add(-time.Millisecond), time.Time{}, 3, first},
		{"a counter at its expiry", first, second, 1, second},
		{"the counter started anew", first, now, 2, second},
		{"an expired counter, no expiry offered", second.Add(time.Second), time.Time{}, 1, time.Time{}},
		{"a counter that never expires", second.AddDate(9, 0, 0), second, 2, time.Time{}},
	}
	for _, s := range steps {
		// The ceiling would be met if an expired count were carried over.
		if err := applyAt(ctx, b, s.at, add("n", 1, 3, s.expiry)); err != nil {
			return fmt.Errorf("Add to %s failed: %w", s.story, err)
		}
		r, err := get(ctx, b, "n")
		if err != nil {
			return err
		}
		if storage.Counter(r) != s.stands || !r.Expiry.Equal(s.ends) {
			return fmt.Errorf("Add to %s left it at %d until %v, want %d until %v", s.story, storage.Counter(r), r.Expiry, s.stands, s.ends)
		}
	}
	return nil
}

func checkCeilingUnderLoad(ctx context.Context, b storage.Backend) error {
	const callers, ceiling, rounds = 64, 20, 5
	for round := range rounds {
		id := fmt.Sprintf("round %d", round)
		var passed atomic.Int64
		err := together(callers, func(int) error {
			err := apply(ctx, b, add(id, 1, ceiling, now.Add(time.Hour)))
			if err == nil {
				passed.Add(1)
			} else if !errors.Is(err, storage.ErrLimit) {
				return fmt.Errorf("an Add under load returned %w, want success or %q", err, storage.ErrLimit)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n := passed.Load(); n != ceiling {
			return fmt.Errorf("%d of %d parallel Adds passed a ceiling of %d", n, callers, ceiling)
		}
		if err := expectCount(ctx, b, id, ceiling, "after parallel Adds"); err != nil {
			return err
		}
	}
	return nil
}

func checkAddNeverConflicts(ctx context.Context, b storage.Backend) error {
	const callers, rounds = 16, 10
	err := together(callers, func(i int) error {
		first, second := "a", "b"
		if i%2 == 1 {
			first, second = second, first
		}
		for range rounds {
			if err := apply(ctx, b, add(first, 1, 0, time.Time{}), add(second, 1, 0, time.Time{})); err != nil {
				return fmt.Errorf("an Add without ceiling failed under load: %w", err)
			}
		}
		return nil
	})
	return errors.Join(err,
		expectCount(ctx, b, "a", callers*rounds, "an Add that succeeded was lost"),
		expectCount(ctx, b, "b", callers*rounds, "an Add that succeeded was lost"))
}
