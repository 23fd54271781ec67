package postgres

import (
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/storage"
)

// drift bounds how much faster or slower than the server's the clock of this machine
// runs: 200 millionths, several times what a computer's quartz is off.
const drift = 200e-6

// microseconds is the server's clock in a statement. It is read anew for each row.
const microseconds = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

// serverClock follows the clock of the server by what round trips that are made anyway
// bring along. The clock of this machine only measures the time since then, so it does
// not matter what it says.
type serverClock struct {
	line  atomic.Pointer[reading] // the last that counts
	floor atomic.Pointer[reading] // the same, as long as the server's clock goes on evenly
}

// reading is one look at the server's clock.
type reading struct {
	server time.Time
	local  time.Time     // in the middle of the round trip
	wall   time.Time     // the same by the wall clock of this machine
	within time.Duration // half of it: the server read its clock at some moment of it
}

// measured is what the server's clock says at a local time, by this reading.
func (r *reading) measured(at time.Time) time.Time { return r.server.Add(at.Sub(r.local)) }

// bound is how far that may be off.
func (r *reading) bound(at time.Time) time.Duration {
	return r.within + time.Duration(drift*float64(at.Sub(r.local).Abs()))
}

// agrees says whether two readings can be of one clock that goes on evenly.
func (r *reading) agrees(other *reading) bool {
	return r.measured(other.local).Sub(other.server).Abs() <= r.bound(other.local)+other.within
}

// better returns the reading that tells more: a quick round trip, or a recent one.
func (r *reading) better(next *reading) *reading {
	if next.within <= r.bound(next.local) {
		return next
	}
	return r
}

// note takes a reading: what the server said between two local times.
func (c *serverClock) note(sent, received time.Time, us int64) {
	half := received.Sub(sent) / 2
	next := &reading{server: time.UnixMicro(us).UTC(), local: sent.Add(half), wall: received.Round(0).Add(-half), within: half}
	// Two notes at the same time may undo each other; each is a true reading.
	line, floor := c.line.Load(), c.floor.Load()
	switch {
	case line == nil:
		c.floor.Store(next)
		c.line.Store(next)
		return
	case line.agrees(next):
		c.line.Store(line.better(next))
	default: // the server's clock was set, or this machine slept
		c.line.Store(next)
	}
	if floor.agrees(next) {
		c.floor.Store(floor.better(next))
	}
}

// at returns the time. A clock that was set back is carried on as if it were not, and one
// that is ahead is followed while it is. What this machine slept through, which nothing
// but its wall clock has measured, counts until the next round trip tells better.
func (c *serverClock) at(now, wall time.Time) storage.ClockReading {
	line, floor := c.line.Load(), c.floor.Load()
	found := storage.ClockReading{Now: line.measured(now), Least: floor.measured(now), Within: line.bound(now)}
	if slept := wall.Sub(line.wall) - now.Sub(line.local); slept > time.Second {
		found.Now = found.Now.Add(slept)
	}
	if found.Now.Before(found.Least) {
		found.Now = found.Least
	}
	return found
}

// Clock implements storage.Timekeeper, by the clock of the server. It is off by half of a
// round trip at most, and by a fifth of a millisecond for each second since the last one:
// 12 ms after a minute, which is when a server sweeps that does nothing else.
func (b *Backend) Clock() storage.ClockReading {
	now := time.Now()
	return b.clock.at(now, now.Round(0))
}
