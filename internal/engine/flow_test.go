package engine_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
)

// The whole way: authorize, code, tokens, userinfo, refresh. One commit for each
// step that writes and none for those that read.
func TestSignIn(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())

	var answer *engine.Answer
	if n := w.commits(func() {
		answer = w.approveAs(request(), engine.Approval{ACR: "silver", AMR: []string{"pwd", "otp"}, SessionID: "session-7"})
	}); n != 1 {
		t.Errorf("authorize made %d commits, want 1", n)
	}
	if answer.RedirectURI != callback || answer.Params.Get("state") != "xyz" || answer.Params.Get("iss") != issuer {
		t.Errorf("the answer is %+v", answer)
	}
	w.advance(10 * time.Second)
	var tokens *engine.TokenResponse
	if n := w.commits(func() {
		var refusal *engine.Error
		tokens, refusal = w.redeem(spa, answer.Params.Get("code"))
		w.fine(refusal)
	}); n != 1 {
		t.Errorf("redeeming a code made %d commits, want 1", n)
	}
	want := map[string]any{
		"iss": issuer, "sub": "alice", "aud": "spa", "nonce": "n", "sid": "session-7", "acr": "silver", "amr": []any{"pwd", "otp"},
		"iat": float64(w.now().Unix()), "exp": float64(w.now().Add(time.Hour).Unix()),
		"auth_time": float64(start.Add(-time.Minute).Unix()), "at_hash": jws.HalfHash("ES256", tokens.AccessToken),
	}
	if diff := cmp.Diff(want, payload(t, tokens.IDToken)); diff != "" {
		t.Errorf("the ID token differs (-want +got):\n%s", diff)
	}
	if tokens.TokenType != "Bearer" || tokens.ExpiresIn != time.Hour || tokens.RefreshToken == "" {
		t.Errorf("the response is %+v", tokens)
	}
	if n := w.commits(func() {
		access, refusal := w.Access(t.Context(), tokens.AccessToken)
		w.fine(refusal)
		if access.Subject != "alice" || access.ClientID != "spa" || !cmp.Equal(access.Audience, []string{issuer}) {
			t.Errorf("the access is %+v", access)
		}
		info, refusal := w.UserInfo(t.Context(), access)
		w.fine(refusal)
		if diff := cmp.Diff(map[string]any{"sub": "alice"}, info); diff != "" {
			t.Errorf("userinfo differs:\n%s", diff)
		}
	}); n != 0 {
		t.Errorf("reading made %d commits, want none", n)
	}
	var again *engine.TokenResponse
	if n := w.commits(func() {
		var refusal *engine.Error
		again, refusal = w.refresh(spa, tokens.RefreshToken)
		w.fine(refusal)
	}); n != 1 {
		t.Errorf("refreshing made %d commits, want 1", n)
	}
	if again.RefreshToken == tokens.RefreshToken || !w.works(again.AccessToken) {
		t.Errorf("the refreshed response is %+v", again)
	}
	delete(want, "nonce")
	want["at_hash"] = jws.HalfHash("ES256", again.AccessToken)
	if diff := cmp.Diff(want, payload(t, again.IDToken)); diff != "" {
		t.Errorf("the refreshed ID token differs (-want +got):\n%s", diff)
	}
	for event, n := range map[string]int{engine.EventCodeIssued: 1, engine.EventTokenIssued: 1, engine.EventTokenRefresh: 1} {
		if got := w.count(event); got != n {
			t.Errorf("%d events %s, want %d", got, event, n)
		}
	}
}

// Few round trips to the database: what a request depends on is read together.
func TestRoundTrips(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	code := w.approve(request())
	reads := func(name string, most int64, fn func()) {
		t.Helper()
		before := w.backend.gets.Load()
		fn()
		if n := w.backend.gets.Load() - before; n > most {
			t.Errorf("%s reads %d times, at most %d may", name, n, most)
		}
	}
	var tokens *engine.TokenResponse
	reads("redeeming a code", 2, func() {
		var refusal *engine.Error
		tokens, refusal = w.redeem(spa, code)
		w.fine(refusal)
	})
	reads("a check of an access token", 2, func() { w.works(tokens.AccessToken) })
	reads("a refresh", 2, func() { w.mustRefresh(tokens.RefreshToken) })
}
