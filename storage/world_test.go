package storage_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// world is a backend whose calls can be counted and made to fail, a clock that
// moves by hand, and the store opened last.
type world struct {
	backend *faulty
	store   *storage.Store

	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{
		backend: &faulty{Backend: memory.New()},
		now:     time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC),
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// open opens the store of one issuer with the secret that the backend keeps.
func (w *world) open(t testing.TB) *storage.Store {
	t.Helper()
	s, err := w.tryOpen(t, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) tryOpen(t testing.TB, o storage.Options) (*storage.Store, error) {
	t.Helper()
	if o.Namespace == "" {
		o.Namespace = "https://issuer.example"
	}
	if o.Clock == nil {
		o.Clock = w.clock
	}
	s, err := storage.Open(t.Context(), w.backend, o)
	w.store = s
	return s, err
}

// faulty is a memory backend in which single calls can be counted and replaced.
type faulty struct {
	*memory.Backend
	gets, applies int

	onGet   func(next func() ([]storage.Record, error)) ([]storage.Record, error)
	onApply func(b storage.Batch, next func() error) error
}

func (f *faulty) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	f.gets++
	next := func() ([]storage.Record, error) { return f.Backend.Get(ctx, keys...) }
	if f.onGet != nil {
		return f.onGet(next)
	}
	return next()
}

func (f *faulty) Apply(ctx context.Context, b storage.Batch) error {
	f.applies++
	next := func() error { return f.Backend.Apply(ctx, b) }
	if f.onApply != nil {
		return f.onApply(b, next)
	}
	return next()
}

// bare hides what a backend can do beyond the contract.
type bare struct{ storage.Backend }

// note is what the tests keep.
type note struct {
	ID      string    `json:"id"`
	Text    string    `json:"text"`
	Owner   string    `json:"owner,omitempty"`
	Tags    []string  `json:"tags,omitempty"`
	Place   *place    `json:"place,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

type place struct {
	Town string `json:"town,omitempty"`
}

func notesOf(s *storage.Store) *storage.Collection[note] {
	return storage.Collect(s, "note", 1, func(n *note) storage.Meta {
		m := storage.Meta{ID: n.ID, Expiry: n.Expires}
		if n.Owner != "" {
			m.Index = []storage.Index{{Name: "owner", Value: n.Owner}}
		}
		return m
	})
}

// secret returns a good secret that differs for each name.
func secret(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func wantText(t testing.TB, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("error %v does not say %q", err, p)
		}
	}
}

// text returns the text stored under id, or why it can't be read.
func text(t testing.TB, c *storage.Collection[note], id string) string {
	t.Helper()
	n, err := c.Get(t.Context(), id)
	if err != nil {
		return err.Error()
	}
	return n.Text
}
