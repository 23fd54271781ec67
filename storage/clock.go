package storage

import (
	"sync"
	"time"

	"github.com/doorward/doorward/internal/clock"
)

// systemClock returns the clocks of a Store that was given none: the one that
// judges, and the one that the sweep goes by. They are those of the database if it has
// one, else of this machine. The backend is asked each time: it may move.
func systemClock(b Backend) (now, sweep func() time.Time) {
	start := time.Now() // with its monotonic reading, which Since uses and Round takes off
	elapsed := func() time.Duration { return time.Since(start) }
	own, ownSweep := clock.Steady(start.Round(0), time.Now, elapsed), clock.Measured(start.Round(0), elapsed)
	var even held
	now = func() time.Time {
		if t, ok := As[Timekeeper](b); ok {
			return even.time(t.Clock())
		}
		return own()
	}
	sweep = func() time.Time {
		if t, ok := As[Timekeeper](b); ok {
			return t.Clock().Least.UTC()
		}
		return ownSweep()
	}
	return now, sweep
}

// held stands still where a new reading is behind the last time by no more than readings
// of one clock are apart, so that what has just expired is not alive again a moment later.
// A step that is larger is that of a clock which was ahead and is right again.
type held struct {
	mu   sync.Mutex
	last ClockReading
}

func (h *held) time(r ClockReading) time.Time {
	r.Now = r.Now.Round(0) // compared as it is told: a monotonic reading may go its own way
	h.mu.Lock()
	defer h.mu.Unlock()
	if behind := h.last.Now.Sub(r.Now); behind <= 0 || behind > h.last.Within+r.Within {
		h.last = r
	}
	return h.last.Now.UTC()
}
