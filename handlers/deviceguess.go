package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/doorward/doorward/internal/engine"
)

const (
	// codesOfPerson and codesOfAddress are how many wrong user codes somebody who is
	// signed in, and an address, may type within guessWindow. Many people stand behind
	// one address.
	codesOfPerson  = 10
	codesOfAddress = 50

	kindCodeFailures = "device-failures"
)

// codeGuesses bounds what one address tries at the same moment, which a counter in the
// store would see too late. It lives in memory.
type codeGuesses struct {
	mu    sync.Mutex
	since time.Time
	tried map[netip.Prefix]int // wrong ones, and those under way
}

// codeGuess is one try of a user code.
type codeGuess struct {
	h       *Handlers
	who     string // whose wrong tries the store counts: of the person, else of the address
	address netip.Prefix
	failed  bool
}

// guessCode says whether a user code may be tried now; nil when there were too many
// wrong ones. Nothing of it lasts longer than guessWindow. RFC 8628 §5.1
func (h *Handlers) guessCode(r *http.Request) (*codeGuess, *engine.Error) {
	p, err := h.current(r.Context(), r)
	if err != nil {
		return nil, storeFailed(err)
	}
	g := &codeGuess{h: h, address: h.addressOf(r)}
	limit := codesOfPerson
	if p.nobody() {
		limit = codesOfAddress
		g.who = h.store.Lookup("device guess address", g.address.String())
	} else {
		g.who = h.store.Lookup("device guess person", p.ID)
	}
	wrong, err := h.store.Counted(r.Context(), kindCodeFailures, g.who)
	switch {
	case err != nil:
		return nil, storeFailed(err)
	case wrong >= int64(limit) || !h.codes.begin(h.now(), g.address, limit):
		return nil, nil
	}
	return g, nil
}

// wrong counts a wrong try, in one commit.
func (g *codeGuess) wrong(ctx context.Context) error {
	g.failed = true
	return g.h.store.Count(ctx, kindCodeFailures, g.who, 1, 0, guessWindow)
}

// end must be called when the try is over: one that was right does not count.
func (g *codeGuess) end() {
	if !g.failed {
		g.h.codes.undo(g.address)
	}
}

func (c *codeGuesses) begin(now time.Time, address netip.Prefix, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried == nil || now.Sub(c.since) >= guessWindow || len(c.tried) > maxAddresses {
		c.since, c.tried = now, map[netip.Prefix]int{}
	}
	if c.tried[address] >= limit {
		return false
	}
	c.tried[address]++
	return true
}

func (c *codeGuesses) undo(address netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried[address] > 0 {
		c.tried[address]--
	}
}
