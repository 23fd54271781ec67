package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// TestViewIsAsNewAsGet: what another replica wrote, what was deleted and what has expired
// shows in the next View, though the record was looked at before.
func TestViewIsAsNewAsGet(t *testing.T) {
	w := newWorld(t)
	one, two, _ := w.replicas(t)
	for range 2 { // the second time it is known
		if disabled(t, two.View) {
			t.Fatal("a client that nobody disabled is disabled")
		}
	}
	disable(t, one)
	if !disabled(t, two.View) {
		t.Error("View does not show what another store wrote")
	}
	if err := one.Put(t.Context(), &storage.Client{ID: "web", ExpiresAt: w.clock().Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if disabled(t, two.View) {
		t.Error("View does not show the second change")
	}
	w.advance(time.Minute)
	if _, err := two.View(t.Context(), "web"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("View of what has expired: %v", err)
	}
	disable(t, one)
	if !disabled(t, two.View) {
		t.Error("View does not show what was made anew")
	}
	if err := one.Delete(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if _, err := two.View(t.Context(), "web"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("View of what was deleted: %v", err)
	}
	if seen := two.Seen("web"); seen == nil || !seen.Disabled {
		t.Errorf("the hint is %v, want what was seen last", seen)
	}
}

// TestViewSharesAndGetDoesNot: who gets a value of its own may change it.
func TestViewSharesAndGetDoesNot(t *testing.T) {
	w := newWorld(t)
	one, _, _ := w.replicas(t)
	view := func() *storage.Client {
		c, err := one.View(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if first := view(); first != view() {
		t.Error("the same bytes are decoded twice")
	}
	own, err := one.Get(t.Context(), "web")
	if err != nil || own == view() {
		t.Fatalf("Get returns what others look at, or %v", err)
	}
	own.Disabled = true
	if view().Disabled {
		t.Error("a value of Get is shared with View")
	}
}

// TestViewShowsOwnWrites: a unit of work looks at what it has written itself, which nobody
// else sees before it is durable, nor when it is dropped.
func TestViewShowsOwnWrites(t *testing.T) {
	w := newWorld(t)
	one, two, _ := w.replicas(t)
	if disabled(t, one.View) {
		t.Fatal("disabled from the start")
	}
	refused, store := errors.New("refused"), w.open(t)
	mine := storage.Clients(store)
	err := store.Do(t.Context(), func(ctx context.Context) error {
		c, err := mine.Get(ctx, "web")
		if err != nil {
			return err
		}
		c.Disabled = true
		if err := mine.Put(ctx, c); err != nil {
			return err
		}
		if seen, err := mine.View(ctx, "web"); err != nil || !seen.Disabled {
			t.Errorf("the own write is not seen: %+v, %v", seen, err)
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	for _, c := range []*storage.Collection[storage.Client]{mine, one, two} {
		if disabled(t, c.View) {
			t.Error("a write that was dropped is seen")
		}
	}
}

// TestViewOpensWhatChanged: bytes that somebody changed in the database are not taken for
// those that were opened before, whatever revision they have.
func TestViewOpensWhatChanged(t *testing.T) {
	w := newWorld(t)
	_, two, _ := w.replicas(t)
	if disabled(t, two.View) {
		t.Fatal("disabled from the start")
	}
	w.backend.onGet = func(next func() ([]storage.Record, error)) ([]storage.Record, error) {
		found, err := next()
		for i := range found {
			if n := len(found[i].Value); n > 0 {
				found[i].Value = append([]byte(nil), found[i].Value...)
				found[i].Value[n-1] ^= 1
			}
		}
		return found, err
	}
	if _, err := two.View(t.Context(), "web"); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("View of a damaged record: %v", err)
	}
}

// TestRecentViewIsAsOldAsRecent holds it to the round trips of Recent.
func TestRecentViewIsAsOldAsRecent(t *testing.T) {
	w := newWorld(t)
	one, two, _ := w.replicas(t)
	gets := w.backend.gets
	if disabled(t, two.RecentView) || w.backend.gets != gets {
		t.Errorf("a read shortly after another cost %d round trips", w.backend.gets-gets)
	}
	disable(t, one)
	w.advance(storage.RecentAge)
	if !disabled(t, two.RecentView) {
		t.Error("after RecentAge a change is not seen")
	}
}

// TestSeenIsBounded: what nobody looks at any more is forgotten, what is in use is not.
func TestSeenIsBounded(t *testing.T) {
	w := newWorld(t)
	one, _, _ := w.replicas(t)
	look := func(id string) {
		if _, err := one.View(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	const many = 2500
	for i := range many {
		id := fmt.Sprintf("client-%d", i)
		if err := one.Put(t.Context(), &storage.Client{ID: id}); err != nil {
			t.Fatal(err)
		}
		look(id)
		look("web")
	}
	if one.Seen("client-0") != nil {
		t.Errorf("the first of %d is still known", many)
	}
	if one.Seen("web") == nil || one.Seen(fmt.Sprintf("client-%d", many-1)) == nil {
		t.Error("what is in use was forgotten")
	}
}

// TestFewViewsAreKept looks at many values of a kind of which few are to be kept.
func TestFewViewsAreKept(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	grants := storage.Grants(s).Few()
	const many = 1000
	kept := 0
	for i := range many {
		id := fmt.Sprint(i)
		if err := grants.Insert(t.Context(), &storage.Grant{ID: id}); err != nil {
			t.Fatal(err)
		}
		if _, err := grants.View(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for i := range many {
		if grants.Seen(fmt.Sprint(i)) != nil {
			kept++
		}
	}
	if grants.Seen(fmt.Sprint(many-1)) == nil || kept > many/2 {
		t.Errorf("%d of %d are kept", kept, many)
	}
}
