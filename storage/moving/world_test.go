package moving_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/pgtest"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/moving"
	"github.com/doorward/doorward/storage/postgres"
)

var server pgtest.Server

func TestMain(m *testing.M) {
	code := m.Run()
	server.Stop()
	os.Exit(code)
}

var (
	secret  = []byte("fK2p9QxLw7Vn4Rz1Tb6Yc8Hd3Jm5Gs0A")
	secrets = [][]byte{secret}
	quiet   = slog.New(slog.DiscardHandler)
)

func openFile(t testing.TB, path string) *bolt.Backend {
	t.Helper()
	b, err := bolt.OpenWith(path, bolt.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func newFile(t testing.TB) *bolt.Backend {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "test.db"))
}

func newPostgres(t testing.TB) *postgres.Backend {
	t.Helper()
	return openPostgres(t, server.Database(t))
}

func openPostgres(t testing.TB, dsn string) *postgres.Backend {
	t.Helper()
	b, err := postgres.OpenWith(t.Context(), dsn, postgres.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func options() moving.Options {
	return moving.Options{From: "the old place", To: "the new place", Secrets: secrets}
}

func openStore(t testing.TB, b storage.Backend) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n", Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type letter struct {
	ID    string
	Text  string
	Count int
}

func letters(s *storage.Store) *storage.Collection[letter] {
	return storage.Collect(s, "letter", 1, func(l *letter) storage.Meta {
		return storage.Meta{ID: l.ID, Expiry: time.Now().Add(time.Hour), Index: []storage.Index{{Name: "text", Value: l.Text}}}
	})
}

// fill writes n letters, and a counter.
func fill(t testing.TB, s *storage.Store, n int) {
	t.Helper()
	for i := 0; i < n; i += 50 {
		err := s.Do(t.Context(), func(ctx context.Context) error {
			for j := i; j < min(i+50, n); j++ {
				if err := letters(s).Insert(ctx, &letter{ID: fmt.Sprintf("%06d", j), Text: "dear"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Count(t.Context(), "counted", "it", 7, 0, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// household uses a store from several goroutines as long as it is told to, and knows what
// must be in it. No call may fail.
type household struct {
	store   *storage.Store
	stop    context.CancelFunc
	all     sync.WaitGroup
	mu      sync.Mutex
	want    map[string]letter // of those of whom each has one owner
	added   atomic.Int64
	slowest atomic.Int64
}

func live(t *testing.T, s *storage.Store) *household {
	ctx, stop := context.WithCancel(t.Context())
	h := &household{store: s, stop: stop, want: map[string]letter{}}
	const people = 8
	for who := range people {
		h.all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(who), 1))
			for n := 0; ctx.Err() == nil; n++ {
				start := time.Now()
				if err := h.step(context.WithoutCancel(ctx), random, fmt.Sprintf("own-%d-%03d", who, random.IntN(100)), n); err != nil {
					t.Errorf("somebody noticed: %v", err)
					return
				}
				h.slowest.Store(max(h.slowest.Load(), int64(time.Since(start))))
			}
		})
	}
	return h
}

// step writes, changes or deletes a letter and adds to the counter.
func (h *household) step(ctx context.Context, random *rand.Rand, id string, n int) error {
	next, gone := letter{ID: id, Text: fmt.Sprint(n)}, random.IntN(3) == 0
	err := h.store.Do(ctx, func(ctx context.Context) error {
		was, err := letters(h.store).Get(ctx, id)
		switch {
		case errors.Is(err, storage.ErrNotFound) && gone:
			return nil
		case errors.Is(err, storage.ErrNotFound):
			return letters(h.store).Insert(ctx, &next)
		case err != nil:
			return err
		case gone:
			return letters(h.store).Delete(ctx, id)
		}
		next.Count = was.Count + 1
		return letters(h.store).Put(ctx, &next)
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	if gone {
		delete(h.want, id)
	} else {
		h.want[id] = next
	}
	h.mu.Unlock()
	h.added.Add(1)
	return h.store.Count(ctx, "counted", "steps", 1, 0, time.Hour)
}

// check ends the household and holds what is there to what it did.
func (h *household) check(t *testing.T) {
	t.Helper()
	h.stop()
	h.all.Wait()
	if n := h.store.Exhausted(); n != 0 {
		t.Errorf("%d requests lost every try", n)
	}
	if n, err := h.store.Counted(t.Context(), "counted", "steps"); err != nil || n != h.added.Load() {
		t.Errorf("%d steps are counted of %d: %v", n, h.added.Load(), err)
	}
	found := map[string]letter{}
	for page := (storage.Page{Limit: storage.MaxPage}); ; {
		some, next, err := letters(h.store).List(t.Context(), "", "", page)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range some {
			if l.ID > "own" {
				found[l.ID] = *l
			}
		}
		if next == "" {
			break
		}
		page.After = next
	}
	for id, want := range h.want {
		if found[id] != want {
			t.Errorf("%s is %+v, want %+v", id, found[id], want)
		}
	}
	for id := range found {
		if _, ok := h.want[id]; !ok {
			t.Errorf("%s was deleted and is back", id)
		}
	}
}

// contents is a checksum of all letters and counters of a database, by another way than
// the one that the package takes.
func contents(t *testing.T, b storage.Backend) (sum string, records int) {
	t.Helper()
	census, _ := storage.As[storage.Census](b)
	tallies, err := census.Count(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, tally := range tallies {
		if tally.Namespace == storage.PlaceNamespace {
			continue
		}
		for after := ""; ; {
			page, err := b.List(t.Context(), storage.Query{Namespace: tally.Namespace, Kind: tally.Kind, After: after, Limit: 7})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				after, records = r.ID, records+1
				fmt.Fprintf(h, "%q %q %q %v %q %q\n", r.Namespace, r.Kind, r.ID, r.Expiry.UnixMilli(), r.Index, r.Value)
			}
			if len(page) < 7 {
				break
			}
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), records
}

// faulty fails what it is told to.
type faulty struct {
	*memory.Backend
	apply func(b storage.Batch) error // before the real one
}

func (f *faulty) Apply(ctx context.Context, b storage.Batch) error {
	if f.apply != nil {
		if err := f.apply(b); err != nil {
			return err
		}
	}
	return f.Backend.Apply(ctx, b)
}

// tripwire is a backend that trips in the middle of what is copied to it.
type tripwire struct {
	storage.Backend
	trip   func()
	writes int
}

func (w *tripwire) Apply(ctx context.Context, b storage.Batch) error {
	if w.writes++; w.writes == 20 {
		w.trip()
	}
	return w.Backend.Apply(ctx, b)
}

func (w *tripwire) Unwrap() storage.Backend { return w.Backend }
