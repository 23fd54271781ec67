package clock

import (
	"testing"
	"time"
)

// RFC 6749 §10.4
func TestSteady(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	wall, elapsed := start, time.Duration(0)
	now := Steady(start, func() time.Time { return wall }, func() time.Duration { return elapsed })
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
