package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/storage"
)

func TestCollectionKeepsWhatItIsGiven(t *testing.T) {
	w := newWorld(t)
	notes := notesOf(w.open(t))
	want := &note{ID: "a", Text: "hello", Owner: "alice", Tags: []string{"x"}, Place: &place{"Wien"}, Expires: w.clock().Add(time.Hour)}
	check(t, notes.Put(t.Context(), want))

	got, err := notes.Get(t.Context(), "a")
	check(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, id := range []string{"", "b"} {
		_, err := notes.Get(t.Context(), id)
		wantErr(t, err, storage.ErrNotFound)
	}
	check(t, notes.Delete(t.Context(), "a"))
	check(t, notes.Delete(t.Context(), "a"))
	_, err = notes.Get(t.Context(), "a")
	wantErr(t, err, storage.ErrNotFound)
	wantErr(t, notes.Put(t.Context(), &note{Text: "no ID"}), storage.ErrInvalid)
}

func TestInsertRefusesAnExistingID(t *testing.T) {
	w := newWorld(t)
	notes := notesOf(w.open(t))
	check(t, notes.Insert(t.Context(), &note{ID: "a", Text: "first"}))
	wantErr(t, notes.Insert(t.Context(), &note{ID: "a", Text: "second"}), storage.ErrUnavailable)
	if got := text(t, notes, "a"); got != "first" {
		t.Errorf("a is %q", got)
	}
}

func TestValuesAreCopies(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	mine := &note{ID: "a", Tags: []string{"kept"}}
	check(t, s.Do(t.Context(), func(ctx context.Context) error {
		check(t, notes.Put(ctx, mine))
		mine.Tags[0] = "changed after the put"
		got, err := notes.Get(ctx, "a")
		check(t, err)
		if got.Tags[0] != "kept" {
			t.Errorf("the unit shares its value with the caller: %q", got.Tags)
		}
		got.Tags[0] = "changed after the get"
		return nil
	}))
	got, err := notes.Get(t.Context(), "a")
	check(t, err)
	if got.Tags[0] != "kept" {
		t.Errorf("stored %q", got.Tags)
	}
}

func TestListPagesInBothDirections(t *testing.T) {
	w := newWorld(t)
	notes := notesOf(w.open(t))
	for i := range 7 {
		owner := "alice"
		if i == 3 {
			owner = "bob"
		}
		check(t, notes.Insert(t.Context(), &note{ID: fmt.Sprint(i), Owner: owner}))
	}
	all := func(index, value string, page storage.Page) (ids string, pages int) {
		for {
			values, next, err := notes.List(t.Context(), index, value, page)
			check(t, err)
			pages++
			for _, v := range values {
				ids += v.ID
			}
			if next == "" {
				return ids, pages
			}
			page.After = next
		}
	}
	for _, c := range []struct {
		index, value string
		page         storage.Page
		want         string
		pages        int
	}{
		{"", "", storage.Page{}, "0123456", 1},
		{"", "", storage.Page{Limit: 3}, "0123456", 3},
		{"", "", storage.Page{Limit: 3, Descending: true}, "6543210", 3},
		{"", "", storage.Page{Limit: 3, After: "4"}, "56", 1},
		{"owner", "alice", storage.Page{Limit: 2}, "012456", 4}, // the last page is full
		{"owner", "bob", storage.Page{}, "3", 1},
		{"owner", "ali", storage.Page{}, "", 1},
		{"none", "alice", storage.Page{}, "", 1},
	} {
		ids, pages := all(c.index, c.value, c.page)
		if ids != c.want || pages != c.pages {
			t.Errorf("%s=%s %+v: %s in %d pages, want %s in %d", c.index, c.value, c.page, ids, pages, c.want, c.pages)
		}
	}
	_, _, err := notes.List(t.Context(), "", "", storage.Page{Limit: storage.MaxPage + 1})
	wantErr(t, err, storage.ErrInvalid)
}

func TestIndexFollowsTheValue(t *testing.T) {
	w := newWorld(t)
	notes := notesOf(w.open(t))
	check(t, notes.Put(t.Context(), &note{ID: "a", Owner: "alice"}))
	check(t, notes.Put(t.Context(), &note{ID: "a", Owner: "bob"}))
	for owner, want := range map[string]int{"alice": 0, "bob": 1} {
		values, _, err := notes.List(t.Context(), "owner", owner, storage.Page{})
		check(t, err)
		if len(values) != want {
			t.Errorf("%s owns %d, want %d", owner, len(values), want)
		}
	}
}

func TestExpiryHidesAtOnceAndFreesTheID(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Insert(t.Context(), &note{ID: "a", Text: "old", Expires: w.clock().Add(time.Minute)}))
	w.advance(time.Minute - time.Millisecond)
	if got := text(t, notes, "a"); got != "old" {
		t.Fatalf("before its end a is %q", got)
	}
	w.advance(time.Millisecond)
	_, err := notes.Get(t.Context(), "a")
	wantErr(t, err, storage.ErrNotFound)
	values, _, err := notes.List(t.Context(), "", "", storage.Page{})
	check(t, err)
	if len(values) != 0 {
		t.Errorf("an expired record is listed")
	}
	applies := w.backend.applies
	check(t, notes.Insert(t.Context(), &note{ID: "a", Text: "new"}))
	if n := w.backend.applies - applies; n != 1 {
		t.Errorf("%d tries, want 1: an expired record counts as absent", n)
	}
	if got := text(t, notes, "a"); got != "new" {
		t.Errorf("a is %q", got)
	}
}

// newerNote is note as a later release might have it.
type newerNote struct {
	ID     string      `json:"id"`
	Text   string      `json:"text"`
	Owner  string      `json:"owner,omitempty"`
	Colour string      `json:"colour"`
	Place  *newerPlace `json:"place,omitempty"`
}

type newerPlace struct {
	Town    string `json:"town,omitempty"`
	Country string `json:"country"`
}

func TestFieldsOfANewerReleaseAreKept(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	older := notesOf(s)
	newer := storage.Collect(s, "note", 2, func(n *newerNote) storage.Meta { return storage.Meta{ID: n.ID} })
	check(t, newer.Put(t.Context(), &newerNote{
		ID: "a", Text: "1", Owner: "alice", Colour: "blue", Place: &newerPlace{Town: "Wien", Country: "AT"},
	}))

	n, err := older.Get(t.Context(), "a")
	check(t, err)
	n.Text, n.Owner, n.Place.Town = "2", "", "Graz"
	check(t, older.Put(t.Context(), n))

	got, err := newer.Get(t.Context(), "a")
	check(t, err)
	want := &newerNote{ID: "a", Text: "2", Colour: "blue", Place: &newerPlace{Town: "Graz", Country: "AT"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// The schema is kept too, so that the next write of the older one still knows.
	check(t, older.Put(t.Context(), &note{ID: "a", Text: "3"}))
	if got, err = newer.Get(t.Context(), "a"); err != nil || got.Colour != "blue" || got.Place != nil {
		t.Errorf("after two older writes: %+v, %v", got, err)
	}
}

func TestAFormThatCantBeReadIsNewer(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	type changed struct {
		ID   string         `json:"id"`
		Text map[string]int `json:"text"`
	}
	newer := storage.Collect(s, "note", 2, func(n *changed) storage.Meta { return storage.Meta{ID: n.ID} })
	check(t, newer.Put(t.Context(), &changed{ID: "a", Text: map[string]int{"x": 1}}))
	_, err := notesOf(s).Get(t.Context(), "a")
	wantErr(t, err, storage.ErrNewer)
}

func TestValuesAreSealed(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Put(t.Context(), &note{ID: "a", Text: "a telling text"}))
	r := raw(t, w, s.Namespace(), "note", "a")
	if bytes.Contains(r.Value, []byte("telling")) || bytes.Contains(r.Value, []byte(`"text"`)) {
		t.Errorf("the value is readable: %q", r.Value)
	}
	check(t, notes.Put(t.Context(), &note{ID: "a", Text: "a telling text"}))
	if bytes.Equal(r.Value, raw(t, w, s.Namespace(), "note", "a").Value) {
		t.Error("the same value was sealed twice alike")
	}
}

func TestMovedAndChangedRecordsAreDamaged(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	others := storage.Collect(s, "other", 1, func(n *note) storage.Meta { return storage.Meta{ID: n.ID} })
	elsewhere, err := w.tryOpen(t, storage.Options{Namespace: "https://other.example"})
	check(t, err)
	check(t, notes.Put(t.Context(), &note{ID: "a", Text: "mine"}))
	good := raw(t, w, s.Namespace(), "note", "a").Value

	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	reschemed := bytes.Clone(good)
	reschemed[1]++
	overwrite(t, w, storage.Key{Namespace: s.Namespace(), Kind: "note", ID: "b"}, good)
	overwrite(t, w, storage.Key{Namespace: s.Namespace(), Kind: "other", ID: "a"}, good)
	overwrite(t, w, storage.Key{Namespace: elsewhere.Namespace(), Kind: "note", ID: "a"}, good)
	read := map[string]func(context.Context) error{
		"another ID":        func(ctx context.Context) error { _, err := notes.Get(ctx, "b"); return err },
		"another kind":      func(ctx context.Context) error { _, err := others.Get(ctx, "a"); return err },
		"another namespace": func(ctx context.Context) error { _, err := notesOf(elsewhere).Get(ctx, "a"); return err },
		"in a list": func(ctx context.Context) error {
			_, _, err := others.List(ctx, "", "", storage.Page{})
			return err
		},
		"overwritten": func(ctx context.Context) error { return notes.Put(ctx, &note{ID: "b"}) },
	}
	for name, get := range read {
		if err := get(t.Context()); !errors.Is(err, storage.ErrDamaged) || strings.Contains(err.Error(), "mine") {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
	for i, bad := range [][]byte{flipped, reschemed, good[:1], good[:10], {}} {
		overwrite(t, w, storage.Key{Namespace: s.Namespace(), Kind: "note", ID: "a"}, bad)
		_, err := notes.Get(t.Context(), "a")
		if !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("change %d: %v, want ErrDamaged", i, err)
		}
	}
	// Asking again in one unit of work must not turn damage into something else.
	check(t, s.Do(t.Context(), func(ctx context.Context) error {
		for range 2 {
			if err := read["another ID"](ctx); !errors.Is(err, storage.ErrDamaged) {
				t.Errorf("in a unit: %v", err)
			}
		}
		return nil
	}))
}

func TestNamespacesDoNotSeeEachOther(t *testing.T) {
	w := newWorld(t)
	a := w.open(t)
	b, err := w.tryOpen(t, storage.Options{Namespace: "https://other.example"})
	check(t, err)
	check(t, notesOf(a).Put(t.Context(), &note{ID: "x", Owner: "alice"}))
	_, err = notesOf(b).Get(t.Context(), "x")
	wantErr(t, err, storage.ErrNotFound)
	for _, index := range []string{"", "owner"} {
		values, _, err := notesOf(b).List(t.Context(), index, map[string]string{"owner": "alice"}[index], storage.Page{})
		check(t, err)
		if len(values) != 0 {
			t.Errorf("the other namespace lists %d", len(values))
		}
	}
}

// raw reads a record as somebody with the database in hand would.
func raw(t *testing.T, w *world, namespace, kind, id string) storage.Record {
	t.Helper()
	found, err := w.backend.Backend.Get(t.Context(), storage.Key{Namespace: namespace, Kind: kind, ID: id})
	check(t, err)
	if found[0].Revision == 0 {
		t.Fatalf("no %s record %s", kind, id)
	}
	return found[0]
}

func overwrite(t *testing.T, w *world, k storage.Key, value []byte) {
	t.Helper()
	check(t, w.backend.Backend.Apply(t.Context(), storage.Batch{Now: w.clock(), Ops: []storage.Op{
		{Action: storage.ActionPut, Key: k, If: storage.Any(), Value: value},
	}}))
}
