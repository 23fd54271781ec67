package storagetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/doorward/doorward/storage"
)

func cancelCases() []testCase {
	return []testCase{
		{"cancel/before", "a call whose context has ended does nothing and returns the context's error", checkCancelledBefore},
		{"cancel/amid", "an Apply whose context ends under way is stored if it returned nil, and not stored if it returned the context's error", checkCancelledAmid},
	}
}

func checkCancelledBefore(ctx context.Context, b storage.Backend) error {
	err := arrange(ctx, b, put("a", storage.Absent(), "v"), expiring(put("gone", storage.Absent(), "v"), now))
	if err != nil {
		return err
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	late, cancelLate := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancelLate()
	for _, ended := range []context.Context{cancelled, late} {
		_, getErr := b.Get(ended, key("a"))
		_, listErr := b.List(ended, storage.Query{Namespace: namespace, Kind: kind, Limit: 1})
		_, sweepErr := b.Sweep(ended, now, time.Second)
		for doing, err := range map[string]error{
			"Get": getErr, "List": listErr, "Sweep": sweepErr,
			"Apply": apply(ended, b, put("a", storage.Any(), "w"), add("n", 1, 0, time.Time{})),
		} {
			if err := expect(err, ended.Err(), doing+" with a context that has ended"); err != nil {
				return err
			}
		}
	}
	const story = "a call with a context that has ended was carried out"
	return errors.Join(
		expectValue(ctx, b, "a", "v", story),
		expectValue(ctx, b, "gone", "v", story),
		expectCount(ctx, b, "n", 0, story))
}

// checkCancelledAmid ends contexts at all moments of an Apply, while others write,
// and holds each outcome against the store.
func checkCancelledAmid(ctx context.Context, b storage.Backend) error {
	const callers, rounds = 32, 12
	id := func(i, round int) string { return fmt.Sprintf("%02d/%02d", i, round) }
	outcomes := make([][rounds]error, callers)
	err := together(callers, func(i int) error {
		for round := range rounds {
			patience := time.Duration(i*round) * 10 * time.Microsecond
			limited, cancel := context.WithTimeout(ctx, patience)
			err := apply(limited, b,
				put(id(i, round)+"/a", storage.Absent(), "v", entry("x", id(i, round))),
				put(id(i, round)+"/b", storage.Absent(), "v"))
			cancel()
			outcomes[i][round] = err
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range callers {
		for round, outcome := range outcomes[i] {
			if err := expectOutcome(ctx, b, id(i, round), outcome); err != nil {
				return err
			}
		}
	}
	return nil
}

func expectOutcome(ctx context.Context, b storage.Backend, id string, outcome error) error {
	found, err := getAll(ctx, b, key(id+"/a"), key(id+"/b"))
	if err != nil {
		return err
	}
	listed, err := b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Index: "x", Value: id, Limit: 1})
	if err != nil {
		return err
	}
	first, second, indexed := found[0].Revision != 0, found[1].Revision != 0, len(listed) != 0
	if first != second || first != indexed {
		return fmt.Errorf("a batch whose context ended was stored in part: %t, %t, index entry %t", first, second, indexed)
	}
	switch {
	case errors.Is(outcome, storage.ErrUnknown):
		return nil // the backend could not tell, and says so
	case outcome == nil && !first:
		return errors.New("a batch was acknowledged though its context ended, and is not there")
	case outcome != nil && first:
		return fmt.Errorf("a batch is there though its caller was told %q", outcome)
	case outcome != nil && !errors.Is(outcome, context.DeadlineExceeded) && !errors.Is(outcome, storage.ErrUnavailable):
		return fmt.Errorf("a batch whose context ended returned %w", outcome)
	}
	return nil
}
