package integration

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// expect holds an answer to its status and, in its body, its error and reason.
func expect(t testing.TB, what string, r *reply, status int, words ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("%s: want %d, got %s", what, status, r)
		return
	}
	for _, word := range words {
		if !strings.Contains(string(r.body), word) {
			t.Errorf("%s: want %s in %s", what, word, r)
		}
	}
}

// TestBoundTokens: a proof binds the tokens of every grant, whatever their format, and
// a bound token works with its key alone. RFC 9449 §5, §6, §7, RFC 9449 §6.1, §6.2, §7.1, §7.2
func TestBoundTokens(t *testing.T) {
	for _, format := range []storage.AccessTokenFormat{storage.AccessTokenOpaque, storage.AccessTokenJWT} {
		t.Run(string(format), func(t *testing.T) {
			w := start(t, plan{configure: func(c *server.Config) {
				for i := range c.Clients {
					c.Clients[i].AccessTokenFormat = format
				}
			}})
			h, thief := newHolder(t, w.site, w.now), newHolder(t, w.site, w.now)
			tokens := h.prove(t, "token", "spa", h.redeem(t, "spa", nil))
			expect(t, "code", tokens, http.StatusOK)
			if tokens.text("token_type") != "DPoP" {
				t.Fatalf("token_type: %s", tokens)
			}
			access := tokens.text("access_token")
			at := w.endpoint("userinfo")
			expect(t, "userinfo", h.show(t, "DPoP", access, h.proof("GET", at, access, nil)), http.StatusOK, `"alice"`)
			for what, c := range map[string]struct {
				scheme, proof, reason string
			}{
				"as a bearer token":         {"Bearer", "", "token_bound"},
				"as a bearer token, proven": {"Bearer", h.proof("GET", at, access, nil), "token_bound"},
				"without a proof":           {"DPoP", "", "dpop_missing"},
				"with the key of another":   {"DPoP", thief.proof("GET", at, access, nil), "dpop_key_other"},
				"without ath":               {"DPoP", h.proof("GET", at, "", nil), "dpop_token"},
				"with another token's ath":  {"DPoP", h.proof("GET", at, access+"x", nil), "dpop_token"},
				"for another method":        {"DPoP", h.proof("POST", at, access, nil), "dpop_method"},
				"for another endpoint":      {"DPoP", h.proof("GET", w.endpoint("token"), access, nil), "dpop_url"},
			} {
				r := h.show(t, c.scheme, access, c.proof)
				expect(t, what, r, http.StatusUnauthorized, c.reason)
				if challenge := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, `DPoP error="`) || !strings.Contains(challenge, `algs="RS256 PS256 ES256 EdDSA Ed25519"`) {
					t.Errorf("%s: the challenge is %q", what, challenge)
				}
			}
			proof := h.proof("GET", at, access, nil)
			expect(t, "the first time", h.show(t, "DPoP", access, proof), http.StatusOK)
			expect(t, "a replay", h.show(t, "DPoP", access, proof), http.StatusUnauthorized, "dpop_replayed")

			expect(t, "another key", thief.prove(t, "token", "spa", refreshing(tokens)), http.StatusBadRequest, "invalid_grant", "dpop_key_other")
			expect(t, "no key", h.post(t, "token", "spa", "", refreshing(tokens)), http.StatusBadRequest, "invalid_dpop_proof", "dpop_missing")
			next := h.prove(t, "token", "spa", refreshing(tokens))
			expect(t, "a refresh after others tried", next, http.StatusOK)
			if next.text("refresh_token") != tokens.text("refresh_token") {
				t.Error("a refresh token that is bound to a key was rotated")
			}
			told := answered(t)(w.post("introspect", "https://api.test", url.Values{"token": {next.text("access_token")}}))
			if told.text("cnf.jkt") != h.thumbprint() || told.text("token_type") != "DPoP" {
				t.Errorf("introspection: %s", told)
			}

			// A confidential client is known by its secret, and may change its key.
			tokens = h.prove(t, "token", "web", h.redeem(t, "web", nil))
			expect(t, "another key of a confidential client", thief.prove(t, "token", "web", refreshing(tokens)), http.StatusOK, `"DPoP"`)
			plain := h.post(t, "token", "web", "", refreshing(tokens))
			expect(t, "no key of a confidential client", plain, http.StatusOK, `"Bearer"`)
			access = plain.text("access_token")
			r := h.show(t, "DPoP", access, h.proof("GET", at, access, nil))
			expect(t, "a token that is bound to none", r, http.StatusUnauthorized, "token_unbound")

			machine := h.prove(t, "token", "machine", machineGrant)
			expect(t, "client credentials", machine, http.StatusOK, `"DPoP"`)
			if got := answered(t)(w.post("introspect", "machine", url.Values{"token": {machine.text("access_token")}})).text("cnf.jkt"); got != h.thumbprint() {
				t.Errorf("client credentials: %q", got)
			}
		})
	}
}

// TestProofsAtTheTokenEndpoint: the htu is the issuer's, whatever the Host header says,
// and a defect says what it is. Nothing is used up by it. RFC 9449 §4.3
func TestProofsAtTheTokenEndpoint(t *testing.T) {
	w := start(t, plan{})
	h := newHolder(t, w.site, w.now)
	at := w.endpoint("token")
	fields := h.redeem(t, "spa", nil)
	for what, c := range map[string]struct{ proof, reason string }{
		"garbage":      {"garbage", "dpop_malformed"},
		"another URL":  {h.proof("POST", "https://other.test/oauth/token", "", nil), "dpop_url"},
		"GET":          {h.proof("GET", at, "", nil), "dpop_method"},
		"old":          {h.proof("POST", at, "", map[string]any{"iat": w.now().Add(-6 * time.Minute).Unix()}), "dpop_time"},
		"no jti":       {h.proof("POST", at, "", map[string]any{"jti": nil}), "dpop_jti"},
		"foreign text": {h.proof("POST", at, "", map[string]any{"nonce": "made-up"}), "dpop_nonce"},
	} {
		code := "invalid_dpop_proof"
		if c.reason == "dpop_nonce" {
			code = "use_dpop_nonce"
		}
		expect(t, what, h.post(t, "token", "spa", c.proof, fields), http.StatusBadRequest, code, c.reason)
	}
	h.nonce = ""
	proof := h.proof("POST", strings.ToUpper(w.issuer)+":443/oauth/./token?x=1", "", nil)
	expect(t, "another spelling", h.post(t, "token", "spa", proof, fields), http.StatusOK)
	expect(t, "a replay", h.post(t, "token", "spa", proof, h.redeem(t, "spa", nil)), http.StatusBadRequest, "dpop_replayed")
	w.advance(5*time.Minute + 30*time.Second)
	expect(t, "a replay when it is too old", h.post(t, "token", "spa", proof, h.redeem(t, "spa", nil)), http.StatusBadRequest, "dpop_time")
}

// TestBoundCodes: a code that began with a key is redeemed with it alone. RFC 9449 §10
func TestBoundCodes(t *testing.T) {
	w := start(t, plan{})
	h, thief := newHolder(t, w.site, w.now), newHolder(t, w.site, w.now)
	fields := h.redeem(t, "spa", url.Values{"dpop_jkt": {h.thumbprint()}})
	expect(t, "without a proof", h.post(t, "token", "spa", "", fields), http.StatusBadRequest, "invalid_dpop_proof", "dpop_missing")
	expect(t, "with another key", thief.prove(t, "token", "spa", fields), http.StatusBadRequest, "invalid_grant", "dpop_key_other")
	expect(t, "with its key", h.prove(t, "token", "spa", fields), http.StatusOK)
	expect(t, "again with another key", thief.prove(t, "token", "spa", fields), http.StatusBadRequest, "dpop_key_other")
	if w.seen("code_replay") {
		t.Error("a thief without the key had the grant revoked")
	}
	address, _ := w.authorizeURL("spa", url.Values{"dpop_jkt": {"short"}})
	if r, err := w.person().open(address); err != nil || r.location() == nil || r.location().Query().Get("error") != "invalid_request" {
		t.Errorf("a malformed dpop_jkt: %v, %s", err, r)
	}
}

// TestBoundPushedRequests: a proof of a pushed request stands for dpop_jkt. RFC 9449 §10.1
func TestBoundPushedRequests(t *testing.T) {
	w := start(t, plan{})
	h, thief := newHolder(t, w.site, w.now), newHolder(t, w.site, w.now)
	verifier := strings.Repeat("v", 43)
	push := func(jkt string) url.Values {
		params := w.authorizeParams("spa", verifier, url.Values{"dpop_jkt": {jkt}})
		params.Del("client_id")
		return params
	}
	expect(t, "another key", h.prove(t, "par", "spa", push(thief.thumbprint())), http.StatusBadRequest, "invalid_dpop_proof", "dpop_jkt_mismatch")
	expect(t, "the proof of another endpoint", h.post(t, "par", "spa", h.proof("POST", w.endpoint("token"), "", nil), push("")), http.StatusBadRequest, "dpop_url")
	expect(t, "the same key", h.prove(t, "par", "spa", push(h.thumbprint())), http.StatusCreated)
	proof := h.proof("POST", w.endpoint("par"), "", nil)
	pushed := h.post(t, "par", "spa", proof, push(""))
	expect(t, "a proof alone", pushed, http.StatusCreated)
	expect(t, "a replay", h.post(t, "par", "spa", proof, push("")), http.StatusBadRequest, "dpop_replayed")
	answer, err := w.person().signIn(w.endpoint("authorize")+"?"+url.Values{"client_id": {"spa"}, "request_uri": {pushed.text("request_uri")}}.Encode(), "alice")
	if err != nil || answer.location() == nil {
		t.Fatalf("%v %s", err, answer)
	}
	fields := url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.location().Query().Get("code")},
		"redirect_uri": {w.redirectURI("spa")}, "code_verifier": {verifier},
	}
	expect(t, "without a proof", h.post(t, "token", "spa", "", fields), http.StatusBadRequest, "dpop_missing")
	expect(t, "with another key", thief.prove(t, "token", "spa", fields), http.StatusBadRequest, "dpop_key_other")
	expect(t, "with its key", h.prove(t, "token", "spa", fields), http.StatusOK)
}

// TestNonces: a client that needs nonces gets one by being refused, and the next one
// before the old one ends. RFC 9449 §8, §8.2, RFC 9449 §5.2
func TestNonces(t *testing.T) {
	change := func(c *server.Config) {
		for i := range c.Clients {
			if c.Clients[i].ID == "machine" {
				c.Clients[i].RequireDPoPNonce, c.Clients[i].DPoPBoundAccessTokens = true, true
			}
		}
	}
	w := start(t, plan{configure: change})
	// Everything begins at the begin of a slot.
	w.advance(w.now().Truncate(2 * time.Minute).Add(2*time.Minute + time.Second).Sub(w.now()))
	h := newHolder(t, w.site, w.now)
	expect(t, "no proof", h.post(t, "token", "machine", "", machineGrant), http.StatusBadRequest, "invalid_dpop_proof", "dpop_missing")
	first := h.prove(t, "token", "machine", machineGrant)
	expect(t, "no nonce", first, http.StatusBadRequest, "use_dpop_nonce")
	if first.header.Get("DPoP-Nonce") == "" || first.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("no nonce was given: %v", first.header)
	}
	again := h.prove(t, "token", "machine", machineGrant)
	expect(t, "with the nonce", again, http.StatusOK)
	if again.header.Get("DPoP-Nonce") != "" {
		t.Error("a new nonce was given though the old one is the newest")
	}
	w.advance(2 * time.Minute)
	old := h.nonce
	next := h.prove(t, "token", "machine", machineGrant)
	expect(t, "with the nonce of before", next, http.StatusOK)
	if h.nonce == old {
		t.Error("no new nonce was given before the old one ended")
	}
	w.advance(2 * time.Minute)
	h.nonce = old
	expect(t, "with a nonce that ended", h.prove(t, "token", "machine", machineGrant), http.StatusBadRequest, "use_dpop_nonce")

	h.nonce = ""
	expect(t, "a client that needs none", h.prove(t, "token", "web", h.redeem(t, "web", nil)), http.StatusOK)

	all := start(t, plan{configure: func(c *server.Config) { c.DPoP.Nonces, c.DPoP.Required = true, true }})
	h = newHolder(t, all.site, all.now)
	fields := h.redeem(t, "spa", nil)
	expect(t, "all: no proof", h.post(t, "token", "spa", "", fields), http.StatusBadRequest, "dpop_missing")
	expect(t, "all: no nonce", h.prove(t, "token", "spa", fields), http.StatusBadRequest, "use_dpop_nonce")
	tokens := h.prove(t, "token", "spa", fields)
	expect(t, "all: with the nonce", tokens, http.StatusOK)
	access, at := tokens.text("access_token"), all.endpoint("userinfo")
	h.nonce = ""
	r := h.show(t, "DPoP", access, h.proof("GET", at, access, nil))
	expect(t, "userinfo without the nonce", r, http.StatusUnauthorized, "use_dpop_nonce")
	if !strings.Contains(r.header.Get("WWW-Authenticate"), `DPoP error="use_dpop_nonce"`) {
		t.Errorf("the challenge is %q", r.header.Get("WWW-Authenticate"))
	}
	expect(t, "userinfo with the nonce", h.show(t, "DPoP", access, h.proof("GET", at, access, nil)), http.StatusOK)
}

// TestReplicasShareNonces: a nonce of one replica is good at the others, and so is a
// proof used up for all.
func TestReplicasShareNonces(t *testing.T) {
	t.Parallel()
	dsn := databases.Database(t)
	need := func(c *server.Config) { c.DPoP.Nonces = true }
	one := start(t, plan{backend: "postgres", dsn: dsn, configure: need})
	two := start(t, plan{backend: "postgres", dsn: dsn, configure: need})
	here, there := newHolder(t, one.site, one.now), newHolder(t, two.site, two.now)
	there.key = here.key
	expect(t, "one", here.prove(t, "token", "machine", machineGrant), http.StatusBadRequest, "use_dpop_nonce")
	there.nonce = here.nonce
	proof := there.proof("POST", two.endpoint("token"), "", nil)
	expect(t, "two", there.post(t, "token", "machine", proof, machineGrant), http.StatusOK)
	expect(t, "one again", here.post(t, "token", "machine", proof, machineGrant), http.StatusBadRequest, "dpop_replayed")
}

// TestProofAfterRestart: a proof that was used stays used when the server is started anew,
// and what is bound to its key stays bound. RFC 9449 §11.1
func TestProofAfterRestart(t *testing.T) {
	dir := t.TempDir()
	first, err := newWorld(plan{backend: "bolt", dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	h := newHolder(t, first.site, first.now)
	proof := h.proof("POST", first.endpoint("token"), "", nil)
	tokens := h.post(t, "token", "spa", proof, h.redeem(t, "spa", nil))
	expect(t, "before", tokens, http.StatusOK, `"DPoP"`)
	if err := first.backend.Close(); err != nil {
		t.Fatal(err)
	}
	w := start(t, plan{backend: "bolt", dir: dir})
	h.site, h.now = w.site, w.now
	expect(t, "the same proof", h.post(t, "token", "spa", proof, refreshing(tokens)), http.StatusBadRequest, "dpop_replayed")
	thief := newHolder(t, w.site, w.now)
	expect(t, "another key", thief.prove(t, "token", "spa", refreshing(tokens)), http.StatusBadRequest, "dpop_key_other")
	expect(t, "a new proof", h.prove(t, "token", "spa", refreshing(tokens)), http.StatusOK, `"DPoP"`)
}

// TestProofRace: of 64 requests with one proof one succeeds. RFC 9449 §11.1
func TestProofRace(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) {
		h := newHolder(t, w.site, w.now)
		proof := h.proof("POST", w.endpoint("token"), "", nil)
		var won, lost atomic.Int64
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				switch r := h.post(t, "token", "machine", proof, machineGrant); {
				case r.status == http.StatusOK:
					won.Add(1)
				case strings.Contains(string(r.body), "dpop_replayed"):
					lost.Add(1)
				default:
					t.Errorf("%s", r)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || lost.Load() != 63 {
			t.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
	})
}

// TestUnboundChainStaysWatched: a refresh token that was not bound at the start is
// never bound later, or a thief could lock its owner out without being noticed.
func TestUnboundChainStaysWatched(t *testing.T) {
	w := start(t, plan{})
	owner := w.mustTokens(t, w.person(), "spa")
	thief := newHolder(t, w.site, w.now)
	first := thief.prove(t, "token", "spa", refreshing(owner))
	expect(t, "the thief", first, http.StatusOK, `"DPoP"`)
	expect(t, "the thief again", thief.prove(t, "token", "spa", refreshing(first)), http.StatusOK)
	w.advance(time.Minute)
	expect(t, "the owner", thief.post(t, "token", "spa", "", refreshing(owner)), http.StatusBadRequest, "invalid_grant")
	if !w.seen("refresh_reuse") {
		t.Error("the theft was not noticed")
	}
}

// TestNoncesAreNotGuessed: what is given out is a MAC, which the time alone does not tell.
func TestNoncesAreNotGuessed(t *testing.T) {
	w, other := start(t, plan{}), start(t, plan{})
	ask := func(w *world) string {
		h := newHolder(t, w.site, w.now)
		h.nonce = encoded(string(make([]byte, sha256.Size)))
		expect(t, "a guess", h.prove(t, "token", "machine", machineGrant), http.StatusBadRequest, "use_dpop_nonce")
		return h.nonce
	}
	if a, b := ask(w), ask(other); a == b {
		t.Error("two servers give the same nonce")
	}
}
