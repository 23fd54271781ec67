package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// What PostgreSQL counts is what the backend in memory counts, for the same records.
func TestCountIsThatOfMemory(t *testing.T) {
	counted, model := open(t, server.Database(t), place()), memory.New()
	var ops []storage.Op
	for i := range 40 {
		op := storage.Op{
			Action: storage.ActionPut, If: storage.Any(), Value: make([]byte, i),
			Key: storage.Key{Namespace: fmt.Sprint("n", i%2), Kind: fmt.Sprint("k\xff", i%3), ID: fmt.Sprint("\x00", i)},
		}
		if i%4 == 0 {
			op.Index = []storage.Index{{Name: "x", Value: "1"}, {Name: "y", Value: ""}}
		}
		if i%5 > 1 {
			op.Expiry = now.Add(time.Duration(i%5-3) * time.Millisecond) // one before now, one at it, one after
		}
		ops = append(ops, op)
	}
	for _, b := range []storage.Backend{counted, model} {
		if err := b.Apply(t.Context(), storage.Batch{Now: now, Ops: ops}); err != nil {
			t.Fatal(err)
		}
	}
	want, err := model.Count(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := counted.Count(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(storage.Tally{}, "Bytes")); diff != "" {
		t.Errorf("counted (-memory +postgres):\n%s", diff)
	}
	for i := range got {
		if got[i].Bytes < want[i].Bytes || got[i].Bytes > want[i].Bytes+int64(8*(got[i].Live+got[i].Expired)) {
			t.Errorf("%s has %d bytes, memory says %d without the expiries", got[i].Kind, got[i].Bytes, want[i].Bytes)
		}
	}
	if space, err := counted.Space(t.Context()); err != nil || space < 40*100 {
		t.Errorf("the tables take %d bytes: %v", space, err)
	}
}

// A Store on PostgreSQL can be checked, seal by seal.
func TestCheckOfTheStore(t *testing.T) {
	b := open(t, server.Database(t), place())
	s, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n", Secrets: [][]byte{[]byte("fK2p9QxLw7Vn4Rz1Tb6Yc8Hd3Jm5Gs0A")}})
	if err != nil {
		t.Fatal(err)
	}
	type letter struct{ ID string }
	letters := storage.Collect(s, "letter", 1, func(l *letter) storage.Meta { return storage.Meta{ID: l.ID} })
	for i := range 3 {
		if err := letters.Insert(t.Context(), &letter{fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Check(t.Context()); err != nil || n != 3 {
		t.Errorf("%d records are sound: %v", n, err)
	}
	damage := storage.Op{Action: storage.ActionPut, If: storage.Any(), Key: storage.Key{Namespace: "n", Kind: "letter", ID: "1"}, Value: make([]byte, 90)}
	if err := b.Apply(t.Context(), storage.Batch{Now: time.Now(), Ops: []storage.Op{damage}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(t.Context()); err == nil {
		t.Error("a record that was overwritten is sound")
	}
}

// Others sees the connections of other processes, to this schema alone.
func TestOthers(t *testing.T) {
	dsn, here := server.Database(t), place()
	b := open(t, dsn, here)
	others := func(want bool) {
		t.Helper()
		if n, err := b.Others(t.Context()); err != nil || (n > 0) != want {
			t.Errorf("there are %d others: %v", n, err)
		}
	}
	open(t, dsn, place())
	others(false)
	c := open(t, dsn, here)
	others(true)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	others(false)
}

// The connections of b itself are never taken for those of others, however they come and
// go.
func TestOthersWhileConnectionsComeAndGo(t *testing.T) {
	b := open(t, server.Database(t), place())
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = b.Get(ctx, storage.Key{Namespace: "n", Kind: "letter", ID: "1"})
				b.Reconnect()
			}
		})
	}
	for range 30 {
		if n, err := b.Others(t.Context()); err != nil || n > 0 {
			t.Errorf("there are %d others: %v", n, err)
		}
	}
	stop()
	all.Wait()
}
