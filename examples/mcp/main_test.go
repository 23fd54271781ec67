package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/storage/memory"
)

const callback = "http://localhost:53122/callback"

// start serves the example on a port of its own.
func start(t *testing.T) string {
	t.Helper()
	web := httptest.NewServer(nil)
	t.Cleanup(web.Close)
	issuer := strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
	_, handler, err := newServer(t.Context(), issuer, memory.New())
	if err != nil {
		t.Fatal(err)
	}
	web.Config.Handler = handler
	return issuer
}

// person signs in and answers the consent page in a browser of cookies.
type person struct {
	http   *http.Client
	answer string // allow or deny
	shown  string // what the consent page said
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
			return to.Query(), nil
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

func registering(p *person) *auth.AuthorizationCodeHandlerConfig {
	return &auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Test <script>", RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code", "refresh_token"}, TokenEndpointAuthMethod: "none",
		}},
		AuthorizationCodeFetcher: p.fetch,
	}
}

// TestByRegistration: a client that knows nothing but the URL of the MCP server registers
// itself, a person sees its name and where it returns to, and its tools act for the person.
// MCP 2026-07-28, Authorization
func TestByRegistration(t *testing.T) {
	issuer, p := start(t), newPerson(t, "allow")
	session, err := connect(t, issuer, registering(p))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "read_notes"})
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != "alice has no notes yet" {
		t.Errorf("the tool says %v", result.Content)
	}
	for _, words := range []string{"Test &lt;script&gt;", "localhost", "Read your notes"} {
		if !strings.Contains(p.shown, words) {
			t.Errorf("the consent page does not say %q:\n%s", words, p.shown)
		}
	}
}

// TestDenied: who declines is respected, and the client is told by whom. RFC 9207
func TestDenied(t *testing.T) {
	issuer, p := start(t), newPerson(t, "deny")
	if session, err := connect(t, issuer, registering(p)); err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("connected: %v, %v", session, err)
	}
}

// TestOldClient: a client of 2025-03-26 that reads no metadata finds its endpoints at the
// root, and its tokens are for the MCP server though it names no resource and no scope.
// MCP 2025-03-26, Authorization §2.3.3
func TestOldClient(t *testing.T) {
	issuer, p := start(t), newPerson(t, "allow")
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
