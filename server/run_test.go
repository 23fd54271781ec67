package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// TestReminder holds that a server without Run says so, once and not before a minute.
func TestReminder(t *testing.T) {
	for _, c := range []struct {
		name string
		run  bool
		want int
	}{{"without Run", false, 1}, {"with Run", true, 0}} {
		var log bytes.Buffer
		now := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		config := valid(t)
		config.Clock, config.Logger = now.Now, slog.New(slog.NewTextHandler(&log, nil))
		s := start(t, config)
		if c.run {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := s.Run(ended); err != nil {
				t.Fatal(err)
			}
		}
		ask := func() int {
			request(s.Handler(), http.MethodGet, "/oauth/jwks")
			return strings.Count(log.String(), "Run was not called")
		}
		if got := ask(); got != 0 {
			t.Errorf("%s: told %d times at once", c.name, got)
		}
		now.now = now.now.Add(61 * time.Second)
		ask()
		if got := ask(); got != c.want {
			t.Errorf("%s: told %d times after a minute, want %d", c.name, got, c.want)
		}
	}
}

type note struct {
	ID   string
	Ends time.Time
}

func notes(s *server.Server) *storage.Collection[note] {
	return storage.Collect(s.Store(), "note", 1, func(n *note) storage.Meta { return storage.Meta{ID: n.ID, Expiry: n.Ends} })
}

// TestRun holds that Run deletes what expired long ago, rotates keys when they are
// due, and ends with its context.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := memory.New()
		config := valid(t)
		config.Store, config.Keys.Rotation, config.Clock = backend, 24*time.Hour, time.Now
		s := start(t, config)
		if err := notes(s).Put(t.Context(), &note{"n", s.Store().Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		before, first := backend.Stats().Records, request(s.Handler(), http.MethodGet, "/oauth/jwks").Body.String()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(26 * time.Hour)
		synctest.Wait()
		if got := backend.Stats().Records; got >= before {
			t.Errorf("%d records, %d before: nothing was swept", got, before)
		}
		if again := request(s.Handler(), http.MethodGet, "/oauth/jwks").Body.String(); again == first {
			t.Error("the keys were not rotated")
		}
		if err := s.Run(t.Context()); !errors.Is(err, server.ErrRunning) {
			t.Errorf("a second Run: %v, want ErrRunning", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// TestMaintain holds that one call does all that is due.
func TestMaintain(t *testing.T) {
	now := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	backend := memory.New()
	config := valid(t)
	config.Store, config.Clock = backend, now.Now
	s := start(t, config)
	before := backend.Stats().Records
	for _, id := range []string{"a", "b", "c"} {
		if err := notes(s).Put(t.Context(), &note{id, now.now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	now.now = now.now.Add(26 * time.Hour)
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := backend.Stats().Records; got != before {
		t.Errorf("%d records are left, want %d", got, before)
	}
}

func TestReady(t *testing.T) {
	config := valid(t)
	s := start(t, config)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("a healthy server: %v", err)
	}
	if err := config.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a closed store: %v, want ErrUnavailable", err)
	}
}
