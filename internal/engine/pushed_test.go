package engine_test

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// push sends a good request of the public client, changed by pairs.
func (w *world) push(by engine.Credentials, pairs ...string) string {
	w.t.Helper()
	form := request(pairs...)
	form.Del("client_id")
	pushed, refusal := w.Push(w.t.Context(), engine.PushRequest{Credentials: by, Form: form})
	w.fine(refusal)
	return pushed.RequestURI
}

func reference(client, uri string, pairs ...string) url.Values {
	return with(url.Values{"client_id": {client}, "request_uri": {uri}}, pairs...)
}

// TestPushed brings a request from pushing to tokens. RFC 9126 §2, §4, RFC 9126 §2.2
func TestPushed(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	var uri string
	if n := w.commits(func() { uri = w.push(spa) }); n != 1 {
		t.Errorf("pushing took %d commits", n)
	}
	if !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:dwp_") || len(uri) < 80 {
		t.Errorf("the request_uri is %q", uri)
	}
	a, refusal := w.CheckAuthorize(t.Context(), reference("spa", uri))
	w.fine(refusal)
	if a.RedirectURI != callback || a.State != "xyz" || a.Nonce != "n" || strings.Join(a.Scopes, " ") != "openid profile notes:read" {
		t.Errorf("the request is %+v", a)
	}
	// A person may take longer than the request lives.
	w.advance(time.Hour)
	again, refusal := w.ResumeAuthorize(t.Context(), a.Params)
	w.fine(refusal)
	var answer *engine.Answer
	if n := w.commits(func() {
		answer, refusal = w.Approve(t.Context(), again, engine.Approval{Subject: "alice", AuthTime: w.now(), Scopes: a.Scopes})
	}); n != 1 {
		t.Errorf("approving took %d commits", n)
	}
	w.fine(refusal)
	tokens, refusal := w.redeem(spa, answer.Params.Get("code"))
	w.fine(refusal)
	if payload(t, tokens.IDToken)["nonce"] != "n" {
		t.Error("the nonce is lost")
	}
	// It is used up for the other tab, and for whoever starts anew.
	for name, check := range map[string]func() *engine.Error{
		"approve": func() *engine.Error {
			_, e := w.Approve(t.Context(), a, engine.Approval{Subject: "alice", AuthTime: w.now(), Scopes: a.Scopes})
			return e
		},
		"resume": func() *engine.Error { _, e := w.ResumeAuthorize(t.Context(), a.Params); return e },
		"begin": func() *engine.Error {
			b, e := w.CheckAuthorize(t.Context(), reference("spa", uri))
			if b.RedirectURI != "" {
				t.Error("somebody would be redirected")
			}
			return e
		},
	} {
		refusal := check()
		if refusal == nil || refusal.Code != "invalid_request_uri" || refusal.Reason != "pushed_used" || refusal.Status != 400 {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

// TestPushedRefusals holds what may stand beside a pushed request, and who may use it.
// None of it leads to a redirect.
func TestPushedRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	web := w.addConfidential(storage.Client{ID: "web", Incarnation: "one", RedirectURIs: []string{callback}, Scope: "openid profile notes:read"})
	uri := w.push(spa)
	twice := reference("spa", uri)
	twice.Add("request_uri", w.push(spa))
	for _, c := range []struct {
		name, code, reason string
		params             url.Values
	}{
		{"a nonce beside", "invalid_request", "pushed_parameters", reference("spa", uri, "nonce", "injected")},
		{"a redirect_uri beside", "invalid_request", "pushed_parameters", reference("spa", uri, "redirect_uri", callback)},
		{"a state beside", "invalid_request", "pushed_parameters", reference("spa", uri, "state", "s")},
		{"a request beside", "invalid_request", "pushed_parameters", reference("spa", uri, "request", "e30")},
		{"an unknown one beside", "invalid_request", "pushed_parameters", reference("spa", uri, "x", "y")},
		{"two of them", "invalid_request", "pushed_parameters", twice},
		{"another client", "invalid_request_uri", "pushed_other_client", reference("web", uri)},
		{"no client", "invalid_request", "parameter_missing", url.Values{"request_uri": {uri}}},
		{"an unknown client", "invalid_client", "client_unknown", reference("nobody", uri)},
		{"an unknown one", "invalid_request_uri", "pushed_unknown", reference("spa", uri[:len(uri)-4]+"AAAA")},
		{"another form", "invalid_request_uri", "pushed_unknown", reference("spa", "urn:ietf:params:oauth:request_uri:x")},
		{"nothing but the form", "invalid_request_uri", "pushed_unknown", reference("spa", "urn:ietf:params:oauth:request_uri:")},
	} {
		a, refusal := w.CheckAuthorize(t.Context(), c.params)
		refused(t, refusal, c.code, c.reason)
		if a.RedirectURI != "" {
			t.Errorf("%s: somebody would be redirected to %s", c.name, a.RedirectURI)
		}
	}
	_, other := w.CheckAuthorize(t.Context(), reference("web", uri))
	_, unknown := w.CheckAuthorize(t.Context(), reference("web", "urn:ietf:params:oauth:request_uri:x"))
	if other.Description != unknown.Description || other.Anchor() != "invalid_request_uri" {
		t.Errorf("%q tells more than %q", other.Description, unknown.Description)
	}
	_, refusal := w.CheckAuthorize(t.Context(), reference("spa", uri))
	w.fine(refusal) // none of that has used it up
	w.advance(time.Minute)
	_, refusal = w.CheckAuthorize(t.Context(), reference("spa", uri))
	refused(t, refusal, "invalid_request_uri", "pushed_unknown")
	// A client made anew under its old ID inherits none.
	mine := w.push(web)
	c, err := w.clients.Get(t.Context(), "web")
	must(t, err)
	c.Incarnation = "another"
	must(t, w.clients.Put(t.Context(), c))
	_, refusal = w.CheckAuthorize(t.Context(), reference("web", mine))
	refused(t, refusal, "invalid_request_uri", "pushed_other_client")
}

// TestPushIsChecked: what would be refused at the authorization endpoint is refused at
// once, and stores nothing. RFC 9126 §2.3
func TestPushIsChecked(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	web := w.addConfidential(storage.Client{ID: "web", RedirectURIs: []string{"https://web.example/cb"}, Scope: "notes:read"})
	wrong := web
	wrong.Secret = "wrong"
	for _, c := range []struct {
		name, code, reason string
		by                 engine.Credentials
		pairs              []string
	}{
		{"wrong secret", "invalid_client", "client_secret_wrong", wrong, nil},
		{"a client without its secret", "invalid_client", "client_secret_missing", engine.Credentials{ClientID: "web", Method: "none"}, nil},
		{"a reference", "invalid_request", "pushed_reference", spa, []string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}},
		{"a foreign reference", "invalid_request", "pushed_reference", spa, []string{"request_uri", "https://app.example/r"}},
		{"a request object", "invalid_request_object", "request_object_keys", spa, []string{"request", "e30"}},
		{"another's redirect_uri", "invalid_request", "redirect_uri_mismatch", web, nil},
		{"a scope too many", "invalid_scope", "scope_not_allowed", web, []string{"redirect_uri", "https://web.example/cb", "scope", "notes:write"}},
		{"no PKCE", "invalid_request", "pkce_required", spa, []string{"code_challenge", "", "code_challenge_method", ""}},
		{"no response_type", "invalid_request", "parameter_missing", spa, []string{"response_type", ""}},
		{"a long one", "invalid_request", "pushed_too_large", spa, []string{"x", strings.Repeat("x", 8<<10)}},
	} {
		var refusal *engine.Error
		if n := w.commits(func() {
			_, refusal = w.Push(t.Context(), engine.PushRequest{Credentials: c.by, Form: request(c.pairs...)})
		}); n != 0 {
			t.Errorf("%s: %d commits", c.name, n)
		}
		refused(t, refusal, c.code, c.reason)
	}
	// The form may say that it is of another client: it is not.
	pushed, refusal := w.Push(t.Context(), engine.PushRequest{Credentials: web, Form: request("client_id", "spa", "redirect_uri", "https://web.example/cb", "scope", "notes:read")})
	w.fine(refusal)
	_, refusal = w.CheckAuthorize(t.Context(), reference("spa", pushed.RequestURI))
	refused(t, refusal, "invalid_request_uri", "pushed_other_client")
	a, refusal := w.CheckAuthorize(t.Context(), reference("web", pushed.RequestURI))
	w.fine(refusal)
	if a.Client.ID != "web" || a.Params.Get("client_id") != "web" {
		t.Errorf("it is of %s", a.Client.ID)
	}
}

// TestPushRequired by the server and by a client. RFC 9126 §5, §6
func TestPushRequired(t *testing.T) {
	for _, all := range []bool{false, true} {
		w := newWorld(t, func(c *engine.Config) { c.RequirePushed = all })
		c := publicClient()
		c.RequirePushedAuthorizationRequests = !all
		w.add(c)
		a, refusal := w.CheckAuthorize(t.Context(), request())
		refused(t, refusal, "invalid_request", "pushed_required")
		if a.RedirectURI != callback || a.State != "xyz" {
			t.Error("the client is not told")
		}
		if _, refusal = w.Approve(t.Context(), a, engine.Approval{Subject: "alice", AuthTime: w.now()}); refusal == nil {
			t.Error("it was approved")
		}
		w.approve(reference("spa", w.push(spa)))
	}
}

// TestPushedRace: of many tabs with one request one gets a code.
func TestPushedRace(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	for range 20 {
		a, refusal := w.CheckAuthorize(t.Context(), reference("spa", w.push(spa)))
		w.fine(refusal)
		var won atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, refusal := w.Approve(t.Context(), a, engine.Approval{Subject: "alice", AuthTime: w.now(), Scopes: a.Scopes})
				if refusal == nil {
					won.Add(1)
				} else if refusal.Reason != "pushed_used" {
					t.Errorf("a loser is told %v", refusal)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d tabs got a code", won.Load())
		}
	}
	if w.store.Exhausted() != 0 {
		t.Error("requests gave up")
	}
}
