package handlers

import (
	"context"
	"net/http"
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

// codeGuesses bounds what one guesser tries at the same moment, which a counter in the
// store would see too late. It lives in memory.
type codeGuesses struct {
	mu    sync.Mutex
	since time.Time
	tried map[string]int // wrong ones, and those under way
}

// codeGuess is one try of a user code.
type codeGuess struct {
	h      *Handlers
	who    string // whose wrong tries are counted: of the person, else of the address
	failed bool
}

// guessCode says whether a user code may be tried now; nil when there were too many
// wrong ones. Nothing of it lasts longer than guessWindow. RFC 8628 §5.1
func (h *Handlers) guessCode(r *http.Request) (*codeGuess, *engine.Error) {
	p, err := h.current(r.Context(), r)
	if err != nil {
		return nil, storeFailed(err)
	}
	g, limit := &codeGuess{h: h, who: h.store.Lookup("device guess person", p.ID)}, codesOfPerson
	if p.nobody() {
		g.who, limit = h.store.Lookup("device guess address", h.addressOf(r).String()), codesOfAddress
	}
	wrong, err := h.store.Counted(r.Context(), kindCodeFailures, g.who)
	switch {
	case err != nil:
		return nil, storeFailed(err)
	case wrong >= int64(limit) || !h.codes.begin(h.now(), g.who, limit):
		return nil, nil
	}
	return g, nil
}

// wrong counts a wrong try, in one commit.
func (g *codeGuess) wrong(ctx context.Context) error {
	g.failed = true
	ctx = context.WithoutCancel(ctx) // who hangs up can still read the answer, so it counts
	return g.h.store.Count(ctx, kindCodeFailures, g.who, 1, 0, guessWindow)
}

// end must be called when the try is over: one that was right does not count.
func (g *codeGuess) end() {
	if !g.failed {
		g.h.codes.undo(g.who)
	}
}

func (c *codeGuesses) begin(now time.Time, who string, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried == nil || now.Sub(c.since).Abs() >= guessWindow || len(c.tried) > maxAddresses {
		c.since, c.tried = now, map[string]int{}
	}
	if c.tried[who] >= limit {
		return false
	}
	c.tried[who]++
	return true
}

func (c *codeGuesses) undo(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried[who] > 0 {
		c.tried[who]--
	}
}
