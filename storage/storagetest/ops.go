package storagetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/doorward/doorward/storage"
)

// The suite never reads a clock: it says what time it is.
var now = time.Date(2026, 3, 14, 15, 9, 26, 535_000_000, time.UTC)

const (
	namespace = "https://issuer.example"
	kind      = "grant"
)

func key(id string) storage.Key { return storage.Key{Namespace: namespace, Kind: kind, ID: id} }

func put(id string, cond storage.Condition, value string, entries ...storage.Index) storage.Op {
	return storage.Op{Action: storage.ActionPut, Key: key(id), If: cond, Value: []byte(value), Index: entries}
}

func expiring(op storage.Op, at time.Time) storage.Op {
	op.Expiry = at
	return op
}

func remove(id string, cond storage.Condition) storage.Op {
	return storage.Op{Action: storage.ActionDelete, Key: key(id), If: cond}
}

func check(id string, cond storage.Condition) storage.Op {
	return storage.Op{Action: storage.ActionCheck, Key: key(id), If: cond}
}

func add(id string, delta, ceiling int64, expiry time.Time) storage.Op {
	return storage.Op{Action: storage.ActionAdd, Key: key(id), Delta: delta, Ceiling: ceiling, Expiry: expiry}
}

func entry(name, value string) storage.Index { return storage.Index{Name: name, Value: value} }

// apply carries out a batch at the suite's time.
func apply(ctx context.Context, b storage.Backend, ops ...storage.Op) error {
	return applyAt(ctx, b, now, ops...)
}

func applyAt(ctx context.Context, b storage.Backend, at time.Time, ops ...storage.Op) error {
	return b.Apply(ctx, storage.Batch{Now: at, Ops: ops})
}

// arrange writes what a case starts from, in as many batches as it takes.
func arrange(ctx context.Context, b storage.Backend, ops ...storage.Op) error {
	for chunk := range slices.Chunk(ops, storage.MaxOps) {
		if err := apply(ctx, b, chunk...); err != nil {
			return fmt.Errorf("a plain write failed: %w", err)
		}
	}
	return nil
}

// get reads one record.
func get(ctx context.Context, b storage.Backend, id string) (storage.Record, error) {
	found, err := getAll(ctx, b, key(id))
	if err != nil {
		return storage.Record{}, err
	}
	return found[0], nil
}

func getAll(ctx context.Context, b storage.Backend, keys ...storage.Key) ([]storage.Record, error) {
	found, err := b.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("Get failed: %w", err)
	}
	if len(found) != len(keys) {
		return nil, fmt.Errorf("Get of %d keys returned %d records", len(keys), len(found))
	}
	return found, nil
}

// expect says that an outcome is not the one that the contract asks for; a nil
// want asks for success.
func expect(got, want error, doing string) error {
	switch {
	case want == nil && got != nil:
		return fmt.Errorf("%s failed: %w", doing, got)
	case want != nil && got == nil:
		return fmt.Errorf("%s succeeded, want %q", doing, want)
	case !errors.Is(got, want):
		return fmt.Errorf("%s returned %q, want %q", doing, got, want)
	}
	return nil
}

// expectValue says that a record does not hold the value; "" asks for absence.
func expectValue(ctx context.Context, b storage.Backend, id, want, story string) error {
	r, err := get(ctx, b, id)
	if err != nil {
		return err
	}
	if want == "" && r.Revision != 0 {
		return fmt.Errorf("%s: record %q holds %.40q, want it absent", story, id, r.Value)
	}
	if want != "" && (r.Revision == 0 || string(r.Value) != want) {
		return fmt.Errorf("%s: record %q holds %.40q at revision %d, want %.40q", story, id, r.Value, r.Revision, want)
	}
	return nil
}

func expectCount(ctx context.Context, b storage.Backend, id string, want int64, story string) error {
	r, err := get(ctx, b, id)
	if err != nil {
		return err
	}
	if got := storage.Counter(r); got != want {
		return fmt.Errorf("%s: counter %q stands at %d, want %d", story, id, got, want)
	}
	return nil
}

// different describes how two records differ, "" when they do not. Index entries
// are a set.
func different(got, want storage.Record) string {
	switch {
	case got.Key != want.Key:
		return fmt.Sprintf("key %q, want %q", got.Key, want.Key)
	case (got.Revision == 0) != (want.Revision == 0):
		return fmt.Sprintf("revision %d, want %d", got.Revision, want.Revision)
	case want.Revision != 0 && got.Revision != want.Revision:
		return fmt.Sprintf("revision %d, want %d", got.Revision, want.Revision)
	case !got.Expiry.Equal(want.Expiry):
		return fmt.Sprintf("expiry %v, want %v", got.Expiry, want.Expiry)
	case !bytes.Equal(got.Value, want.Value):
		return fmt.Sprintf("value %.40q, want %.40q", got.Value, want.Value)
	case !slices.Equal(entrySet(got.Index), entrySet(want.Index)):
		return fmt.Sprintf("index entries %q, want %q", got.Index, want.Index)
	}
	return ""
}

func entrySet(entries []storage.Index) []storage.Index {
	set := slices.Clone(entries)
	slices.SortFunc(set, func(a, b storage.Index) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
	return slices.Compact(set)
}
