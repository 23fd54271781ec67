package storage

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/clock"
)

func TestSystemClockIsTheTime(t *testing.T) {
	now, _ := systemClock(&bare{})
	before := time.Now()
	got := now()
	if got.Before(before.Round(0)) || got.After(time.Now().Add(time.Second)) || got.Location() != time.UTC {
		t.Errorf("the clock says %v at %v", got, before)
	}
}

// sweeping keeps the time that it was asked to sweep by.
type sweeping struct {
	Backend
	by time.Time
}

func (s *sweeping) Sweep(_ context.Context, now time.Time, _ time.Duration) (int, error) {
	s.by = now
	return 0, nil
}

func TestSweepDoesNotFollowAClockThatRanAhead(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	wall := start.AddDate(1, 0, 0)
	elapsed := func() time.Duration { return time.Minute }
	backend := &sweeping{}
	s := &Store{backend: backend, clock: clock.Steady(start, func() time.Time { return wall }, elapsed), sweepClock: clock.Measured(start, elapsed)}
	if !s.Now().Equal(wall) {
		t.Errorf("the clock says %v, want %v", s.Now(), wall)
	}
	if _, err := s.Sweep(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if want := start.Add(time.Minute - sweepDelay); !backend.by.Equal(want) {
		t.Errorf("swept what had expired at %v, want %v", backend.by, want)
	}
}

// clocked is a database with a clock of its own.
type clocked struct {
	Backend
	reading ClockReading
}

func (c *clocked) Clock() ClockReading { return c.reading }

// behind stands before another backend, which may change.
type behind struct{ Backend }

func (b *behind) Unwrap() Backend { return b.Backend }

func TestTheClockOfTheDatabaseCounts(t *testing.T) {
	b := &clocked{reading: ClockReading{Now: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), Least: time.Date(2039, 1, 1, 0, 0, 0, 0, time.UTC)}}
	front := &behind{Backend: b}
	now, sweep := systemClock(front)
	if !now().Equal(b.reading.Now) || !sweep().Equal(b.reading.Least) {
		t.Errorf("it says %v, and the sweep goes by %v", now(), sweep())
	}
	front.Backend = &bare{} // moved to a file
	if off := time.Since(now()).Abs(); off > time.Minute {
		t.Errorf("after a move to a file it is off by %v", off)
	}
	if off := time.Since(sweep()).Abs(); off > time.Minute {
		t.Errorf("after a move to a file the sweep is off by %v", off)
	}
}

// Two readings of one clock differ by what each may be off: the time stands still until
// the second is ahead of the first. It goes back only where the clock was wrong before.
func TestTheTimeDoesNotTremble(t *testing.T) {
	const ms = time.Millisecond
	first := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	b := &clocked{}
	now, _ := systemClock(b)
	for _, step := range []struct {
		name               string
		at, within, wanted time.Duration
	}{
		{"at first", 0, 2 * ms, 0},
		{"later", 10 * ms, 2 * ms, 10 * ms},
		{"a reading that is behind", 7 * ms, 2 * ms, 10 * ms},
		{"and has not caught up", 9 * ms, 2 * ms, 10 * ms},
		{"and has", 11 * ms, 2 * ms, 11 * ms},
		{"a slow answer", 90 * ms, 50 * ms, 90 * ms},
		{"a quick one tells better", 60 * ms, 2 * ms, 90 * ms},
		{"the clock runs ahead", time.Hour, 2 * ms, time.Hour},
		{"and is right again", 95 * ms, 2 * ms, 95 * ms},
	} {
		b.reading = ClockReading{Now: first.Add(step.at), Within: step.within}
		if got := now().Sub(first); got != step.wanted {
			t.Errorf("%s: %v, want %v", step.name, got, step.wanted)
		}
	}
}

// While replicas look at the clock of the database again and again, nobody is told a time
// before one that somebody was told already.
func TestTheTimeDoesNotTrembleForMany(t *testing.T) {
	var h held
	base := time.Now()
	var told atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				least := told.Load()
				off := time.Duration(i%7) * time.Millisecond
				got := h.time(ClockReading{Now: time.Now().Add(off), Within: time.Second}).Sub(base.Round(0))
				if int64(got) < least {
					t.Errorf("told %v after %v", got, time.Duration(least))
					return
				}
				for seen := told.Load(); seen < int64(got) && !told.CompareAndSwap(seen, int64(got)); seen = told.Load() {
				}
			}
		})
	}
	all.Wait()
}

// What counts at a start is the clock of the database, and the refusal names it.
func TestStartGoesByTheClockOfTheDatabase(t *testing.T) {
	committed := time.Date(2040, 1, 1, 12, 0, 0, 0, time.UTC) // this machine is years behind
	for _, behind := range []time.Duration{0, 10 * time.Minute} {
		s := &Store{backend: &committing{clocked{reading: ClockReading{Now: committed.Add(-behind)}}, committed}}
		s.clock, _ = systemClock(s.backend)
		err := s.checkClock(t.Context(), false)
		switch {
		case behind == 0 && err != nil:
			t.Errorf("a machine whose own clock is behind: %v", err)
		case behind > 0 && (err == nil || !strings.Contains(err.Error(), "the clock of the database says 2040-01-01T11:50:00Z")):
			t.Errorf("a database whose clock was set back: %v", err)
		}
	}
}

// committing is a database with a clock that knows its last commit.
type committing struct {
	clocked
	at time.Time
}

func (c *committing) LastCommit(context.Context) (time.Time, error) { return c.at, nil }

// bare is a database without a clock: its methods are not called.
type bare struct{ Backend }
