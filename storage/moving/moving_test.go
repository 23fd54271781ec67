package moving_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/moving"
	"github.com/doorward/doorward/storage/storagetest"
)

// unwitnessed is a backend that remembers no time, since a move is a commit.
type unwitnessed struct {
	storage.Backend
	storage.Census
}

func forgetful() unwitnessed {
	m := memory.New()
	return unwitnessed{m, m}
}

func TestContract(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		storagetest.Run(t, func(*testing.T) storage.Backend { return moving.New(memory.New()) })
	})
	t.Run("after", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T) storage.Backend {
			old := forgetful()
			b := moving.New(old)
			if _, err := b.Move(t.Context(), forgetful(), options()); err != nil {
				t.Fatal(err)
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return b
		})
	})
}

// TestMoveWhileItIsUsed moves a store from a file to PostgreSQL and back while eight people
// write it: nobody sees an error, and nothing is lost, changed or revived.
func TestMoveWhileItIsUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	old := openFile(t, path)
	b := moving.New(old)
	s := openStore(t, b)
	const many = 3000
	fill(t, s, many)
	h := live(t, s)
	time.Sleep(50 * time.Millisecond)

	out := moving.Options{From: path, To: "the database", Secrets: secrets}
	database := newPostgres(t)
	report, err := b.Move(t.Context(), database, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("to PostgreSQL: %+v", report)
	if report.Records < many || report.Copied < many || report.Checksum == "" {
		t.Errorf("it reports %+v", report)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)

	again := openFile(t, path)
	if _, err := storage.Open(t.Context(), again, storage.Options{Namespace: "n", Secrets: secrets}); !errors.Is(err, storage.ErrMoved) || !strings.Contains(err.Error(), "the database") {
		t.Errorf("the abandoned file opens, or does not say where the store is: %v", err)
	}
	back := moving.Options{From: "the database", To: path, Secrets: secrets}
	report, err = b.Move(t.Context(), again, back)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("and back: %+v", report)
	if report.Copied >= many || report.Checksum == "" {
		t.Errorf("what was there already was copied anew, or not compared: %+v", report)
	}
	time.Sleep(50 * time.Millisecond)
	h.check(t)
	t.Logf("%d steps, the slowest took %v", h.added.Load(), time.Duration(h.slowest.Load()))
	if _, err := storage.Open(t.Context(), database, storage.Options{Namespace: "n", Secrets: secrets}); !errors.Is(err, storage.ErrMoved) {
		t.Errorf("the abandoned database opens: %v", err)
	}
	if n, err := s.Check(t.Context()); err != nil || n < many {
		t.Errorf("%d records are sound: %v", n, err)
	}
	if _, err := again.Check(t.Context()); err != nil {
		t.Errorf("the file: %v", err)
	}
}

// Both places hold the same afterwards, by a checksum of the test's own.
func TestCopyIsExact(t *testing.T) {
	old := newFile(t)
	b := moving.New(old)
	fill(t, openStore(t, b), 1200)
	database := newPostgres(t)
	report, err := b.Move(t.Context(), database, options())
	if err != nil {
		t.Fatal(err)
	}
	sum, records := contents(t, old)
	copied, there := contents(t, database)
	if sum != copied || records != there || records != report.Records {
		t.Errorf("there are %d records, %d copied, %d reported; equal: %v", records, there, report.Records, sum == copied)
	}
	if n, err := openStore(t, database).Counted(t.Context(), "counted", "it"); err != nil || n != 7 {
		t.Errorf("the counter stands at %d: %v", n, err)
	}
}

// A move that is broken off changes nothing for the store, and goes on where it was.
func TestResume(t *testing.T) {
	b := moving.New(newFile(t))
	s := openStore(t, b)
	const many = 3000
	fill(t, s, many)
	path := filepath.Join(t.TempDir(), "new.db")
	to := openFile(t, path)
	for _, phase := range []moving.Phase{moving.Copying, moving.Comparing, moving.Changing} {
		ctx, kill := context.WithCancel(t.Context())
		o := options()
		o.Progress = func(p moving.Progress) {
			if p.Phase == phase && phase != moving.Copying {
				kill()
			}
		}
		wire := &tripwire{Backend: to, trip: func() {
			if phase == moving.Copying {
				kill()
			}
		}}
		if _, err := b.Move(ctx, wire, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("broken off while %s: %v", phase, err)
		}
		kill()
		if _, err := storage.Open(t.Context(), to, storage.Options{Namespace: "n", Secrets: secrets}); !errors.Is(err, storage.ErrMoved) || !strings.Contains(err.Error(), "unfinished copy of the old place") {
			t.Errorf("an unfinished copy opens, or does not say what it is: %v", err)
		}
		// As another process would find it.
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		to = openFile(t, path)
		if err := letters(s).Delete(t.Context(), map[moving.Phase]string{moving.Copying: "000001", moving.Comparing: "000002", moving.Changing: "000003"}[phase]); err != nil {
			t.Fatal(err)
		}
	}
	report, err := b.Move(t.Context(), to, options())
	if err != nil {
		t.Fatal(err)
	}
	if report.Copied > many/10 || report.Deleted != 1 {
		t.Errorf("it began anew: %+v", report)
	}
	if _, err := letters(s).Get(t.Context(), "000003"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("what was deleted is back: %v", err)
	}
}

// Whatever step fails, the store has one home, and a second Move finishes.
func TestFailureAtEachStep(t *testing.T) {
	errHere := errors.Join(storage.ErrUnavailable, errors.New("no more"))
	for _, side := range []string{"old", "new"} {
		for nth := 1; nth < 40; nth++ {
			old, fresh := &faulty{Backend: memory.New()}, &faulty{Backend: memory.New()}
			b := moving.New(old)
			s := openStore(t, b)
			fill(t, s, 200)
			writes := 0
			fail := func(storage.Batch) error {
				if writes++; writes == nth {
					return errHere
				}
				return nil
			}
			failing := map[string]*faulty{"old": old, "new": fresh}[side]
			failing.apply = fail
			_, err := b.Move(t.Context(), fresh, options())
			failing.apply = nil
			if writes < nth {
				if err != nil {
					t.Errorf("%s, nothing failed: %v", side, err)
				}
				break
			}
			if !errors.Is(err, errHere) {
				t.Fatalf("%s, write %d: %v", side, nth, err)
			}
			if err := letters(s).Insert(t.Context(), &letter{ID: "afterwards"}); err != nil {
				t.Errorf("%s, write %d: the store does not go on: %v", side, nth, err)
			}
			// The next process finds at most one home, and a Move makes it one.
			_, marked, err := storage.PlaceOf(t.Context(), fresh)
			if err != nil {
				t.Fatal(err)
			}
			if marked != 0 && opens(t, old) && opens(t, fresh) {
				t.Errorf("%s, write %d: both open", side, nth)
			}
			again := moving.New(old)
			if _, err := again.Move(t.Context(), fresh, options()); err != nil {
				t.Errorf("%s, write %d, moved again: %v", side, nth, err)
			}
			if opens(t, old) || !opens(t, fresh) {
				t.Errorf("%s, write %d: the old place opens (%v), or the new one does not (%v)", side, nth, opens(t, old), opens(t, fresh))
			}
			if found, err := letters(openStore(t, again)).Get(t.Context(), "afterwards"); err != nil || found.ID != "afterwards" {
				t.Errorf("%s, write %d: what was acknowledged is lost: %v", side, nth, err)
			}
		}
	}
}

func opens(t *testing.T, b storage.Backend) bool {
	_, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n", Secrets: secrets})
	if err != nil && !errors.Is(err, storage.ErrMoved) {
		t.Error(err)
	}
	return err == nil
}

func TestRefusals(t *testing.T) {
	foreign := memory.New()
	openStore(t, foreign)
	other := memory.New()
	elsewhere := moving.New(memory.New())
	openStore(t, elsewhere)
	if _, err := elsewhere.Move(t.Context(), other, options()); err != nil {
		t.Fatal(err)
	}
	left, home := memory.New(), memory.New()
	moved := moving.New(left)
	openStore(t, moved)
	if _, err := moved.Move(t.Context(), home, options()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from, to storage.Backend
		change   func(*moving.Options)
		want     error
		says     string
	}{
		"records of somebody else": {nil, foreign, nil, moving.ErrForeign, "holds envelope records of n"},
		"another store":            {nil, other, nil, moving.ErrForeign, "holds another store"},
		"left already":             {left, memory.New(), nil, storage.ErrMoved, "has left the old place for the new place"},
		"an older copy":            {left, home, nil, storage.ErrMoved, "has left"},
		"another secret": {nil, memory.New(), func(o *moving.Options) { o.Secrets = [][]byte{[]byte("9Zx8Cv7Bn6Ml5Kj4Hg3Fd2Sa1Qp0Wo9E")} },
			storage.ErrInvalid, "none of the 1 secrets opens the data keys"},
		"a kept secret of its own": {nil, memory.New(), func(o *moving.Options) { o.Secrets = nil }, storage.ErrInvalid, "could not be opened"},
		"no secret":                {nil, newPostgres(t), func(o *moving.Options) { o.Secrets = nil }, storage.ErrInvalid, "keeps no secret"},
		"no names":                 {nil, memory.New(), func(o *moving.Options) { o.To = "" }, storage.ErrInvalid, "required"},
	} {
		o := options()
		if c.change != nil {
			c.change(&o)
		}
		from := c.from
		if from == nil {
			from = memory.New()
			fill(t, openStore(t, from), 10)
		}
		_, err := moving.New(from).Move(t.Context(), c.to, o)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	openStore(t, foreign) // as it was
	openStore(t, other)
}

func TestOthersAreRefused(t *testing.T) {
	dsn := server.Database(t)
	one, other := openPostgres(t, dsn), openPostgres(t, dsn)
	openStore(t, one)
	if _, err := other.Count(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := moving.New(one).Move(t.Context(), newFile(t), options()); !errors.Is(err, moving.ErrShared) {
		t.Errorf("a database that another process has open was moved: %v", err)
	}
}

// Who read before the store moved and writes afterwards conflicts, though the record has
// the same revision in both places.
func TestOldRevisionsConflict(t *testing.T) {
	old, fresh := memory.New(), memory.New()
	b := moving.New(old)
	openStore(t, b)
	key := storage.Key{Namespace: "n", Kind: "k", ID: "a"}
	put := func(c storage.Condition) error {
		return b.Apply(t.Context(), storage.Batch{Now: time.Now(), Ops: []storage.Op{{Action: storage.ActionPut, Key: key, If: c, Value: []byte("v")}}})
	}
	if err := put(storage.Absent()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Move(t.Context(), fresh, options()); err != nil {
		t.Fatal(err)
	}
	raw, err := fresh.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(storage.At(raw[0].Revision)); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a revision of the old place: %v", err)
	}
	found, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(storage.At(found[0].Revision)); err != nil {
		t.Errorf("a revision of the new place: %v", err)
	}
}

func TestOnlyOneMoveAtATime(t *testing.T) {
	b := moving.New(memory.New())
	openStore(t, b)
	var second error
	o := options()
	o.Progress = func(moving.Progress) {
		if second == nil {
			_, second = b.Move(t.Context(), memory.New(), options())
		}
	}
	if _, err := b.Move(t.Context(), memory.New(), o); err != nil || !errors.Is(second, moving.ErrBusy) {
		t.Errorf("the first: %v, the second: %v", err, second)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, ok := storage.As[*bolt.Backend](b); ok {
		t.Error("a store in memory is a file")
	}
}
