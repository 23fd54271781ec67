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

// beginWindow is the time in which Limits.Begun is counted.
const beginWindow = 10 * time.Minute

// beginnings counts what each address began and nobody finished: interactions, and
// requests of devices and pushed requests of clients that prove nothing. Each is a
// record that lives for an hour or less, so who begins many fills the store. It lives
// in memory, as a bound on one replica; what it forgets at a restart is a window's.
type beginnings struct {
	mu     sync.Mutex
	since  time.Time
	begun  map[netip.Prefix]int
	warned map[netip.Prefix]bool
}

// begin counts one more of an address. wait is not 0 when it would be more than limit;
// first says that nobody was told of that yet.
func (b *beginnings) begin(now time.Time, from netip.Prefix, limit int) (wait time.Duration, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun == nil || now.Sub(b.since).Abs() >= beginWindow || len(b.begun) > maxAddresses {
		b.since, b.begun, b.warned = now, map[netip.Prefix]int{}, map[netip.Prefix]bool{}
	}
	if b.begun[from] >= limit {
		first, b.warned[from] = !b.warned[from], true
		return max(b.since.Add(beginWindow).Sub(now), time.Second), first
	}
	b.begun[from]++
	return 0, false
}

// finish takes one back: many people behind one address who sign in are no flood.
func (b *beginnings) finish(from netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun[from] > 0 {
		b.begun[from]--
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
	wait, first := h.beginnings.begin(h.now(), from, h.config.BeginLimit)
	if wait == 0 {
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

// finished takes back, once it is durable, that the request's address began something.
func (h *Handlers) finished(ctx context.Context) {
	if from := exchangeOf(ctx).from; h.limited(from) {
		h.store.AfterCommit(ctx, func() { h.beginnings.finish(from) })
	}
}
