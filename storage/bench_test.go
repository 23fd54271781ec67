package storage_test

import (
	"testing"

	"github.com/doorward/doorward/internal/opaque"
)

func BenchmarkDoInsert(b *testing.B) {
	w := newWorld(b)
	notes := notesOf(w.open(b))
	b.ReportAllocs()
	for b.Loop() {
		n := &note{ID: opaque.NewID(w.store.Now()), Text: "one insert", Owner: "alice"}
		if err := notes.Insert(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCollectionGet(b *testing.B) {
	w := newWorld(b)
	notes := notesOf(w.open(b))
	if err := notes.Put(b.Context(), &note{ID: "a", Text: "read me"}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := notes.Get(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	w := newWorld(b)
	s := w.open(b)
	b.ReportAllocs()
	for b.Loop() {
		if s.Lookup("subject", "alice") == "" {
			b.Fatal("empty")
		}
	}
}
