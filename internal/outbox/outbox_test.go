package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// clock is moved by hand.
type clock struct{ shift atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.shift.Load())) }
func (c *clock) advance(d time.Duration) { c.shift.Add(int64(d)) }

func open(t *testing.T) (*storage.Store, *clock) {
	t.Helper()
	c := &clock{}
	s, err := storage.Open(t.Context(), memory.New(), storage.Options{Namespace: "https://issuer.example", Clock: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func box(s *storage.Store, deliver func(ctx context.Context, m *Message) error) *Outbox {
	o := New(s, nil)
	o.Register("t", Topic{Deliver: deliver})
	return o
}

func put(t *testing.T, o *Outbox, to string) {
	t.Helper()
	if err := o.Put(t.Context(), "t", to, map[string]string{"to": to}); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, o *Outbox) int {
	t.Helper()
	found, _, err := o.records.List(t.Context(), "", "", storage.Page{Limit: storage.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 seconds: " + what)
		}
	}
}

// TestReplicas lets several replicas deliver at once: each message is delivered by one.
func TestReplicas(t *testing.T) {
	s, _ := open(t)
	const messages, replicas = 200, 4
	var mu sync.Mutex
	told := map[string]int{}
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var boxes []*Outbox
	for range replicas {
		boxes = append(boxes, box(s, func(_ context.Context, m *Message) error {
			mu.Lock()
			defer mu.Unlock()
			told[m.ID]++
			return nil
		}))
	}
	for i := range messages {
		put(t, boxes[i%replicas], fmt.Sprint("to ", i%40))
	}
	for _, o := range boxes {
		all.Go(func() { o.Run(ctx) })
	}
	eventually(t, "all were told", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == messages })
	eventually(t, "the outbox is empty", func() bool { return count(t, boxes[0]) == 0 })
	end()
	all.Wait()
	for id, n := range told {
		if n != 1 {
			t.Errorf("message %s was delivered %d times", id, n)
		}
	}
	if n := s.Exhausted(); n != 0 {
		t.Errorf("%d units of work lost every try", n)
	}
}

// TestKilled takes a message and never comes back to it: nobody touches it during the
// lease, and afterwards another does.
func TestKilled(t *testing.T) {
	s, c := open(t)
	killed := New(s, nil)
	put(t, killed, "a")
	found, _, _ := killed.records.List(t.Context(), "", "", storage.Page{})
	if m, err := killed.take(t.Context(), found[0].Key); m == nil || err != nil {
		t.Fatal(m, err)
	}
	if again, err := killed.take(t.Context(), found[0].Key); again != nil || err != nil {
		t.Errorf("a message that was taken was taken again: %v, %v", again, err)
	}
	tries := 0
	other := box(s, func(_ context.Context, m *Message) error { tries = m.Tries; return nil })
	c.advance(lease - time.Second)
	if err := other.Flush(t.Context()); err != nil || tries != 0 {
		t.Fatalf("touched during the lease: %d, %v", tries, err)
	}
	c.advance(2 * time.Second)
	if err := other.Flush(t.Context()); err != nil || tries != 2 {
		t.Fatalf("try %d, %v; want 2: the one that was killed counts", tries, err)
	}
	if n := count(t, other); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// TestGivenUp fails every time.
func TestGivenUp(t *testing.T) {
	s, c := open(t)
	var at []time.Duration
	began, given := c.now(), 0
	o := New(s, nil)
	down := errors.New("down")
	o.Register("t", Topic{
		Deliver: func(context.Context, *Message) error { at = append(at, c.now().Sub(began)); return down },
		GivenUp: func(_ context.Context, m *Message, last error) {
			if given++; !errors.Is(last, down) || m.To != "a" {
				t.Errorf("given up: %v, %v", m, last)
			}
		},
	})
	put(t, o, "a")
	for range 100 * 60 {
		if err := o.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Minute)
	}
	if given != 1 || count(t, o) != 0 {
		t.Errorf("given up %d times, %d messages left", given, count(t, o))
	}
	if n := len(at); n < 12 || n > maxTries || at[n-1] < 2*24*time.Hour || at[n-1] > maxAge+2*longest {
		t.Errorf("%d tries, the last after %v", n, at[n-1])
	}
	for i := 2; i < len(at); i++ {
		if at[i]-at[i-1] < at[i-1]-at[i-2]-2*time.Minute && at[i]-at[i-1] < longest {
			t.Errorf("the waits do not grow: %v", at)
		}
	}
}

// TestSlow has one recipient that does not answer and many messages for it.
func TestSlow(t *testing.T) {
	s, _ := open(t)
	ctx, end := context.WithCancel(t.Context())
	var fast, slow atomic.Int64
	o := box(s, func(ctx context.Context, m *Message) error {
		if m.To == "fast" {
			fast.Add(1)
			return nil
		}
		if slow.Add(1) > perRecipient {
			t.Error("more tries to one recipient than it may have")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	for range 150 {
		put(t, o, "slow")
	}
	for range 10 {
		put(t, o, "fast")
	}
	var all sync.WaitGroup
	all.Go(func() { o.Run(ctx) })
	eventually(t, "the fast one was told", func() bool { return fast.Load() == 10 })
	end()
	all.Wait() // and what was under way is due at once, as if it had not been tried
	tried, due := 0, 0
	found, _, _ := o.records.List(t.Context(), "", "", storage.Page{Limit: storage.MaxPage})
	for _, m := range found {
		tried += m.Tries
		if !m.DueAt.After(s.Now()) {
			due++
		}
	}
	if tried != 0 || due != 150 {
		t.Errorf("after a stop %d messages are due and count %d tries", due, tried)
	}
}

// TestBehindMany has more messages for a recipient that does not answer than are looked at
// before a rest: those behind them are told all the same.
func TestBehindMany(t *testing.T) {
	s, _ := open(t)
	ctx, end := context.WithCancel(t.Context())
	var fast atomic.Int64
	o := box(s, func(ctx context.Context, m *Message) error {
		if m.To == "fast" {
			fast.Add(1)
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	})
	for range maxLook*pageSize + 50 {
		put(t, o, "slow")
	}
	put(t, o, "fast")
	var all sync.WaitGroup
	all.Go(func() { o.Run(ctx) })
	eventually(t, "the fast one was told", func() bool { return fast.Load() == 1 })
	end()
	all.Wait()
}

// TestUnit shows that a message belongs to the unit of work that it is put in.
func TestUnit(t *testing.T) {
	s, _ := open(t)
	told := 0
	o := box(s, func(context.Context, *Message) error { told++; return nil })
	refused := errors.New("refused")
	err := s.Do(t.Context(), func(ctx context.Context) error {
		if err := o.Put(ctx, "t", "a", nil); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) || count(t, o) != 0 {
		t.Errorf("%v; %d messages", err, count(t, o))
	}
}

// TestPanic must not take the process along.
func TestPanic(t *testing.T) {
	s, _ := open(t)
	o := box(s, func(context.Context, *Message) error { panic("by the recipient") })
	put(t, o, "a")
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, o); n != 1 {
		t.Errorf("%d messages; the one that panicked is tried again", n)
	}
}
