package moving_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/moving"
)

// A batch whose outcome is not known may be stored later, behind the back of the Move,
// which waits for it.
func TestUnknownOutcomeIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, fresh := &faulty{Backend: memory.New()}, memory.New()
		b := moving.New(old)
		s := openStore(t, b)
		began, late := make(chan struct{}), 12*time.Second
		old.apply = func(batch storage.Batch) error {
			if batch.Ops[0].Key.Kind != "late" {
				return nil
			}
			go func() {
				time.Sleep(late)
				if err := old.Backend.Apply(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}()
			return fmt.Errorf("%w: the connection broke", storage.ErrUnknown)
		}
		o := options()
		o.Progress = func(moving.Progress) {
			if began != nil {
				close(began)
				began = nil
				key := storage.Key{Namespace: "n", Kind: "late", ID: "it"}
				err := b.Apply(t.Context(), storage.Batch{Now: time.Now(), Ops: []storage.Op{{Action: storage.ActionPut, Key: key, If: storage.Absent(), Value: []byte("v")}}})
				if !errors.Is(err, storage.ErrUnknown) {
					t.Errorf("the batch: %v", err)
				}
			}
		}
		fill(t, s, 10)
		start := time.Now()
		if _, err := b.Move(t.Context(), fresh, o); err != nil {
			t.Fatal(err)
		}
		found, err := fresh.Get(t.Context(), storage.Key{Namespace: "n", Kind: "late", ID: "it"})
		if err != nil || string(found[0].Value) != "v" {
			t.Errorf("what was stored %v later did not come along: %v, after %v", late, err, time.Since(start))
		}
	})
}

// A write that hangs holds nobody else up for longer than the fence, and nothing moves.
func TestFenceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := &faulty{Backend: memory.New()}
		b := moving.New(old)
		s := openStore(t, b)
		fill(t, s, 10)
		hung := make(chan struct{})
		old.apply = func(batch storage.Batch) error {
			if batch.Ops[0].Key.Kind == "hung" {
				<-hung
			}
			return nil
		}
		put := func(kind string) error {
			key := storage.Key{Namespace: "n", Kind: kind, ID: "it"}
			return b.Apply(t.Context(), storage.Batch{Now: time.Now(), Ops: []storage.Op{{Action: storage.ActionPut, Key: key, If: storage.Any()}}})
		}
		o := options()
		stop, slowest, once := make(chan struct{}), time.Duration(0), false
		ended := make(chan struct{})
		o.Progress = func(p moving.Progress) {
			if once || p.Phase != moving.Comparing {
				return
			}
			once = true
			go func() {
				if err := put("hung"); err != nil {
					t.Errorf("the one that hung: %v", err)
				}
			}()
			go func() {
				defer close(ended)
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Millisecond):
					}
					start := time.Now()
					if err := put("quick"); err != nil {
						t.Errorf("somebody noticed: %v", err)
					}
					slowest = max(slowest, time.Since(start))
				}
			}()
			synctest.Wait()
		}
		_, err := b.Move(t.Context(), memory.New(), o)
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("it moved, or says: %v", err)
		}
		close(hung)
		close(stop)
		<-ended
		if slowest < 4*time.Second || slowest > 6*time.Second {
			t.Errorf("others waited for %v, the fence is 5 s", slowest)
		}
		if err := put("after"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if _, err := b.Move(t.Context(), memory.New(), options()); err != nil {
			t.Errorf("another try: %v", err)
		}
	})
}

// When even the marks take too long, who waits is told so.
func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fresh := &faulty{Backend: memory.New()}
		b := moving.New(memory.New())
		s := openStore(t, b)
		fill(t, s, 10)
		marking := make(chan struct{})
		fresh.apply = func(batch storage.Batch) error {
			if batch.Ops[0].Key.Namespace == storage.PlaceNamespace && marking != nil {
				if m, _, err := storage.PlaceOf(t.Context(), fresh.Backend); err == nil && m.State == storage.PlaceCopying {
					close(marking)
					marking = nil
					time.Sleep(time.Minute)
				}
			}
			return nil
		}
		began := marking
		ended := make(chan error, 1)
		go func() {
			_, err := b.Move(t.Context(), fresh, options())
			ended <- err
		}()
		<-began
		if _, err := letters(s).Get(t.Context(), "000001"); err != nil {
			t.Errorf("a read while writes wait: %v", err)
		}
		start := time.Now()
		if err := letters(s).Insert(t.Context(), &letter{ID: "x"}); !errors.Is(err, storage.ErrUnavailable) || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := <-ended; err == nil {
			t.Log("it moved after all")
		}
		if err := letters(s).Insert(t.Context(), &letter{ID: "y"}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
