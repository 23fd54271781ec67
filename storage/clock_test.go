package storage

import (
	"context"
	"testing"
	"time"
)

func TestSteadyClock(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	wall, elapsed := start, time.Duration(0)
	now := steady(start, func() time.Time { return wall }, func() time.Duration { return elapsed })
	for _, step := range []struct {
		name          string
		wall, elapsed time.Duration
		want          time.Duration
	}{
		{"both agree", time.Hour, time.Hour, time.Hour},
		{"the wall clock was set back", -24 * time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"the machine slept", 9 * time.Hour, 3 * time.Hour, 9 * time.Hour},
	} {
		wall, elapsed = start.Add(step.wall), step.elapsed
		if got := now().Sub(start); got != step.want {
			t.Errorf("%s: %v after the start, want %v", step.name, got, step.want)
		}
	}
}

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
	s := &Store{backend: backend, clock: steady(start, func() time.Time { return wall }, elapsed), sweepClock: measured(start, elapsed)}
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

// bare is a database without a clock: its methods are not called.
type bare struct{ Backend }
