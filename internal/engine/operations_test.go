package engine_test

import (
	"flag"
	"log/slog"
	"net/url"
	"testing"

	"github.com/doorward/doorward/internal/allocation"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

var update = flag.Bool("update", false, "write testdata/allocations.txt anew")

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(t), *update) }

// operations are the decisions that a busy server makes all the time.
func operations(tb testing.TB) []allocation.Operation {
	quiet := func(c *engine.Config) {
		c.Logger, c.Emit = slog.New(slog.DiscardHandler), nil
	}
	w := newWorld(tb, quiet)
	rsa := newWorld(tb, func(c *engine.Config) {
		quiet(c)
		ring := &world{t: tb, store: c.Store}
		c.Keys = ring.ring("RS256")
	})
	w.add(publicClient())
	machine := w.addConfidential(storage.Client{ID: "machine", Incarnation: "one"})
	jwt := w.addConfidential(storage.Client{ID: "jwt", Incarnation: "one", AccessTokenFormat: storage.AccessTokenJWT})
	rs256 := rsa.addConfidential(storage.Client{ID: "jwt", Incarnation: "one", AccessTokenFormat: storage.AccessTokenJWT})
	web := w.addConfidential(storage.Client{ID: "web", Incarnation: "one", Introspects: []string{issuer}, RedirectURIs: []string{callback},
		Scope: "openid profile notes:read", IDTokenSignedResponseAlg: "ES256"})
	opaque, signed := w.signIn().AccessToken, w.issued(jwt, clientCredentials)
	return []allocation.Operation{
		w.tokens("client credentials, opaque", machine),
		w.tokens("client credentials, ES256", jwt),
		rsa.tokens("client credentials, RS256", rs256),
		w.authorizing("authorize, approved"),
		w.redeeming("code exchange, ES256 ID token"),
		w.refreshing("refresh, ES256 ID token"),
		{Name: "introspection, opaque", Run: func() error { return orNil(w.introspect(web, opaque)) }},
		{Name: "introspection, ES256", Run: func() error { return orNil(w.introspect(web, signed)) }},
		{Name: "userinfo", Run: func() error { return orNil(w.userInfo(opaque)) }},
		{Name: "pushed request", Run: func() error {
			_, refusal := w.Push(tb.Context(), engine.PushRequest{Credentials: web, Form: request("client_id", "")})
			return orNil(refusal)
		}},
		w.revoking("revocation, opaque", machine),
	}
}

var clientCredentials = url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}}

// issued returns an access token.
func (w *world) issued(by engine.Credentials, form url.Values) string {
	w.t.Helper()
	answer, refusal := w.Token(w.t.Context(), engine.TokenRequest{Credentials: by, Form: form})
	w.fine(refusal)
	return answer.AccessToken
}

func (w *world) tokens(name string, by engine.Credentials) allocation.Operation {
	return allocation.Operation{Name: name, Run: func() error {
		_, refusal := w.Token(w.t.Context(), engine.TokenRequest{Credentials: by, Form: clientCredentials})
		return orNil(refusal)
	}}
}

func (w *world) authorizing(name string) allocation.Operation {
	form := request()
	return allocation.Operation{Name: name, Run: func() error {
		a, refusal := w.CheckAuthorize(w.t.Context(), form)
		if refusal != nil {
			return refusal
		}
		_, refusal = w.Approve(w.t.Context(), a, engine.Approval{Subject: "alice", SessionID: "session-1", AuthTime: start, Scopes: a.Scopes})
		return orNil(refusal)
	}}
}

func (w *world) redeeming(name string) allocation.Operation {
	var codes []string
	return allocation.Operation{
		Name: name,
		Prepare: func(n int) {
			for range n {
				codes = append(codes, w.approve(request()))
			}
		},
		Run: func() error {
			last := len(codes) - 1
			_, refusal := w.redeem(spa, codes[last])
			codes = codes[:last]
			return orNil(refusal)
		},
	}
}

func (w *world) refreshing(name string) allocation.Operation {
	chain := w.signIn("scope", "openid profile notes:read").RefreshToken
	return allocation.Operation{Name: name, Run: func() error {
		answer, refusal := w.refresh(spa, chain)
		if refusal != nil {
			return refusal
		}
		chain = answer.RefreshToken
		return nil
	}}
}

func (w *world) introspect(by engine.Credentials, token string) *engine.Error {
	answer, refusal := w.Introspect(w.t.Context(), by, token)
	if refusal == nil && answer["active"] != true {
		w.t.Fatalf("the token is not active: %v", answer)
	}
	return refusal
}

func (w *world) userInfo(token string) *engine.Error {
	access, refusal := w.Access(w.t.Context(), token)
	if refusal != nil {
		return refusal
	}
	_, refusal = w.UserInfo(w.t.Context(), access)
	return refusal
}

func (w *world) revoking(name string, by engine.Credentials) allocation.Operation {
	var tokens []string
	return allocation.Operation{
		Name: name,
		Prepare: func(n int) {
			for range n {
				tokens = append(tokens, w.issued(by, clientCredentials))
			}
		},
		Run: func() error {
			last := len(tokens) - 1
			refusal := w.Revoke(w.t.Context(), by, tokens[last])
			tokens = tokens[:last]
			return orNil(refusal)
		},
	}
}
