package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/doorward/doorward/internal/engine"
)

// The times in which Limits.Begun and Limits.Grants are counted.
const (
	beginWindow = 10 * time.Minute
	grantWindow = time.Hour
)

// tally counts what each of many does in a window of time. It lives in memory, as a bound
// on one replica; what it forgets at a restart is a window's.
type tally[K comparable] struct {
	mu     sync.Mutex
	since  time.Time
	counts map[K]int
	warned map[K]bool
}

// open begins a window when the last one is over, or has too many in it.
func (t *tally[K]) open(now time.Time, window time.Duration) {
	if t.counts == nil || now.Sub(t.since).Abs() >= window || len(t.counts) > maxAddresses {
		t.since, t.counts, t.warned = now, map[K]int{}, map[K]bool{}
	}
}

// full says how long to wait when who has reached limit, 0 when not; first says that
// nobody was told of that yet.
func (t *tally[K]) full(now time.Time, window time.Duration, who K, limit int) (wait time.Duration, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open(now, window)
	if t.counts[who] < limit {
		return 0, false
	}
	first, t.warned[who] = !t.warned[who], true
	return max(t.since.Add(window).Sub(now), time.Second), first
}

// add counts n more of who, n being negative to take some back.
func (t *tally[K]) add(who K, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts != nil {
		t.counts[who] = max(t.counts[who]+n, 0)
	}
}

// limited says whether what comes from an address is counted. Loopback is this machine:
// a developer, or a proxy that is not listed and behind which everybody is.
func (h *Handlers) limited(from netip.Prefix) bool {
	return h.config.BeginLimit > 0 && from.IsValid() && !from.Addr().IsLoopback()
}

// mayBegin counts what a request is about to begin, and refuses when its address began
// too much. RFC 9126 §2.3, RFC 6585 §4
func (h *Handlers) mayBegin(r *http.Request) *engine.Error {
	from := h.addressOf(r)
	if !h.limited(from) {
		return nil
	}
	// What each address began and nobody finished: interactions, and requests of devices
	// and pushed requests of clients that prove nothing. Each is a record that lives for an
	// hour or less, so who begins many fills the store.
	wait, first := h.beginnings.full(h.now(), beginWindow, from, h.config.BeginLimit)
	if wait == 0 {
		h.beginnings.add(from, 1)
		return nil
	}
	if first {
		attrs := append(h.logAttrs(exchangeOf(r.Context())), slog.String("address", from.String()))
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "an address began many sign-ins without finishing them and must wait", append(attrs, h.unlistedProxy(r)...)...)
	}
	return &engine.Error{
		Code: "temporarily_unavailable", Reason: "begun_too_often", Status: http.StatusTooManyRequests, RetryAfter: wait,
		Description: "Too many sign-ins were begun from here and not finished. Try again later.", Setting: "Limits.Begun",
	}
}

// finished takes back, once it is durable, that the request's address began something:
// many people behind one address who sign in are no flood.
func (h *Handlers) finished(ctx context.Context) {
	if from := exchangeOf(ctx).from; h.limited(from) {
		h.store.AfterCommit(ctx, func() { h.beginnings.add(from, -1) })
	}
}

// app is a person at a client.
type app struct{ subject, client string }

// mayGrant refuses a sign-in when the person signed in to the client very often in the last
// hour, and counts it once it is durable: each leaves a grant that may live for months.
func (h *Handlers) mayGrant(ctx context.Context, subject, client string) error {
	limit, who := h.config.GrantLimit, app{subject, client}
	if limit <= 0 {
		return nil
	}
	wait, first := h.signIns.full(h.now(), grantWindow, who, limit)
	if wait == 0 {
		h.store.AfterCommit(ctx, func() { h.signIns.add(who, 1) })
		return nil
	}
	if first {
		h.log.WarnContext(ctx, "a person signed in to a client very often and must wait", "client_id", client, "sub", subject)
	}
	return &engine.Error{
		Code: "temporarily_unavailable", Reason: "granted_too_often", Status: http.StatusTooManyRequests, RetryAfter: wait,
		Description: "There were too many sign-ins to this application. Try again later.", Setting: "Limits.Grants",
	}
}
