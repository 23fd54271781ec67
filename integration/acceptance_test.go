package integration

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// said holds the log since the last turn to one line that has all these words.
func (w *world) said(t *testing.T, what string, words ...string) {
	t.Helper()
	var found []string
line:
	for line := range strings.Lines(w.journal.since()) {
		line = strings.ReplaceAll(line, `\"`, `"`)
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue line
			}
		}
		found = append(found, line)
	}
	if len(found) != 1 {
		t.Errorf("%s: %d lines of the log have %q, want 1:\n%s", what, len(found), words, w.journal.since())
	}
}

// events are those of a type since the start.
func (w *world) eventsOf(kind handlers.EventType) (found []handlers.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Type == kind {
			found = append(found, e)
		}
	}
	return found
}

// TestAcceptance5 answers a command line on any port of loopback, and tells apart hosts
// that are not the same. RFC 8252 §7.3
func TestAcceptance5(t *testing.T) {
	with := func(c *server.Config) {
		c.Clients = append(c.Clients, storage.Client{
			ID: "tool", TokenEndpointAuthMethod: storage.AuthMethodNone, Scope: "openid profile offline_access",
			RedirectURIs: []string{"http://localhost/callback", "http://127.0.0.1/callback", "http://[::1]/callback"},
		})
	}
	production, development := start(t, plan{configure: with}), start(t, plan{issuer: "http://localhost:8080", configure: with})
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
		at := "http://" + host + ":53122/callback"
		code, verifier, err := production.code(production.person(), "tool", "alice", url.Values{"redirect_uri": {at}})
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		expect(t, at, answered(t)(production.exchange("tool", code, verifier, url.Values{"redirect_uri": {at}})), http.StatusOK)
	}
	const why = "localhost and 127.0.0.1 are different hosts"
	for _, w := range []*world{production, development} {
		address, _ := w.authorizeURL("desk", url.Values{"redirect_uri": {"http://localhost:53122/cb"}})
		w.journal.turn()
		page := answered(t)(w.person().open(address))
		expect(t, "another host", page, http.StatusBadRequest, "<!doctype html>", page.header.Get("X-Request-Id"))
		if told := strings.Contains(string(page.body), why) && strings.Contains(string(page.body), "http://127.0.0.1/cb"); told != (w == development) {
			t.Errorf("%s: the page tells what is registered: %v", w.issuer, told)
		}
		w.said(t, w.issuer, why, `registered ["http://127.0.0.1/cb"]`)
	}
}

// TestAcceptance6 sends 20 refreshes with one token at once.
func TestAcceptance6(t *testing.T) {
	eachBackend(t, func(t *testing.T, w *world) {
		first := w.mustTokens(t, w.person(), "web").text("refresh_token")
		successes := sortOut(t, together(20, func(int) outcome { return asOutcome(w.refresh("web", first, nil)) }), "invalid_grant")
		if len(successes) != 1+mostRepeats {
			t.Fatalf("%d were answered, want one and %d repeats", len(successes), mostRepeats)
		}
		for _, r := range successes {
			if r.text("refresh_token") != successes[0].text("refresh_token") {
				t.Error("there are several successors")
			}
			if !w.works(t, r.text("access_token")) {
				t.Error("an access token does not work")
			}
		}
		expect(t, "the newest", answered(t)(w.refresh("web", successes[0].text("refresh_token"), nil)), http.StatusOK)
	})
}

// TestAcceptance7 loses the answer to a refresh, and asks again soon and late.
func TestAcceptance7(t *testing.T) {
	w := start(t, plan{})
	first := w.mustTokens(t, w.person(), "spa").text("refresh_token")
	lost := answered(t)(w.refresh("spa", first, nil))
	w.advance(20 * time.Second)
	again := answered(t)(w.refresh("spa", first, nil))
	expect(t, "20 seconds later", again, http.StatusOK)
	if again.text("refresh_token") != lost.text("refresh_token") {
		t.Error("the answer that was lost had another refresh token")
	}
	w.advance(4*time.Minute + 40*time.Second)
	w.journal.turn()
	late := answered(t)(w.refresh("spa", first, nil))
	expect(t, "five minutes later", late, http.StatusBadRequest, "invalid_grant", "used before, 5m0s ago")
	w.said(t, "five minutes later", "refresh_reuse", "5m")
	if w.works(t, again.text("access_token")) {
		t.Error("an access token outlived its grant")
	}
	expect(t, "the newest", answered(t)(w.refresh("spa", again.text("refresh_token"), nil)), http.StatusBadRequest, "invalid_grant")
	told := w.eventsOf(handlers.EventRefreshReuse)
	if len(told) != 1 || told[0].Subject != "alice" || told[0].ClientID != "spa" || told[0].Age.Round(time.Minute) != 5*time.Minute {
		t.Errorf("the host was told %+v", told)
	}
}

// TestAcceptance8 refreshes with nothing but a client_id, and with another's.
func TestAcceptance8(t *testing.T) {
	w := start(t, plan{})
	tokens := w.mustTokens(t, w.person(), "spa")
	refresh := func(client string) *reply {
		fields := refreshing(tokens)
		fields.Set("client_id", client)
		return answered(t)(w.post("token", "", fields))
	}
	expect(t, "another public client", refresh("app"), http.StatusBadRequest, "invalid_grant")
	if revoked := w.eventsOf(handlers.EventGrantRevoked); len(revoked) != 0 || !w.works(t, tokens.text("access_token")) {
		t.Errorf("another client ended the grant: %+v", revoked)
	}
	expect(t, "its own", refresh("spa"), http.StatusOK, "refresh_token")
}

// TestAcceptance14 starts a server whose issuer and mount do not fit.
func TestAcceptance14(t *testing.T) {
	w := start(t, plan{issuer: "https://id.test/auth"})
	err := w.server.Mount(mux.NewRouter().PathPrefix("/oauth").Subrouter())
	if err == nil {
		t.Fatal("a mount under another path is accepted")
	}
	for _, word := range []string{`"/oauth"`, `"/auth"`, "https://id.test/.well-known/oauth-authorization-server/auth", "404"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %s: %v", word, err)
		}
	}
	if w, err := newWorld(plan{issuer: "https://id.test/auth/"}); err == nil || !strings.Contains(err.Error(), `"https://id.test/auth/"`) || !strings.Contains(err.Error(), `write "https://id.test/auth"`) {
		t.Errorf("an issuer with a slash at its end: %v, %v", w, err)
	}
}

// TestAcceptance15 sends a redirect URI that is almost the registered one. RFC 9700 §4.11.2
func TestAcceptance15(t *testing.T) {
	w := start(t, plan{})
	address, _ := w.authorizeURL("web", url.Values{"redirect_uri": {"https://web.test/cb/"}})
	w.journal.turn()
	page := answered(t)(w.person().open(address))
	expect(t, "the page", page, http.StatusBadRequest, "<!doctype html>", "Request ID", page.header.Get("X-Request-Id"))
	if page.header.Get("Location") != "" || strings.Contains(string(page.body), "web.test/cb") {
		t.Errorf("somebody was sent somewhere, or is told what is registered: %s", page)
	}
	w.said(t, "the log", `"reason":"redirect_uri_mismatch"`, `"client_id":"web"`, "received 'https://web.test/cb/'",
		`registered ["https://web.test/cb"]`, `the closest is "https://web.test/cb": extra trailing slash`, page.header.Get("X-Request-Id"))
}

// TestAcceptance16 authenticates in ways that are allowed, pinned, and wrong.
func TestAcceptance16(t *testing.T) {
	w := start(t, plan{})
	inBody := func(client, secret string) *reply {
		fields := url.Values{"client_id": {client}, "client_secret": {secret}}
		maps.Copy(fields, machineGrant)
		w.journal.turn()
		return answered(t)(w.post("token", "", fields))
	}
	secret := func(client string) string { return string(w.clients[client].Secret) }
	expect(t, "basic", answered(t)(w.post("token", "machine", machineGrant)), http.StatusOK)
	expect(t, "post", inBody("machine", secret("machine")), http.StatusOK)
	expect(t, "the other way than the pinned one", inBody("pinned", secret("pinned")), http.StatusUnauthorized,
		"invalid_client", "client_secret_post", "client_secret_basic", "token_endpoint_auth_method")
	wrong := inBody("pinned", "guess-of-a-secret-0123456789")
	expect(t, "with a wrong secret", wrong, http.StatusUnauthorized, "invalid_client")
	w.said(t, "with a wrong secret", `"reason":"client_secret_wrong"`, `"client_id":"pinned"`)
	if unknown := inBody("nobody", "guess-of-a-secret-0123456789"); !bytes.Equal(unknown.body, wrong.body) {
		t.Errorf("an unknown client is told something else:\n%s%s", unknown, wrong)
	}
	for _, s := range []string{"guess-of-a-secret", secret("pinned"), secret("machine")} {
		if bytes.Contains(w.journal.all(), []byte(s)) {
			t.Errorf("the log has %q", s)
		}
	}
}

// TestAcceptance17 sends a short state with PKCE and, by exemption, without.
func TestAcceptance17(t *testing.T) {
	w := start(t, plan{})
	signIn := func(client string, extra url.Values) (warned int) {
		t.Helper()
		extra.Set("state", "abc")
		w.journal.turn()
		code, verifier, err := w.code(w.person(), client, "alice", extra)
		if err != nil {
			t.Fatal(err)
		}
		warned = strings.Count(w.journal.since(), `"level":"WARN","msg":"a client without pkce sends a state that can be guessed"`)
		fields := url.Values{}
		if client == "legacy" {
			fields.Set("code_verifier", "")
		}
		expect(t, client, answered(t)(w.exchange(client, code, verifier, fields)), http.StatusOK)
		return warned
	}
	if n := signIn("web", url.Values{}); n != 0 {
		t.Errorf("with PKCE: %d warnings", n)
	}
	exempt := func() int {
		return signIn("legacy", url.Values{"code_challenge": {""}, "code_challenge_method": {""}, "nonce": {""}})
	}
	if first, second := exempt(), exempt(); first != 1 || second != 0 {
		t.Errorf("without PKCE: %d and %d warnings, want 1 and 0", first, second)
	}
	w.advance(61 * time.Minute)
	if n := exempt(); n != 1 {
		t.Errorf("an hour later: %d warnings, want 1", n)
	}
}

// TestAcceptance18 has a code refused for each reason there is, and looks for the reason
// by the request ID, as an operator does.
func TestAcceptance18(t *testing.T) {
	for reason, c := range map[string]struct {
		client string     // who redeems the code; empty: web, which got it
		extra  url.Values // of the exchange
		before func(w *world)
	}{
		"code_unknown":          {extra: url.Values{"code": {"dwc_nonsense"}}},
		"code_expired":          {before: func(w *world) { w.advance(61 * time.Second) }},
		"code_other_client":     {client: "other"},
		"redirect_uri_mismatch": {extra: url.Values{"redirect_uri": {"https://web.test/other"}}},
		"pkce_mismatch":         {extra: url.Values{"code_verifier": {strings.Repeat("x", 43)}}},
		"pkce_missing":          {extra: url.Values{"code_verifier": {""}}},
		"app_revoked": {before: func(w *world) {
			if err := w.server.RevokeApp(t.Context(), "alice", "web"); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(reason, func(t *testing.T) {
			w := start(t, plan{})
			code, verifier := w.mustCode(t, w.person(), "web")
			if c.before != nil {
				c.before(w)
			}
			extra := url.Values{"redirect_uri": {w.redirectURI("web")}}
			maps.Copy(extra, c.extra)
			w.refusedFor(t, answered(t)(w.exchange(cmp.Or(c.client, "web"), code, verifier, extra)), reason)
		})
	}
	t.Run("a second use", func(t *testing.T) {
		w := start(t, plan{})
		code, verifier := w.mustCode(t, w.person(), "web")
		tokens := answered(t)(w.exchange("web", code, verifier, nil))
		w.advance(30 * time.Second)
		w.refusedFor(t, answered(t)(w.exchange("web", code, verifier, nil)), "code_used")
		if told := w.eventsOf(handlers.EventCodeReplay); len(told) != 1 || told[0].Subject != "alice" {
			t.Errorf("the host was told %+v", told)
		}
		if w.works(t, tokens.text("access_token")) {
			t.Error("the access token of a code that was used twice works")
		}
		w.refusedFor(t, answered(t)(w.refresh("web", tokens.text("refresh_token"), nil)), "grant_revoked")
	})
}

// refusedFor holds a refusal to one line of the log with its request ID and the reason.
func (w *world) refusedFor(t *testing.T, r *reply, reason string) {
	t.Helper()
	expect(t, reason, r, http.StatusBadRequest, "invalid_grant", "errors#")
	id := r.header.Get("X-Request-Id")
	var found []string
	for line := range bytes.Lines(w.journal.all()) {
		var entry struct {
			RequestID string `json:"request_id"`
			Reason    string
		}
		if json.Unmarshal(line, &entry) == nil && entry.RequestID == id {
			found = append(found, entry.Reason)
		}
	}
	if id == "" || len(found) != 1 || found[0] != reason {
		t.Errorf("the log has the reasons %q for the request %q, want %q", found, id, reason)
	}
}
