package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
)

// startMCP serves a provider and an MCP server on one origin of loopback.
func startMCP(t *testing.T, configure func(*server.Config)) *world {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	w := start(t, plan{issuer: "http://localhost:" + port, configure: func(c *server.Config) {
		c.MCP = []string{"http://localhost:" + port + "/mcp"}
		configure(c)
	}})
	routes := http.NewServeMux()
	routes.Handle("/", w.handler)
	routes.Handle("/mcp", w.server.API(w.issuer+"/mcp").Require("notes:read")(mcp.NewStreamableHTTPHandler(notesServer, &mcp.StreamableHTTPOptions{Stateless: true})))
	web := &http.Server{Handler: routes}
	go func() { _ = web.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = web.Close() })
	return w
}

func notesServer(r *http.Request) *mcp.Server {
	token := bearer.FromContext(r.Context())
	s := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "read_notes"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "the notes of " + token.Subject}}}, nil, nil
	})
	return s
}

// TestMCPByDocument: the Go SDK's client connects with the URL of the MCP server and a
// metadata document, and its token is for the MCP server alone. Acceptance 2
func TestMCPByDocument(t *testing.T) {
	p := newPublisher(t)
	w := startMCP(t, p.takesDocuments)
	id := p.id("/client.json")
	document := p.document(id)
	delete(document, "scope") // as clients publish it, which know no server's scopes
	document["redirect_uris"] = []string{"http://localhost:53122/callback"}
	p.publish(document)
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		ClientIDMetadataDocumentConfig: &auth.ClientIDMetadataDocumentConfig{URL: id}, RedirectURL: "http://localhost:53122/callback",
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			answer, err := w.person().signIn(args.URL, "alice")
			if err != nil {
				return nil, err
			}
			if answer.location() == nil {
				return nil, errors.New(answer.String())
			}
			told := answer.location().Query()
			return &auth.AuthorizationResult{Code: told.Get("code"), State: told.Get("state"), Iss: told.Get("iss")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(),
		&mcp.StreamableClientTransport{Endpoint: w.issuer + "/mcp", OAuthHandler: handler, DisableStandaloneSSE: true}, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, w.journal.all())
	}
	defer func() { _ = session.Close() }()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "read_notes"})
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != "the notes of alice" {
		t.Errorf("the tool says %v", result.Content)
	}
	source, err := handler.TokenSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	known, err := w.server.Verify(t.Context(), token.AccessToken)
	if err != nil || len(known.Audience) != 1 || known.Audience[0] != w.issuer+"/mcp" || known.ClientID != id {
		t.Errorf("the token is %+v, %v", known, err)
	}
}

// TestMCPNode has the MCP SDK of JavaScript connect in both ways. Acceptance 2
func TestMCPNode(t *testing.T) {
	program, p := node(t), newPublisher(t)
	w := startMCP(t, p.takesDocuments)
	id := p.id("/client.json")
	document := p.document(id)
	delete(document, "scope")
	document["redirect_uris"] = []string{"http://localhost:53122/callback"}
	p.publish(document)
	input, err := json.Marshal(map[string]any{"issuer": w.issuer, "mcp": w.issuer + "/mcp", "people": people, "document": id})
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), program, "--test-reporter=tap", filepath.Join("npm", "mcp.mjs"))
	run.Stdin, run.WaitDelay = bytes.NewReader(input), time.Minute
	output, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "\n# pass 2\n") {
		t.Fatalf("%v\n%s\n%s", err, output, w.journal.all())
	}
}
