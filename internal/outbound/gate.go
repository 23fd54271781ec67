package outbound

import (
	"context"
	"sync"
)

// gate bounds how many requests are under way, to one host and in all. Who waits
// leaves when the time of its request is over.
type gate struct {
	all     chan struct{}
	perHost int

	mu    sync.Mutex
	hosts map[string]*queue
}

type queue struct {
	slots chan struct{}
	users int // that hold a slot or wait for one
}

func newGate(perHost, all int) *gate {
	return &gate{all: make(chan struct{}, all), perHost: perHost, hosts: map[string]*queue{}}
}

// enter waits for a place and returns how to give it back.
func (g *gate) enter(ctx context.Context, host string) (leave func(), err error) {
	q := g.join(host)
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		g.part(host, q)
		return nil, ctx.Err()
	}
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		<-q.slots
		g.part(host, q)
		return nil, ctx.Err()
	}
	return func() {
		<-g.all
		<-q.slots
		g.part(host, q)
	}, nil
}

func (g *gate) join(host string) *queue {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.hosts[host]
	if q == nil {
		q = &queue{slots: make(chan struct{}, g.perHost)}
		g.hosts[host] = q
	}
	q.users++
	return q
}

// part forgets a host that nobody uses, so that the map can't grow.
func (g *gate) part(host string, q *queue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(g.hosts, host)
	}
}
