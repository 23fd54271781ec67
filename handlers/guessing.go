package handlers

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
)

const (
	guessWindow  = 15 * time.Minute
	longestWait  = time.Minute // between two tries of an account that is slowed down
	defaultLimit = 10
	// addressFactor is how many more wrong passwords one address may send than one
	// account takes: many people stand behind one address.
	addressFactor = 10
	// addressPace is between two wrong passwords of an address that is slowed down. The
	// next who knows theirs waits no longer: right ones take no turn.
	addressPace  = 2 * time.Second
	maxAddresses = 20_000
	// strangersFactor is how many times the limit an account takes before all who
	// never signed in to it share one slot: many addresses are cheap. With the
	// default it is the 100 of NIST SP 800-63B §5.2.2.
	strangersFactor = 10

	// knownCookie marks a browser in which an account was signed in to.
	knownCookie = "known"
	knownLife   = 180 * 24 * time.Hour

	kindFailures = "login-failures"
	kindSlot     = "login-slot"
)

// guesses bounds what one address tries and how many tries of one account or slot
// run at once. It lives in memory: what has to outlive a restart is in the store.
type guesses struct {
	mu      sync.Mutex
	since   time.Time
	sources map[netip.Prefix]*source
	running map[string]int
}

// source is what came from one address in the window.
type source struct {
	wrong   int
	running int
	next    time.Time // when the next may be tried, once it is slowed down
}

func newGuesses() *guesses {
	return &guesses{sources: map[netip.Prefix]*source{}, running: map[string]int{}}
}

// attempt is one try of a password.
type attempt struct {
	h       *Handlers
	account string // its key in the store
	slot    string // counts a wrong try while it must wait; empty: the account is not slowed down
	turn    string // what runs only so often at once: the account or the slot
	wait    time.Duration
	known   bool // the account was signed in to in this browser
	address netip.Prefix
}

// mayTry says whether a password may be tried now. Without an attempt the person
// is asked to wait. Up to the limit an account is free; then each address gets one
// try in a slot of time, and the slots grow from two seconds to a minute; when that
// is not enough, all addresses together get one. So many guessers get not much more
// than one, and the owner of the account is never locked out by their guessing in a
// browser that signed in before: it has a slot of its own, and does not stand back
// for what else comes from its address. An address is slowed down too, never closed:
// many people may stand behind it. Nothing of it lasts longer than the window.
func (h *Handlers) mayTry(r *http.Request, account string) (*attempt, time.Duration, error) {
	t := &attempt{h: h, account: h.store.Lookup("login account", accountKey(account)), address: h.addressOf(r)}
	t.known = h.knows(r, t.account)
	limit := h.loginLimit()
	failures, err := h.store.Counted(r.Context(), kindFailures, t.account)
	if err != nil {
		return nil, 0, err
	}
	atOnce := limit
	t.turn = t.account
	if over := failures - int64(limit); over >= 0 {
		t.wait = longestWait
		if over < 5 {
			t.wait = min(longestWait, 2*time.Second<<over)
		}
		switch {
		case t.known:
			t.slot = t.account + "|known"
		case failures >= int64(limit*strangersFactor):
			t.slot = t.account + "|strangers"
		default:
			t.slot = t.account + "|" + h.store.Lookup("login address", t.address.String())
		}
		t.turn = t.slot
		used, err := h.store.Counted(r.Context(), kindSlot, t.slot)
		if err != nil {
			return nil, 0, err
		}
		if used > 0 {
			return nil, t.wait, nil
		}
		atOnce = 1
	}
	if wait := h.guesses.begin(h.now(), t, atOnce, limit*addressFactor); wait > 0 {
		return nil, wait, nil
	}
	return t, 0, nil
}

func (h *Handlers) loginLimit() int {
	if h.config.LoginLimit <= 0 {
		return defaultLimit
	}
	return h.config.LoginLimit
}

// knows says whether the account was signed in to in this browser.
func (h *Handlers) knows(r *http.Request, account string) bool {
	return hmac.Equal([]byte(h.cookies.read(r, knownCookie)), []byte(h.knownValue(account)))
}

func (h *Handlers) knownValue(account string) string {
	return base64.RawURLEncoding.EncodeToString(h.store.MAC("login known", []byte(account)))
}

// right marks the browser, so that strangers can't slow down who uses it.
func (t *attempt) right(w http.ResponseWriter) {
	http.SetCookie(w, t.h.cookies.cookie(knownCookie, t.h.knownValue(t.account), knownLife))
}

// wrong counts a wrong password, in one commit. wait is not 0 when another try
// was counted first: then nothing is told about this one.
func (t *attempt) wrong(r *http.Request) (wait time.Duration, err error) {
	ctx := r.Context()
	if t.h.guesses.count(t.h.now(), t.address, t.h.loginLimit()*addressFactor) {
		t.h.warnSlowed(r)
	}
	err = t.h.store.Do(ctx, func(ctx context.Context) error {
		if t.slot != "" {
			if err := t.h.store.Count(ctx, kindSlot, t.slot, 1, 1, t.wait); err != nil {
				return err
			}
		}
		return t.h.store.Count(ctx, kindFailures, t.account, 1, 0, guessWindow)
	})
	if errors.Is(err, storage.ErrLimit) {
		return max(t.wait, time.Second), nil
	}
	return 0, err
}

// end must be called when the try is over.
func (t *attempt) end() { t.h.guesses.end(t) }

// begin lets a try run, or says how long to wait. Tries that run count as wrong ones
// until they are over, or many at once would pass the limit.
func (g *guesses) begin(now time.Time, t *attempt, atOnce, perAddress int) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.since).Abs() >= guessWindow || len(g.sources) > maxAddresses {
		g.since = now
		clear(g.sources)
	}
	if g.running[t.turn] >= atOnce {
		return max(t.wait, time.Second)
	}
	from := g.sources[t.address]
	if from == nil {
		from = &source{}
		g.sources[t.address] = from
	}
	if !t.known && from.wrong+from.running >= perAddress {
		if wait := from.next.Sub(now); wait > 0 && wait <= addressPace { // or the clock was ahead then
			return wait
		}
		if from.running > 0 {
			return time.Second
		}
	}
	from.running++
	g.running[t.turn]++
	return 0
}

func (g *guesses) end(t *attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[t.turn]--; g.running[t.turn] <= 0 {
		delete(g.running, t.turn)
	}
	from := g.sources[t.address]
	if from == nil {
		return // the window went by
	}
	if from.running = max(0, from.running-1); from.running == 0 && from.wrong == 0 {
		delete(g.sources, t.address)
	}
}

// count notes a wrong password; first says that it is the one from which on the
// address is slowed down.
func (g *guesses) count(now time.Time, address netip.Prefix, perAddress int) (first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.sources[address]
	if from == nil {
		from = &source{}
		g.sources[address] = from
	}
	from.wrong++
	if from.wrong >= perAddress {
		from.next = now.Add(addressPace)
	}
	return from.wrong == perAddress
}

// warnSlowed tells the operator that an address is slowed down. Behind a proxy that is
// not told to the server everybody has the proxy's.
func (h *Handlers) warnSlowed(r *http.Request) {
	attrs := append(h.logAttrs(exchangeOf(r.Context())), slog.String("address", h.addressOf(r).String()))
	h.log.LogAttrs(r.Context(), slog.LevelWarn, "an address sent many wrong passwords and is slowed down", append(attrs, h.unlistedProxy(r)...)...)
}

// unlistedProxy is advice for the log when a request seems to come through a proxy that
// is not listed.
func (h *Handlers) unlistedProxy(r *http.Request) (attrs []slog.Attr) {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && peer.Addr().Unmap().WithZone("") == h.clientAddr(r) &&
		(r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "") {
		attrs = append(attrs, slog.String("setting", "Proxies"),
			slog.String("advice", "the requests come through a proxy that is not listed, so everybody behind it shares one limit"))
	}
	return attrs
}

// addressOf returns what counts as one source: an IPv4 address, or the /64 that
// one IPv6 customer has.
func (h *Handlers) addressOf(r *http.Request) netip.Prefix {
	a, bits := h.clientAddr(r), 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// clientAddr returns where a request came from; the zero Addr when nobody can tell.
func (h *Handlers) clientAddr(r *http.Request) netip.Addr {
	var a netip.Addr
	if h.config.ClientAddr != nil {
		a = h.config.ClientAddr(r)
	} else if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		a, _ = netip.ParseAddr(host)
	}
	return a.Unmap().WithZone("")
}
