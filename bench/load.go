package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/bench/peer"
)

// caller is one client at work, on a connection of its own. What it holds, such as a
// refresh token or a signed-in browser, lasts from one run to the next.
type caller struct {
	site      *site
	wire      *wire
	numbers   *rand.Rand
	webHeader string
	step      func() error
	proving   context.Context //nolint:containedctx // set while signatures are checked
}

// prove verifies the tokens of the first answers, and those of none after them.
func (c *caller) prove(client credentials, nonce, access, id string) error {
	if c.proving == nil {
		return nil
	}
	return c.site.verify(c.proving, client.id, nonce, access, id)
}

// crew are the callers of one operation at one server.
type crew struct {
	site      *site
	operation operation
	callers   []*caller
}

// newCrew makes callers ready. The first of them proves that the answers are right: status,
// tokens, signatures.
func newCrew(ctx context.Context, s *site, o operation, n int) (*crew, error) {
	if reason := o.lacking(s); reason != "" {
		return nil, fmt.Errorf("%s can't do %q: %s", s.issuer, o.name, reason)
	}
	c := &crew{site: s, operation: o}
	for range n {
		w, err := newWire(s.issuer)
		if err != nil {
			return nil, err
		}
		c.callers = append(c.callers, &caller{
			site: s, wire: w, numbers: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
			webHeader: s.web.basic() + "Accept: application/json\r\n",
		})
	}
	first := c.callers[0]
	first.proving = ctx
	err := first.begin(o)
	for i := 0; i < 3 && err == nil; i++ {
		err = first.step()
	}
	first.proving = nil
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", o.name, s.issuer, err)
	}
	return c, c.each(func(one *caller) error {
		if err := ctx.Err(); err != nil || one == first {
			return err
		}
		return one.begin(o)
	})
}

// begin prepares the caller for an operation. When that fails, its steps tell so.
func (c *caller) begin(o operation) error {
	var err error
	if c.step, err = o.begin(c); err != nil {
		c.step = func() error { return err }
	}
	return err
}

// each does something with all callers, a few at a time, and returns the first error.
func (c *crew) each(do func(*caller) error) error {
	errs := make(chan error, len(c.callers))
	places := make(chan struct{}, 64)
	for _, one := range c.callers {
		go func() {
			places <- struct{}{}
			defer func() { <-places }()
			errs <- do(one)
		}()
	}
	var first error
	for range c.callers {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// limit ends a run: after a time, or after so many operations when that is not 0.
type limit struct {
	time  time.Duration
	count int
	every time.Duration // how often each caller begins one; 0: as soon as the last has ended
}

// next waits until a caller is to begin another one, and returns when that was: who comes
// late because the last took long has waited for it as a person would.
func (l *limit) next(due *time.Time) time.Time {
	if l.every == 0 {
		return time.Now()
	}
	at := *due
	time.Sleep(time.Until(at))
	*due = at.Add(l.every)
	return at
}

// result is what a run measured.
type result struct {
	operations int
	errors     int
	err        error // the first of them
	elapsed    time.Duration
	latencies
	used  usage      // by the server, between begin and end
	stats peer.Stats // likewise
}

func (r *result) perSecond() float64 { return float64(r.operations) / r.elapsed.Seconds() }

// cpu is the processor time of the server for one operation.
func (r *result) cpu() time.Duration {
	if r.operations == 0 {
		return 0
	}
	return r.used.cpu / time.Duration(r.operations)
}

// tooMany errors end a run: what goes on then is not worth measuring.
const tooMany = 100

// run lets all callers work until the limit, on new connections that are open before the
// clock starts.
func (c *crew) run(ctx context.Context, l limit) (*result, error) {
	if err := c.each(func(one *caller) error { return one.wire.dial(ctx) }); err != nil {
		return nil, err
	}
	defer c.rest()
	before, counted, err := look(ctx, c.site.process)
	if err != nil {
		return nil, err
	}
	var r result
	var failed atomic.Int64
	var left atomic.Int64
	left.Store(int64(l.count))
	began := time.Now()
	var merging sync.Mutex
	var all sync.WaitGroup
	for _, one := range c.callers {
		all.Go(func() {
			var own latencies
			var first error
			due := began.Add(rand.N(l.every + 1)) // not all at once
			for (l.count == 0 || left.Add(-1) >= 0) && ctx.Err() == nil && failed.Load() < tooMany {
				at := l.next(&due)
				if l.time > 0 && at.Sub(began) >= l.time {
					break
				}
				if err := one.step(); err != nil {
					failed.Add(1)
					if first == nil {
						first = err
					}
					_ = one.begin(c.operation) // the next step tells when this did not help
					continue
				}
				own.add(time.Since(at))
			}
			merging.Lock()
			defer merging.Unlock()
			r.merge(&own)
			if r.err == nil {
				r.err = first
			}
		})
	}
	all.Wait()
	r.elapsed, r.operations, r.errors = time.Since(began), r.total, int(failed.Load())
	after, counts, err := look(ctx, c.site.process)
	if err != nil {
		return nil, err
	}
	r.used, r.stats = after.since(before), since(counts, counted)
	if r.errors >= tooMany || r.operations == 0 {
		return nil, fmt.Errorf("%s at %s: %d errors, %d operations; the first: %w", c.operation.name, c.site.issuer, r.errors, r.operations, r.err)
	}
	return &r, ctx.Err()
}

// rest closes the connections: a server may close them itself while another is measured.
func (c *crew) rest() {
	for _, one := range c.callers {
		one.wire.close()
	}
}

func since(now, before peer.Stats) peer.Stats {
	return peer.Stats{
		Counted: now.Counted, Commits: now.Commits - before.Commits, Syncs: now.Syncs - before.Syncs,
		File: now.File - before.File, Live: now.Live - before.Live,
	}
}
