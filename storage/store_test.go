package storage_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

func TestClockBehindTheLastCommitIsRefused(t *testing.T) {
	w := newWorld(t)
	check(t, notesOf(w.open(t)).Put(t.Context(), &note{ID: "a"}))

	w.advance(-time.Minute) // within tolerance
	w.open(t)
	w.advance(-time.Millisecond)
	_, err := w.tryOpen(t, storage.Options{})
	if err == nil {
		t.Fatal("a clock more than a minute behind was accepted")
	}
	wantText(t, err, "2030-05-01T11:58:59Z", "2030-05-01T12:00:00Z", "set the clock right")

	var log bytes.Buffer
	_, err = w.tryOpen(t, storage.Options{AcceptClock: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	check(t, err)
	if !bytes.Contains(log.Bytes(), []byte("level=WARN")) {
		t.Errorf("accepting it was not logged: %q", log.String())
	}
}

func TestSweepWaitsADay(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, notes.Insert(t.Context(), &note{ID: "a", Expires: w.clock().Add(time.Hour)}))
	check(t, notes.Insert(t.Context(), &note{ID: "b"}))
	for _, step := range []struct {
		advance time.Duration
		want    int
	}{
		{2 * time.Hour, 0},
		{23*time.Hour - time.Millisecond, 0},
		{time.Millisecond, 1},
		{1000 * time.Hour, 0},
	} {
		w.advance(step.advance)
		n, err := s.Sweep(t.Context(), time.Second)
		check(t, err)
		if n != step.want {
			t.Errorf("after %v more: swept %d, want %d", step.advance, n, step.want)
		}
	}
	_, err := notes.Get(t.Context(), "b")
	check(t, err)
}

func TestCount(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	counted := func() int64 {
		t.Helper()
		n, err := s.Counted(t.Context(), "tries", "x")
		check(t, err)
		return n
	}
	add := func(delta int64) error { return s.Count(t.Context(), "tries", "x", delta, 3, time.Hour) }
	if counted() != 0 {
		t.Error("an absent counter does not stand at 0")
	}
	check(t, add(1))
	check(t, add(2))
	wantErr(t, add(1), storage.ErrLimit)
	if counted() != 3 {
		t.Errorf("counted %d, want 3", counted())
	}
	check(t, add(-1))
	check(t, add(1))

	// The life began with the first count and is not prolonged by later ones.
	w.advance(time.Hour - time.Millisecond)
	wantErr(t, add(1), storage.ErrLimit)
	w.advance(time.Millisecond)
	if counted() != 0 {
		t.Errorf("an expired counter stands at %d", counted())
	}
	check(t, add(1))
	if counted() != 1 {
		t.Errorf("counted %d after a new beginning", counted())
	}
}

func TestCountInAUnit(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	notes := notesOf(s)
	check(t, s.Do(t.Context(), func(ctx context.Context) error {
		// Somebody else counts meanwhile: that is no conflict.
		check(t, s.Count(t.Context(), "tries", "x", 10, 0, time.Hour))
		return errors.Join(s.Count(ctx, "tries", "x", 1, 0, time.Hour), s.Count(ctx, "tries", "x", 1, 0, time.Hour))
	}))
	n, err := s.Counted(t.Context(), "tries", "x")
	check(t, err)
	if n != 12 || s.Exhausted() != 0 {
		t.Errorf("counted %d, want 12", n)
	}
	err = s.Do(t.Context(), func(ctx context.Context) error {
		check(t, notes.Insert(ctx, &note{ID: "a"}))
		return s.Count(ctx, "tries", "x", 1, 12, time.Hour)
	})
	wantErr(t, err, storage.ErrLimit)
	_, err = notes.Get(t.Context(), "a")
	wantErr(t, err, storage.ErrNotFound)
}

func TestSurvivingCountLeavesOutWhatWasDropped(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	err := s.Do(t.Context(), func(ctx context.Context) error {
		check(t, s.Count(ctx, "tries", "x", 5, 0, time.Hour))
		check(t, s.Count(storage.Surviving(ctx), "tries", "x", 1, 0, time.Hour))
		check(t, s.Count(storage.Surviving(ctx), "tries", "x", 1, 0, time.Hour))
		return errRefused
	})
	wantErr(t, err, errRefused)
	if n, _ := s.Counted(t.Context(), "tries", "x"); n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
}

func TestMACsDifferByNamespacePurposeAndParts(t *testing.T) {
	w := newWorld(t)
	a := w.open(t)
	b, err := w.tryOpen(t, storage.Options{Namespace: "https://other.example"})
	check(t, err)
	again := w.open(t)

	if !bytes.Equal(a.MAC("p", []byte("x")), again.MAC("p", []byte("x"))) || a.Lookup("p", "x") != again.Lookup("p", "x") {
		t.Error("the same MAC differs after opening again")
	}
	seen := map[string]string{}
	for name, mac := range map[string][]byte{
		"a":            a.MAC("p", []byte("ab"), []byte("c")),
		"namespace":    b.MAC("p", []byte("ab"), []byte("c")),
		"purpose":      a.MAC("q", []byte("ab"), []byte("c")),
		"boundary":     a.MAC("p", []byte("a"), []byte("bc")),
		"joined":       a.MAC("p", []byte("abc")),
		"into purpose": a.MAC("pab", []byte("c")),
		"nothing":      a.MAC("p"),
		"empty":        a.MAC("p", nil),
		"as lookup":    a.MAC("lookup p", []byte("ab"), []byte("c")),
	} {
		if other, twice := seen[string(mac)]; twice || len(mac) != 32 {
			t.Errorf("%s and %s have the same MAC, or one of %d bytes", name, other, len(mac))
		}
		seen[string(mac)] = name
	}
	if mac := base64.RawURLEncoding.EncodeToString(a.MAC("p", []byte("x"))); strings.HasPrefix(mac, a.Lookup("p", "x")) {
		t.Error("a lookup shows the MAC of the same purpose")
	}
	lookups := map[string]bool{}
	for _, l := range []string{
		a.Lookup("p", "ab", "c"), a.Lookup("p", "a", "bc"), a.Lookup("q", "ab", "c"), b.Lookup("p", "ab", "c"),
		a.SubjectKey("alice"), b.SubjectKey("alice"), a.ConsentKey("alice", "c"),
	} {
		if lookups[l] || len(l) != 24 {
			t.Errorf("lookup %q twice, or not of 24 characters", l)
		}
		lookups[l] = true
	}
}

func TestEpochs(t *testing.T) {
	w := newWorld(t)
	e := storage.NewEpochs(w.open(t))
	at := func(h storage.Holder) uint64 {
		t.Helper()
		n, err := e.At(t.Context(), h)
		check(t, err)
		return n
	}
	alice, app := e.OfSubject("alice"), e.OfApp("alice", "app")
	check(t, e.Raise(t.Context(), alice, time.Time{}))
	first := at(alice)
	check(t, e.Raise(t.Context(), alice, time.Time{}))
	if first == 0 || at(alice) <= first || at(app) != 0 || at(e.OfSubject("bob")) != 0 {
		t.Errorf("epochs %d, %d and %d; want two that rise and 0", first, at(alice), at(app))
	}
	check(t, e.Raise(t.Context(), e.OfSession(""), time.Time{}))
	if at(e.OfSession("")) != 0 {
		t.Error("no session has an epoch")
	}
}

// A host may call its sessions by the same name again and again. What was made
// between two ends of one must not pass for what was made after them.
func TestEpochThatEndedDoesNotComeBack(t *testing.T) {
	w := newWorld(t)
	e := storage.NewEpochs(w.open(t))
	session := e.OfSession("s")
	seen := map[uint64]bool{0: true}
	for range 3 {
		check(t, e.Raise(t.Context(), session, w.clock().Add(time.Hour)))
		n, err := e.At(t.Context(), session)
		check(t, err)
		if seen[n] {
			t.Errorf("the epoch %d came back", n)
		}
		seen[n] = true
		w.advance(2 * time.Hour)
	}
}

// Who finds the epoch raised by somebody else meanwhile has what they wanted, and
// does not run after it.
func TestEpochRaisedByManyAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	e := storage.NewEpochs(s)
	rival, err := storage.Open(t.Context(), w.backend.Backend, storage.Options{Namespace: s.Namespace(), Clock: w.clock})
	check(t, err)
	rivals := storage.NewEpochs(rival)
	w.backend.onApply = func(_ storage.Batch, next func() error) error {
		check(t, rivals.Raise(t.Context(), rivals.OfSubject("alice"), time.Time{}))
		return next()
	}
	check(t, e.Raise(t.Context(), e.OfSubject("alice"), time.Time{}))
	if n := s.Exhausted(); n != 0 {
		t.Errorf("%d units of work were given up", n)
	}
}
