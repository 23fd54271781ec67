package integration

import (
	"net/http"
	"testing"
	"time"
)

// TestClockJumps has the clock of a running server jump, forth and back, also to 1970 and
// to a far future: what had expired stays so, and whoever signs in then gets tokens that
// work, now and when the clock is right again. RFC 6749 §10.4, RFC 9700 §4.14.2
func TestClockJumps(t *testing.T) {
	for _, backend := range []string{"memory", "bolt"} {
		for name, jump := range map[string]time.Duration{
			"an hour ahead": time.Hour, "an hour back": -time.Hour, "a day ahead": 24 * time.Hour, "a day back": -24 * time.Hour,
			"back to 1970": time.Until(time.Unix(60, 0)),
		} {
			t.Run(backend+", "+name, func(t *testing.T) {
				w := start(t, plan{backend: backend})
				alice := w.person()
				old := w.mustTokens(t, alice, "own").text("access_token")
				w.advance(2 * time.Hour)
				if w.works(t, old) {
					t.Fatal("an access token lives longer than two hours")
				}
				code, verifier := w.mustCode(t, alice, "own")
				w.advance(jump)
				if w.works(t, old) {
					t.Error("an expired token is alive again")
				}
				answer, err := w.exchange("own", code, verifier, nil)
				if err != nil || answer.status != http.StatusOK && answer.status != http.StatusBadRequest {
					t.Errorf("a code from before the jump: %v, %v", err, answer)
				}
				fresh := w.mustTokens(t, w.person(), "own")
				if !w.works(t, fresh.text("access_token")) {
					t.Error("a token is born expired")
				}
				next, err := w.refresh("own", fresh.text("refresh_token"), nil)
				if err != nil || next.status != http.StatusOK || !w.works(t, next.text("access_token")) {
					t.Errorf("a refresh after the jump: %v, %v", err, next)
				}
				w.advance(-jump) // somebody set it right
				if w.works(t, old) {
					t.Error("an expired token is alive once the clock is right again")
				}
				if again := w.mustTokens(t, w.person(), "own"); !w.works(t, again.text("access_token")) {
					t.Error("a token is born expired once the clock is right again")
				}
			})
		}
	}
}
