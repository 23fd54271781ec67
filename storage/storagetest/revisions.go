package storagetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/doorward/doorward/storage"
)

func revisionCases() []testCase {
	return []testCase{
		{"revision/never reused", "a record that is deleted and written anew gets a revision that no record had before", checkRevisionNotReused},
		{"revision/grows", "a later commit has a higher revision, whatever record it writes", checkRevisionGrows},
		{"revision/under load", "two states of a record never share a revision, also when many write at once", checkRevisionUnderLoad},
	}
}

func checkRevisionNotReused(ctx context.Context, b storage.Backend) error {
	var last storage.Revision
	var first storage.Record
	for round := range 20 {
		if err := arrange(ctx, b, put("a", storage.Absent(), "v")); err != nil {
			return err
		}
		r, err := get(ctx, b, "a")
		if err != nil {
			return err
		}
		if r.Revision <= last {
			return fmt.Errorf("a revision was used again: recreation %d has revision %d after %d", round, r.Revision, last)
		}
		if last = r.Revision; round == 0 {
			first = r
		}
		if err := arrange(ctx, b, remove("a", storage.At(r.Revision))); err != nil {
			return err
		}
	}
	if err := arrange(ctx, b, put("a", storage.Absent(), "new")); err != nil {
		return err
	}
	if err := expect(apply(ctx, b, put("a", storage.At(first.Revision), "stale")), storage.ErrConflict, "a Put at the revision of a record deleted since"); err != nil {
		return err
	}
	return expectValue(ctx, b, "a", "new", "a write by a reader of the deleted record")
}

func checkRevisionGrows(ctx context.Context, b storage.Backend) error {
	var last storage.Revision
	steps := []storage.Op{
		put("m", storage.Absent(), "1"), put("a", storage.Absent(), "1"), put("z", storage.Absent(), "1"),
		put("a", storage.Any(), "1"), add("counter", 1, 0, now.AddDate(1, 0, 0)), add("counter", 1, 0, now),
		put("m", storage.Any(), "1"),
	}
	for i, op := range steps {
		if err := arrange(ctx, b, op); err != nil {
			return err
		}
		r, err := get(ctx, b, op.Key.ID)
		if err != nil {
			return err
		}
		if r.Revision <= last {
			return fmt.Errorf("commit %d of %q has revision %d, the commit before it had %d", i, op.Key.ID, r.Revision, last)
		}
		last = r.Revision
	}
	return nil
}

// checkRevisionUnderLoad lets everybody write their own value, and readers note
// which value they saw at which revision.
func checkRevisionUnderLoad(ctx context.Context, b storage.Backend) error {
	const writers, readers, rounds = 8, 4, 60
	if err := arrange(ctx, b, put("a", storage.Absent(), "start")); err != nil {
		return err
	}
	var mu sync.Mutex
	seen := map[storage.Revision]string{}
	return alongside(writers, rounds, func(i, round int) error {
		op := put("a", storage.Any(), fmt.Sprintf("writer %d, round %d", i, round))
		if round%3 == 2 {
			op = remove("a", storage.Any())
		}
		if err := apply(ctx, b, op); err != nil {
			return fmt.Errorf("an unconditional write failed under load: %w", err)
		}
		return nil
	}, readers, func(int) error {
		r, err := get(ctx, b, "a")
		if err != nil {
			return err
		}
		mu.Lock()
		value, known := seen[r.Revision]
		seen[r.Revision] = string(r.Value)
		mu.Unlock()
		if known && value != string(r.Value) {
			return fmt.Errorf("revision %d was seen with two values: %q and %q", r.Revision, value, r.Value)
		}
		return nil
	})
}
