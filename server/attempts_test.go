package server

import (
	"testing"
	"time"
)

// A clock that was ahead, and is right again, counts nobody's tries for longer than an hour.
func TestAttemptsOfAClockThatWasAhead(t *testing.T) {
	now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	a := &attempts{}
	for range 3 {
		a.note("one", now.Add(24*time.Hour))
	}
	if n := a.note("one", now); n != 1 {
		t.Errorf("the first try after the clock is right again is number %d", n)
	}
	if n := a.note("one", now.Add(59*time.Minute)); n != 2 {
		t.Errorf("the second within an hour is number %d", n)
	}
	if n := a.note("one", now.Add(time.Hour)); n != 1 {
		t.Errorf("the first of the next hour is number %d", n)
	}
}
