package engine_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// callers come together, for so many rounds: 20 and 20, or for the long form 1,000 and
// what DOORWARD_RACES says.
var callers, rounds = sizes(os.Getenv("DOORWARD_RACES"))

func sizes(demanded string) (callers, rounds int) {
	if demanded == "" {
		return 20, 20
	}
	n, err := strconv.Atoi(demanded)
	if err != nil || n < 1 {
		panic("DOORWARD_RACES is " + strconv.Quote(demanded) + "; write a number from 1")
	}
	return 1000, n
}

// together runs fn by many goroutines at once.
func together(fn func(n int)) {
	var done sync.WaitGroup
	begin := make(chan struct{})
	for n := range callers {
		done.Go(func() {
			<-begin
			fn(n)
		})
	}
	close(begin)
	done.Wait()
}

// outcomes gathers what parallel requests got.
type outcomes struct {
	mu      sync.Mutex
	tokens  []*engine.TokenResponse
	refusal []*engine.Error
}

func (o *outcomes) add(tokens *engine.TokenResponse, refusal *engine.Error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if refusal != nil {
		o.refusal = append(o.refusal, refusal)
	} else {
		o.tokens = append(o.tokens, tokens)
	}
}

// check fails on refusals that are not the client's fault.
func (o *outcomes) check(t *testing.T) {
	t.Helper()
	for _, r := range o.refusal {
		if r.Code != "invalid_grant" {
			t.Errorf("refused with %v", r)
		}
	}
}

func TestParallelRedemptions(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	for range rounds {
		var got outcomes
		code := w.approve(request())
		together(func(int) { got.add(w.redeem(spa, code)) })
		got.check(t)
		if len(got.tokens) != 1 {
			t.Fatalf("a code was redeemed %d times", len(got.tokens))
		}
	}
	if n := w.store.Exhausted(); n != 0 {
		t.Errorf("%d units of work were given up", n)
	}
}

// Wrong verifiers that come together must not drive each other out of their tries:
// guessing would be answered by 503, and the count would never end a code.
func TestParallelWrongVerifiers(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	code := w.approve(request())
	rivals, err := engine.New(w.config)
	must(t, err)
	wrong := engine.TokenRequest{Credentials: spa, Form: redemption(code, "code_verifier", strings.Repeat("w", 43))}
	var rival func()
	rival = func() { // one that is always a little faster
		_, refusal := rivals.Token(t.Context(), wrong)
		refused(t, refusal, "invalid_grant", "pkce_mismatch")
		w.backend.beforeApply = rival
	}
	w.backend.beforeApply = rival
	_, refusal := w.Token(t.Context(), wrong)
	refused(t, refusal, "invalid_grant", "pkce_mismatch")
	w.backend.beforeApply = nil
	var got outcomes
	together(func(int) { got.add(w.Token(t.Context(), wrong)) })
	got.check(t)
	if n := w.store.Exhausted(); n != 0 {
		t.Errorf("%d units of work were given up", n)
	}
}

func TestParallelRefreshes(t *testing.T) {
	for _, p := range []storage.RefreshPolicy{storage.RefreshWindow, storage.RefreshStrict, storage.RefreshUntilUsed, storage.RefreshNone} {
		t.Run(string(p), func(t *testing.T) {
			w := newWorld(t, nil)
			c := publicClient()
			c.TokenEndpointAuthMethod, c.RefreshPolicy = "", p
			by := w.addConfidential(c)
			for range rounds {
				first, refusal := w.redeem(by, w.approve(request()))
				w.fine(refusal)
				var got outcomes
				together(func(int) { got.add(w.refresh(by, first.RefreshToken)) })
				got.check(t)
				judgeRefreshes(t, w, by, p, got.tokens)
			}
			if n := w.store.Exhausted(); n != 0 {
				t.Errorf("%d units of work were given up", n)
			}
			if p != storage.RefreshStrict && w.count(engine.EventRefreshReuse) != 0 {
				t.Error("a race was taken for a theft")
			}
		})
	}
}

func judgeRefreshes(t *testing.T, w *world, by engine.Credentials, p storage.RefreshPolicy, got []*engine.TokenResponse) {
	t.Helper()
	most := map[storage.RefreshPolicy]int{
		storage.RefreshWindow: 11, storage.RefreshStrict: 1, storage.RefreshUntilUsed: 11, storage.RefreshNone: callers,
	}[p]
	if len(got) == 0 || len(got) > most {
		t.Fatalf("%d of %d requests were answered, at most %d may", len(got), callers, most)
	}
	for _, tokens := range got {
		if tokens.RefreshToken != got[0].RefreshToken {
			t.Error("the successors differ")
		}
		if p != storage.RefreshStrict && !w.works(tokens.AccessToken) {
			t.Error("an access token does not work")
		}
	}
	if p != storage.RefreshStrict {
		if _, refusal := w.refresh(by, got[0].RefreshToken); refusal != nil {
			t.Errorf("the successor does not work: %v", refusal)
		}
	}
}

// Nothing that is issued at the moment of a revocation outlives it.
func TestRevocationAgainstRefreshes(t *testing.T) {
	ends := map[string]func(w *world, tokens *engine.TokenResponse) error{
		"token": func(w *world, tokens *engine.TokenResponse) error {
			return orNil(w.Revoke(t.Context(), spa, tokens.RefreshToken))
		},
		"subject": func(w *world, _ *engine.TokenResponse) error { return w.RevokeSubject(t.Context(), "alice") },
		"app":     func(w *world, _ *engine.TokenResponse) error { return w.RevokeApp(t.Context(), "alice", "spa") },
		"session": func(w *world, _ *engine.TokenResponse) error { return w.RevokeSession(t.Context(), "session-1") },
		"client":  func(w *world, _ *engine.TokenResponse) error { return w.clients.Delete(t.Context(), "spa") },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			for range rounds {
				w.add(publicClient())
				tokens := w.signIn()
				var got outcomes
				got.add(tokens, nil)
				together(func(n int) {
					if n == callers/2 {
						must(t, end(w, tokens))
						return
					}
					got.add(w.refresh(spa, tokens.RefreshToken))
				})
				for _, survivor := range got.tokens {
					if w.works(survivor.AccessToken) {
						t.Fatal("an access token outlived the revocation")
					}
					if _, refusal := w.refresh(spa, survivor.RefreshToken); refusal == nil {
						t.Fatal("a refresh token outlived the revocation")
					}
				}
			}
		})
	}
}

func orNil(refusal *engine.Error) error {
	if refusal == nil {
		return nil
	}
	return refusal
}
