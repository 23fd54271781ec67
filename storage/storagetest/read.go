package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/doorward/doorward/storage"
)

func readCases() []testCase {
	return []testCase{
		{"get/whole record", "Get returns every part of a record as it was put", checkWholeRecord},
		{"get/order", "Get answers key by key, in the order asked, with the zero Record for an absent one", checkGetOrder},
		{"get/replaced", "a Put replaces value, expiry and index entries whole", checkPutReplaces},
		{"get/snapshot", "one Get is one snapshot", checkGetSnapshot},
	}
}

func checkWholeRecord(ctx context.Context, b storage.Backend) error {
	op := expiring(put("a\x00\xff", storage.Absent(), "v\x00\xff", entry("subject", "s\x00\xff"), entry("subject", "t"), entry("app", "")), now.Add(time.Hour))
	if err := arrange(ctx, b, op, put("empty", storage.Absent(), "")); err != nil {
		return err
	}
	found, err := getAll(ctx, b, op.Key, key("empty"))
	if err != nil {
		return err
	}
	if found[0].Revision == 0 || found[1].Revision == 0 {
		return errors.New("a record that was put is absent")
	}
	want := storage.Record{Key: op.Key, Revision: found[0].Revision, Expiry: op.Expiry, Index: op.Index, Value: op.Value}
	if diff := different(found[0], want); diff != "" {
		return fmt.Errorf("a record came back changed: %s", diff)
	}
	if diff := different(found[1], storage.Record{Key: key("empty"), Revision: found[1].Revision}); diff != "" {
		return fmt.Errorf("a record without value, expiry and index came back changed: %s", diff)
	}
	return nil
}

func checkGetOrder(ctx context.Context, b storage.Backend) error {
	if err := arrange(ctx, b, put("a", storage.Absent(), "1"), put("b", storage.Absent(), "2"), put("c", storage.Absent(), "3")); err != nil {
		return err
	}
	other := key("a")
	other.Kind = "other"
	found, err := getAll(ctx, b, key("c"), key("no"), key("a"), other, key("b"), key("a"))
	if err != nil {
		return err
	}
	for i, want := range []string{"3", "", "1", "", "2", "1"} {
		r := found[i]
		if string(r.Value) != want {
			return fmt.Errorf("Get's answer %d holds %q, want %q: the answers are not in the order of the keys", i, r.Value, want)
		}
		if want == "" && (r.Revision != 0 || r.Key != storage.Key{} || r.Index != nil || !r.Expiry.IsZero()) {
			return fmt.Errorf("an absent record is not the zero Record: %+v", r)
		}
	}
	none, err := getAll(ctx, b)
	if err != nil || len(none) != 0 {
		return fmt.Errorf("Get of no keys returned %d records and error %v", len(none), err)
	}
	return nil
}

func checkPutReplaces(ctx context.Context, b storage.Backend) error {
	first := expiring(put("a", storage.Absent(), "long value", entry("x", "1"), entry("y", "2")), now.Add(time.Hour))
	if err := arrange(ctx, b, first); err != nil {
		return err
	}
	if err := arrange(ctx, b, put("a", storage.Any(), "v", entry("z", "3"))); err != nil {
		return err
	}
	r, err := get(ctx, b, "a")
	if err != nil {
		return err
	}
	want := storage.Record{Key: key("a"), Revision: r.Revision, Index: []storage.Index{entry("z", "3")}, Value: []byte("v")}
	if diff := different(r, want); diff != "" {
		return fmt.Errorf("something of the old record was left after a Put: %s", diff)
	}
	return nil
}

// checkGetSnapshot moves amounts between records while others read: what is
// taken from one and given to another in one batch must never be seen halfway.
func checkGetSnapshot(ctx context.Context, b storage.Backend) error {
	const accounts, sum, writers, readers, rounds = 4, 4 * 100, 4, 4, 150
	keys := make([]storage.Key, accounts)
	for i := range keys {
		id := strconv.Itoa(i)
		keys[i] = key(id)
		if err := arrange(ctx, b, put(id, storage.Absent(), strconv.Itoa(sum/accounts))); err != nil {
			return err
		}
	}
	total := func() error {
		found, err := getAll(ctx, b, keys...)
		if err != nil {
			return err
		}
		got := 0
		for _, r := range found {
			n, _ := strconv.Atoi(string(r.Value))
			got += n
		}
		if got != sum {
			return fmt.Errorf("Get saw half a batch: a transfer between two records changed the sum from %d to %d", sum, got)
		}
		return nil
	}
	err := alongside(writers, rounds, func(i, round int) error {
		return transfer(ctx, b, keys[(i+round)%accounts], keys[(i+round+1+i%2)%accounts])
	}, readers, func(int) error { return total() })
	return errors.Join(err, total())
}

// transfer moves one unit from one record to another at the revisions read; a
// conflict means that another writer was faster, and nothing moves.
func transfer(ctx context.Context, b storage.Backend, from, to storage.Key) error {
	found, err := getAll(ctx, b, from, to)
	if err != nil {
		return err
	}
	less, _ := strconv.Atoi(string(found[0].Value))
	more, _ := strconv.Atoi(string(found[1].Value))
	err = apply(ctx, b,
		put(from.ID, storage.At(found[0].Revision), strconv.Itoa(less-1)),
		put(to.ID, storage.At(found[1].Revision), strconv.Itoa(more+1)))
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("a transfer failed: %w", err)
	}
	return nil
}
