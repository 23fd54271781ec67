package storage

import "time"

// systemClock returns the clock of a Store that was given none. It never runs
// behind the wall clock read at its start plus the time measured since, so a wall
// clock that is set back revives nothing; and it follows a wall clock that is
// ahead, because the measured time stands still while a machine is suspended.
func systemClock() func() time.Time {
	start := time.Now()
	return func() time.Time {
		now := time.Now()
		steady := start.Round(0).Add(now.Sub(start))
		if wall := now.Round(0); wall.After(steady) {
			return wall.UTC()
		}
		return steady.UTC()
	}
}
