package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/doorward/doorward/storage/postgres"
)

var database pgtest.Server

func TestMain(m *testing.M) {
	code := m.Run()
	database.Stop()
	os.Exit(code)
}

// step is a record that is written over and over, as a grant is by refreshes.
type step struct {
	ID string      `json:"id"`
	N  json.Number `json:"n"`
}

// TestNothingIsLostWhileRecordsAreSealedAnew has two replicas write the same records while
// both replace the data keys again and again: each acknowledged write is there at the end.
func TestNothingIsLostWhileRecordsAreSealedAnew(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) storage.Backend{
		"memory": func(*testing.T) storage.Backend { return memory.New() },
		"bolt": func(t *testing.T) storage.Backend {
			b, err := bolt.Open(filepath.Join(t.TempDir(), "x.db"))
			check(t, err)
			return b
		},
		"postgres": func(t *testing.T) storage.Backend {
			b, err := postgres.OpenWith(t.Context(), database.Database(t), postgres.Options{})
			check(t, err)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			defer b.Close()
			begin := time.Now()
			var hours passing
			clock := func() time.Time { return begin.Add(time.Duration(hours.passed.Load())) }
			stores := make([]*storage.Store, 2)
			for i := range stores {
				var err error
				stores[i], err = storage.Open(t.Context(), b, storage.Options{Namespace: "n", Secrets: [][]byte{secret("x")}, Clock: clock})
				check(t, err)
			}
			ctx, stop := context.WithCancel(t.Context())
			acknowledged := make([]atomic.Int64, 8)
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() { writeSteps(ctx, t, &hours, stores[i%2], i%8, &acknowledged[i%8]) })
			}
			rotations := 0
			for end := time.Now().Add(2 * time.Second); time.Now().Before(end) || rotations < 3; rotations++ {
				rotateWhole(t, stores, &hours)
			}
			stop()
			all.Wait()
			for i := range acknowledged {
				got, err := stepsOf(stores[0]).Get(t.Context(), fmt.Sprint("r", i))
				if err != nil || got.N.String() != fmt.Sprint(acknowledged[i].Load()) {
					t.Errorf("r%d stands at %v (%v), but %d writes were acknowledged", i, got, err, acknowledged[i].Load())
				}
			}
			_, err := stores[1].Check(t.Context())
			check(t, err)
			t.Logf("%d rotations", rotations)
		})
	}
}

// passing is a time that passes in leaps, with requests under way. No request lasts for
// more than one of them, however long the machine takes for it.
type passing struct {
	passed   atomic.Int64
	leaps    atomic.Int64
	underWay [2]sync.RWMutex // held by those that began after an even, and an odd number of leaps
}

// begin is called by a request, and what it returns when that ends.
func (p *passing) begin() (end func()) {
	of := &p.underWay[p.leaps.Load()%2]
	of.RLock()
	return of.RUnlock
}

// leap lets 20 minutes pass, when all requests have ended that began before the last leap.
func (p *passing) leap() {
	next := p.leaps.Load() + 1
	before := &p.underWay[next%2]
	before.Lock()
	p.leaps.Store(next)
	p.passed.Add(int64(20 * time.Minute))
	before.Unlock()
}

func stepsOf(s *storage.Store) *storage.Collection[step] {
	return storage.Collect(s, "step", 1, func(v *step) storage.Meta { return storage.Meta{ID: v.ID} })
}

func writeSteps(ctx context.Context, t *testing.T, hours *passing, s *storage.Store, record int, acknowledged *atomic.Int64) {
	id := fmt.Sprint("r", record)
	for ctx.Err() == nil {
		end := hours.begin()
		err := s.Do(t.Context(), func(ctx context.Context) error {
			v, err := stepsOf(s).Get(ctx, id)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			n := int64(0)
			if v != nil {
				n, _ = v.N.Int64()
			}
			return stepsOf(s).Put(ctx, &step{ID: id, N: json.Number(fmt.Sprint(n + 1))})
		})
		end()
		if err == nil {
			acknowledged.Add(1)
		} else if s.Exhausted() == 0 {
			t.Error(err)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// rotateWhole makes a key, and has both replicas seal anew until the old one is dropped.
func rotateWhole(t *testing.T, stores []*storage.Store, hours *passing) {
	check(t, stores[0].RotateDataKey(t.Context()))
	for range 200 {
		for _, s := range stores {
			if _, err := s.MaintainDataKeys(t.Context(), quarter); err != nil {
				t.Error(err)
			}
		}
		if dataKeys(t, stores[1]).Older == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
		hours.leap()
	}
	t.Fatal("the old key was never dropped")
}
