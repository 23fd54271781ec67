package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
)

const (
	workers      = 8
	perRecipient = 2           // of the workers, so that one that is slow holds up no other
	pageSize     = 100         // messages looked at in one read
	maxLook      = 20          // pages of messages to recipients that are busy, before it rests
	lookEvery    = time.Second // the longest rest; messages of other replicas are found by looking
)

// busy counts the tries under way, by recipient.
type busy struct {
	mu sync.Mutex
	to map[string]int
}

func (b *busy) enter(to string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.to == nil {
		b.to = map[string]int{}
	}
	if b.to[to] >= perRecipient {
		return false
	}
	b.to[to]++
	return true
}

func (b *busy) leave(to string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.to[to]--; b.to[to] == 0 {
		delete(b.to, to)
	}
}

// round is the deliveries that one call of Run or Flush has under way.
type round struct {
	*Outbox
	slots chan struct{}
	all   sync.WaitGroup
	after string // where the next look goes on, so that what stands behind many is seen too
}

func (o *Outbox) round() *round { return &round{Outbox: o, slots: make(chan struct{}, workers)} }

// Run delivers what is due until ctx ends, and returns when no try is under way. The
// goroutines it starts end before it does.
func (o *Outbox) Run(ctx context.Context) {
	r := o.round()
	defer r.all.Wait()
	for {
		_, rest, err := r.look(ctx)
		if err != nil && ctx.Err() == nil {
			o.log.WarnContext(ctx, "the outbox could not be read; the next try is soon", "err", err)
			rest = 5 * lookEvery
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-o.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Flush tries once what is due now and what becomes due by that, and returns when no
// try is under way.
func (o *Outbox) Flush(ctx context.Context) error {
	for {
		r := o.round()
		begun, _, err := r.look(ctx)
		r.all.Wait()
		if err != nil || begun == 0 {
			return err
		}
	}
}

// look begins a try of everything that is due, as far as recipients are not busy, and
// returns how many it began and how long nothing else is due.
func (r *round) look(ctx context.Context) (begun int, rest time.Duration, err error) {
	page := storage.Page{Limit: pageSize, After: r.after}
	r.after = ""
	for range maxLook {
		found, next, err := r.records.List(ctx, "", "", page)
		if err != nil {
			return begun, 0, err
		}
		for _, m := range found {
			if due := m.DueAt.Sub(r.store.Now()); due > 0 {
				return begun, min(due, lookEvery), nil
			}
			started, err := r.begin(ctx, m)
			if err != nil {
				return begun, 0, err
			}
			if started {
				begun++
			}
		}
		if page.After = next; next == "" {
			return begun, lookEvery, nil
		}
	}
	r.after = page.After
	return begun, lookEvery, nil
}

// begin takes a message and tries it in a goroutine of its own, once a worker is free.
func (r *round) begin(ctx context.Context, m *Message) (bool, error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if !r.busy.enter(m.To) {
		<-r.slots
		return false, nil
	}
	leave := func() {
		r.busy.leave(m.To)
		<-r.slots
	}
	taken, err := r.take(ctx, m.Key)
	if err != nil || taken == nil {
		leave()
		return false, err
	}
	r.all.Go(func() {
		defer r.poke() // those to the same recipient may have waited
		defer leave()
		r.try(ctx, taken)
	})
	return true, nil
}
