// Package clock makes the time of a machine one that nobody can turn back: a wall clock
// that is set back must not bring what has expired to life. RFC 6749 §10.4
package clock

import "time"

// Steady returns a clock that never runs behind the wall clock read at its start
// plus the time measured since, so a wall clock that is set back revives nothing;
// and it follows a wall clock that is ahead, because the measured time stands
// still while a machine is suspended.
func Steady(start time.Time, wall func() time.Time, elapsed func() time.Duration) func() time.Time {
	least := Measured(start, elapsed)
	return func() time.Time {
		least := least()
		if now := wall().Round(0); now.After(least) {
			return now.UTC()
		}
		return least
	}
}

// Measured returns a clock that follows no wall clock after its start. What is
// deleted can't be had back, so a wall clock that ran ahead for a moment must
// delete nothing; a sweep that is late, as after a suspension, costs a little room.
func Measured(start time.Time, elapsed func() time.Duration) func() time.Time {
	return func() time.Time { return start.Add(elapsed()).UTC() }
}
