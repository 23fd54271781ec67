package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/doorward/doorward/storage"
)

func batchCases() []testCase {
	return []testCase{
		{"batch/conflict", "a batch that conflicts writes nothing, wherever the failing operation stands", checkConflictWritesNothing},
		{"batch/limit", "a batch that meets a ceiling writes nothing, wherever the Add stands", checkLimitWritesNothing},
		{"batch/all", "a batch that succeeds is carried out whole", checkBatchWhole},
	}
}

// failing returns a batch of every action with the given operation at one place.
func failing(at storage.Revision, place int, fail storage.Op) []storage.Op {
	ops := []storage.Op{
		put("new", storage.Absent(), "batch", entry("x", "new")),
		put("old", storage.At(at), "batch", entry("x", "new")),
		remove("doomed", storage.Any()),
		add("counter", 1, 0, time.Time{}),
		check("none", storage.Absent()),
		put("any", storage.Any(), "batch"),
	}
	return append(ops[:place:place], append([]storage.Op{fail}, ops[place:]...)...)
}

func arrangeBatch(ctx context.Context, b storage.Backend) (storage.Revision, error) {
	err := arrange(ctx, b,
		put("old", storage.Any(), "before", entry("x", "old")),
		put("doomed", storage.Any(), "before", entry("x", "old")),
		put("obstacle", storage.Any(), "before"),
		add("full", 5, 5, time.Time{}),
		add("counter", 7, 0, time.Time{}))
	if err != nil {
		return 0, err
	}
	r, err := get(ctx, b, "old")
	return r.Revision, err
}

// expectNothingWritten compares the store with what arrangeBatch made of it.
func expectNothingWritten(ctx context.Context, b storage.Backend, story string) error {
	var broken []error
	for id, want := range map[string]string{"new": "", "any": "", "old": "before", "doomed": "before", "obstacle": "before"} {
		broken = append(broken, expectValue(ctx, b, id, want, story))
	}
	broken = append(broken, expectCount(ctx, b, "counter", 7, story), expectCount(ctx, b, "full", 5, story))
	for value, want := range map[string]int{"new": 0, "old": 2} {
		found, err := b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Index: "x", Value: value, Limit: 10})
		if err == nil && len(found) != want {
			err = fmt.Errorf("%s: %d records are listed under index value %q, want %d", story, len(found), value, want)
		}
		broken = append(broken, err)
	}
	return errors.Join(broken...)
}

func checkConflictWritesNothing(ctx context.Context, b storage.Backend) error {
	at, err := arrangeBatch(ctx, b)
	if err != nil {
		return err
	}
	fails := map[string]storage.Op{
		"Put if absent":           put("obstacle", storage.Absent(), "batch"),
		"Put at a wrong revision": put("obstacle", storage.At(at+1_000_000), "batch"),
		"Delete of an absent":     remove("missing", storage.At(at)),
		"Check":                   check("obstacle", storage.Absent()),
	}
	for name, fail := range fails {
		for place := range 7 {
			story := fmt.Sprintf("a failed batch left a write behind (%s fails at place %d)", name, place)
			if err := expect(apply(ctx, b, failing(at, place, fail)...), storage.ErrConflict, "a batch with a failing "+name); err != nil {
				return err
			}
			if err := expectNothingWritten(ctx, b, story); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkLimitWritesNothing(ctx context.Context, b storage.Backend) error {
	at, err := arrangeBatch(ctx, b)
	if err != nil {
		return err
	}
	for place := range 7 {
		story := fmt.Sprintf("a batch that met a ceiling left a write behind (the Add stands at place %d)", place)
		ops := failing(at, place, add("full", 1, 5, time.Time{}))
		if err := expect(apply(ctx, b, ops...), storage.ErrLimit, "a batch with an Add over its ceiling"); err != nil {
			return err
		}
		if err := expectNothingWritten(ctx, b, story); err != nil {
			return err
		}
	}
	return nil
}

func checkBatchWhole(ctx context.Context, b storage.Backend) error {
	at, err := arrangeBatch(ctx, b)
	if err != nil {
		return err
	}
	if err := apply(ctx, b, failing(at, 3, check("obstacle", storage.Any()))...); err != nil {
		return fmt.Errorf("a batch whose conditions all hold failed: %w", err)
	}
	const story = "a batch that succeeded was not carried out whole"
	var broken []error
	for id, want := range map[string]string{"new": "batch", "any": "batch", "old": "batch", "doomed": "", "obstacle": "before"} {
		broken = append(broken, expectValue(ctx, b, id, want, story))
	}
	broken = append(broken, expectCount(ctx, b, "counter", 8, story))
	ops := make([]storage.Op, storage.MaxOps)
	for i := range ops {
		ops[i] = put("many "+strconv.Itoa(i), storage.Absent(), "v")
	}
	if err := apply(ctx, b, ops...); err != nil {
		return fmt.Errorf("a batch of %d operations failed: %w", len(ops), err)
	}
	for _, op := range ops {
		broken = append(broken, expectValue(ctx, b, op.Key.ID, "v", story))
	}
	return errors.Join(broken...)
}
