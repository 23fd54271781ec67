// Package servertest is a real provider inside a unit test: in memory, on a
// loopback port, with the next person and their claims chosen by the test, a clock
// that moves when the test says so, and keys that rotate on demand.
//
//	idp := servertest.New(t)
//	token := idp.Token("alice", "notes:read") // what your API accepts
//	idp.Advance(2 * time.Hour)                // and now it has ended
//
// A client under test is pointed at Issuer, and Browser plays the person's part:
// whoever SignIn named is signed in at once and consents to everything.
package servertest

import (
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// Provider is a running provider. It ends with its test. Its methods fail the test
// when they can't do what they say, so they return no error. It is safe for
// concurrent use, as far as the order of SignIn and what follows means something.
type Provider struct {
	// Issuer is the URL that clients are configured with, without a slash at its end.
	Issuer string

	// Server is the provider itself, for all that this package has no word for.
	Server *server.Server

	// HTTP is a client for requests to the provider. It follows redirects and
	// keeps no cookies; see Browser.
	HTTP *http.Client

	t       testing.TB
	host    *httptest.Server
	backend *store
	config  server.Config
	tokens  storage.Secret // secret of the client that Tokens uses

	signing sync.Mutex // one Tokens at a time, for each chooses who is signed in
	mu      sync.RWMutex
	handler http.Handler
	offset  time.Duration
	people  people
}

// New starts a provider. Each configure may change the Config before it is used:
// the lifetimes, the refresh policy, scopes, clients, a Claims hook. Left alone are
// a memory store, signatures with ES256, which take no time to make keys for, and
// the scopes openid, offline_access, profile and email.
func New(t testing.TB, configure ...func(*server.Config)) *Provider {
	t.Helper()
	p := &Provider{t: t, backend: &store{Backend: memory.New()}}
	p.host = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.Issuer = "http://" + p.host.Listener.Addr().String()
	p.people.claims = map[string]map[string]any{}
	p.people.disabled = map[string]bool{}
	person := &person{p}
	p.config = server.Config{
		Issuer: p.Issuer, Store: p.backend, Login: person, Consent: person, Claims: p.shape,
		Scopes: []server.Scope{{Name: "profile"}, {Name: "email"}},
		Keys:   server.Keys{Algorithms: []string{"ES256"}},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Clock:  p.Now,
	}
	for _, change := range configure {
		change(&p.config)
	}
	p.Issuer = p.config.Issuer
	p.addTokensClient()
	p.start()
	p.host.Start()
	p.HTTP = p.host.Client()
	p.HTTP.Timeout = 30 * time.Second
	t.Cleanup(func() {
		p.host.Close()
		if err := p.backend.Close(); err != nil {
			t.Errorf("servertest: close the store: %v", err)
		}
	})
	return p
}

// start makes the server of the Config as it is.
func (p *Provider) start() {
	p.t.Helper()
	s, err := server.New(p.t.Context(), p.config)
	if err != nil {
		p.t.Fatalf("servertest: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Server, p.handler = s, s.Handler()
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.RLock()
	h := p.handler
	p.mu.RUnlock()
	h.ServeHTTP(w, r)
}

// know makes the server know further scopes. They are part of a server's Config, so
// it is made anew over the same store; nobody notices.
func (p *Provider) know(scopes []string) {
	p.t.Helper()
	missing := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool {
		return s == "openid" || s == "offline_access" ||
			slices.ContainsFunc(p.config.Scopes, func(have server.Scope) bool { return have.Name == s })
	})
	if len(missing) == 0 {
		return
	}
	for _, name := range missing {
		p.config.Scopes = append(slices.Clip(p.config.Scopes), server.Scope{Name: name})
	}
	for i := range p.config.Clients {
		if c := &p.config.Clients[i]; c.ID == tokensClient {
			c.Scope = p.scopes()
		}
	}
	p.start()
}

// scopes is every scope that the server knows.
func (p *Provider) scopes() string {
	names := []string{"openid", "offline_access"}
	for _, s := range p.config.Scopes {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, " ")
}

// Now is what the provider's clock says.
func (p *Provider) Now() time.Time {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return time.Now().Add(p.offset)
}

// Advance moves the provider's clock ahead and does what has become due: keys are
// rotated, expired records deleted. The clock of the process stays, so a client
// that judges expiry itself needs a clock of its own to move.
func (p *Provider) Advance(d time.Duration) {
	p.t.Helper()
	if d < 0 {
		p.t.Fatalf("servertest: Advance(%v): a provider's clock goes ahead only", d)
	}
	p.mu.Lock()
	p.offset += d
	p.mu.Unlock()
	if err := p.Server.Maintain(p.t.Context()); err != nil {
		p.t.Fatalf("servertest: %v", err)
	}
}

// RotateKeys makes the next keys sign at once. A client that keeps the key set has
// to fetch it anew; tokens that were signed before stay verifiable.
func (p *Provider) RotateKeys() {
	p.t.Helper()
	if err := p.Server.RotateKeys(p.t.Context()); err != nil {
		p.t.Fatalf("servertest: %v", err)
	}
}

// Client registers a public client with the redirect URIs and every scope that the
// server knows.
func (p *Provider) Client(id string, redirectURIs ...string) storage.Client {
	p.t.Helper()
	c, _ := p.Register(storage.Client{ID: id, TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: redirectURIs})
	return c
}

// ConfidentialClient registers a client that has a secret, with the redirect URIs
// and every scope that the server knows. Without redirect URIs it may use the
// client credentials grant.
func (p *Provider) ConfidentialClient(id string, redirectURIs ...string) (storage.Client, storage.Secret) {
	p.t.Helper()
	return p.Register(storage.Client{ID: id, RedirectURIs: redirectURIs})
}

// Register registers any client and returns its secret, if one was generated. An
// empty Scope becomes every scope that the server knows.
func (p *Provider) Register(c storage.Client) (storage.Client, storage.Secret) {
	p.t.Helper()
	if c.Scope == "" {
		c.Scope = p.scopes()
	}
	made, secret, err := p.Server.Clients().Create(p.t.Context(), c)
	if err != nil {
		p.t.Fatalf("servertest: register a client: %v", err)
	}
	return made, secret
}

// Browser returns an http.Client that keeps cookies and follows redirects, as the
// browser of one person does: point it at the login URL of the client under test.
func (p *Provider) Browser() *http.Client {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatalf("servertest: %v", err)
	}
	return &http.Client{Transport: p.HTTP.Transport, Jar: jar, Timeout: p.HTTP.Timeout}
}
