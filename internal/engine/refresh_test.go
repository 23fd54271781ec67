package engine_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// policyWorld has one public client under a policy, signed in.
func policyWorld(t *testing.T, p storage.RefreshPolicy) (*world, *engine.TokenResponse) {
	t.Helper()
	w := newWorld(t, nil)
	c := publicClient()
	c.RefreshPolicy = p
	w.add(c)
	return w, w.signIn("scope", "openid offline_access notes:read notes:write")
}

func (w *world) mustRefresh(token string) *engine.TokenResponse {
	w.t.Helper()
	return w.mustRefreshBy("spa", token)
}

// mustRefreshBy is mustRefresh for a public client of another ID.
func (w *world) mustRefreshBy(id, token string) *engine.TokenResponse {
	w.t.Helper()
	tokens, refusal := w.refresh(engine.Credentials{ClientID: id, Method: "none"}, token)
	w.fine(refusal)
	return tokens
}

func TestRefreshWindow(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshWindow)
	second := w.mustRefresh(first.RefreshToken)
	w.advance(30*time.Second - 1)
	for range 10 {
		n := w.commits(func() {
			again := w.mustRefresh(first.RefreshToken)
			if again.RefreshToken != second.RefreshToken {
				t.Fatal("a repeat got another successor")
			}
			if again.AccessToken == second.AccessToken || !w.works(again.AccessToken) {
				t.Fatal("a repeat got no access token of its own")
			}
		})
		if n != 1 {
			t.Errorf("a repeat made %d commits, want 1", n)
		}
	}
	_, refusal := w.refresh(spa, first.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_repeats")
	third := w.mustRefresh(second.RefreshToken)
	_, refusal = w.refresh(spa, first.RefreshToken) // the head was used: refused, no more
	refused(t, refusal, "invalid_grant", "refresh_used")
	fourth := w.mustRefresh(third.RefreshToken)
	if !w.works(first.AccessToken) || w.count(engine.EventRefreshReuse) != 0 {
		t.Fatal("something was revoked within the window")
	}
	w.advance(30 * time.Second)
	if n := w.commits(func() {
		_, refusal = w.refresh(spa, third.RefreshToken) // the predecessor, after the window
		refused(t, refusal, "invalid_grant", "refresh_reuse")
	}); n != 1 {
		t.Errorf("a reuse made %d commits, want 1", n)
	}
	if w.works(fourth.AccessToken) || w.count(engine.EventRefreshReuse) != 1 {
		t.Error("the grant outlived a reuse")
	}
	if last := w.events[len(w.events)-2]; last.Type != engine.EventRefreshReuse || last.Age != 30*time.Second {
		t.Errorf("the event is %+v", last)
	}
	_, refusal = w.refresh(spa, fourth.RefreshToken)
	refused(t, refusal, "invalid_grant", "grant_revoked")
}

func TestRefreshStrict(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshStrict)
	second := w.mustRefresh(first.RefreshToken)
	_, refusal := w.refresh(spa, first.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_reuse")
	if w.works(second.AccessToken) {
		t.Error("the grant outlived a reuse")
	}
}

func TestRefreshStrictKnowsNoWindow(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshStrict)
	third := w.mustRefresh(w.mustRefresh(first.RefreshToken).RefreshToken)
	_, refusal := w.refresh(spa, first.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_reuse")
	if w.works(third.AccessToken) {
		t.Error("the grant outlived a reuse")
	}
}

// Who lost a race is told so and revokes nothing; a reuse that is rerun because
// another request came between still ends the grant.
func TestRefreshRaces(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshStrict)
	var winner *engine.TokenResponse
	w.backend.beforeApply = func() { winner = w.mustRefresh(first.RefreshToken) }
	_, refusal := w.refresh(spa, first.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_used")
	if !w.works(winner.AccessToken) {
		t.Fatal("the loser of a race ended the winner's grant")
	}
	w.backend.beforeApply = func() { winner = w.mustRefresh(winner.RefreshToken) }
	_, refusal = w.refresh(spa, first.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_reuse")
	if w.works(winner.AccessToken) {
		t.Error("a reuse that was rerun revoked nothing")
	}
}

func TestRefreshUntilUsed(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshUntilUsed)
	second := w.mustRefresh(first.RefreshToken)
	w.advance(48 * time.Hour)
	if again := w.mustRefresh(first.RefreshToken); again.RefreshToken != second.RefreshToken {
		t.Error("a repeat got another successor")
	}
	third := w.mustRefresh(second.RefreshToken)
	_, refusal := w.refresh(spa, first.RefreshToken) // used two days ago
	refused(t, refusal, "invalid_grant", "refresh_reuse")
	if w.works(third.AccessToken) {
		t.Error("the grant outlived a reuse")
	}
}

func TestRefreshNone(t *testing.T) {
	w := newWorld(t, nil)
	c := publicClient()
	c.TokenEndpointAuthMethod, c.RefreshPolicy = "", storage.RefreshNone
	by := w.addConfidential(c)
	first, refusal := w.redeem(by, w.approve(request()))
	w.fine(refusal)
	for range 3 {
		w.advance(20 * 24 * time.Hour) // the idle end moves along, up to the absolute one
		again, refusal := w.refresh(by, first.RefreshToken)
		w.fine(refusal)
		if again.RefreshToken != first.RefreshToken || !w.works(again.AccessToken) {
			t.Errorf("the response is %+v", again)
		}
	}
	w.advance(30 * 24 * time.Hour)
	_, refusal = w.refresh(by, first.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_expired")
}

// A public client can't keep a token that never changes.
func TestRefreshNoneOfPublicClient(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshNone)
	if second := w.mustRefresh(first.RefreshToken); second.RefreshToken == first.RefreshToken {
		t.Error("the token did not rotate")
	}
}

// Two generations back, long ago: a theft under every policy that rotates.
func TestRefreshOldGeneration(t *testing.T) {
	for _, p := range []storage.RefreshPolicy{storage.RefreshWindow, storage.RefreshStrict, storage.RefreshUntilUsed} {
		w, first := policyWorld(t, p)
		newest := first
		for range 4 {
			w.advance(time.Hour)
			newest = w.mustRefresh(newest.RefreshToken)
		}
		_, refusal := w.refresh(spa, first.RefreshToken)
		refused(t, refusal, "invalid_grant", "refresh_reuse")
		if w.works(newest.AccessToken) || w.count(engine.EventGrantRevoked) != 1 {
			t.Errorf("%s: the grant outlived a reuse", p)
		}
	}
}

// Who is not the client, or changed the token, learns nothing and ends nothing.
func TestRefreshByOthers(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshStrict)
	thief := publicClient()
	thief.ID = "thief"
	w.add(thief)
	second := w.mustRefresh(first.RefreshToken)
	for _, token := range []string{first.RefreshToken, second.RefreshToken} {
		if n := w.commits(func() {
			_, refusal := w.refresh(engine.Credentials{ClientID: "thief", Method: "none"}, token)
			refused(t, refusal, "invalid_grant", "refresh_other_client")
			if refusal.Anchor() != "invalid_grant" {
				t.Errorf("the client is told %s", refusal.Anchor())
			}
		}); n != 0 {
			t.Errorf("another client made %d commits", n)
		}
	}
	for i := 4; i < len(first.RefreshToken); i += 7 {
		changed := []byte(first.RefreshToken)
		if changed[i]++; changed[i] == '{' {
			changed[i] = 'a'
		}
		_, refusal := w.refresh(spa, string(changed))
		refused(t, refusal, "invalid_grant", "refresh_unknown")
	}
	_, refusal := w.refresh(spa, "")
	refused(t, refusal, "invalid_request", "parameter_missing")
	w.mustRefresh(second.RefreshToken)
}

func TestRefreshLifetimes(t *testing.T) {
	w, first := policyWorld(t, storage.RefreshWindow)
	w.advance(30*24*time.Hour - 1)
	second := w.mustRefresh(first.RefreshToken)
	w.advance(30 * 24 * time.Hour)
	_, refusal := w.refresh(spa, second.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_idle")
	w.advance(24 * time.Hour)
	_, refusal = w.refresh(spa, second.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_expired")

	w, newest := policyWorld(t, storage.RefreshWindow)
	for range 4 {
		w.advance(22 * 24 * time.Hour)
		newest = w.mustRefresh(newest.RefreshToken)
	}
	w.advance(2 * 24 * time.Hour)
	_, refusal = w.refresh(spa, newest.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_expired")
}

// Shorter lifetimes hold for what was granted before as well: the mark that a session
// has ended is kept only as long as they say, and no grant may outlive it.
func TestShorterLifetimesReviveNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	ended, kept := w.signIn(), w.signIn()
	w.config.Lifetimes.RefreshAbsolute = 7 * 24 * time.Hour
	shorter, err := engine.New(w.config)
	must(t, err)
	w.Engine = shorter
	must(t, w.RevokeSession(t.Context(), "session-1"))
	_, refusal := w.refresh(spa, ended.RefreshToken)
	refused(t, refusal, "invalid_grant", "session_ended")
	w.advance(9 * 24 * time.Hour)
	_, refusal = w.refresh(spa, kept.RefreshToken)
	refused(t, refusal, "invalid_grant", "refresh_expired")
}

// A token may be asked for with less than was granted, and the next one with all of
// it again. RFC 6749 §6, RFC 8707 §2.2
func TestRefreshNarrows(t *testing.T) {
	w := newWorld(t, nil)
	c := publicClient()
	c.Audiences = []string{api, other}
	w.add(c)
	tokens := w.signIn("scope", "openid notes:read notes:write")
	access := func(token string) *engine.Access {
		t.Helper()
		a, refusal := w.Access(t.Context(), token)
		w.fine(refusal)
		return a
	}
	narrow, refusal := w.refresh(spa, tokens.RefreshToken, "scope", "notes:read", "resource", other, "nonce", "evil")
	w.fine(refusal)
	a := access(narrow.AccessToken)
	if !cmp.Equal(a.Scopes, []string{"notes:read"}) || !cmp.Equal(a.Audience, []string{other}) || narrow.IDToken != "" {
		t.Errorf("narrowed to %v for %v, ID token %q", a.Scopes, a.Audience, narrow.IDToken)
	}
	if !cmp.Equal(narrow.Scopes, a.Scopes) {
		t.Errorf("the response tells %v", narrow.Scopes)
	}
	for _, c := range []struct {
		name, value, code, reason string
	}{
		{"scope", "notes:read profile", "invalid_scope", "scope_not_granted"},
		{"scope", "notes:read\x01", "invalid_scope", "scope_malformed"},
		{"resource", issuer, "invalid_target", "resource_not_allowed"},
	} {
		_, refusal := w.refresh(spa, narrow.RefreshToken, c.name, c.value)
		refused(t, refusal, c.code, c.reason)
	}
	all, refusal := w.refresh(spa, narrow.RefreshToken, "nonce", "evil")
	w.fine(refusal)
	a = access(all.AccessToken)
	if !cmp.Equal(a.Scopes, []string{"openid", "notes:read", "notes:write"}) || !cmp.Equal(a.Audience, []string{api, other}) {
		t.Errorf("the grant shrank to %v for %v", a.Scopes, a.Audience)
	}
	if nonce := payload(t, all.IDToken)["nonce"]; nonce != nil {
		t.Errorf("the refreshed ID token has the nonce %v", nonce)
	}
	// The client's registration shrinks: so does what it gets.
	c.Scope, c.Audiences, c.IDTokenSignedResponseAlg = "notes:read", []string{api}, "ES256"
	w.add(c)
	less, refusal := w.refresh(spa, all.RefreshToken)
	w.fine(refusal)
	if a = access(less.AccessToken); !cmp.Equal(a.Scopes, []string{"notes:read"}) || !cmp.Equal(a.Audience, []string{api}) {
		t.Errorf("a client that lost scopes got %v for %v", a.Scopes, a.Audience)
	}
	c.Scope = "email"
	w.add(c)
	_, refusal = w.refresh(spa, less.RefreshToken)
	refused(t, refusal, "invalid_grant", "grant_not_allowed")
}

// Everything a grant depends on ends its refresh tokens, its codes and its access
// tokens at once.
func TestEndOfGrants(t *testing.T) {
	for _, c := range []struct {
		reason  string
		end     func(w *world) error
		offline bool // also for a grant with offline_access
	}{
		{"subject_revoked", func(w *world) error { return w.RevokeSubject(t.Context(), "alice") }, true},
		{"app_revoked", func(w *world) error { return w.RevokeApp(t.Context(), "alice", "spa") }, true},
		{"session_ended", func(w *world) error { return w.RevokeSession(t.Context(), "session-1") }, false},
		{"client_replaced", func(w *world) error {
			c := publicClient()
			c.Incarnation = "two"
			w.add(c)
			return nil
		}, true},
		{"grant_revoked", func(w *world) error {
			all, _, err := w.grants.List(t.Context(), "", "", storage.Page{})
			for _, g := range all {
				err = w.RevokeGrant(t.Context(), g.ID, "test")
			}
			return err
		}, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, nil)
			w.add(publicClient())
			bound, offline := w.signIn("scope", "openid"), w.signIn("scope", "offline_access")
			must(t, c.end(w))
			must(t, c.end(w)) // a second time is no error
			_, refusal := w.Access(t.Context(), bound.AccessToken)
			refused(t, refusal, "invalid_token", c.reason)
			_, refusal = w.refresh(spa, bound.RefreshToken)
			refused(t, refusal, "invalid_grant", c.reason)
			if ended := !w.works(offline.AccessToken); ended != c.offline {
				t.Errorf("the grant with offline_access ended: %v", ended)
			}
			if after := w.signIn("scope", "openid"); !w.works(after.AccessToken) {
				t.Error("what was granted later is dead as well")
			}
			w.advance(200 * 24 * time.Hour)
			_, refusal = w.refresh(spa, bound.RefreshToken)
			if refusal == nil {
				t.Error("it came back to life")
			}
		})
	}
	t.Run("disabled", func(t *testing.T) {
		w := newWorld(t, nil)
		w.add(publicClient())
		tokens := w.signIn()
		c := publicClient()
		c.Disabled = true
		w.add(c)
		_, refusal := w.Access(t.Context(), tokens.AccessToken)
		refused(t, refusal, "invalid_token", "client_disabled")
		_, refusal = w.refresh(spa, tokens.RefreshToken)
		refused(t, refusal, "invalid_client", "client_disabled")
		if refusal.Anchor() != "invalid_client" {
			t.Errorf("who has no secret is told %s", refusal.Anchor())
		}
		must(t, w.clients.Delete(t.Context(), "spa"))
		_, refusal = w.Access(t.Context(), tokens.AccessToken)
		refused(t, refusal, "invalid_token", "client_unknown")
	})
	must(t, newWorld(t, nil).RevokeGrant(t.Context(), "unknown", "test"))
}
