package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// What others wait for while many connections lie idle, at most.
const besideIdle = 250 * time.Millisecond

// growIdle keeps connections open that ask nothing, while 20 callers ask 200 times a
// second in all.
func growIdle(ctx context.Context, w *workshop, f *flags) (string, error) {
	const callers, every = 20, 100 * time.Millisecond
	var t table
	t.row("idle connections", "requests a second", "p50 ms", "p99 ms", "max ms", "errors", "CPU of the server, share of a core", "RssAnon MiB", "for one connection KiB")
	err := w.with(ctx, f.options, func(r *running) error {
		var alone float64
		for _, n := range []int{0, 1000, 10_000} {
			progress("%d idle connections", n)
			idle, err := r.lie(ctx, n)
			if err != nil {
				return err
			}
			s, err := r.load(ctx, "client-credentials", callers, limit{time: 2 * f.plan.time, every: every})
			for _, one := range idle {
				one.close()
			}
			if err != nil {
				return err
			}
			each := none
			if n == 0 {
				alone = float64(s.used.anonymous)
			} else {
				each = fmt.Sprintf("%.1f", (float64(s.used.anonymous)-alone)/float64(n)/1024)
			}
			share := s.used.cpu.Seconds() / (2 * f.plan.time).Seconds()
			t.row(strconv.Itoa(n), fmt.Sprintf("%.0f", medianOf(s.perSecond)), fmt.Sprintf("%.2f", ms(s.at(0.5))), most(ms(s.at(0.99)), ms(besideIdle), "%.2f", ""),
				fmt.Sprintf("%.1f", ms(s.max)), strconv.Itoa(s.errors), fmt.Sprintf("%.2f", share), fmt.Sprintf("%.1f", mib(s.used.anonymous)), each)
		}
		return nil
	})
	return t.String(), err
}

// lie opens connections that have asked once.
func (r *running) lie(ctx context.Context, n int) ([]*wire, error) {
	wires := make([]*wire, n)
	var first error
	var mu sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, 64)
	for i := range wires {
		one, err := newWire(r.site.issuer)
		if err != nil {
			return nil, err
		}
		wires[i] = one
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			err := ctx.Err()
			if err == nil {
				var target string
				if target, err = one.target(r.site.endpoints.JWKS); err == nil {
					_, err = one.send("GET", target, "", "")
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
		})
	}
	all.Wait()
	if first != nil {
		for _, one := range wires {
			one.close()
		}
		return nil, fmt.Errorf("opening %d connections: %w (ulimit -n must be above that)", n, first)
	}
	return wires, nil
}
