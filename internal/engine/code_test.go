package engine_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

func TestCodeRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	thief := publicClient()
	thief.ID = "thief"
	w.add(thief)
	as := engine.Credentials{ClientID: "thief", Method: "none"}
	wrong := strings.Repeat("w", 43)
	for _, c := range []struct {
		name         string
		by           engine.Credentials
		pairs        []string
		code, reason string
	}{
		{"no code", spa, []string{"code", ""}, "invalid_request", "parameter_missing"},
		{"noise", spa, []string{"code", "dwc_noise"}, "invalid_grant", "code_unknown"},
		{"another client", as, nil, "invalid_grant", "code_other_client"},
		{"another redirect", spa, []string{"redirect_uri", callback + "2"}, "invalid_grant", "redirect_uri_mismatch"},
		{"no verifier", spa, []string{"code_verifier", ""}, "invalid_grant", "pkce_missing"},
		{"wrong verifier", spa, []string{"code_verifier", wrong}, "invalid_grant", "pkce_mismatch"},
		{"the challenge as verifier", spa, []string{"code_verifier", challenge()}, "invalid_grant", "pkce_mismatch"},
		{"a resource not granted", spa, []string{"resource", other}, "invalid_target", "resource_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := w.approve(request())
			_, refusal := w.redeem(c.by, code, c.pairs...)
			refused(t, refusal, c.code, c.reason)
			_, refusal = w.redeem(spa, code) // and its owner can still use it
			w.fine(refusal)
		})
	}
	t.Run("another secret", func(t *testing.T) {
		code := w.approve(request())
		_, refusal := w.redeem(spa, code[:len(code)-4]+"AAAA")
		refused(t, refusal, "invalid_grant", "code_unknown")
	})
	t.Run("late", func(t *testing.T) {
		code := w.approve(request())
		w.advance(time.Minute - 1)
		early := w.approve(request())
		w.advance(1)
		_, refusal := w.redeem(spa, code)
		refused(t, refusal, "invalid_grant", "code_expired")
		_, refusal = w.redeem(spa, early)
		w.fine(refusal)
	})
	t.Run("revoked", func(t *testing.T) {
		code := w.approve(request())
		must(t, w.RevokeSubject(t.Context(), "alice"))
		_, refusal := w.redeem(spa, code)
		refused(t, refusal, "invalid_grant", "subject_revoked")
	})
}

// The redirect URI may be left out where PKCE proves more, and only there.
func TestCodeWithoutRedirectURI(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	_, refusal := w.redeem(spa, w.approve(request()), "redirect_uri", "")
	w.fine(refusal)

	old := publicClient()
	old.ID, old.TokenEndpointAuthMethod, old.Insecure.SkipPKCE = "old", "", true
	by := w.addConfidential(old)
	bare := []string{"client_id", "old", "code_challenge", "", "code_challenge_method", ""}
	_, refusal = w.redeem(by, w.approve(request(bare...)), "redirect_uri", "", "code_verifier", "")
	refused(t, refusal, "invalid_grant", "redirect_uri_missing")
	_, refusal = w.redeem(by, w.approve(request(bare...)), "code_verifier", "")
	w.fine(refusal)
	_, refusal = w.redeem(by, w.approve(request(bare...)))
	refused(t, refusal, "invalid_grant", "pkce_unexpected")
	// A challenge that is sent is enforced all the same.
	_, refusal = w.redeem(by, w.approve(request("client_id", "old")), "code_verifier", "")
	refused(t, refusal, "invalid_grant", "pkce_missing")
	// An empty one beside it counts as left out, so the request did name it.
	doubled := request(bare...)
	doubled["redirect_uri"] = []string{"", callback}
	_, refusal = w.redeem(by, w.approve(doubled), "redirect_uri", "", "code_verifier", "")
	refused(t, refusal, "invalid_grant", "redirect_uri_missing")
	unnamed := append([]string{"redirect_uri", "", "scope", "notes:read"}, bare...)
	_, refusal = w.redeem(by, w.approve(request(unnamed...)), "redirect_uri", "", "code_verifier", "")
	w.fine(refusal)
}

// A verifier that is too short to be one is none, though its hash is right. RFC 7636 §4.1
func TestCodeVerifierForm(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	for _, v := range []string{strings.Repeat("a", 42), strings.Repeat("a", 129), strings.Repeat("a", 42) + "+"} {
		sum := sha256.Sum256([]byte(v))
		code := w.approve(request("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:])))
		_, refusal := w.redeem(spa, code, "code_verifier", v)
		refused(t, refusal, "invalid_grant", "pkce_mismatch")
	}
}

// The way around PKCE that fosite leaves open: a wrong verifier, then none. RFC 7636 §4.4,
// §4.6, RFC 9700 §4.8.2
func TestNoDowngradeOfPKCE(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	code := w.approve(request())
	_, refusal := w.redeem(spa, code, "code_verifier", strings.Repeat("w", 43))
	refused(t, refusal, "invalid_grant", "pkce_mismatch")
	_, refusal = w.redeem(spa, code, "code_verifier", "")
	refused(t, refusal, "invalid_grant", "pkce_missing")
	_, refusal = w.redeem(spa, code)
	w.fine(refusal)
}

func TestFiveWrongVerifiersEndACode(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	for _, c := range []struct {
		tries int
		lives bool
	}{{4, true}, {5, false}} {
		code := w.approve(request())
		for range c.tries {
			if n := w.commits(func() { _, _ = w.redeem(spa, code, "code_verifier", strings.Repeat("w", 43)) }); n != 1 {
				t.Errorf("a wrong verifier made %d commits, want 1", n)
			}
		}
		_, refusal := w.redeem(spa, code)
		if c.lives {
			w.fine(refusal)
		} else {
			refused(t, refusal, "invalid_grant", "code_killed")
		}
	}
}

// A second redemption that is right in everything ends what the first one began. One
// that is wrong in anything is told nothing and ends nothing.
func TestCodeReplay(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	thief := publicClient()
	thief.ID = "thief"
	w.add(thief)
	code := w.approve(request())
	tokens, refusal := w.redeem(spa, code)
	w.fine(refusal)

	w.advance(10 * time.Minute)
	_, refusal = w.redeem(engine.Credentials{ClientID: "thief", Method: "none"}, code)
	refused(t, refusal, "invalid_grant", "code_other_client")
	for range 6 {
		_, refusal = w.redeem(spa, code, "code_verifier", strings.Repeat("w", 43))
		refused(t, refusal, "invalid_grant", "pkce_mismatch")
	}
	_, refusal = w.redeem(spa, code, "redirect_uri", callback+"2")
	refused(t, refusal, "invalid_grant", "redirect_uri_mismatch")
	if !w.works(tokens.AccessToken) {
		t.Fatal("a replay that proves nothing ended the grant")
	}
	if n := w.commits(func() {
		_, refusal = w.redeem(spa, code)
		refused(t, refusal, "invalid_grant", "code_used")
	}); n != 1 {
		t.Errorf("a replay made %d commits, want 1", n)
	}
	if w.works(tokens.AccessToken) {
		t.Error("the access token outlived the replay")
	}
	_, refusal = w.refresh(spa, tokens.RefreshToken)
	refused(t, refusal, "invalid_grant", "grant_revoked")
	if w.count(engine.EventCodeReplay) != 1 || w.count(engine.EventGrantRevoked) != 1 {
		t.Errorf("events: %+v", w.events)
	}
	if w.events[2].Age != 10*time.Minute {
		t.Errorf("the age of the replay is %v", w.events[2].Age)
	}
	_, refusal = w.redeem(spa, code)
	refused(t, refusal, "invalid_grant", "grant_revoked")
}

// When the revocation after a replay can't be stored, the client must not be told
// that it was refused: the next request would find the grant alive.
func TestCodeReplayUnavailable(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	code := w.approve(request())
	tokens, refusal := w.redeem(spa, code)
	w.fine(refusal)
	w.backend.failApply.Store(true)
	_, refusal = w.redeem(spa, code)
	refused(t, refusal, "temporarily_unavailable", "store_unavailable")
	w.backend.failApply.Store(false)
	if !w.works(tokens.AccessToken) || w.count(engine.EventCodeReplay) != 0 {
		t.Error("something happened that was not stored")
	}
}

// Who lost a race is told so and revokes nothing; a replay that is rerun because
// another request came between still ends the grant.
func TestCodeRaces(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	code := w.approve(request())
	var winner *engine.TokenResponse
	w.backend.beforeApply = func() { winner, _ = w.redeem(spa, code) }
	_, refusal := w.redeem(spa, code)
	refused(t, refusal, "invalid_grant", "code_used")
	if winner == nil || !w.works(winner.AccessToken) {
		t.Fatal("the loser of a race ended the winner's grant")
	}
	w.backend.beforeApply = func() { _, refusal := w.refresh(spa, winner.RefreshToken); w.fine(refusal) }
	_, refusal = w.redeem(spa, code)
	refused(t, refusal, "invalid_grant", "code_used")
	if w.works(winner.AccessToken) {
		t.Error("a replay that was rerun revoked nothing")
	}
}

// The grant is kept while anything of it lives, and no code is stored. RFC 6749 §10.10
func TestGrantRecord(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	code := w.approve(request("scope", "openid offline_access"))
	grants, _, err := w.grants.List(t.Context(), "", "", storage.Page{})
	must(t, err)
	g := grants[0]
	if g.Nonce != "n" || g.Code.Challenge != challenge() || len(g.Code.Hash) != 32 || strings.Contains(code, string(g.Code.Hash)) {
		t.Errorf("the grant is %+v with code %+v", g, g.Code)
	}
	// A code that is guessed is a code that is stolen: 256 bits beside the name of the grant.
	if raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(code, "dwc_")); err != nil || len(raw) != 16+32 || strings.Contains(code, w.approve(request())[len("dwc_")+22:]) {
		t.Errorf("the code has %d bytes, %v", len(raw), err)
	}
	if end := w.now().Add(time.Minute); g.ExpiresAt.Before(end) || g.ExpiresAt.After(end.Add(time.Hour)) {
		t.Errorf("an unredeemed grant is kept until %v", g.ExpiresAt)
	}
	_, refusal := w.redeem(spa, code)
	w.fine(refusal)
	g, err = w.grants.Get(t.Context(), g.ID)
	must(t, err)
	if !g.Refresh.Offline || g.ExpiresAt.Before(g.Refresh.IdleEnd.Add(time.Hour)) {
		t.Errorf("the redeemed grant is %+v with refresh %+v", g, g.Refresh)
	}
}
