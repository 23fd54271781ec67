package postgres

import (
	"testing"
	"time"
)

// look is one round trip: what the server's clock said, how long it took, and what this
// machine had measured when it ended.
func look(c *serverClock, base time.Time, at, took, server time.Duration) {
	end := base.Add(at)
	c.note(end.Add(-took), end, base.Add(server).UnixMicro())
}

// says is how far ahead of base the clock is after this machine has measured so long.
func says(c *serverClock, base time.Time, at time.Duration) (now, least, within time.Duration) {
	r := c.at(base.Add(at), base.Add(at).Round(0))
	return r.Now.Sub(base), r.Least.Sub(base), r.Within
}

func TestClockOfTheServer(t *testing.T) {
	const ms, hour = time.Millisecond, time.Hour
	base := time.Now() // with its monotonic reading
	near := func(t *testing.T, what string, got, want, within time.Duration) {
		t.Helper()
		if off := (got - want).Abs(); off > within {
			t.Errorf("%s: %v, want %v to within %v", what, got, want, within)
		}
	}
	t.Run("this machine is an hour behind", func(t *testing.T) {
		var c serverClock
		look(&c, base, 0, 2*ms, hour)
		now, least, within := says(&c, base, time.Second)
		near(t, "now", now, hour+time.Second, 2*ms)
		near(t, "least", least, hour+time.Second, 2*ms)
		near(t, "bound", within, 1200*time.Microsecond, 10*time.Microsecond)
	})
	t.Run("a slow answer tells less than a quick one of before", func(t *testing.T) {
		var c serverClock
		look(&c, base, 0, 2*ms, hour)
		look(&c, base, time.Second, 800*ms, hour+time.Second-700*ms)
		now, _, _ := says(&c, base, time.Second)
		near(t, "now", now, hour+time.Second, 2*ms)
	})
	t.Run("the clock of this machine drifts", func(t *testing.T) {
		var c serverClock
		for i := range 1000 { // a minute here is a minute and 6 ms there
			at := time.Duration(i) * time.Minute
			look(&c, base, at, 2*ms, at+time.Duration(i)*6*ms)
		}
		now, least, _ := says(&c, base, 999*time.Minute)
		near(t, "now", now, 999*time.Minute+999*6*ms, 2*ms)
		near(t, "least", least, now, 0)
	})
	t.Run("the server's clock is set back and revives nothing", func(t *testing.T) {
		var c serverClock
		look(&c, base, 0, 2*ms, hour)
		look(&c, base, time.Second, 2*ms, 0)
		now, least, _ := says(&c, base, 2*time.Second)
		near(t, "now", now, hour+2*time.Second, 2*ms)
		near(t, "least", least, hour+2*time.Second, 2*ms)
	})
	t.Run("the server's clock was ahead for a moment and deletes nothing", func(t *testing.T) {
		var c serverClock
		look(&c, base, 0, 2*ms, 0)
		look(&c, base, time.Second, 2*ms, 24*hour)
		now, least, _ := says(&c, base, 2*time.Second)
		near(t, "now", now, 24*hour+time.Second, 2*ms)
		near(t, "least", least, 2*time.Second, 2*ms)
		look(&c, base, 3*time.Second, 2*ms, 3*time.Second)
		now, _, _ = says(&c, base, 4*time.Second)
		near(t, "now again", now, 4*time.Second, 2*ms)
	})
	t.Run("this machine slept", func(t *testing.T) {
		var c serverClock
		look(&c, base, 0, 2*ms, 0)
		end := base.Add(time.Second) // measured, while the wall clock went on for eight hours
		r := c.at(end, end.Round(0).Add(8*hour))
		near(t, "before a round trip", r.Now.Sub(base), 8*hour+time.Second, 5*ms)
		near(t, "least", r.Least.Sub(base), time.Second, 5*ms)
		look(&c, base, 2*time.Second, 2*ms, 9*hour)
		now, _, _ := says(&c, base, 2*time.Second)
		near(t, "after a round trip", now, 9*hour, 5*ms)
	})
}
