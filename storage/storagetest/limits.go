package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

func limitCases() []testCase {
	return []testCase{
		{"limits/batch", "a malformed batch is ErrInvalid and writes nothing", checkInvalidBatch},
		{"limits/query", "a malformed query is ErrInvalid", checkInvalidQuery},
		{"limits/large", "a batch of the largest size is stored and read back whole", checkLargeValues},
	}
}

func checkInvalidBatch(ctx context.Context, b storage.Backend) error {
	good := put("good", storage.Any(), "v")
	with := func(change func(op *storage.Op)) []storage.Op {
		op := put("bad", storage.Any(), "v")
		change(&op)
		return []storage.Op{good, op}
	}
	many := make([]storage.Op, storage.MaxOps+1)
	for i := range many {
		many[i] = put(fmt.Sprint(i), storage.Any(), "v")
	}
	many[0] = good
	half := strings.Repeat("v", storage.MaxBatchBytes/2)
	for name, ops := range map[string][]storage.Op{
		"no operations":         nil,
		"too many operations":   many,
		"too many bytes":        {good, put("a", storage.Any(), half), put("b", storage.Any(), half)},
		"too large an index":    {good, put("a", storage.Any(), half, entry("x", half))},
		"one key twice":         {good, put("good", storage.Any(), "w")},
		"no condition":          with(func(op *storage.Op) { op.If = storage.Condition{} }),
		"no action":             with(func(op *storage.Op) { op.Action = 0 }),
		"an unknown action":     with(func(op *storage.Op) { op.Action = 99 }),
		"no namespace":          with(func(op *storage.Op) { op.Key.Namespace = "" }),
		"no kind":               with(func(op *storage.Op) { op.Key.Kind = "" }),
		"no ID":                 with(func(op *storage.Op) { op.Key.ID = "" }),
		"a zero in a namespace": with(func(op *storage.Op) { op.Key.Namespace = "a\x00" }),
		"a zero in a kind":      with(func(op *storage.Op) { op.Key.Kind = "a\x00" }),
		"an unnamed index":      with(func(op *storage.Op) { op.Index = []storage.Index{entry("", "v")} }),
	} {
		if err := expect(apply(ctx, b, ops...), storage.ErrInvalid, "a batch with "+name); err != nil {
			return err
		}
		if err := expectList(ctx, b, storage.Query{}, nil, "a malformed batch ("+name+") left a write behind"); err != nil {
			return err
		}
	}
	if err := expect(applyAt(ctx, b, time.Time{}, good), storage.ErrInvalid, "a batch without Now"); err != nil {
		return err
	}
	return expectList(ctx, b, storage.Query{}, nil, "a batch without Now left a write behind")
}

func checkInvalidQuery(ctx context.Context, b storage.Backend) error {
	for name, q := range map[string]storage.Query{
		"no namespace":     {Kind: kind, Limit: 1},
		"no kind":          {Namespace: namespace, Limit: 1},
		"no limit":         {Namespace: namespace, Kind: kind},
		"a negative limit": {Namespace: namespace, Kind: kind, Limit: -1},
		"a large limit":    {Namespace: namespace, Kind: kind, Limit: storage.MaxPage + 1},
	} {
		_, err := b.List(ctx, q)
		if err := expect(err, storage.ErrInvalid, "a query with "+name); err != nil {
			return err
		}
	}
	return nil
}

func checkLargeValues(ctx context.Context, b storage.Backend) error {
	pattern := make([]byte, 251) // a prime, so that no page of a file repeats another
	for i := range pattern {
		pattern[i] = byte(i)
	}
	large := slices.Repeat(pattern, storage.MaxBatchBytes/len(pattern)+1)
	one := put("one", storage.Absent(), "")
	one.Value = large[:storage.MaxBatchBytes-len(namespace)-len(kind)-len("one")]
	batches := [][]storage.Op{{one}, make([]storage.Op, storage.MaxOps)}
	for i := range batches[1] {
		id := fmt.Sprintf("%02d", i)
		op := put(id, storage.Absent(), "")
		op.Value = large[i : i+storage.MaxBatchBytes/storage.MaxOps-len(namespace)-len(kind)-len(id)]
		batches[1][i] = op
	}
	var broken []error
	for _, ops := range batches {
		if err := apply(ctx, b, ops...); err != nil {
			return fmt.Errorf("a batch of %d operations and exactly %d bytes failed: %w", len(ops), storage.MaxBatchBytes, err)
		}
		for _, op := range ops {
			broken = append(broken, expectValue(ctx, b, op.Key.ID, string(op.Value), "a large value"))
		}
	}
	// A large value must shrink and grow again in place.
	for _, value := range []string{"small", string(one.Value)} {
		if err := arrange(ctx, b, put("one", storage.Any(), value)); err != nil {
			return err
		}
		broken = append(broken, expectValue(ctx, b, "one", value, "a large value, replaced"))
	}
	return errors.Join(broken...)
}
