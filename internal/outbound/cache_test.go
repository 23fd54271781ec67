package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shelf is a cache of texts with a clock that the test moves.
type shelf struct {
	*Cache[string]
	*origin
	clock  atomic.Int64
	answer atomic.Value // func(http.ResponseWriter, *http.Request)
}

var errText = errors.New("no text")

func newShelf(t *testing.T) *shelf {
	s := &shelf{}
	s.say("one", "")
	s.origin = serve(t, func(w http.ResponseWriter, r *http.Request) { s.answer.Load().(http.HandlerFunc)(w, r) })
	s.Cache = NewCache(s.free(), CacheOptions{
		Size: 3, Limit: 100, Least: time.Minute, Default: 10 * time.Minute, Most: time.Hour, Failure: 10 * time.Second, Again: time.Minute,
		Now: func() time.Time { return time.Unix(1_000_000+s.clock.Load(), 0) },
	}, func(body []byte) (string, error) {
		if strings.HasPrefix(string(body), "bad") {
			return "", errText
		}
		return string(body), nil
	})
	return s
}

func (s *shelf) say(text, control string) {
	s.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if control != "" {
			w.Header().Set("Cache-Control", control)
		}
		if text == "" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
}

// want holds what the cache gives and how many requests there were in all.
func (s *shelf) want(t *testing.T, get func(context.Context, string) (string, error), text string, requests int64) {
	t.Helper()
	got, err := get(t.Context(), s.URL)
	if got != text || (err == nil) != (text != "") {
		t.Errorf("%q, %v, want %q", got, err, text)
	}
	if n := s.requests.Load(); n != requests {
		t.Errorf("%d requests, want %d", n, requests)
	}
}

func TestCacheLives(t *testing.T) {
	for control, life := range map[string]int64{"": 600, "max-age=300": 300, "max-age=1": 60, "no-store": 60, "max-age=999999": 3600} {
		s := newShelf(t)
		s.say("one", control)
		s.want(t, s.Get, "one", 1)
		s.say("two", control)
		s.clock.Add(life - 1)
		s.want(t, s.Get, "one", 1)
		s.clock.Add(1)
		s.want(t, s.Get, "two", 2)
	}
}

// TestAClockThatWasAhead: what was fetched while it was ahead lives no longer for that, and
// a key that is new since then is asked for.
func TestAClockThatWasAhead(t *testing.T) {
	const year = 365 * 24 * 3600
	for name, get := range map[string]func(*shelf) func(context.Context, string) (string, error){
		"get":     func(s *shelf) func(context.Context, string) (string, error) { return s.Get },
		"refresh": func(s *shelf) func(context.Context, string) (string, error) { return s.Refresh },
	} {
		s := newShelf(t)
		s.clock.Add(year)
		s.want(t, s.Get, "one", 1)
		s.clock.Add(-year)
		s.say("two", "")
		if _, ok := s.Known(s.URL); ok {
			t.Errorf("%s: what was fetched in a year from now is fresh", name)
		}
		s.want(t, get(s), "two", 2)
		s.want(t, s.Get, "two", 2)
		s.clock.Add(600)
		s.say("three", "")
		s.want(t, get(s), "three", 3)
	}
}

// TestRefreshIsBounded: names of keys that nobody has make no flood of requests.
func TestRefreshIsBounded(t *testing.T) {
	s := newShelf(t)
	s.want(t, s.Refresh, "one", 1)
	s.say("two", "")
	for range 50 {
		s.want(t, s.Refresh, "one", 1)
	}
	s.clock.Add(60)
	s.want(t, s.Refresh, "two", 2)
	s.want(t, s.Refresh, "two", 2)
	s.clock.Add(60)
	s.say("", "")
	s.want(t, s.Refresh, "two", 3) // a failure leaves the old one
	s.want(t, s.Refresh, "two", 3)
	s.want(t, s.Get, "two", 3)
}

func TestFailureIsForgottenSoon(t *testing.T) {
	for _, text := range []string{"", "bad"} {
		s := newShelf(t)
		s.say(text, "max-age=3600")
		s.want(t, s.Get, "", 1)
		s.want(t, s.Get, "", 1)
		s.want(t, s.Refresh, "", 1)
		s.say("one", "")
		s.clock.Add(10)
		s.want(t, s.Get, "one", 2)
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := newShelf(t)
	for i := range 10 {
		if _, err := s.Get(t.Context(), fmt.Sprintf("%s/%d", s.URL, i)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), s.URL+"/0"); err != nil { // used all the time, so it stays
			t.Fatal(err)
		}
	}
	if n := s.requests.Load(); n != 10 || len(s.entries) != 3 || s.order.Len() != 3 {
		t.Errorf("%d requests, %d and %d entries", n, len(s.entries), s.order.Len())
	}
	if _, err := s.Get(t.Context(), "http://example.com/"); !errors.Is(err, ErrURL) || len(s.entries) != 3 {
		t.Errorf("%v, %d entries", err, len(s.entries))
	}
}

// TestOneFetchForAll: those who come while a document is on its way wait for it, and
// the one that hangs up takes it from nobody.
func TestOneFetchForAll(t *testing.T) {
	s := newShelf(t)
	begun, end := make(chan struct{}), make(chan struct{})
	s.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-end
		_, _ = io.WriteString(w, "one")
	}))
	first, hangUp := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _, _ = s.Get(first, s.URL) })
	<-begun
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.Get(gone, s.URL); !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
	for range 20 {
		all.Go(func() {
			if got, err := s.Refresh(t.Context(), s.URL); got != "one" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	hangUp()
	close(end)
	all.Wait()
	if n := s.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestPanicLeavesNoEmptyDocument: what parse could not judge does not count.
func TestPanicLeavesNoEmptyDocument(t *testing.T) {
	s := newShelf(t)
	s.parse = func(context.Context, string, []byte) (string, error) { panic("a document that parse does not survive") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		_, _ = s.Get(t.Context(), s.URL)
	}()
	if _, err := s.Get(t.Context(), s.URL); !errors.Is(err, errUnfinished) {
		t.Errorf("after a panic: %v", err)
	}
}
