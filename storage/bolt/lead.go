package bolt

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
)

// Bounds of the queue. A caller that finds it longer, or its head older, is
// refused at once: under such a load waiting would only make it longer.
const (
	maxQueue = 4096
	maxWait  = 5 * time.Second

	mostYields = 8 // of a leader to those who are about to join
)

// errLost is the answer to the calls of a commit that never came to an end.
var errLost = fmt.Errorf("%w: %w: bolt: the commit was broken off", storage.ErrUnknown, storage.ErrUnavailable)

// call is one Apply or one Sweep on its way through the lead.
type call struct {
	batch storage.Batch
	sweep *sweep // nil for a batch

	since  time.Time
	answer error

	// wake gets one token when the call is answered or, before that, one when it
	// is to lead. The flags below are guarded by lead.mu.
	wake     chan struct{}
	promoted bool
	answered bool
}

// lead shares commits among callers. While one commit is being synced the callers
// that arrive wait; the next leader takes them all into one transaction and, when
// it is durable, hands the lead on to whoever waits then. There is no goroutine
// and no timer: the leader is one of the callers, and a lone one waits for nobody.
type lead struct {
	commit func([]*call) // sets the answer of each call; never called twice at a time

	mu      sync.Mutex
	waiting []*call
	held    bool
}

// do carries out c and returns its answer. A caller may leave, when ctx ends,
// only while it waits: once its call is taken the outcome is on its way, and
// nobody else could tell it.
func (l *lead) do(ctx context.Context, c *call) error {
	c.wake = make(chan struct{}, 2)
	c.since = time.Now()
	l.mu.Lock()
	if l.held {
		if err := l.full(c.since); err != nil {
			l.mu.Unlock()
			return err
		}
		l.waiting = append(l.waiting, c)
		l.mu.Unlock()
		select {
		case <-c.wake:
		case <-ctx.Done():
			if l.leave(c) {
				return ctx.Err()
			}
			<-c.wake
		}
		l.mu.Lock()
		if c.answered {
			l.mu.Unlock()
			return c.answer
		}
		l.gather()
	} else {
		l.held = true
		l.waiting = append(l.waiting, c)
	}
	taken := l.take(time.Now())
	l.mu.Unlock()
	l.run(taken)
	return c.answer
}

// gather lets those run who are about to write, for as long as that makes the queue longer:
// they share the commit that is due instead of waiting for it. It takes no time when nobody
// else has anything to do.
func (l *lead) gather() {
	for range mostYields {
		before := len(l.waiting)
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
		if len(l.waiting) <= before {
			return
		}
	}
}

// run commits what was taken. Whatever happens in there, a panic included, those
// who wait are answered and the lead goes on.
func (l *lead) run(taken []*call) {
	for _, c := range taken {
		c.answer = errLost
	}
	defer l.handOn(taken)
	l.commit(taken)
}

// full says why no more may wait.
func (l *lead) full(now time.Time) error {
	if len(l.waiting) >= maxQueue {
		return fmt.Errorf("%w: bolt: %d writes are waiting", storage.ErrUnavailable, len(l.waiting))
	}
	if len(l.waiting) > 0 && now.Sub(l.waiting[0].since) > maxWait {
		return fmt.Errorf("%w: bolt: writes have been waiting for more than %v", storage.ErrUnavailable, maxWait)
	}
	return nil
}

// take empties the queue for the next commit. A sweep has one of its own, when its
// turn comes, so that requests are not held up by what it does and by what may
// happen to it. Calls that waited too long are answered without being carried out.
func (l *lead) take(now time.Time) []*call {
	if l.waiting[0].sweep != nil {
		taken := []*call{l.waiting[0]}
		l.waiting = slices.Delete(l.waiting, 0, 1)
		return taken
	}
	var taken, sweeps []*call
	for _, c := range l.waiting {
		switch {
		case c.sweep != nil:
			sweeps = append(sweeps, c)
		case now.Sub(c.since) > maxWait:
			c.answer = fmt.Errorf("%w: bolt: the write waited for more than %v", storage.ErrUnavailable, maxWait)
			c.answered = true
			c.wake <- struct{}{}
		default:
			taken = append(taken, c)
		}
	}
	l.waiting = sweeps
	return taken
}

// leave takes c out of the queue and says whether it was still there. If the lead
// had just been handed to c, it goes on to the next.
func (l *lead) leave(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, c)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	if c.promoted {
		l.promote()
	}
	return true
}

func (l *lead) handOn(taken []*call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range taken {
		c.answered = true
		c.wake <- struct{}{}
	}
	l.promote()
}

// promote gives the lead to the call that has waited longest, or puts it down.
func (l *lead) promote() {
	if len(l.waiting) == 0 {
		l.held = false
		return
	}
	next := l.waiting[0]
	next.promoted = true
	next.wake <- struct{}{}
}
