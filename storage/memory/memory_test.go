package memory_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/storagetest"
)

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func TestBackend(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Backend { return memory.New() })
}

func record(id string, cond storage.Condition, expiry time.Time) storage.Op {
	return storage.Op{
		Action: storage.ActionPut, Key: storage.Key{Namespace: "n", Kind: "k", ID: id}, If: cond, Expiry: expiry,
		Index: []storage.Index{{Name: "x", Value: "1"}},
	}
}

func TestStatsCountsCommits(t *testing.T) {
	b := memory.New()
	apply := func(ops ...storage.Op) error { return b.Apply(t.Context(), storage.Batch{Now: now, Ops: ops}) }
	if err := apply(record("a", storage.Absent(), now), record("b", storage.Absent(), time.Time{})); err != nil {
		t.Fatal(err)
	}
	if err := apply(record("b", storage.Absent(), now)); !errors.Is(err, storage.ErrConflict) {
		t.Fatalf("a second create returned %v", err)
	}
	if want, got := (memory.Stats{Commits: 1, Records: 2}), b.Stats(); got != want {
		t.Errorf("after one commit and one conflict Stats is %+v, want %+v", got, want)
	}
	if _, err := b.Sweep(t.Context(), now, time.Second); err != nil {
		t.Fatal(err)
	}
	if want, got := (memory.Stats{Commits: 1, Records: 1}), b.Stats(); got != want {
		t.Errorf("after a sweep Stats is %+v, want %+v", got, want)
	}
}

func TestSecretsDiffer(t *testing.T) {
	one, err := memory.New().Secret(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	two, err := memory.New().Secret(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(one, two) {
		t.Error("two backends have the same secret")
	}
}

func TestCounterDoesNotWrapAround(t *testing.T) {
	b := memory.New()
	add := func(id string, delta int64) error {
		op := storage.Op{Action: storage.ActionAdd, Key: storage.Key{Namespace: "n", Kind: "k", ID: id}, Delta: delta}
		return b.Apply(t.Context(), storage.Batch{Now: now, Ops: []storage.Op{op}})
	}
	for id, edge := range map[string]int64{"up": math.MaxInt64, "down": math.MinInt64} {
		if err := add(id, edge); err != nil {
			t.Fatal(err)
		}
		if err := add(id, edge); !errors.Is(err, storage.ErrLimit) {
			t.Errorf("Add past the edge of an int64 (%s) returned %v, want %v", id, err, storage.ErrLimit)
		}
	}
}

// BenchmarkPut writes records in random order beside 100,000 others.
func BenchmarkPut(b *testing.B) {
	store := memory.New()
	random := rand.New(rand.NewPCG(1, 2))
	write := func() {
		op := record(fmt.Sprintf("%016x", random.Uint64()), storage.Absent(), now.Add(time.Duration(random.IntN(1e9))*time.Microsecond))
		if err := store.Apply(b.Context(), storage.Batch{Now: now, Ops: []storage.Op{op}}); err != nil {
			b.Fatal(err)
		}
	}
	for range 100_000 {
		write()
	}
	for b.Loop() {
		write()
	}
}
