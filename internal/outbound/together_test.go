package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// spent is a context whose fetches have no time left.
func spent(ctx context.Context) context.Context {
	return context.WithValue(ctx, BudgetKey{}, &Budget{end: time.Now().Add(-time.Second)})
}

// together is a context whose fetches share their time.
func together(ctx context.Context) context.Context {
	return context.WithValue(ctx, BudgetKey{}, &Budget{})
}

// TestTogether: fetches that belong together take no longer than one alone.
func TestTogether(t *testing.T) {
	over := make(chan struct{})
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	})
	t.Cleanup(func() { close(over) })
	quick := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "one") })
	quick.roots.AddCert(slow.Certificate())
	c := New(Options{Hosts: []string{slow.host, quick.host}, Roots: quick.roots, Time: 300 * time.Millisecond})
	get := func(ctx context.Context, o *origin) error {
		_, err := c.Get(ctx, Request{URL: o.URL, Limit: 10})
		return err
	}
	ctx := together(t.Context())
	if err := get(ctx, slow); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a host that does not answer: %v", err)
	}
	if err := get(ctx, quick); !errors.Is(err, context.DeadlineExceeded) || quick.requests.Load() != 0 {
		t.Errorf("the second fetch: %v, %d requests", err, quick.requests.Load())
	}
	patient := New(Options{Hosts: []string{quick.host}, Roots: quick.roots}) // whose time is enough on any machine
	if _, err := patient.Get(together(t.Context()), Request{URL: quick.URL, Limit: 10}); err != nil {
		t.Errorf("the first of another answer: %v", err)
	}
}

// TestHastyFetchProvesNothing: who has no time left takes a document from nobody.
func TestHastyFetchProvesNothing(t *testing.T) {
	s := newShelf(t)
	if got, err := s.Get(spent(t.Context()), s.URL); err == nil {
		t.Errorf("without time: %q", got)
	}
	s.want(t, s.Get, "one", 1) // at once, though failures are remembered for 10 seconds
	s.say("two", "")
	s.clock.Add(60)
	if got, err := s.Refresh(spent(t.Context()), s.URL); got != "one" || err != nil {
		t.Errorf("without time a refresh gives %q, %v", got, err)
	}
	s.want(t, s.Refresh, "two", 2) // at once, though refreshes are a minute apart

	s = newShelf(t)
	begun, end := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	s.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			close(begun)
			<-end
		}
		_, _ = io.WriteString(w, "one")
	}))
	var all sync.WaitGroup
	for life := time.Second; ; life *= 2 { // until one gets as far as the host
		hasty, done := context.WithValue(t.Context(), BudgetKey{}, &Budget{end: time.Now().Add(life)}), make(chan struct{})
		all.Go(func() {
			defer close(done)
			_, _ = s.Get(hasty, s.URL)
		})
		select {
		case <-begun:
		case <-done:
			continue
		}
		break
	}
	for range 5 {
		all.Go(func() {
			if got, err := s.Get(together(t.Context()), s.URL); got != "one" || err != nil {
				t.Errorf("who waited for a hasty fetch: %q, %v", got, err)
			}
		})
	}
	all.Wait()
	close(end)
}

// TestPatienceIsShared: who waits for the fetch of another leaves when its time is over.
func TestPatienceIsShared(t *testing.T) {
	s := newShelf(t)
	begun, end := make(chan struct{}), make(chan struct{})
	s.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		_, _ = io.WriteString(w, "one")
	}))
	var all sync.WaitGroup
	all.Go(func() { _, _ = s.Get(t.Context(), s.URL) })
	<-begun
	if _, err := s.Get(spent(t.Context()), s.URL); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who has no time left waits: %v", err)
	}
	close(end)
	all.Wait()
}

// TestRefused tells what is wrong for good from what may be over soon.
func TestRefused(t *testing.T) {
	for status, want := range map[int]bool{
		http.StatusNotFound: true, http.StatusGone: true, http.StatusForbidden: true, http.StatusUnauthorized: true, http.StatusFound: true, http.StatusCreated: true, http.StatusNoContent: true,
		http.StatusInternalServerError: false, http.StatusBadGateway: false, http.StatusServiceUnavailable: false, http.StatusTooManyRequests: false, http.StatusRequestTimeout: false, http.StatusTooEarly: false,
	} {
		o := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, err := o.free().Get(t.Context(), Request{URL: o.URL, Limit: 10})
		if err == nil || Refused(err) != want || Refused(fmt.Errorf("wrapped: %w", err)) != want {
			t.Errorf("status %d: %v, refused %t", status, err, Refused(err))
		}
	}
	large := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "more than ten") })
	for name, r := range map[string]Request{"too long": {URL: large.URL, Limit: 10}, "another type": {URL: large.URL, Limit: 100, Types: []string{"application/json"}}} {
		if _, err := large.free().Get(t.Context(), r); !Refused(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	strict := New(Options{Roots: large.roots})
	if _, err := strict.Get(t.Context(), Request{URL: large.URL, Limit: 100}); err == nil || Refused(err) {
		t.Errorf("an address that is not open: %v", err)
	}
	if Refused(nil) || Refused(ErrURL) {
		t.Error("what was never asked refuses")
	}
}
