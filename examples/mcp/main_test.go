package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/examples/internal/busyport"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage/memory"
)

const callback = "http://localhost:53122/callback"

// site is the example on a port of its own, where clients may also name a metadata document.
type site struct {
	issuer   string
	idp      *server.Server
	document string // of a client that nobody registered
	mu       sync.Mutex
	tokens   map[string]bool // that clients showed to the MCP server
}

func start(t *testing.T) *site {
	t.Helper()
	web := httptest.NewServer(nil)
	t.Cleanup(web.Close)
	s := &site{issuer: strings.Replace(web.URL, "127.0.0.1", "localhost", 1), tokens: map[string]bool{}}
	publisher := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"client_id": s.document, "client_name": "Test <script>", "redirect_uris": []string{callback},
			"grant_types": []string{"authorization_code", "refresh_token"}, "token_endpoint_auth_method": "none",
		})
	}))
	t.Cleanup(publisher.Close)
	s.document = publisher.URL + "/client.json"
	config := settings(s.issuer, memory.New())
	config.Roots = x509.NewCertPool()
	config.Roots.AddCert(publisher.Certificate())
	config.Insecure.FetchHosts = []string{strings.TrimPrefix(publisher.URL, "https://")} // the open Internet of this test
	idp, handler, err := newServer(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	s.idp = idp
	web.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && r.URL.Path == "/mcp" {
			s.mu.Lock()
			s.tokens[token] = true
			s.mu.Unlock()
		}
		handler.ServeHTTP(w, r)
	})
	return s
}

// judgeTokens holds that every token was for the MCP server and for nothing else.
// RFC 8707 §2.2
func (s *site) judgeTokens(t *testing.T, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tokens) != want {
		t.Errorf("the MCP server was shown %d tokens, want %d", len(s.tokens), want)
	}
	for token := range s.tokens {
		known, err := s.idp.Verify(t.Context(), token)
		if err != nil || !slices.Equal(known.Audience, []string{s.issuer + "/mcp"}) || known.Subject != "alice" {
			t.Errorf("a token is %+v, %v", known, err)
		}
	}
}

// person signs in and answers the consent page in a browser of cookies.
type person struct {
	http   *http.Client
	answer string // allow or deny
	shown  string // what the consent page said
	told   url.Values
}

func newPerson(t *testing.T, answer string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{answer: answer, http: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

var action = regexp.MustCompile(`<form[^>]*action="([^"]*)"`)

// signIn opens an authorize URL and returns what the client is told.
func (p *person) signIn(ctx context.Context, address string) (url.Values, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	for _, form := range []url.Values{nil, {"username": {"alice"}, "password": {"wonderland"}}, {"decision": {p.answer}}} {
		if form != nil {
			if request, err = http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode())); err != nil {
				return nil, err
			}
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			request.Header.Set("Origin", request.URL.Scheme+"://"+request.URL.Host)
		}
		response, err := p.http.Do(request)
		if err != nil {
			return nil, err
		}
		page, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // read to its end
		if err != nil {
			return nil, err
		}
		if to, err := response.Location(); err == nil {
			p.told = to.Query()
			return p.told, nil
		}
		p.shown = string(page)
		address = response.Request.URL.String()
		if m := action.FindSubmatch(page); m != nil {
			at, err := response.Request.URL.Parse(string(m[1]))
			if err != nil {
				return nil, err
			}
			address = at.String()
		}
	}
	return nil, errors.New("the sign-in did not come to its end: " + p.shown)
}

// fetch is how the SDK's client has somebody sign in.
func (p *person) fetch(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
	told, err := p.signIn(ctx, args.URL)
	if err != nil {
		return nil, err
	}
	if told.Has("error") {
		return &auth.AuthorizationResult{State: told.Get("state"), Iss: told.Get("iss")}, errors.New(told.Get("error"))
	}
	return &auth.AuthorizationResult{Code: told.Get("code"), State: told.Get("state"), Iss: told.Get("iss")}, nil
}

// connect has the SDK's client find everything from the URL of the MCP server.
func connect(t *testing.T, issuer string, config *auth.AuthorizationCodeHandlerConfig) (*mcp.ClientSession, error) {
	t.Helper()
	handler, err := auth.NewAuthorizationCodeHandler(config)
	if err != nil {
		t.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	return client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: issuer + "/mcp", OAuthHandler: handler, DisableStandaloneSSE: true}, nil)
}

// ways are those in which the SDK's client becomes known to a server that it never met.
func (s *site) ways(p *person) map[string]*auth.AuthorizationCodeHandlerConfig {
	return map[string]*auth.AuthorizationCodeHandlerConfig{
		"registration": {
			DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName: "Test <script>", RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code", "refresh_token"}, TokenEndpointAuthMethod: "none",
			}},
			AuthorizationCodeFetcher: p.fetch,
		},
		"document": {
			ClientIDMetadataDocumentConfig: &auth.ClientIDMetadataDocumentConfig{URL: s.document}, RedirectURL: callback,
			AuthorizationCodeFetcher: p.fetch,
		},
	}
}

// TestGoClient: a client that knows nothing but the URL of the MCP server registers itself,
// or names its metadata document; a person sees its name and where it returns to, and its
// tools act for the person. Acceptance 2; MCP 2026-07-28, Authorization
func TestGoClient(t *testing.T) {
	s := start(t)
	for _, how := range []string{"registration", "document"} {
		p := newPerson(t, "allow")
		session, err := connect(t, s.issuer, s.ways(p)[how])
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "read_notes"})
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != "alice has no notes yet" {
			t.Errorf("%s: the tool says %v", how, result.Content)
		}
		if err := session.Close(); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		for _, words := range []string{"Test &lt;script&gt;", "localhost", "Read your notes"} {
			if !strings.Contains(p.shown, words) {
				t.Errorf("%s: the consent page does not say %q:\n%s", how, words, p.shown)
			}
		}
		if p.told.Get("iss") != s.issuer {
			t.Errorf("%s: the client is told %v", how, p.told)
		}
	}
	s.judgeTokens(t, 2)
}

// TestDenied: who declines is respected, and the client is told by whom. Acceptance 2,
// RFC 9207 §2
func TestDenied(t *testing.T) {
	s := start(t)
	for _, how := range []string{"registration", "document"} {
		p := newPerson(t, "deny")
		if session, err := connect(t, s.issuer, s.ways(p)[how]); err == nil || !strings.Contains(err.Error(), "access_denied") {
			t.Errorf("%s: connected: %v, %v", how, session, err)
		}
		if p.told.Get("error") != "access_denied" || p.told.Get("iss") != s.issuer {
			t.Errorf("%s: the client is told %v", how, p.told)
		}
	}
	s.judgeTokens(t, 0)
}

// TestJavaScriptClient has the MCP SDK of JavaScript connect in both ways, and be declined.
// Acceptance 2
func TestJavaScriptClient(t *testing.T) {
	npm := filepath.Join("..", "..", "integration", "npm")
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(npm, "node_modules", "@modelcontextprotocol", "sdk"))
	}
	if err != nil {
		const missing = "node or the MCP SDK is not there; install Node.js 20 or later, and run npm ci --prefix integration/npm"
		if os.Getenv("DOORWARD_REQUIRE") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	s := start(t)
	input, err := json.Marshal(map[string]any{"issuer": s.issuer, "mcp": s.issuer + "/mcp", "people": map[string]string{"alice": "wonderland"}, "document": s.document})
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), node, "--test-reporter=tap", filepath.Join(npm, "mcp.mjs"))
	run.Stdin, run.WaitDelay = bytes.NewReader(input), time.Minute
	if output, err := run.CombinedOutput(); err != nil || !strings.Contains(string(output), "\n# pass 4\n") {
		t.Fatalf("%v\n%s", err, output)
	}
	s.judgeTokens(t, 2)
}

// TestOldClient: a client of 2025-03-26 that reads no metadata finds its endpoints at the
// root, and its tokens are for the MCP server though it names no resource and no scope.
// MCP 2025-03-26, Authorization §2.3.3
func TestOldClient(t *testing.T) {
	s, p := start(t), newPerson(t, "allow")
	issuer := s.issuer
	var client struct {
		ID string `json:"client_id"`
	}
	answer(t, http.MethodPost, issuer+"/register", "application/json", `{"redirect_uris":["`+callback+`"],"token_endpoint_auth_method":"none"}`, http.StatusCreated, &client)
	verifier := oauth2.GenerateVerifier()
	told, err := p.signIn(t.Context(), issuer+"/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {callback}, "state": {"s"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if told.Get("iss") != issuer || told.Get("code") == "" {
		t.Fatalf("the client is told %v", told)
	}
	var tokens struct {
		Access string `json:"access_token"`
		Scope  string `json:"scope"`
	}
	answer(t, http.MethodPost, issuer+"/token", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"authorization_code"}, "code": {told.Get("code")}, "redirect_uri": {callback}, "client_id": {client.ID}, "code_verifier": {verifier},
	}.Encode(), http.StatusOK, &tokens)
	if tokens.Scope != "notes:read" {
		t.Errorf("the scope is %q", tokens.Scope)
	}
	for token, status := range map[string]int{tokens.Access: http.StatusOK, "wrong": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/mcp",
			strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"old","version":"1"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Accept", "application/json, text/event-stream")
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // its status is all that is looked at
		challenge := response.Header.Get("WWW-Authenticate")
		if response.StatusCode != status || status != http.StatusOK && !strings.Contains(challenge, `resource_metadata="`+issuer+`/.well-known/oauth-protected-resource/mcp"`) {
			t.Errorf("token %q: %d %s", token, response.StatusCode, challenge)
		}
	}
}

func answer(t *testing.T, method, address, media, body string, status int, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", media)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it is decoded
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		t.Fatalf("%s: %d %s %v", address, response.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// A port that is taken is an error that names it, and nobody is sent there before.
func TestBusyPort(t *testing.T) {
	busyport.Test(t, func(busy string) error { return run(t.Context(), busy) })
}
