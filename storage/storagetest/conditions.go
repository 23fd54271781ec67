package storagetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/doorward/doorward/storage"
)

func conditionCases() []testCase {
	return []testCase{
		{"condition/table", "an operation is carried out only if its condition holds; an expired record counts as absent", checkConditionTable},
		{"condition/delete", "Delete removes the record; deleting an absent one is no error", checkDelete},
		{"condition/check", "Check writes nothing", checkCheckWritesNothing},
	}
}

// checkConditionTable tries every action with every condition on a record that
// is absent, live or expired.
func checkConditionTable(ctx context.Context, b storage.Backend) error {
	type condition struct {
		name  string
		cond  func(at storage.Revision) storage.Condition
		holds map[string]bool
	}
	conditions := []condition{
		{"Any", func(storage.Revision) storage.Condition { return storage.Any() }, map[string]bool{"absent": true, "live": true, "expired": true}},
		{"Absent", func(storage.Revision) storage.Condition { return storage.Absent() }, map[string]bool{"absent": true, "expired": true}},
		{"At(0)", func(storage.Revision) storage.Condition { return storage.At(0) }, map[string]bool{"absent": true, "expired": true}},
		{"At(its revision)", func(r storage.Revision) storage.Condition { return storage.At(max(r, 1)) }, map[string]bool{"live": true}},
		{"At(another revision)", func(r storage.Revision) storage.Condition { return storage.At(r + 1_000_000) }, nil},
	}
	actions := map[string]func(id string, c storage.Condition) storage.Op{
		"Put":    func(id string, c storage.Condition) storage.Op { return put(id, c, "new") },
		"Delete": remove,
		"Check":  check,
	}
	var broken []error
	for state := range map[string]bool{"absent": true, "live": true, "expired": true} {
		for action, op := range actions {
			for _, c := range conditions {
				id := action + " if " + c.name + " of a record that is " + state
				at, err := arrangeState(ctx, b, id, state)
				if err != nil {
					return err
				}
				var want error
				if !c.holds[state] {
					want = storage.ErrConflict
				}
				err = expect(apply(ctx, b, op(id, c.cond(at))), want, id)
				if err == nil && want != nil {
					err = expectUntouched(ctx, b, id, at)
				}
				broken = append(broken, err)
			}
		}
	}
	return errors.Join(broken...)
}

func arrangeState(ctx context.Context, b storage.Backend, id, state string) (storage.Revision, error) {
	switch state {
	case "live":
		if err := arrange(ctx, b, expiring(put(id, storage.Any(), "old"), now.Add(time.Millisecond))); err != nil {
			return 0, err
		}
	case "expired":
		if err := arrange(ctx, b, expiring(put(id, storage.Any(), "old"), now)); err != nil {
			return 0, err
		}
	}
	r, err := get(ctx, b, id)
	return r.Revision, err
}

func expectUntouched(ctx context.Context, b storage.Backend, id string, at storage.Revision) error {
	r, err := get(ctx, b, id)
	if err == nil && r.Revision != at {
		err = fmt.Errorf("%s: it conflicted, yet the record changed from revision %d to %d", id, at, r.Revision)
	}
	return err
}

func checkDelete(ctx context.Context, b storage.Backend) error {
	if err := arrange(ctx, b, put("a", storage.Absent(), "1")); err != nil {
		return err
	}
	for _, cond := range []storage.Condition{storage.Any(), storage.Any(), storage.Absent()} {
		if err := expect(apply(ctx, b, remove("a", cond)), nil, "a Delete, repeated"); err != nil {
			return err
		}
		if err := expectValue(ctx, b, "a", "", "after Delete"); err != nil {
			return err
		}
	}
	return nil
}

func checkCheckWritesNothing(ctx context.Context, b storage.Backend) error {
	if err := arrange(ctx, b, expiring(put("a", storage.Absent(), "1", entry("x", "1")), now.Add(time.Hour))); err != nil {
		return err
	}
	before, err := get(ctx, b, "a")
	if err != nil {
		return err
	}
	holds, none := check("a", storage.At(before.Revision)), check("none", storage.Absent())
	for _, ops := range [][]storage.Op{{holds, none, put("b", storage.Absent(), "2")}, {holds}, {none}} {
		if err := apply(ctx, b, ops...); err != nil {
			return fmt.Errorf("Checks that hold failed a batch of %d: %w", len(ops), err)
		}
		after, err := get(ctx, b, "a")
		if err != nil {
			return err
		}
		if diff := different(after, before); diff != "" {
			return fmt.Errorf("a Check changed its record: %s", diff)
		}
	}
	return expectValue(ctx, b, "none", "", "after a Check for absence")
}
