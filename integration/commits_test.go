package integration

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/postgres"
)

// ledger counts what requests cost.
type ledger struct {
	t     *testing.T
	w     *world
	bolt  *bolt.Backend     // nil: another
	pg    *postgres.Backend // nil: another
	alice *person
}

// cost runs one request and holds it to what it may commit.
func (l *ledger) cost(name string, most int64, request func() (*reply, error)) *reply {
	l.t.Helper()
	applied := l.w.gate.count.Load()
	var before bolt.Stats
	if l.bolt != nil {
		before = l.bolt.Stats()
	}
	var batches int
	if l.pg != nil {
		batches = l.pg.Stats().Commits
	}
	answer, err := request()
	if err != nil {
		l.t.Fatalf("%s: %v", name, err)
	}
	if answer.status >= http.StatusInternalServerError {
		l.t.Fatalf("%s: %s", name, answer)
	}
	if got := l.w.gate.count.Load() - applied; got != most {
		l.t.Errorf("%s made %d commits, not %d; status %d", name, got, most, answer.status)
	}
	if l.pg != nil {
		if got := int64(l.pg.Stats().Commits - batches); got != most {
			l.t.Errorf("%s made %d transactions that wrote, not %d", name, got, most)
		}
	}
	if l.bolt != nil {
		after := l.bolt.Stats()
		if got := int64(after.Commits - before.Commits); got != most {
			l.t.Errorf("%s made %d transactions, not %d", name, got, most)
		}
		if got := int64(after.Syncs - before.Syncs); got < 2*most {
			l.t.Errorf("%s cost %d syncs; a commit of bbolt has two", name, got)
		}
	}
	return answer
}

func (l *ledger) post(name string, most int64, endpoint, client string, fields url.Values) *reply {
	l.t.Helper()
	return l.cost(name, most, func() (*reply, error) { return l.w.post(endpoint, client, fields) })
}

func (l *ledger) get(name string, most int64, address string) *reply {
	l.t.Helper()
	return l.cost(name, most, func() (*reply, error) { return send(l.alice.client, http.MethodGet, address, nil, "") })
}

// TestCommits counts the commits of every endpoint, refusals and reuse included: one
// request makes one at most, and what only reads makes none.
func TestCommits(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) {
		l := &ledger{t: t, w: w, alice: w.person()}
		l.bolt, _ = w.backend.(*bolt.Backend)
		l.pg, _ = w.backend.(*postgres.Backend)
		l.pages()
		l.codes()
		l.refreshes()
		l.others()
		l.signOut()
		l.registrations()
	})
}

func (l *ledger) pages() {
	address, verifier := l.w.authorizeURL("web", nil)
	page := l.get("an authorize request that begins an interaction", 1, address)
	l.get("showing the login page", 0, page.location().String())
	var err error
	if l.alice.last, err = send(l.alice.client, http.MethodGet, page.location().String(), nil, ""); err != nil {
		l.t.Fatal(err)
	}
	login := func(password string) func() (*reply, error) {
		return func() (*reply, error) {
			return l.alice.press(url.Values{"username": {"alice"}, "password": {password}})
		}
	}
	l.cost("a wrong password", 1, login("wrong"))
	consent := l.cost("signing in", 1, login(people["alice"]))
	if l.alice.last, err = send(l.alice.client, http.MethodGet, consent.location().String(), nil, ""); err != nil {
		l.t.Fatal(err)
	}
	allow := func() (*reply, error) { return l.alice.press(url.Values{"decision": {"allow"}}) }
	code := l.cost("allowing", 1, allow).location().Query().Get("code")
	l.cost("allowing twice", 0, allow)
	fields := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {l.w.redirectURI("web")}, "code_verifier": {verifier}}
	l.post("redeeming a code", 1, "token", "web", fields)
	l.post("redeeming it again", 1, "token", "web", fields)
	l.post("redeeming it a third time", 0, "token", "web", fields)
	bad, _ := l.w.authorizeURL("web", url.Values{"scope": {"nonsense"}})
	l.get("an authorize request that is refused", 0, bad)
	silent, _ := l.w.authorizeURL("web", url.Values{"prompt": {"none"}})
	l.get("an authorize request that asks nothing", 1, silent)
	form, _ := url.Parse(address)
	l.cost("an authorize request by POST", 1, func() (*reply, error) {
		return send(l.alice.client, http.MethodPost, l.w.endpoint("authorize"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.RawQuery)
	})
}

func (l *ledger) codes() {
	code, verifier := l.w.mustCode(l.t, l.alice, "web")
	fields := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {l.w.redirectURI("web")}}
	l.post("a missing verifier", 0, "token", "web", fields)
	l.post("another client", 0, "token", "other", changed(url.Values{"code_verifier": {verifier}}, fields))
	l.post("a wrong verifier", 1, "token", "web", changed(url.Values{"code_verifier": {verifier + "x"}}, fields))
	l.post("a wrong secret", 0, "token", "", changed(url.Values{"client_id": {"web"}, "client_secret": {"x"}}, fields))
	l.post("an unknown grant type", 0, "token", "web", url.Values{"grant_type": {"nonsense"}})
}

func (l *ledger) refreshes() {
	for _, client := range []string{"own", "strict", "until", "fixed"} {
		first := l.w.mustTokens(l.t, l.alice, client).text("refresh_token")
		refresh := func(token string) url.Values {
			return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		}
		next := l.post("a refresh of "+client, 1, "token", client, refresh(first)).text("refresh_token")
		l.post("a refresh of another client", 0, "token", "web", refresh(next))
		switch client {
		case "own", "until":
			l.post("a repeated refresh of "+client, 1, "token", client, refresh(first))
		case "strict":
			if answer := l.post("a reuse under strict", 1, "token", client, refresh(first)); answer.status != http.StatusBadRequest {
				l.t.Errorf("the reuse was answered %s", answer)
			}
			l.post("a refresh of a revoked grant", 0, "token", client, refresh(next))
		case "fixed":
			l.post("a second use of a fixed token", 1, "token", client, refresh(first))
		}
	}
}

func (l *ledger) others() {
	tokens := l.w.mustTokens(l.t, l.alice, "own")
	token := func(member string) url.Values { return url.Values{"token": {tokens.text(member)}} }
	l.post("client credentials", 1, "token", "machine", url.Values{"grant_type": {"client_credentials"}})
	l.proofs()
	l.post("introspection", 0, "introspect", "own", token("access_token"))
	l.post("introspection of a refresh token", 0, "introspect", "own", token("refresh_token"))
	l.post("introspection by another client", 0, "introspect", "machine", token("access_token"))
	l.post("introspection that is refused", 0, "introspect", "", token("access_token"))
	l.cost("userinfo", 0, func() (*reply, error) {
		return send(l.alice.client, http.MethodGet, l.w.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + tokens.text("access_token")}}, "")
	})
	l.get("userinfo that is refused", 0, l.w.endpoint("userinfo"))
	for _, place := range []string{"jwks", "/.well-known/openid-configuration", "/errors"} {
		l.get(place, 0, l.w.endpoint(place))
	}
	l.post("a revocation by another client", 0, "revoke", "web", token("access_token"))
	l.post("revocation of an access token", 1, "revoke", "own", token("access_token"))
	l.post("revocation of what is revoked", 0, "revoke", "own", token("access_token"))
	l.post("revocation of a grant", 1, "revoke", "own", token("refresh_token"))
	l.post("revocation of an unknown token", 0, "revoke", "own", url.Values{"token": {"nonsense"}})
}

// proofs are remembered in the batch of their request, and where nothing is written in
// memory.
func (l *ledger) proofs() {
	h := newHolder(l.t, l.w.site, l.w.now)
	var access string
	token := func(proof string) func() (*reply, error) {
		return func() (*reply, error) {
			answer := h.post(l.t, "token", "machine", proof, machineGrant)
			access = answer.text("access_token")
			return answer, nil
		}
	}
	proof := h.proof("POST", l.w.endpoint("token"), "", nil)
	l.cost("client credentials with a proof", 1, token(proof))
	l.cost("with the same proof", 0, token(proof))
	l.cost("with a proof that is none", 0, token("x"))
	tokens := h.prove(l.t, "token", "own", h.redeem(l.t, "own", nil))
	access = tokens.text("access_token")
	for range 2 {
		proof := h.proof("GET", l.w.endpoint("userinfo"), access, nil)
		l.cost("userinfo with a proof", 0, func() (*reply, error) { return h.show(l.t, "DPoP", access, proof), nil })
	}
	l.cost("a refresh with a proof", 1, func() (*reply, error) { return h.prove(l.t, "token", "own", refreshing(tokens)), nil })
}

func (l *ledger) signOut() {
	hint := l.w.mustTokens(l.t, l.alice, "own").text("id_token")
	l.get("signing out", 1, l.w.endpoint("logout")+"?id_token_hint="+hint)
	l.get("signing out again", 0, l.w.endpoint("logout")+"?id_token_hint="+hint)
}

// syncedFirst is a ResponseWriter that notes what was synced when the answer begins.
type syncedFirst struct {
	*httptest.ResponseRecorder
	stats func() bolt.Stats
	at    bolt.Stats
}

func (s *syncedFirst) WriteHeader(status int) {
	s.at = s.stats()
	s.ResponseRecorder.WriteHeader(status)
}

// TestSyncsBeforeAnswers holds answers back until what they tell is on the disk: when
// the first byte is written, the sync is done. Requests that come together share it.
func TestSyncsBeforeAnswers(t *testing.T) {
	w := start(t, plan{backend: "bolt"})
	b := w.backend.(*bolt.Backend)
	issue := func() *syncedFirst {
		r := httptest.NewRequest(http.MethodPost, w.endpoint("token"), strings.NewReader("grant_type=client_credentials"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", basicHeader("machine", w.clients["machine"].Secret))
		out := &syncedFirst{ResponseRecorder: httptest.NewRecorder(), stats: b.Stats}
		w.handler.ServeHTTP(out, r)
		return out
	}
	for range 20 {
		before := b.Stats()
		out := issue()
		if out.Code != http.StatusOK {
			t.Fatalf("%d %s", out.Code, out.Body)
		}
		if out.at.Commits != before.Commits+1 || out.at.Syncs < before.Syncs+2 {
			t.Fatalf("an answer was begun with %d commits and %d syncs made for it", out.at.Commits-before.Commits, out.at.Syncs-before.Syncs)
		}
	}
	const callers, each = 32, 20
	before := b.Stats()
	together(callers, func(int) struct{} {
		for range each {
			if out := issue(); out.Code != http.StatusOK {
				t.Errorf("%d %s", out.Code, out.Body)
			}
		}
		return struct{}{}
	})
	after := b.Stats()
	requests, commits, syncs := callers*each, after.Commits-before.Commits, after.Syncs-before.Syncs
	t.Logf("%d requests of %d callers: %d commits, %d syncs", requests, callers, commits, syncs)
	if after.Batches-before.Batches != requests {
		t.Errorf("%d requests were answered, and %d batches are in the file", requests, after.Batches-before.Batches)
	}
	if commits >= requests || syncs >= requests {
		t.Errorf("requests that come together do not share a commit: %d requests, %d commits, %d syncs", requests, commits, syncs)
	}
}
