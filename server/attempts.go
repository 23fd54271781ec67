package server

import (
	"sync"
	"time"
)

const (
	// attemptsFactor is how many more requests one address may send than clients it may
	// register: programs that are known register at each start, and many people stand
	// behind one address.
	attemptsFactor = 50
	maxAttempts    = 20_000 // names that are kept
	maxChanges     = 60     // of itself that one client may make in an hour
)

// attempts counts what is tried in an hour, by name, in the memory of this process.
type attempts struct {
	mu    sync.Mutex
	since time.Time
	tried map[string]int
}

// note counts one more and returns how many there were.
func (a *attempts) note(name string, now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tried == nil || now.Sub(a.since).Abs() >= time.Hour || len(a.tried) >= maxAttempts {
		a.since, a.tried = now, map[string]int{}
	}
	a.tried[name]++
	return a.tried[name]
}
