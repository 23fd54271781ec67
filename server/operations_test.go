package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/allocation"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(t), *update) }

// operations are the requests of a busy server, whole but for the network: from
// ServeHTTP to the last byte of the answer, over a store in memory.
func operations(tb testing.TB) []allocation.Operation {
	c := newCaller(tb)
	web, spa := c.basic("web"), http.Header{}
	bearer := http.Header{"Authorization": {"Bearer " + c.signIn("openid profile notes:read").Access}}
	code := c.signIn("openid profile notes:read").Access
	signed := c.token(c.basic("jwt"), url.Values{"grant_type": {"client_credentials"}}).Access
	grant := url.Values{"grant_type": {"client_credentials"}}
	return []allocation.Operation{
		c.posting("token: client credentials, opaque", "/oauth/token", c.basic("machine"), grant),
		c.posting("token: client credentials, ES256", "/oauth/token", c.basic("jwt"), grant),
		c.authorizing("authorize: signed in"),
		c.redeeming("token: code exchange"),
		c.refreshing("token: refresh"),
		c.posting("introspect: opaque", "/oauth/introspect", web, url.Values{"token": {code}}),
		c.posting("introspect: ES256", "/oauth/introspect", c.basic("jwt"), url.Values{"token": {signed}}),
		c.getting("userinfo", "/oauth/userinfo", bearer),
		c.posting("revoke: unknown token", "/oauth/revoke", web, url.Values{"token": {"dwa_unknown"}}),
		c.revoking("revoke: opaque"),
		c.posting("par", "/oauth/par", web, c.request("web", "openid")),
		c.posting("token: refused", "/oauth/token", spa, url.Values{"grant_type": {"refresh_token"}, "client_id": {"spa"}, "refresh_token": {"dwr_x"}}),
		c.getting("discovery", "/.well-known/openid-configuration", nil),
		c.getting("jwks", "/oauth/jwks", nil),
	}
}

// caller sends requests without a network.
type caller struct {
	tb      testing.TB
	handler http.Handler
	answer  answer
}

// answer is a ResponseWriter that is used again and again.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

const busyVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func newCaller(tb testing.TB) *caller {
	tb.Helper()
	const scope = "openid profile offline_access notes:read"
	client := func(id string) storage.Client {
		return storage.Client{ID: id, Secret: storage.Secret("secret-of-" + id + "-0123456789abcdef"), FirstParty: true,
			RedirectURIs: []string{"https://" + id + ".test/cb"}, Scope: scope, DefaultScope: "openid", IDTokenSignedResponseAlg: "ES256"}
	}
	web, machine, jwt := client("web"), client("machine"), client("jwt")
	for _, c := range []*storage.Client{&machine, &jwt} {
		c.RedirectURIs, c.Scope, c.DefaultScope = nil, "notes:read", "notes:read"
	}
	jwt.AccessTokenFormat = storage.AccessTokenJWT
	s, err := server.New(tb.Context(), server.Config{
		Issuer: "https://id.example.com", Store: memory.New(), Keys: server.Keys{Algorithms: []string{"ES256"}},
		Login: handlers.ExistingSession{LoginURL: "/login", CurrentUser: func(*http.Request) (handlers.Subject, error) {
			return handlers.Subject{ID: "alice", SessionID: "session", AuthTime: time.Now().Add(-time.Minute)}, nil
		}},
		Claims: func(_ context.Context, c *handlers.ClaimsRequest) error {
			c.User = map[string]any{"name": "Alice"}
			return nil
		},
		Clients: []storage.Client{web, machine, jwt, {ID: "spa", TokenEndpointAuthMethod: storage.AuthMethodNone, Scope: scope, RedirectURIs: []string{"https://spa.test/cb"}}},
		Scopes:  []server.Scope{{Name: "profile"}, {Name: "notes:read"}},
		Limits:  server.Limits{Begun: -1, Grants: -1},
		Logger:  slog.New(slog.NewJSONHandler(io.Discard, nil)), //nolint:sloglint // so that lines are made
	})
	if err != nil {
		tb.Fatal(err)
	}
	return &caller{tb: tb, handler: s.Handler(), answer: answer{header: http.Header{}}}
}

func (c *caller) basic(client string) http.Header {
	secret := "secret-of-" + client + "-0123456789abcdef"
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+secret))}}
}

// send serves one request. What it takes by itself is a Request, a reader and no more.
func (c *caller) send(r *http.Request, body string) error {
	again := *r
	again.Body = http.NoBody
	if body != "" {
		again.Body, again.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	clear(c.answer.header)
	c.answer.status = http.StatusOK
	c.answer.body.Reset()
	c.handler.ServeHTTP(&c.answer, &again)
	return nil
}

// expect is send, and an error when the answer has another status.
func (c *caller) expect(status int, r *http.Request, body string) error {
	if err := c.send(r, body); err != nil {
		return err
	}
	if c.answer.status != status {
		return fmt.Errorf("%s: %d %s", r.URL.Path, c.answer.status, c.answer.body.Bytes())
	}
	return nil
}

func (c *caller) posting(name, place string, header http.Header, form url.Values) allocation.Operation {
	body, status := form.Encode(), http.StatusOK
	switch {
	case place == "/oauth/par":
		status = http.StatusCreated
	case strings.HasSuffix(name, "refused"):
		status = http.StatusBadRequest
	}
	r := c.post(place, header)
	return allocation.Operation{Name: name, Run: func() error { return c.expect(status, r, body) }}
}

func (c *caller) post(place string, header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://id.example.com"+place, nil)
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (c *caller) getting(name, place string, header http.Header) allocation.Operation {
	r := httptest.NewRequest(http.MethodGet, "https://id.example.com"+place, nil)
	if header != nil {
		r.Header = header
	}
	return allocation.Operation{Name: name, Run: func() error { return c.expect(http.StatusOK, r, "") }}
}

// tokens are what the token endpoint gave.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func (c *caller) token(header http.Header, form url.Values) tokens {
	c.tb.Helper()
	if err := c.expect(http.StatusOK, c.post("/oauth/token", header), form.Encode()); err != nil {
		c.tb.Fatal(err)
	}
	var t tokens
	if err := json.Unmarshal(c.answer.body.Bytes(), &t); err != nil {
		c.tb.Fatal(err)
	}
	return t
}

// request is an authorize request.
func (c *caller) request(client, scope string) url.Values {
	sum := sha256.Sum256([]byte(busyVerifier))
	return url.Values{
		"client_id": {client}, "redirect_uri": {"https://" + client + ".test/cb"}, "response_type": {"code"}, "state": {"xyz"}, "nonce": {"n-0S6_WzA2Mj"},
		"scope": {scope}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
}

func (c *caller) visit(scope string) *http.Request {
	return httptest.NewRequest(http.MethodGet, "https://id.example.com/oauth/authorize?"+c.request("web", scope).Encode(), nil)
}

func (c *caller) authorizing(name string) allocation.Operation {
	r := c.visit("openid profile notes:read")
	return allocation.Operation{Name: name, Run: func() error {
		if err := c.expect(http.StatusSeeOther, r, ""); err != nil {
			return err
		}
		if !strings.Contains(c.answer.header.Get("Location"), "code=") {
			return fmt.Errorf("no code: %s", c.answer.header.Get("Location"))
		}
		return nil
	}}
}

// code lets alice approve a request.
func (c *caller) code(scope string) string {
	c.tb.Helper()
	if err := c.expect(http.StatusSeeOther, c.visit(scope), ""); err != nil {
		c.tb.Fatal(err)
	}
	u, err := url.Parse(c.answer.header.Get("Location"))
	if err != nil || u.Query().Get("code") == "" {
		c.tb.Fatalf("no code in %v, %v", u, err)
	}
	return u.Query().Get("code")
}

func redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"https://web.test/cb"}, "code_verifier": {busyVerifier}}
}

func (c *caller) signIn(scope string) tokens {
	c.tb.Helper()
	return c.token(c.basic("web"), redemption(c.code(scope)))
}

func (c *caller) redeeming(name string) allocation.Operation {
	r := c.post("/oauth/token", c.basic("web"))
	return c.spending(name, r, func() string { return redemption(c.code("openid profile notes:read")).Encode() })
}

func (c *caller) revoking(name string) allocation.Operation {
	r := c.post("/oauth/revoke", c.basic("machine"))
	return c.spending(name, r, func() string {
		return url.Values{"token": {c.token(c.basic("machine"), url.Values{"grant_type": {"client_credentials"}}).Access}}.Encode()
	})
}

// spending sends a body that is good once.
func (c *caller) spending(name string, r *http.Request, body func() string) allocation.Operation {
	var bodies []string
	return allocation.Operation{
		Name: name,
		Prepare: func(n int) {
			for range n {
				bodies = append(bodies, body())
			}
		},
		Run: func() error {
			last := len(bodies) - 1
			err := c.expect(http.StatusOK, r, bodies[last])
			bodies = bodies[:last]
			return err
		},
	}
}

func (c *caller) refreshing(name string) allocation.Operation {
	r, chain := c.post("/oauth/token", c.basic("web")), c.signIn("openid profile notes:read").Refresh
	return allocation.Operation{Name: name, Run: func() error {
		if err := c.expect(http.StatusOK, r, "grant_type=refresh_token&refresh_token="+chain); err != nil {
			return err
		}
		_, rest, _ := strings.Cut(c.answer.body.String(), `"refresh_token":"`)
		chain, _, _ = strings.Cut(rest, `"`)
		return nil
	}}
}
