package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/storage"
)

func TestCheckOpensEveryRecord(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	const many = storage.MaxPage + 10 // more than a page
	for i := range many {
		n := &note{ID: fmt.Sprintf("%05d", i), Text: "x"}
		if i == 3 {
			n.Expires = s.Now().Add(time.Minute)
		}
		check(t, notes.Insert(t.Context(), n))
	}
	check(t, s.Count(t.Context(), "tries", "alice", 1, 0, time.Hour))
	w.advance(2 * time.Minute)
	if n, err := s.Check(t.Context()); err != nil || n != many+1 {
		t.Fatalf("Check: %d records, %v; want %d", n, err, many+1)
	}
	tallies, err := w.backend.Count(t.Context(), s.Now())
	check(t, err)
	var counts []string
	for _, tally := range tallies {
		counts = append(counts, fmt.Sprint(tally.Kind, " ", tally.Live, " ", tally.Expired, " ", tally.Bytes > 0))
	}
	if diff := cmp.Diff([]string{"envelope 1 0 true", fmt.Sprint("note ", many-1, " 1 true"), "tries 1 0 true"}, counts); diff != "" {
		t.Errorf("Count (-want +got):\n%s", diff)
	}

	// What belongs to another issuer is that one's to check.
	other, err := w.tryOpen(t, storage.Options{Namespace: "https://other.example"})
	check(t, err)
	check(t, notesOf(other).Insert(t.Context(), &note{ID: "theirs"}))
	if n, err := s.Check(t.Context()); err != nil || n != many+1 {
		t.Errorf("with another issuer: %d records, %v", n, err)
	}
	if n, err := other.Check(t.Context()); err != nil || n != 1 {
		t.Errorf("the other issuer: %d records, %v", n, err)
	}
}

func TestCheckNamesWhatDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	for _, id := range []string{"changed", "moved", "whole", fmt.Sprintf("%05d", 0)} {
		check(t, notesOf(s).Insert(t.Context(), &note{ID: id, Text: "x"}))
	}
	key := func(id string) storage.Key {
		return storage.Key{Namespace: s.Namespace(), Kind: "note", ID: id}
	}
	found, err := w.backend.Get(t.Context(), key("changed"), key("whole"))
	check(t, err)
	spoilt := found[0].Value
	spoilt[len(spoilt)-1] ^= 1
	check(t, w.backend.Apply(t.Context(), storage.Batch{Now: s.Now(), Ops: []storage.Op{
		{Action: storage.ActionPut, Key: key("changed"), If: storage.Any(), Value: spoilt},
		{Action: storage.ActionPut, Key: key("moved"), If: storage.Any(), Value: found[1].Value},
	}}))
	n, err := s.Check(t.Context())
	if n != 4 {
		t.Errorf("%d records were looked at, want 4", n)
	}
	wantErr(t, err, storage.ErrDamaged)
	wantText(t, err, `a note record with the key "changed"`, `a note record with the key "moved"`)
	if got := strings.Split(err.Error(), "\n"); len(got) != 2 {
		t.Errorf("%d findings, want 2: %v", len(got), err)
	}
}

func TestCheckNeedsACensus(t *testing.T) {
	w := newWorld(t)
	s, err := storage.Open(context.Background(), bare{w.backend}, storage.Options{Namespace: "n", Secrets: [][]byte{secret("x")}, Clock: w.clock})
	check(t, err)
	_, err = s.Check(t.Context())
	wantErr(t, err, storage.ErrInvalid)
	wantText(t, err, "can't list what it holds")
}
