package storage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

var errRefused = errors.New("refused")

func TestUnitReadsOnceAndSeesItsOwnWrites(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Put(t.Context(), &note{ID: "a", Text: "first"}))

	gets, applies := w.backend.gets, w.backend.applies
	err := s.Do(t.Context(), func(ctx context.Context) error {
		for range 3 {
			if _, err := notes.Get(ctx, "a"); err != nil {
				return err
			}
		}
		if err := notes.Put(ctx, &note{ID: "a", Text: "second"}); err != nil {
			return err
		}
		if err := notes.Insert(ctx, &note{ID: "b", Text: "new"}); err != nil {
			return err
		}
		for id, want := range map[string]string{"a": "second", "b": "new"} {
			n, err := notes.Get(ctx, id)
			if err != nil || n.Text != want {
				t.Errorf("inside the unit %s is %v, %v", id, n, err)
			}
		}
		if err := notes.Delete(ctx, "a"); err != nil {
			return err
		}
		_, err := notes.Get(ctx, "a")
		if !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a deleted record is still seen: %v", err)
		}
		if got := text(t, notes, "a"); got != "first" {
			t.Errorf("outside the unit a is %q before the commit", got)
		}
		gets++ // the line above
		return nil
	})
	check(t, err)
	if n := w.backend.applies - applies; n != 1 {
		t.Errorf("%d batches, want 1", n)
	}
	// One read of a, one of b after its insert.
	if n := w.backend.gets - gets; n != 2 {
		t.Errorf("%d reads, want 2", n)
	}
	if got := text(t, notes, "b"); got != "new" {
		t.Errorf("b is %q", got)
	}
	_, err = notes.Get(t.Context(), "a")
	wantErr(t, err, storage.ErrNotFound)
}

func TestLoadReadsInOneRoundTrip(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	for _, id := range []string{"a", "b", "c"} {
		check(t, notes.Insert(t.Context(), &note{ID: id, Text: id}))
	}
	gets := w.backend.gets
	check(t, s.Do(t.Context(), func(ctx context.Context) error {
		if err := s.Load(ctx, notes.Ref("a"), notes.Ref("b"), notes.Ref(""), notes.Ref("none")); err != nil {
			return err
		}
		for _, id := range []string{"a", "b", "none"} {
			_, err := notes.Get(ctx, id)
			if err != nil && id != "none" {
				return err
			}
		}
		return nil
	}))
	if n := w.backend.gets - gets; n != 1 {
		t.Errorf("%d round trips, want 1", n)
	}
}

func TestUnitRunsAgainOnConflictButNotItsMemo(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Put(t.Context(), &note{ID: "a", Text: "0"}))

	type slow struct{}
	runs, slowRuns, committed := 0, 0, 0
	err := s.Do(t.Context(), func(ctx context.Context) error {
		if got := s.Try(ctx); got != runs {
			t.Errorf("Try is %d in run %d", got, runs)
		}
		runs++
		s.AfterCommit(ctx, func() { committed++ })
		_, memoErr := storage.Memo(ctx, s, slow{}, func() (int, error) { slowRuns++; return 0, errRefused })
		if !errors.Is(memoErr, errRefused) {
			t.Errorf("run %d: Memo forgot its error: %v", runs, memoErr)
		}
		n, err := notes.Get(ctx, "a")
		if err != nil {
			return err
		}
		if runs <= 2 { // somebody else is faster
			check(t, notes.Put(t.Context(), &note{ID: "a", Text: fmt.Sprint(runs)}))
		}
		n.Text += "+mine"
		return notes.Put(ctx, n)
	})
	check(t, err)
	if runs != 3 || slowRuns != 1 || committed != 1 {
		t.Errorf("runs %d, memo %d, after commit %d; want 3, 1, 1", runs, slowRuns, committed)
	}
	if got := text(t, notes, "a"); got != "2+mine" {
		t.Errorf("a is %q, want the other's write kept and mine on top", got)
	}
	if s.Exhausted() != 0 {
		t.Errorf("exhausted %d", s.Exhausted())
	}
}

func TestUnitGivesUpAfterFourTries(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Put(t.Context(), &note{ID: "a"}))
	runs, committed := 0, 0
	err := s.Do(t.Context(), func(ctx context.Context) error {
		runs++
		s.AfterCommit(ctx, func() { committed++ })
		if err := notes.Put(ctx, &note{ID: "a", Text: "mine"}); err != nil {
			return err
		}
		return notes.Put(t.Context(), &note{ID: "a", Text: "theirs"})
	})
	wantErr(t, err, storage.ErrUnavailable)
	if runs != 4 || committed != 0 || s.Exhausted() != 1 {
		t.Errorf("runs %d, after commit %d, exhausted %d; want 4, 0, 1", runs, committed, s.Exhausted())
	}
	if got := text(t, notes, "a"); got != "theirs" {
		t.Errorf("a is %q", got)
	}
}

func TestNoLostUpdateUnderContention(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Put(t.Context(), &note{ID: "a"}))
	w.backend.onGet, w.backend.onApply = nil, nil
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	plain, err := storage.Open(t.Context(), w.backend.Backend, storage.Options{Namespace: s.Namespace(), Clock: w.clock})
	check(t, err)
	shared := notesOf(plain)
	for range 8 {
		wg.Go(func() {
			for range 25 {
				err := plain.Do(t.Context(), func(ctx context.Context) error {
					n, err := shared.Get(ctx, "a")
					if err != nil {
						return err
					}
					n.Tags = append(n.Tags, "x")
					return shared.Put(ctx, n)
				})
				if err == nil {
					mu.Lock()
					done++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	n, err := shared.Get(t.Context(), "a")
	check(t, err)
	if done == 0 || len(n.Tags) != done {
		t.Errorf("%d updates were acknowledged, %d are stored", done, len(n.Tags))
	}
}

func TestRefusedUnitKeepsOnlyWhatSurvives(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Put(t.Context(), &note{ID: "a", Text: "before"}))
	check(t, notes.Put(t.Context(), &note{ID: "both", Text: "before"}))

	var hooks []string
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Do(ctx, func(ctx context.Context) error {
		kept := storage.Surviving(ctx)
		s.AfterCommit(ctx, func() { hooks = append(hooks, "dropped") })
		s.AfterCommit(kept, func() { hooks = append(hooks, "kept") })
		check(t, notes.Put(ctx, &note{ID: "a", Text: "dropped"}))
		check(t, notes.Insert(ctx, &note{ID: "b", Text: "dropped"}))
		check(t, notes.Insert(kept, &note{ID: "c", Text: "kept"}))
		check(t, notes.Put(kept, &note{ID: "both", Text: "kept"}))
		check(t, notes.Put(ctx, &note{ID: "both", Text: "dropped"}))
		check(t, s.Count(ctx, "tries", "x", 5, 0, time.Hour))
		check(t, s.Count(kept, "tries", "x", 1, 0, time.Hour))
		check(t, s.Count(ctx, "tries", "x", 7, 0, time.Hour))
		cancel() // a client that hangs up must not prevent it
		return errRefused
	})
	wantErr(t, err, errRefused)
	for id, want := range map[string]string{"a": "before", "b": storage.ErrNotFound.Error(), "c": "kept", "both": "kept"} {
		if got := text(t, notes, id); got != want {
			t.Errorf("%s is %q, want %q", id, got, want)
		}
	}
	if n, err := s.Counted(t.Context(), "tries", "x"); n != 1 || err != nil {
		t.Errorf("counted %d, %v; want 1", n, err)
	}
	if fmt.Sprint(hooks) != "[kept]" {
		t.Errorf("hooks %v", hooks)
	}
}

func TestRefusedUnitWhoseWritesFailIsUnavailable(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	w.backend.onApply = func(storage.Batch, func() error) error { return storage.ErrUnavailable }
	err := s.Do(t.Context(), func(ctx context.Context) error {
		check(t, notes.Insert(storage.Surviving(ctx), &note{ID: "a"}))
		return errRefused
	})
	wantErr(t, err, storage.ErrUnavailable)
	wantErr(t, err, errRefused)
}

func TestNestedDoJoins(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	applies := w.backend.applies
	err := s.Do(t.Context(), func(ctx context.Context) error {
		err := s.Do(ctx, func(ctx context.Context) error { return notes.Insert(ctx, &note{ID: "inner"}) })
		check(t, err)
		if w.backend.applies != applies {
			t.Error("the inner unit was committed before the outer one ended")
		}
		return errRefused
	})
	wantErr(t, err, errRefused)
	_, err = notes.Get(t.Context(), "inner")
	wantErr(t, err, storage.ErrNotFound)
}

func TestUnitsOfTwoStoresAreApart(t *testing.T) {
	w := newWorld(t)
	a := w.open(t)
	b, err := w.tryOpen(t, storage.Options{Namespace: "https://other.example"})
	check(t, err)
	err = a.Do(t.Context(), func(ctx context.Context) error {
		check(t, notesOf(b).Insert(ctx, &note{ID: "x"}))
		return errRefused
	})
	wantErr(t, err, errRefused)
	_, err = notesOf(b).Get(t.Context(), "x")
	check(t, err)
}

func TestPanicInsideWritesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Do(t.Context(), func(ctx context.Context) error {
			check(t, notes.Insert(storage.Surviving(ctx), &note{ID: "a"}))
			panic("hook")
		})
	}()
	_, err := notes.Get(t.Context(), "a")
	wantErr(t, err, storage.ErrNotFound)
	check(t, notes.Insert(t.Context(), &note{ID: "a"}))
}

func TestHooksAndLateWritesAreNotLost(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	var late context.Context
	check(t, s.Do(t.Context(), func(ctx context.Context) error {
		late = ctx
		s.AfterCommit(ctx, func() { check(t, notes.Insert(ctx, &note{ID: "from the hook", Text: "x"})) })
		return nil
	}))
	check(t, notes.Insert(late, &note{ID: "late", Text: "x"}))
	for _, id := range []string{"from the hook", "late"} {
		if got := text(t, notes, id); got != "x" {
			t.Errorf("%s: %s", id, got)
		}
	}
	ran := false
	s.AfterCommit(t.Context(), func() { ran = true })
	if !ran {
		t.Error("AfterCommit outside of a unit did not run")
	}
}

func TestApartIsCommittedOnItsOwn(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	err := s.Do(t.Context(), func(ctx context.Context) error {
		check(t, notes.Insert(ctx, &note{ID: "inside"}))
		if _, err := notes.Get(s.Apart(ctx), "inside"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("apart from the unit its writes are seen: %v", err)
		}
		check(t, notes.Insert(s.Apart(ctx), &note{ID: "apart"}))
		return errRefused
	})
	wantErr(t, err, errRefused)
	_, err = notes.Get(t.Context(), "apart")
	check(t, err)
}

func TestUnknownOutcomeIsSettledByReadingBack(t *testing.T) {
	lost := fmt.Errorf("%w: connection lost", storage.ErrUnknown)
	cases := map[string]struct {
		onApply func(b storage.Batch, next func() error) error
		onGet   func(next func() ([]storage.Record, error)) ([]storage.Record, error)
		fails   bool
		stored  bool
	}{
		"it was stored": {
			onApply: func(_ storage.Batch, next func() error) error { return errors.Join(next(), lost) },
			stored:  true,
		},
		"it was not stored": {
			onApply: func(storage.Batch, func() error) error { return lost },
			fails:   true,
		},
		"what is read may not be durable": {
			onApply: func(_ storage.Batch, next func() error) error {
				return errors.Join(next(), lost, storage.ErrUnavailable)
			},
			fails: true, stored: true,
		},
		"reading back fails": {
			onApply: func(_ storage.Batch, next func() error) error { return errors.Join(next(), lost) },
			onGet:   func(func() ([]storage.Record, error)) ([]storage.Record, error) { return nil, errors.New("down") },
			fails:   true, stored: true,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.open(t)
			notes := notesOf(s)
			w.backend.onApply, w.backend.onGet = c.onApply, c.onGet
			runs, hooks := 0, 0
			err := s.Do(t.Context(), func(ctx context.Context) error {
				runs++
				s.AfterCommit(ctx, func() { hooks++ })
				return notes.Insert(ctx, &note{ID: "a", Text: "x"})
			})
			w.backend.onApply, w.backend.onGet = nil, nil
			if c.fails {
				wantErr(t, err, storage.ErrUnavailable)
			} else {
				check(t, err)
			}
			if runs != 1 {
				t.Errorf("run %d times: an unknown outcome must not be tried again", runs)
			}
			if want := map[bool]int{true: 0, false: 1}[c.fails]; hooks != want {
				t.Errorf("%d hooks, want %d", hooks, want)
			}
			if got := text(t, notes, "a") == "x"; got != c.stored {
				t.Errorf("stored: %v, want %v", got, c.stored)
			}
		})
	}
}

func TestUnknownOutcomeOfADeleteIsUnavailable(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Insert(t.Context(), &note{ID: "a"}))
	w.backend.onApply = func(_ storage.Batch, next func() error) error { return errors.Join(next(), storage.ErrUnknown) }
	wantErr(t, notes.Delete(t.Context(), "a"), storage.ErrUnavailable)
}

func TestFailingBackendIsUnavailable(t *testing.T) {
	broken := errors.New("disk on fire")
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)

	w.backend.onApply = func(storage.Batch, func() error) error { return broken }
	err := notes.Insert(t.Context(), &note{ID: "a"})
	wantErr(t, err, storage.ErrUnavailable)
	wantErr(t, err, broken)

	w.backend.onGet = func(func() ([]storage.Record, error)) ([]storage.Record, error) { return nil, broken }
	_, err = notes.Get(t.Context(), "a")
	wantErr(t, err, storage.ErrUnavailable)
	wantErr(t, notes.Put(t.Context(), &note{ID: "a"}), storage.ErrUnavailable)
	wantErr(t, s.Ping(t.Context()), storage.ErrUnavailable)
	_, err = s.Counted(t.Context(), "tries", "x")
	wantErr(t, err, storage.ErrUnavailable)

	w.backend.onGet, w.backend.onApply = nil, nil
	check(t, w.backend.Close())
	_, _, err = notes.List(t.Context(), "", "", storage.Page{})
	wantErr(t, err, storage.ErrUnavailable)
}
