package handlers

import (
	"net/http"
	"testing"
	"time"
)

// Who signed in while the clock was ahead is nobody once it is right again. Who ends such a
// session ends the record too, and what was told of it, or it would count again when the
// clock has caught up. OpenID Connect RP-Initiated Logout §2
func TestSessionsOfTheFutureEnd(t *testing.T) {
	const ahead = 24 * time.Hour
	for name, row := range map[string]struct {
		several int
		end     func(t *testing.T, b *browser, hint string)
		left    int
	}{
		"by the page":            {0, signOutByPage, 0},
		"one of several":         {3, signOutByPage, 0},
		"by a hint":              {0, signOutByHint, 0},
		"one of several, a hint": {3, signOutByHint, 0},
		"by a new sign-in":       {0, signInAgain, 1},
		"one of several, again":  {3, signInAgain, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{several: row.several})
			b, thief := w.browser(), w.browser()
			w.advance(ahead)
			hint, _ := b.signedIn("alice")["id_token"].(string)
			thief.client.Jar.SetCookies(mustParse(t, w.url), b.cookies(""))
			w.advance(-ahead)
			if got := b.get(w.authorize("own", "prompt", "none")).answer(t, ownCallback); got.Get("error") != "login_required" {
				t.Fatalf("a sign-in of tomorrow counts today: %v", got)
			}
			row.end(t, b, hint)
			if list, err := w.h.Sessions(t.Context(), "sub-alice"); err != nil || len(list) != row.left {
				t.Errorf("there are %d sessions, %v, want %d", len(list), err, row.left)
			}
			w.advance(ahead + time.Minute)
			if got := thief.get(w.authorize("own", "prompt", "none")).answer(t, ownCallback); got.Get("error") != "login_required" {
				t.Errorf("the session that ended counts again: %v", got)
			}
			if got := b.get(w.authorize("own", "prompt", "none")).answer(t, ownCallback); got.Has("code") != (row.left > 0) {
				t.Errorf("this browser is answered %v", got)
			}
		})
	}
}

func signOutByPage(t *testing.T, b *browser, _ string) {
	t.Helper()
	asked := b.get(b.get("/oauth/logout").to(t))
	asked.shows(t, http.StatusOK, "Sign out?", "alice")
	b.post(asked.action(t), decide("signout")).shows(t, http.StatusOK, "You are signed out")
}

func signOutByHint(t *testing.T, b *browser, hint string) {
	t.Helper()
	b.get("/oauth/logout?id_token_hint="+hint).shows(t, http.StatusOK, "You are signed out")
}

func signInAgain(t *testing.T, b *browser, _ string) {
	t.Helper()
	b.signIn("alice")
}
