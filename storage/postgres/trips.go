package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
)

// maxKeysOfTrip bounds what one round trip asks for.
const maxKeysOfTrip = 256

// errNoTurn is about a read that waited for too long.
var errNoTurn = errors.New("no earlier read has returned")

// trips lets reads that come at the same time share round trips, each of which costs the
// server and this process more than the keys in it. A read that comes while few are on
// their way goes at once and alone; the others wait for the first that returns, and go
// together. None is answered by a trip that had begun before it came.
type trips struct {
	read     func(context.Context, []storage.Key) ([]storage.Record, error)
	patience time.Duration // for how long a read waits for its turn

	mu      sync.Mutex
	free    int // how many may begin now
	waiting []*reader
}

// reader is one Get.
type reader struct {
	keys []storage.Key
	turn chan []*reader // those it shall lead; or nil, when it was led. This came of it:

	found []storage.Record
	err   error
}

// get reads records, in a trip of its own or of somebody else's.
func (t *trips) get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	r := t.begin(keys)
	led := []*reader{r}
	if r.turn != nil {
		var err error
		if led, err = t.wait(ctx, r); err != nil {
			return nil, err
		}
	}
	if led != nil {
		t.lead(ctx, led)
	}
	return r.found, r.err
}

// begin returns a reader, which waits for its turn unless it may go now.
func (t *trips) begin(keys []storage.Key) *reader {
	r := &reader{keys: keys}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 {
		t.free--
		return r
	}
	r.turn = make(chan []*reader, 1)
	t.waiting = append(t.waiting, r)
	return r
}

// wait returns those that a reader has to lead, or nil when it was led.
func (t *trips) wait(ctx context.Context, r *reader) (led []*reader, err error) {
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	for {
		select {
		case led = <-r.turn:
			return led, nil
		case <-timer.C:
			if t.leave(r) {
				return nil, errNoTurn
			} // else it is on its way
		case <-ctx.Done():
			if !t.leave(r) {
				select {
				case led = <-r.turn: // who gave up just then may have to lead others
					return led, nil
				default:
				}
			}
			return nil, ctx.Err()
		}
	}
}

// leave says whether a reader still waited, and makes it wait no longer.
func (t *trips) leave(r *reader) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, r)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	return i >= 0
}

// lead reads for all of led, the first of whom is the caller: to the end, though its own
// client may hang up meanwhile, unless it is alone.
func (t *trips) lead(ctx context.Context, led []*reader) {
	keys := slices.Clip(led[0].keys) // the caller's own
	for _, r := range led[1:] {
		keys = append(keys, r.keys...)
	}
	if len(led) > 1 {
		ctx = context.WithoutCancel(ctx)
	}
	var found []storage.Record
	err := errNoTurn // for the others, should the read panic
	defer func() {
		t.end()
		for i, r := range led {
			if r.err = err; err == nil {
				n := len(r.keys)
				r.found, found = found[:n:n], found[n:]
			}
			if i > 0 {
				r.turn <- nil
			}
		}
	}()
	found, err = t.read(ctx, keys)
}

// end is the end of a trip: those that wait begin another, which the first of them leads.
func (t *trips) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	n, keys := 1, len(t.waiting[0].keys)
	for n < len(t.waiting) && keys+len(t.waiting[n].keys) <= maxKeysOfTrip {
		keys += len(t.waiting[n].keys)
		n++
	}
	led := slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	led[0].turn <- led
}
