package bearer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// newServer is an authorization server with one client, a machine, and one API that
// introspects.
func newServer(issuer, audience string) *server.Server {
	idp, err := server.New(context.Background(), server.Config{
		Issuer: issuer, DefaultAudience: audience,
		Store:  memory.New(),
		Login:  handlers.ExistingSession{CurrentUser: func(*http.Request) (handlers.Subject, error) { return handlers.Subject{}, nil }, LoginURL: "/login"},
		Keys:   server.Keys{Algorithms: []string{"ES256"}},
		Scopes: []server.Scope{{Name: "notes:read"}, {Name: "notes:write"}},
		Clients: []storage.Client{
			{ID: "backup", Secret: "the secret of the backup job", Scope: "notes:read", GrantTypes: []string{storage.GrantClientCredentials}},
			{ID: "notes-api", Secret: "the secret of the notes API", Scope: "notes:read", GrantTypes: []string{storage.GrantClientCredentials}, Introspects: []string{audience}},
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	return idp
}

// newToken gets a token for the client. RFC 6749 §4.4
func newToken(idp *server.Server) string {
	r := httptest.NewRequest(http.MethodPost, idp.Issuer()+"/oauth/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("backup", url.QueryEscape("the secret of the backup job"))
	w := httptest.NewRecorder()
	idp.Handler().ServeHTTP(w, r)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" {
		log.Fatal(w.Body)
	}
	return answer.AccessToken
}

// show asks an API and prints what a client sees.
func show(api http.Handler, method, token string) {
	r := httptest.NewRequest(method, "/notes", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
}

// An API in the process of its authorization server.
func ExampleRequire() {
	idp := newServer("http://localhost:8080", "http://localhost:8080")
	notes := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token := bearer.FromContext(r.Context())
		fmt.Println("called by", token.ClientID)
	})
	api := http.NewServeMux()
	api.Handle("GET /notes", bearer.Require(idp, "notes:read")(notes))

	show(api, http.MethodGet, "")
	show(api, http.MethodGet, newToken(idp))
	// Output:
	// 401 Bearer scope="notes:read"
	// called by backup
	// 200
}

// An API that tells clients where its authorization server is, as MCP wants it.
func ExampleAPI() {
	idp := newServer("http://localhost:8080", "http://localhost:8080/notes")
	about := &bearer.Metadata{
		Resource:             "http://localhost:8080/notes",
		AuthorizationServers: []string{idp.Issuer()},
		Scopes:               []string{"notes:read", "notes:write"},
	}
	notes := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	guard := bearer.API{Verifier: idp, Metadata: about, Logger: slog.New(slog.DiscardHandler)}
	api := http.NewServeMux()
	api.Handle("GET /notes", guard.Require("notes:read")(notes))
	api.Handle("POST /notes", guard.Require("notes:write")(notes))
	for _, path := range about.Paths() {
		api.Handle(path, about)
	}

	show(api, http.MethodGet, "")
	show(api, http.MethodPost, newToken(idp))
	// Output:
	// 401 Bearer scope="notes:read", resource_metadata="http://localhost:8080/.well-known/oauth-protected-resource/notes"
	// 403 Bearer error="insufficient_scope", error_description="The access token does not have the scopes that this request needs.", scope="notes:write notes:read", resource_metadata="http://localhost:8080/.well-known/oauth-protected-resource/notes"
}

// An API in another process introspects opaque tokens.
func ExampleNewRemote() {
	host := httptest.NewUnstartedServer(nil)
	issuer := "http://" + host.Listener.Addr().String()
	idp := newServer(issuer, "https://api.example.com")
	host.Config.Handler = idp.Handler()
	host.Start()
	defer host.Close()

	v, err := bearer.NewRemote(bearer.RemoteConfig{
		Issuer:       issuer,
		Resource:     "https://api.example.com",
		ClientID:     "notes-api",
		ClientSecret: "the secret of the notes API",
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := v.Verify(context.Background(), newToken(idp))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.ClientID, token.Scopes, token.Audience)
	// Output: backup [notes:read] [https://api.example.com]
}

func ExampleMetadata() {
	m := bearer.Metadata{Resource: "https://api.example.com/mcp", AuthorizationServers: []string{"https://id.example.com"}}
	fmt.Println(m.URL())
	for _, path := range m.Paths() {
		fmt.Println(path)
	}
	// Output:
	// https://api.example.com/.well-known/oauth-protected-resource/mcp
	// /.well-known/oauth-protected-resource/mcp
	// /.well-known/oauth-protected-resource
}
