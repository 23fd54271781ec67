package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/doorward/doorward/server"
)

// TestFAPI2: a client of the profile comes from a pushed request to bound tokens and
// refreshes them without rotation; each shortcut that others may take is refused.
// FAPI 2.0 Security Profile §5.3.2
func TestFAPI2(t *testing.T) {
	r := newRobot(t)
	w := start(t, plan{configure: func(c *server.Config) {
		robot := r.client()
		robot.DPoPBoundAccessTokens, robot.FirstParty, robot.GrantTypes, robot.Audiences = true, true, nil, nil
		c.FAPI2, c.Clients, c.Keys.Algorithms = true, nil, nil
		c.Clients = append(c.Clients, robot)
	}})
	r.w = w
	h := newHolder(t, w.site, w.now)
	ask := func(place string, form url.Values, proven bool) *reply {
		form.Set("client_assertion", r.assert(nil))
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		if proven {
			header.Set("DPoP", h.proof(http.MethodPost, w.endpoint(place), "", nil))
		}
		return answered(t)(send(&http.Client{Transport: w.transport}, http.MethodPost, w.endpoint(place), header, form.Encode()))
	}
	verifier := oauth2.GenerateVerifier()
	request := func() url.Values {
		return url.Values{
			"response_type": {"code"}, "redirect_uri": {"https://robot.test/cb"}, "scope": {"openid"}, "state": {"s"},
			"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
		}
	}
	plain := request()
	plain.Set("client_id", "robot")
	a := answered(t)(w.person().open(w.endpoint("authorize") + "?" + plain.Encode()))
	if to := a.location(); to == nil || to.Query().Get("error") != "invalid_request" {
		t.Errorf("a request that was not pushed: %s", a)
	}
	bare := request()
	bare.Del("code_challenge")
	bare.Del("code_challenge_method")
	w.journal.turn()
	expect(t, "without PKCE", ask("par", bare, false), http.StatusBadRequest, "invalid_request", "pkce_required")
	if said := w.journal.since(); !strings.Contains(said, "turn PKCE on") || strings.Contains(said, "skip_pkce") {
		t.Errorf("it advises what the profile forbids:\n%s", said)
	}
	pushed := ask("par", request(), false)
	expect(t, "pushing", pushed, http.StatusCreated)
	query := url.Values{"client_id": {"robot"}, "request_uri": {pushed.text("request_uri")}}
	a = answered(t)(w.person().signIn(w.endpoint("authorize")+"?"+query.Encode(), "alice"))
	to := a.location()
	if to == nil || to.Query().Get("code") == "" || to.Query().Get("iss") != w.issuer {
		t.Fatalf("the answer: %s", a)
	}
	redemption := func() url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "code_verifier": {verifier}, "redirect_uri": {"https://robot.test/cb"}}
	}
	expect(t, "without a proof", ask("token", redemption(), false), http.StatusBadRequest, "invalid_dpop_proof", "dpop_missing")
	tokens := ask("token", redemption(), true)
	expect(t, "with a proof", tokens, http.StatusOK, `"DPoP"`)
	next := ask("token", refreshing(tokens), true)
	expect(t, "a refresh", next, http.StatusOK, `"DPoP"`)
	if next.text("refresh_token") != tokens.text("refresh_token") {
		t.Error("the refresh token was rotated")
	}
}
