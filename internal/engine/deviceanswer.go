package engine

import (
	"context"
	"sync"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

// ApproveDevice writes the grant of a claimed request in the unit of work of ctx; the
// device fetches its tokens with the next poll. What the grant depends on is read
// here, so who is signed out or revoked in between gives nothing away.
func (e *Engine) ApproveDevice(ctx context.Context, a *Authorization, ok Approval) *Error {
	return failure(e.guarded(ctx, "approve device", func() error {
		return e.store.Do(ctx, func(ctx context.Context) error {
			d, err := e.waiting(ctx, a.Device.ID, a.Device.Browser)
			if err != nil {
				return err
			}
			fresh, err := e.authorizationOf(ctx, d)
			if err != nil {
				return err
			}
			if ok.Audience == nil {
				ok.Audience = fresh.Audience
			}
			if err := e.checkApproval(&ok, fresh.Scopes, fresh.Audience); err != nil {
				return err
			}
			now := e.store.Now()
			g, err := e.newGrant(ctx, &ok, fresh.Client, opaque.NewID(now))
			if err != nil {
				return err
			}
			d.Grant = g.ID
			// Who was told to go back to the device must find it signed in, also when
			// they answered in the last second.
			if least := now.Add(e.config.Lifetimes.Code); d.ExpiresAt.Before(least) {
				d.ExpiresAt = least
			}
			g.ExpiresAt = d.ExpiresAt.Add(grantMargin)
			if err := e.grants.Insert(ctx, g); err != nil {
				return err
			}
			if err := e.takePart(ctx, fresh.Client, g); err != nil {
				return err
			}
			return e.devices.Put(ctx, d)
		})
	}))
}

// DenyDevice answers a claimed request with no: the device is told access_denied.
func (e *Engine) DenyDevice(ctx context.Context, a *Authorization) *Error {
	return failure(e.guarded(ctx, "deny device", func() error {
		return e.store.Do(ctx, func(ctx context.Context) error {
			d, err := e.waiting(ctx, a.Device.ID, a.Device.Browser)
			if err != nil {
				return err
			}
			d.Denied = true
			return e.devices.Put(ctx, d)
		})
	}))
}

const (
	pollInterval = 5 * time.Second // RFC 8628 §3.2
	pollLeeway   = time.Second     // for the way of a request
	maxPolls     = 20_000
)

// polls remembers when devices asked last. It lives in memory, one for each replica:
// a poll that finds nothing new must not cost a commit, and a device that several
// replicas share gets away with asking each of them.
type polls struct {
	mu sync.Mutex
	of map[string]*poll
}

type poll struct {
	last     time.Time
	interval time.Duration
	end      time.Time // of the codes
}

// pending answers a poll that comes before the person has answered. RFC 8628 §3.5
func (e *Engine) pending(ctx context.Context, d *device, now time.Time) error {
	type polled struct{ id string }
	wait, err := storage.Memo(ctx, e.store, polled{d.ID}, func() (time.Duration, error) {
		return e.polls.early(d.ID, now, d.ExpiresAt), nil
	})
	switch {
	case err != nil:
		return err
	case wait > 0:
		return refuse(codeSlowDown, "slow_down", "The device polls too often: it must wait 5 seconds longer between two polls from now on.").
			detail("its interval is %s now", wait)
	}
	return refuse(codePending, "authorization_pending", "The person has not answered yet.")
}

// early notes a poll, and returns the longer interval of a device that came too soon.
func (p *polls) early(id string, now, end time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil || len(p.of) >= maxPolls {
		p.forget(now)
	}
	known := p.of[id]
	if known == nil {
		p.of[id] = &poll{last: now, interval: pollInterval, end: end}
		return 0
	}
	soon := now.Before(known.last.Add(known.interval - pollLeeway))
	known.last = now
	if !soon {
		return 0
	}
	known.interval += pollInterval
	return known.interval
}

// forget lets go of the devices whose codes have ended, and of all when that is not
// enough: then they may ask once more than they should.
func (p *polls) forget(now time.Time) {
	kept := map[string]*poll{}
	for id, known := range p.of {
		if now.Before(known.end) {
			kept[id] = known
		}
	}
	if len(kept) >= maxPolls {
		kept = map[string]*poll{}
	}
	p.of = kept
}
