package metered_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/metered"
	"github.com/doorward/doorward/storage/storagetest"
)

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Backend {
		return metered.New(memory.New(), func(context.Context, metered.Call) {})
	})
}

// Every call is told of once, with what came of it.
func TestCalls(t *testing.T) {
	var calls []metered.Call
	b := metered.New(memory.New(), func(_ context.Context, c metered.Call) { calls = append(calls, c) })
	key := storage.Key{Namespace: "n", Kind: "kk", ID: "id1"} // 6 bytes
	put := storage.Op{
		Action: storage.ActionPut, Key: key, If: storage.Absent(), Value: make([]byte, 100),
		Index: []storage.Index{{Name: "x", Value: "12"}}, Expiry: now.Add(time.Second),
	}
	add := storage.Op{Action: storage.ActionAdd, Key: storage.Key{Namespace: "n", Kind: "kk", ID: "sum"}, Delta: 9, Ceiling: 5}
	apply := func(ctx context.Context, ops ...storage.Op) { _ = b.Apply(ctx, storage.Batch{Now: now, Ops: ops}) }
	gone, cancel := context.WithCancel(t.Context())
	cancel()

	apply(t.Context(), put)
	apply(t.Context(), put)
	apply(t.Context(), add)
	apply(t.Context())
	apply(gone, add)
	_, _ = b.Get(t.Context(), key, storage.Key{Namespace: "n", Kind: "kk", ID: "none"})
	_, _ = b.List(t.Context(), storage.Query{Namespace: "n", Kind: "kk", Limit: 9})
	_, _ = b.Sweep(t.Context(), now.Add(time.Hour), time.Second)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = b.Get(t.Context(), key)

	want := []metered.Call{
		{Op: metered.Apply, Outcome: metered.OK, Records: 1, Bytes: 109},
		{Op: metered.Apply, Outcome: metered.Conflict, Records: 1, Bytes: 109},
		{Op: metered.Apply, Outcome: metered.Limit, Records: 1, Bytes: 6},
		{Op: metered.Apply, Outcome: metered.Invalid},
		{Op: metered.Apply, Outcome: metered.Cancelled, Records: 1, Bytes: 6},
		{Op: metered.Get, Outcome: metered.OK, Records: 1, Bytes: 109},
		{Op: metered.List, Outcome: metered.OK, Records: 1, Bytes: 109},
		{Op: metered.Sweep, Outcome: metered.OK, Records: 1},
		{Op: metered.Get, Outcome: metered.Unavailable},
	}
	if diff := cmp.Diff(want, calls, cmpopts.IgnoreFields(metered.Call{}, "Took", "Err")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	for _, c := range calls {
		if c.Took <= 0 || (c.Err == nil) != (c.Outcome == metered.OK) {
			t.Errorf("a call took %v, with %v: %+v", c.Took, c.Err, c)
		}
	}
}

func TestOutcomes(t *testing.T) {
	both := fmt.Errorf("%w: %w", storage.ErrUnknown, storage.ErrUnavailable)
	for err, want := range map[error]metered.Outcome{
		both: metered.Unknown, context.DeadlineExceeded: metered.Cancelled, errors.New("x"): metered.Failed,
	} {
		if got := metered.OutcomeOf(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// The optional interfaces are those of the backend behind, through several layers.
func TestOptionalInterfaces(t *testing.T) {
	quiet := func(context.Context, metered.Call) {}
	b := metered.New(metered.New(memory.New(), quiet), quiet)
	if _, ok := storage.As[storage.Census](b); !ok {
		t.Error("it can't be counted")
	}
	if _, ok := storage.As[storage.Shared](b); ok {
		t.Error("memory is shared")
	}
	if _, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n"}); err != nil {
		t.Errorf("a store that keeps its secret does not open: %v", err)
	}
}

func ExampleNew() {
	var count, bytes int
	b := metered.New(memory.New(), func(_ context.Context, c metered.Call) {
		if c.Op == metered.Apply && c.Outcome == metered.OK {
			count, bytes = count+1, bytes+c.Bytes
		}
	})
	defer b.Close()
	_, err := storage.Open(context.Background(), b, storage.Options{Namespace: "https://id.example"})
	fmt.Println(count, bytes > 100, err)
	// Output: 1 true <nil>
}
