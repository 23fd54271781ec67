package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// replicas opens two stores on one backend, with a client that both have read.
func (w *world) replicas(t *testing.T) (one, two *storage.Collection[storage.Client], onTwo *storage.Store) {
	t.Helper()
	a, b := w.open(t), w.open(t)
	one, two = storage.Clients(a), storage.Clients(b)
	if err := one.Put(t.Context(), &storage.Client{ID: "web"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*storage.Collection[storage.Client]{one, two} {
		if found, err := c.Recent(t.Context(), "web"); err != nil || found.Disabled {
			t.Fatalf("%v, %v", found, err)
		}
	}
	return one, two, b
}

func disable(t *testing.T, c *storage.Collection[storage.Client]) {
	t.Helper()
	if err := c.Put(t.Context(), &storage.Client{ID: "web", Disabled: true}); err != nil {
		t.Fatal(err)
	}
}

func disabled(t *testing.T, read func(context.Context, string) (*storage.Client, error)) bool {
	t.Helper()
	found, err := read(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	return found.Disabled
}

func TestRecentIsAtMostFiveSecondsOld(t *testing.T) {
	w := newWorld(t)
	one, two, _ := w.replicas(t)
	w.advance(time.Second)
	disable(t, one)
	if !disabled(t, one.Recent) {
		t.Error("a store does not see its own write at once")
	}
	if !disabled(t, two.Get) {
		t.Error("Get is not fresh")
	}
	gets := w.backend.gets
	w.advance(storage.RecentAge - time.Second - time.Millisecond)
	if disabled(t, two.Recent) || w.backend.gets != gets {
		t.Errorf("a read within %v cost %d round trips; the test proves nothing", storage.RecentAge, w.backend.gets-gets)
	}
	w.advance(time.Millisecond)
	if !disabled(t, two.Recent) {
		t.Errorf("after %v the other store does not see the write", storage.RecentAge)
	}
}

func TestRecentFindsWhatIsNewAtOnce(t *testing.T) {
	w := newWorld(t)
	one, two, _ := w.replicas(t)
	if _, err := two.Recent(t.Context(), "new"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	if err := one.Put(t.Context(), &storage.Client{ID: "new"}); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Recent(t.Context(), "new"); err != nil {
		t.Error(err)
	}
}

func TestRecentEndsWithItsRecord(t *testing.T) {
	w := newWorld(t)
	one := storage.Clients(w.open(t))
	if err := one.Put(t.Context(), &storage.Client{ID: "brief", ExpiresAt: w.clock().Add(2 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Recent(t.Context(), "brief"); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Second)
	if _, err := one.Recent(t.Context(), "brief"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an expired record is found: %v", err)
	}
}

// TestRecentLosesNoUpdate writes what was read as a recent value, while another store has
// changed it: the unit is run again on what is there, also when the record was read anew
// before it was written.
func TestRecentLosesNoUpdate(t *testing.T) {
	for name, between := range map[string]func(context.Context, *storage.Store, *storage.Collection[storage.Client]) error{
		"nothing": func(context.Context, *storage.Store, *storage.Collection[storage.Client]) error { return nil },
		"a Get": func(ctx context.Context, _ *storage.Store, c *storage.Collection[storage.Client]) error {
			_, err := c.Get(ctx, "web")
			return err
		},
		"a Load beside another record": func(ctx context.Context, s *storage.Store, c *storage.Collection[storage.Client]) error {
			return s.Load(ctx, c.RecentRef("web"), storage.Grants(s).Ref("g"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one, two, onTwo := w.replicas(t)
			disable(t, one)
			tries := 0
			err := onTwo.Do(t.Context(), func(ctx context.Context) error {
				tries++
				c, err := two.Recent(ctx, "web")
				if err != nil {
					return err
				}
				if err := between(ctx, onTwo, two); err != nil {
					return err
				}
				c.Name = "renamed"
				return two.Put(ctx, c)
			})
			if err != nil {
				t.Fatal(err)
			}
			found, err := one.Get(t.Context(), "web")
			if err != nil || found.Name != "renamed" || !found.Disabled || tries != 2 {
				t.Errorf("after %d tries the client is %+v, %v", tries, found, err)
			}
		})
	}
}

func TestGetAfterRecentIsFresh(t *testing.T) {
	w := newWorld(t)
	one, two, onTwo := w.replicas(t)
	disable(t, one)
	err := onTwo.Do(t.Context(), func(ctx context.Context) error {
		if was, err := two.Recent(ctx, "web"); err != nil || was.Disabled {
			return fmt.Errorf("the test proves nothing: %w", err)
		}
		if !disabled(t, func(_ context.Context, id string) (*storage.Client, error) { return two.Get(ctx, id) }) {
			t.Error("Get shows what Recent had shown")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRereadShowsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	a, b := w.open(t), w.open(t)
	one, two := storage.Clients(a), storage.Clients(b)
	if err := one.Put(t.Context(), &storage.Client{ID: "web"}); err != nil {
		t.Fatal(err)
	}
	if disabled(t, two.Recent) {
		t.Fatal("disabled")
	}
	disable(t, one)
	err := b.Do(t.Context(), func(ctx context.Context) error {
		if _, err := two.Recent(ctx, "web"); err != nil {
			return err
		}
		if !b.Reread(ctx) || b.Reread(ctx) {
			t.Error("there is one thing to read anew, once")
		}
		if c, err := two.Recent(ctx, "web"); err != nil || !c.Disabled {
			t.Errorf("after Reread: %+v, %v", c, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRecentKeepsNothingReadBeforeAWrite has a write come between a read and its keeping.
func TestRecentKeepsNothingReadBeforeAWrite(t *testing.T) {
	w := newWorld(t)
	one, _, _ := w.replicas(t)
	w.advance(storage.RecentAge)
	w.backend.onGet = func(next func() ([]storage.Record, error)) ([]storage.Record, error) {
		w.backend.onGet = nil
		found, err := next()
		disable(t, one)
		return found, err
	}
	if disabled(t, one.Recent) {
		t.Fatal("the read saw the write; the test proves nothing")
	}
	if !disabled(t, one.Recent) {
		t.Error("what was read before a write of this store is shown after it")
	}
}

func TestRecentIsBounded(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	clients := storage.Clients(s)
	const many = 2500
	for i := range many {
		if err := clients.Insert(t.Context(), &storage.Client{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i := range many {
			if _, err := clients.Recent(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.Remembered(); n == 0 || n > 2048 {
		t.Errorf("%d records are kept in memory", n)
	}
}

func TestLoadOfWhatIsRecentCostsNothing(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	clients := storage.Clients(s)
	if err := clients.Put(t.Context(), &storage.Client{ID: "web"}); err != nil {
		t.Fatal(err)
	}
	load := func(refs ...storage.Ref) int {
		gets := w.backend.gets
		err := s.Do(t.Context(), func(ctx context.Context) error {
			if err := s.Load(ctx, refs...); err != nil {
				return err
			}
			_, err := clients.Recent(ctx, "web")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return w.backend.gets - gets
	}
	for i, want := range []int{1, 0, 0} {
		if got := load(clients.RecentRef("web")); got != want {
			t.Errorf("load %d cost %d round trips, want %d", i, got, want)
		}
	}
	if got := load(clients.RecentRef("web"), storage.Grants(s).Ref("g")); got != 1 {
		t.Errorf("beside another record it cost %d round trips", got)
	}
}
