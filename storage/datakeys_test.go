package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

const quarter = 90 * 24 * time.Hour

// keyOf is the number of the data key that a record says it is sealed under.
func keyOf(r storage.Record) int { return int(r.Value[6]) }

// maintain does steps until nothing more is due now.
func maintain(t testing.TB, s *storage.Store) (steps int) {
	t.Helper()
	for {
		next, err := s.MaintainDataKeys(t.Context(), quarter)
		check(t, err)
		if steps++; next > time.Second || steps > 10_000 {
			return steps
		}
	}
}

func dataKeys(t testing.TB, s *storage.Store) storage.DataKeys {
	t.Helper()
	k, err := s.DataKeys(t.Context())
	check(t, err)
	return k
}

func TestDataKeysAreRotated(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	const count = 300
	for i := range count {
		check(t, notes.Put(t.Context(), &note{ID: fmt.Sprintf("n%03d", i), Text: "kept", Owner: "alice", Expires: w.clock().Add(400 * 24 * time.Hour)}))
	}
	check(t, s.Count(t.Context(), "counter", "c", 3, 0, 400*24*time.Hour))
	if n := maintain(t, s); n != 1 {
		t.Errorf("%d steps where nothing is due", n)
	}
	before := raw(t, w, s.Namespace(), "note", "n007")

	w.advance(quarter + time.Second)
	if steps := maintain(t, s); steps < count/64 {
		t.Errorf("all was resealed in %d steps, so they are large", steps)
	}
	if got := dataKeys(t, s); got.Current != 2 || got.Older != 1 || got.Resealed != count || !got.Since.Equal(w.clock()) {
		t.Errorf("after the first pass: %+v", got)
	}
	after := raw(t, w, s.Namespace(), "note", "n007")
	if keyOf(before) != 1 || keyOf(after) != 2 {
		t.Errorf("sealed under %d, then %d", keyOf(before), keyOf(after))
	}
	if !after.Expiry.Equal(before.Expiry) || len(after.Index) != 1 || after.Index[0] != before.Index[0] {
		t.Errorf("resealing changed what is beside the value: %+v, was %+v", after, before)
	}

	w.advance(59 * time.Minute) // a replica that has not heard of the key may still write
	maintain(t, s)
	if got := dataKeys(t, s); got.Older != 1 {
		t.Errorf("the old key was dropped early: %+v", got)
	}
	w.advance(2 * time.Minute)
	maintain(t, s)
	if got := dataKeys(t, s); got.Older != 0 || got.Current != 2 {
		t.Errorf("the old key was not dropped: %+v", got)
	}
	again := w.open(t)
	if n, err := again.Check(t.Context()); err != nil || n != count+1 {
		t.Errorf("checked %d records: %v", n, err)
	}
	page, _, err := notesOf(again).List(t.Context(), "owner", "alice", storage.Page{Limit: 1000})
	if err != nil || len(page) != count {
		t.Errorf("%d are listed, want %d: %v", len(page), count, err)
	}
	if n, err := again.Counted(t.Context(), "counter", "c"); n != 3 || err != nil {
		t.Errorf("the counter stands at %d: %v", n, err)
	}
}

func TestReplicasShareDataKeys(t *testing.T) {
	w := newWorld(t)
	a, b := w.open(t), w.open(t)
	check(t, notesOf(a).Put(t.Context(), &note{ID: "old", Text: "by a"}))
	check(t, a.RotateDataKey(t.Context()))

	check(t, notesOf(a).Put(t.Context(), &note{ID: "new", Text: "by a"}))
	check(t, notesOf(b).Put(t.Context(), &note{ID: "late", Text: "by b"})) // it has not heard of the key
	if n := keyOf(raw(t, w, a.Namespace(), "note", "late")); n != 1 {
		t.Fatalf("b seals under %d before it heard of the new key", n)
	}
	for id, s := range map[string]*storage.Store{"new": b, "late": a, "old": b} {
		if got := text(t, notesOf(s), id); got != "by a" && got != "by b" {
			t.Errorf("%s: %s", id, got)
		}
	}
	check(t, notesOf(b).Put(t.Context(), &note{ID: "later", Text: "by b"}))
	if n := keyOf(raw(t, w, a.Namespace(), "note", "later")); n != 2 {
		t.Errorf("b seals under %d after it heard of the new key", n)
	}
}

// TestNobodySealsUnderADroppedKey is a replica that slept while a key came and went: what
// it had sealed and what it seals then is sealed anew before it is written.
func TestNobodySealsUnderADroppedKey(t *testing.T) {
	w := newWorld(t)
	a, b := w.open(t), w.open(t)
	tries := 0
	err := b.Do(t.Context(), func(ctx context.Context) error {
		if err := notesOf(b).Insert(ctx, &note{ID: fmt.Sprint("slept", tries), Text: "kept"}); err != nil {
			return err
		}
		if tries++; tries == 1 {
			check(t, a.RotateDataKey(t.Context()))
			maintain(t, a)
			w.advance(2 * time.Hour)
			maintain(t, a)
			if got := dataKeys(t, a); got.Older != 0 {
				t.Fatalf("the old key is there: %+v", got)
			}
		}
		return nil
	})
	check(t, err)
	if tries != 2 {
		t.Errorf("the unit of work was run %d times, want again after the key changed", tries)
	}
	if got := text(t, notesOf(a), "slept1"); got != "kept" {
		t.Error(got)
	}
	_, err = a.Check(t.Context())
	check(t, err)
}

func TestResealingLeavesToOthersWhatTheyWrite(t *testing.T) {
	w := newWorld(t)
	s, other := w.open(t), w.open(t)
	for i := range 10 {
		check(t, notesOf(s).Put(t.Context(), &note{ID: fmt.Sprint(i), Text: "old"}))
	}
	check(t, s.RotateDataKey(t.Context()))
	w.backend.onApply = func(_ storage.Batch, next func() error) error {
		w.backend.onApply = nil // between the read of the pass and its write
		check(t, notesOf(other).Put(t.Context(), &note{ID: "3", Text: "new"}))
		check(t, notesOf(other).Delete(t.Context(), "4"))
		return next()
	}
	maintain(t, s)
	for i := range 10 {
		want := map[int]string{3: "new", 4: storage.ErrNotFound.Error()}[i]
		if want == "" {
			want = "old"
		}
		if got := text(t, notesOf(s), fmt.Sprint(i)); got != want {
			t.Errorf("%d is %q, want %q", i, got, want)
		}
	}
}

func TestKeyIsKeptForWhatCanNotBeSealedAnew(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	check(t, notesOf(s).Put(t.Context(), &note{ID: "damaged"}))
	check(t, notesOf(s).Put(t.Context(), &note{ID: "ends", Expires: w.clock().Add(time.Minute)}))
	r := raw(t, w, s.Namespace(), "note", "damaged")
	r.Value[len(r.Value)-1] ^= 1
	overwrite(t, w, r.Key, r.Value)
	check(t, s.RotateDataKey(t.Context()))
	w.advance(2 * time.Hour)
	maintain(t, s)
	if got := dataKeys(t, s); got.Older != 1 {
		t.Errorf("a key was dropped that records are sealed under: %+v", got)
	}
}

func TestKeysThatAreGoneAreNotMadeAnew(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	at := raw(t, w, s.Namespace(), "envelope", "keys")
	check(t, w.backend.Backend.Apply(t.Context(), storage.Batch{Now: w.clock(), Ops: []storage.Op{{Action: storage.ActionDelete, Key: at.Key, If: storage.Any()}}}))
	if err := s.RotateDataKey(t.Context()); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// A clock that ran ahead for a moment, and is right again, must not make a store go on by
// the keys that it read in that moment: what others seal could not be read, and what it
// seals itself would be lost with the key that others drop.
func TestKeysReadByAClockThatWasAheadAreReadAgain(t *testing.T) {
	w := newWorld(t)
	one, two := w.open(t), w.open(t)
	w.advance(24 * time.Hour)
	check(t, notesOf(one).Put(t.Context(), &note{ID: "a", Text: "ahead"})) // its keys are old, so it reads them
	w.advance(-24 * time.Hour)

	check(t, two.RotateDataKey(t.Context()))
	check(t, notesOf(two).Put(t.Context(), &note{ID: "b", Text: "by the new key"}))
	if got := text(t, notesOf(one), "b"); got != "by the new key" {
		t.Errorf("what another store has sealed: %s", got)
	}
	check(t, two.RotateDataKey(t.Context()))
	check(t, notesOf(one).Put(t.Context(), &note{ID: "c", Text: "mine"}))
	w.advance(11 * time.Minute)
	check(t, notesOf(one).Put(t.Context(), &note{ID: "c", Text: "mine again"}))
	if n := keyOf(raw(t, w, one.Namespace(), "note", "c")); n != 3 {
		t.Errorf("ten minutes after key 3 was made it still seals under %d", n)
	}
}
