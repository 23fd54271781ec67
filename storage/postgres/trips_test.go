package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorward/doorward/storage"
)

// road is what trips go by: it notes what each asked for, and a trip returns when it is let.
type road struct {
	mu    sync.Mutex
	trips [][]string
	open  chan error // what became of a trip
}

func (r *road) read(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	asked, found := make([]string, len(keys)), make([]storage.Record, len(keys))
	for i, k := range keys {
		asked[i], found[i] = k.ID, storage.Record{Key: k}
	}
	r.mu.Lock()
	r.trips = append(r.trips, asked)
	r.mu.Unlock()
	select {
	case err := <-r.open:
		return found, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newRoad(free int) (*road, *trips) {
	r := &road{open: make(chan error)}
	return r, &trips{read: r.read, patience: time.Minute, free: free}
}

// asks has somebody read records, and returns where the answer will be.
func (r *road) asks(t *testing.T, ctx context.Context, all *trips, ids ...string) (answer func() error) {
	keys := make([]storage.Key, len(ids))
	for i, id := range ids {
		keys[i].ID = id
	}
	became := make(chan error, 1)
	go func() {
		found, err := all.get(ctx, keys)
		var got []string
		for _, f := range found {
			got = append(got, f.ID)
		}
		if err == nil && !slices.Equal(got, ids) {
			t.Errorf("who asked for %v got %v", ids, got)
		}
		became <- err
	}()
	synctest.Wait()
	return func() error { return <-became }
}

func (r *road) went(t *testing.T, want ...[]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.EqualFunc(r.trips, want, slices.Equal) {
		t.Errorf("the trips were %v, not %v", r.trips, want)
	}
}

func TestReadsThatWaitGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newRoad(2)
		answers := []func() error{
			r.asks(t, t.Context(), all, "a"), r.asks(t, t.Context(), all, "b"),
			r.asks(t, t.Context(), all, "c", "d"), r.asks(t, t.Context(), all, "e"), r.asks(t, t.Context(), all, "a"),
		}
		r.went(t, []string{"a"}, []string{"b"})
		r.open <- nil
		synctest.Wait()
		r.went(t, []string{"a"}, []string{"b"}, []string{"c", "d", "e", "a"})
		r.open <- nil
		r.open <- nil
		for _, answer := range answers {
			if err := answer(); err != nil {
				t.Error(err)
			}
		}
		if all.free != 2 {
			t.Errorf("%d trips may begin at rest, not 2", all.free)
		}
	})
}

func TestTripIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newRoad(1)
		large := make([]string, maxKeysOfTrip-1)
		answers := []func() error{
			r.asks(t, t.Context(), all, "a"), r.asks(t, t.Context(), all, large...),
			r.asks(t, t.Context(), all, "b"), r.asks(t, t.Context(), all, "c"),
		}
		for range 3 {
			r.open <- nil
			synctest.Wait()
		}
		r.went(t, []string{"a"}, append(large, "b"), []string{"c"})
		for _, answer := range answers {
			if err := answer(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestFailedTripFailsAllInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newRoad(1)
		first, second, third := r.asks(t, t.Context(), all, "a"), r.asks(t, t.Context(), all, "b"), r.asks(t, t.Context(), all, "c")
		failure := errors.New("broken down")
		r.open <- nil
		synctest.Wait()
		r.open <- failure
		if err := first(); err != nil {
			t.Errorf("the trip before: %v", err)
		}
		if err := errors.Join(second(), third()); err == nil || err.Error() != "broken down\nbroken down" {
			t.Errorf("became %v", err)
		}
		next := r.asks(t, t.Context(), all, "d")
		r.open <- nil
		if err := next(); err != nil {
			t.Errorf("the trip after: %v", err)
		}
	})
}

// Who gives up takes nobody along, be it waiting, led or leading; who leads others brings
// them home first.
func TestWhoGivesUpReadingHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newRoad(1)
		lead, stopLead := context.WithCancel(t.Context())
		wait, stopWait := context.WithCancel(t.Context())
		ride, stopRide := context.WithCancel(t.Context())
		alone, stopAlone := context.WithCancel(t.Context())
		first := r.asks(t, t.Context(), all, "a")
		leads := r.asks(t, lead, all, "b")
		waits, rides, stays := r.asks(t, wait, all, "c"), r.asks(t, ride, all, "d"), r.asks(t, t.Context(), all, "e")

		stopWait()
		if err := waits(); !errors.Is(err, context.Canceled) {
			t.Errorf("who waited: %v", err)
		}
		r.open <- nil
		synctest.Wait()
		stopRide()
		if err := rides(); !errors.Is(err, context.Canceled) {
			t.Errorf("who was led: %v", err)
		}
		stopLead()
		synctest.Wait()
		r.open <- nil
		if err := errors.Join(first(), leads(), stays()); err != nil {
			t.Error(err)
		}
		last := r.asks(t, alone, all, "f")
		stopAlone()
		if err := last(); !errors.Is(err, context.Canceled) {
			t.Errorf("who was alone: %v", err)
		}
		r.went(t, []string{"a"}, []string{"b", "d", "e"}, []string{"f"})
		if all.free != 1 {
			t.Errorf("%d trips may begin at rest, not 1", all.free)
		}
	})
}

// A fault of the driver ends the request that met it, and no other read waits for ever.
func TestTripThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newRoad(1)
		first := r.asks(t, t.Context(), all, "a")
		fault := make(chan any, 1)
		go func() {
			defer func() { fault <- recover() }()
			_, _ = all.get(t.Context(), []storage.Key{{ID: "b"}})
		}()
		synctest.Wait()
		rides := r.asks(t, t.Context(), all, "c")
		calm := all.read
		all.read = func(context.Context, []storage.Key) ([]storage.Record, error) { panic("a fault") }
		r.open <- nil
		if err := first(); err != nil {
			t.Error(err)
		}
		if <-fault == nil {
			t.Error("the fault is hidden")
		}
		if err := rides(); !errors.Is(err, errNoTurn) {
			t.Errorf("who was led: %v", err)
		}
		all.read = calm
		next := r.asks(t, t.Context(), all, "d")
		r.open <- nil
		if err := next(); err != nil {
			t.Error(err)
		}
	})
}

// A server that answers nobody keeps nobody waiting for ever, and who is on the way stays there.
func TestReadWaitsForItsTurnOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, all := newRoad(1)
		first, leads, rides := r.asks(t, t.Context(), all, "a"), r.asks(t, t.Context(), all, "b"), r.asks(t, t.Context(), all, "c")
		r.open <- nil
		synctest.Wait()
		waits := r.asks(t, t.Context(), all, "d")
		if err := waits(); !errors.Is(err, errNoTurn) {
			t.Errorf("who waited: %v", err)
		}
		r.open <- nil
		if err := errors.Join(first(), leads(), rides()); err != nil {
			t.Error(err)
		}
		r.went(t, []string{"a"}, []string{"b", "c"})
	})
}

// Whatever gives up when, everybody else is answered, and no trip is lost.
func TestReadersComeAndGiveUp(t *testing.T) {
	all := &trips{patience: time.Minute, free: 2}
	all.read = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
		found := make([]storage.Record, len(keys))
		for i, k := range keys {
			found[i].Key = k
		}
		return found, ctx.Err()
	}
	var done sync.WaitGroup
	for i := range 32 {
		done.Go(func() {
			for n := range 200 {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if n%3 == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
				}
				id := strconv.Itoa(i*1000 + n)
				found, err := all.get(ctx, []storage.Key{{ID: id}})
				switch {
				case err != nil && ctx.Err() == nil:
					t.Errorf("who did not give up: %v", err)
				case err == nil && (len(found) != 1 || found[0].ID != id):
					t.Errorf("who asked for %s got %v", id, found)
				}
				cancel()
			}
		})
	}
	done.Wait()
	if all.free != 2 || len(all.waiting) > 0 {
		t.Errorf("%d trips may begin at rest and %d wait", all.free, len(all.waiting))
	}
}
