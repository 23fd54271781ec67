package storage

import "time"

// systemClock returns the clock of a Store that was given none.
func systemClock() func() time.Time {
	start := time.Now() // with its monotonic reading, which Since uses and Round takes off
	return steady(start.Round(0), time.Now, func() time.Duration { return time.Since(start) })
}

// steady returns a clock that never runs behind the wall clock read at its start
// plus the time measured since, so a wall clock that is set back revives nothing;
// and it follows a wall clock that is ahead, because the measured time stands
// still while a machine is suspended.
func steady(start time.Time, wall func() time.Time, elapsed func() time.Duration) func() time.Time {
	return func() time.Time {
		least := start.Add(elapsed())
		if now := wall().Round(0); now.After(least) {
			return now.UTC()
		}
		return least.UTC()
	}
}
