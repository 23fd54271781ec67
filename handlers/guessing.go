package handlers

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
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
	maxAddresses  = 20_000
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
	wrong   map[netip.Prefix]int
	running map[string]int
}

func newGuesses() *guesses {
	return &guesses{wrong: map[netip.Prefix]int{}, running: map[string]int{}}
}

// attempt is one try of a password.
type attempt struct {
	h       *Handlers
	account string // its key in the store
	slot    string // counts a wrong try while it must wait; empty: the account is not slowed down
	turn    string // what runs only so often at once: the account or the slot
	wait    time.Duration
	address netip.Prefix
}

// mayTry says whether a password may be tried now. Without an attempt the person
// is asked to wait. Up to the limit an account is free; then each address gets one
// try in a slot of time, and the slots grow from two seconds to a minute; when that
// is not enough, all addresses together get one. So many guessers get not much more
// than one, and the owner of the account is never locked out by their guessing in a
// browser that signed in before: it has a slot of its own. Nothing of it lasts
// longer than the window.
func (h *Handlers) mayTry(r *http.Request, username string) (*attempt, time.Duration, error) {
	now := h.now()
	t := &attempt{h: h, account: h.store.Lookup("login account", accountKey(username)), address: h.addressOf(r)}
	limit := h.config.LoginLimit
	if limit <= 0 {
		limit = defaultLimit
	}
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
		case h.knows(r, t.account):
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
	if wait := h.guesses.begin(now, t, atOnce, limit*addressFactor); wait > 0 {
		return nil, max(t.wait, wait), nil
	}
	return t, 0, nil
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
func (t *attempt) wrong(ctx context.Context) (wait time.Duration, err error) {
	t.h.guesses.count(t.address)
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
func (t *attempt) end() { t.h.guesses.end(t.turn) }

// begin returns how long to wait, 0 when the try may begin.
func (g *guesses) begin(now time.Time, t *attempt, atOnce, perAddress int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.since) >= guessWindow || len(g.wrong) > maxAddresses {
		g.since = now
		clear(g.wrong)
	}
	switch {
	case g.wrong[t.address] >= perAddress:
		return g.since.Add(guessWindow).Sub(now)
	case g.running[t.turn] >= atOnce:
		return time.Second
	}
	g.running[t.turn]++
	return 0
}

func (g *guesses) end(turn string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[turn]--; g.running[turn] <= 0 {
		delete(g.running, turn)
	}
}

func (g *guesses) count(address netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong[address]++
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
