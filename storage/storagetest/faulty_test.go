package storagetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/storagetest"
)

func faultyBatch(now time.Time, id string) (storage.Key, storage.Batch) {
	key := storage.Key{Namespace: "n", Kind: "k", ID: id}
	return key, storage.Batch{Now: now, Ops: []storage.Op{{Action: storage.ActionPut, Key: key, If: storage.Absent(), Value: []byte("v")}}}
}

// Each kind answers what it says and leaves behind what it says, once.
func TestFaulty(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		kind    storagetest.FaultKind
		is, not error
		stored  bool
	}{
		{storagetest.Unavailable, storage.ErrUnavailable, storage.ErrUnknown, false},
		{storagetest.UnknownWritten, storage.ErrUnknown, storage.ErrUnavailable, true},
		{storagetest.UnknownLost, storage.ErrUnknown, storage.ErrUnavailable, false},
		{storagetest.UncertainWritten, storage.ErrUnknown, storage.ErrConflict, true},
		{storagetest.UncertainLost, storage.ErrUnavailable, storage.ErrConflict, false},
		{storagetest.Conflict, storage.ErrConflict, storage.ErrUnavailable, false},
		{storagetest.Late, context.DeadlineExceeded, storage.ErrUnavailable, false},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			f := storagetest.NewFaulty(memory.New())
			defer f.Close()
			f.Arm(storagetest.Fault{Kind: c.kind, Call: 2})
			_, sound := faultyBatch(now, "first")
			if err := f.Apply(t.Context(), sound); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if c.kind != storagetest.Late {
				ctx = t.Context()
			}
			key, batch := faultyBatch(now, "second")
			err := f.Apply(ctx, batch)
			if !errors.Is(err, c.is) || errors.Is(err, c.not) || !errors.Is(err, storagetest.ErrInjected) || !f.Fired() {
				t.Errorf("Apply returned %v, fired %t", err, f.Fired())
			}
			found, err := f.Get(t.Context(), key)
			if err != nil || (found[0].Revision != 0) != c.stored {
				t.Errorf("stored: %v, %v", found, err)
			}
			if _, batch = faultyBatch(now, "third"); f.Apply(t.Context(), batch) != nil {
				t.Error("the fault came twice")
			}
			if all, writes := f.Calls(); all != 4 || writes != 3 {
				t.Errorf("%d calls, %d writes", all, writes)
			}
		})
	}
}

// A call that can't be cancelled is late and carried out; reads are not counted by
// what is a thing of Apply.
func TestFaultyReads(t *testing.T) {
	f := storagetest.NewFaulty(memory.New())
	defer f.Close()
	key, batch := faultyBatch(time.Now(), "one")
	f.Arm(storagetest.Fault{Kind: storagetest.Late, Call: 1, Wait: time.Millisecond})
	if err := f.Apply(context.WithoutCancel(t.Context()), batch); err != nil || !f.Fired() {
		t.Errorf("a late call: %v", err)
	}
	f.Arm(storagetest.Fault{Kind: storagetest.Conflict, Call: 1})
	if _, err := f.Get(t.Context(), key); err != nil || f.Fired() {
		t.Errorf("a read met what is a thing of Apply: %v", err)
	}
	f.Arm(storagetest.Fault{Kind: storagetest.Unavailable, Call: 2})
	_, _ = f.Get(t.Context(), key)
	if _, err := f.Get(t.Context(), key); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Get returned %v", err)
	}
	if _, err := f.List(t.Context(), storage.Query{Namespace: "n", Kind: "k", Limit: 1}); err != nil {
		t.Errorf("List returned %v", err)
	}
	f.Arm(storagetest.Fault{})
	if _, err := f.Sweep(t.Context(), time.Now(), time.Millisecond); err != nil || f.Fired() {
		t.Errorf("Sweep returned %v", err)
	}
}
