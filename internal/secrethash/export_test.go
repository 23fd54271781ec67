package secrethash

import (
	"context"
	"sync"
)

// Computed records the hashes that a Checker computes slowly, in their order: time can't
// be tested on a busy machine, but what takes the time can.
type Computed struct {
	mu     sync.Mutex
	hashes []string
}

// Record makes c report to a new Computed.
func Record(c *Checker) *Computed {
	r := &Computed{}
	c.verify = func(ctx context.Context, hash, secret string) (bool, error) {
		r.mu.Lock()
		r.hashes = append(r.hashes, hash)
		r.mu.Unlock()
		return Verify(ctx, hash, secret)
	}
	return r
}

// Take returns what was computed since the last Take.
func (r *Computed) Take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.hashes
	r.hashes = nil
	return taken
}

// Busy is how many slow hashes c computes at this moment.
func Busy(c *Checker) int { return len(c.slots) }

// Hold makes each slow hash of c wait for release.
func Hold(c *Checker, release <-chan struct{}) {
	c.verify = func(ctx context.Context, hash, secret string) (bool, error) {
		<-release
		return Verify(ctx, hash, secret)
	}
}
