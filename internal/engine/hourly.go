package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// largeToken is where a signed token begins to be trouble: cookies hold 4096 bytes,
	// and the headers of a request are often limited to twice that.
	largeToken = 4 << 10
	// weakState is how many characters a state has at least that nobody guesses.
	weakState = 8

	maxHourly = 10_000
)

// hourly remembers what was said, so that a client which does the same thing a
// thousand times fills no log. It is of this process: each replica says it once.
type hourly struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// due says whether something may be said again, and notes that it is.
func (h *hourly) due(what, clientID string, now time.Time) bool {
	key := what + " " + clientID
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, there := h.said[key]; there && now.Sub(last).Abs() < time.Hour {
		return false
	}
	if h.said == nil || len(h.said) >= maxHourly {
		h.said = map[string]time.Time{}
	}
	h.said[key] = now
	return true
}

// warnLarge tells the operator of a token that may soon be too long for somebody.
func (e *Engine) warnLarge(ctx context.Context, kind, clientID, token string) {
	if len(token) > largeToken && e.hourly.due(kind, clientID, e.store.Now()) {
		e.log.LogAttrs(ctx, slog.LevelWarn, "a token is large; let the claims hook put less into it",
			slog.String("client_id", clientID), slog.String("token", kind), slog.Int("bytes", len(token)), slog.String("setting", "Claims"))
	}
}

// warnState tells the operator of a client that has no PKCE, by exemption, and no state
// worth the name: nothing but luck keeps somebody else's code out of its sessions.
// RFC 9700 §4.7.1
func (e *Engine) warnState(ctx context.Context, a *Authorization, challenge string) {
	if challenge == "" && len(a.State) < weakState && e.hourly.due("weak state", a.Client.ID, e.store.Now()) {
		e.log.LogAttrs(ctx, slog.LevelWarn, "a client without pkce sends a state that can be guessed",
			slog.String("client_id", a.Client.ID), slog.Int("characters", len(a.State)), slog.String("setting", "insecure.skip_pkce"))
	}
}
