package storagetest

import (
	"context"
	"fmt"
	"time"

	"github.com/doorward/doorward/storage"
)

func copyCases() []testCase {
	return []testCase{
		{"copies/in", "what a caller passes to Apply is not kept: changing it later changes nothing", checkCopiesIn},
		{"copies/out", "what Get and List return belongs to the caller: changing it changes nothing", checkCopiesOut},
	}
}

const sharedStory = "the caller's slice is shared with the store"

func checkCopiesIn(ctx context.Context, b storage.Backend) error {
	value := []byte("value")
	entries := []storage.Index{entry("x", "1")}
	ops := []storage.Op{{Action: storage.ActionPut, Key: key("a"), If: storage.Absent(), Value: value, Index: entries}}
	if err := apply(ctx, b, ops...); err != nil {
		return err
	}
	value[0], entries[0].Value = 'X', "2"
	ops[0].Key.ID, ops[0].Expiry = "b", now
	if err := expectOriginal(ctx, b); err != nil {
		return err
	}
	// The entries that a store remembers are also those it removes later.
	if err := arrange(ctx, b, remove("a", storage.Any())); err != nil {
		return err
	}
	return expectList(ctx, b, storage.Query{Index: "x", Value: "1"}, nil, sharedStory+": a changed index entry was not removed")
}

func checkCopiesOut(ctx context.Context, b storage.Backend) error {
	if err := arrange(ctx, b, put("a", storage.Absent(), "value", entry("x", "1"))); err != nil {
		return err
	}
	reads := map[string]func() ([]storage.Record, error){
		"Get": func() ([]storage.Record, error) { return b.Get(ctx, key("a")) },
		"List": func() ([]storage.Record, error) {
			return b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Limit: 1})
		},
		"List by index": func() ([]storage.Record, error) {
			return b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Index: "x", Value: "1", Limit: 1})
		},
	}
	for name, read := range reads {
		found, err := read()
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%s returned %d records, error %v", name, len(found), err)
		}
		r := found[0]
		for i := range r.Value[:cap(r.Value)] {
			r.Value[:cap(r.Value)][i] = 'X'
		}
		r.Index[0] = entry("y", "2")
		found[0] = storage.Record{Expiry: time.Unix(0, 0)}
		if err := expectOriginal(ctx, b); err != nil {
			return fmt.Errorf("what %s returned: %w", name, err)
		}
	}
	return nil
}

func expectOriginal(ctx context.Context, b storage.Backend) error {
	r, err := get(ctx, b, "a")
	if err != nil {
		return err
	}
	want := storage.Record{Key: key("a"), Revision: max(r.Revision, 1), Value: []byte("value"), Index: []storage.Index{entry("x", "1")}}
	if diff := different(r, want); diff != "" {
		return fmt.Errorf("%s: %s", sharedStory, diff)
	}
	return expectList(ctx, b, storage.Query{Index: "x", Value: "1"}, []string{"a"}, sharedStory)
}
