package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/server"
)

// TestMCP: the one field turns on what clients of MCP servers need to find and to use the
// server, and keeps away from what the application has.
func TestMCP(t *testing.T) {
	const issuer, tools = "https://id.example.com", "https://id.example.com/mcp"
	c := valid(t)
	c.MCP = []string{tools, "https://tools.example.com/mcp"}
	s := start(t, c)
	router := mux.NewRouter()
	router.HandleFunc("/register", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	if err := s.Mount(router); err != nil {
		t.Fatal(err)
	}
	var resource struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
	}
	for _, path := range []string{"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"} {
		told := request(router, "GET", issuer+path)
		if err := json.Unmarshal(told.Body.Bytes(), &resource); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if resource.Resource != tools || !slices.Equal(resource.Servers, []string{issuer}) || !slices.Equal(resource.Scopes, []string{"notes:read", "notes:write"}) {
			t.Errorf("%s tells %+v", path, resource)
		}
	}
	var server struct {
		Register  string   `json:"registration_endpoint"`
		Resources []string `json:"protected_resources"`
	}
	if err := json.Unmarshal(request(router, "GET", issuer+"/.well-known/oauth-authorization-server").Body.Bytes(), &server); err != nil {
		t.Fatal(err)
	}
	if server.Register != issuer+"/oauth/register" || !slices.Equal(server.Resources, c.MCP) {
		t.Errorf("the metadata tell %+v", server)
	}
	for path, status := range map[string]int{"/register": http.StatusTeapot, "/authorize": http.StatusBadRequest, "/token": http.StatusMethodNotAllowed} {
		if w := request(router, "GET", issuer+path); w.Code != status {
			t.Errorf("%s is answered %d, want %d", path, w.Code, status)
		}
	}
	api := s.API(tools).Require()(http.NotFoundHandler())
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodPost, tools, nil))
	if challenge := w.Header().Get("WWW-Authenticate"); w.Code != http.StatusUnauthorized || !strings.Contains(challenge, `resource_metadata="`+issuer+`/.well-known/oauth-protected-resource/mcp"`) {
		t.Errorf("the challenge is %d %q", w.Code, challenge)
	}
}

// TestMCPOff: without the field nothing of it is there.
func TestMCPOff(t *testing.T) {
	h := start(t, valid(t)).Handler()
	for _, path := range []string{"/authorize", "/token", "/register", "/oauth/register", "/.well-known/oauth-protected-resource"} {
		if w := request(h, "GET", "https://id.example.com"+path); w.Code != http.StatusNotFound {
			t.Errorf("%s is answered %d", path, w.Code)
		}
	}
}

func TestMCPProblems(t *testing.T) {
	c := valid(t)
	c.MCP = []string{"https://id.example.com/mcp", "http://tools.example.com/mcp", "mcp", "https://id.example.com/mcp?x=y", "http://localhost:8080/mcp"}
	c.FAPI2 = true
	_, err := server.New(t.Context(), c)
	if got := fields(t, err); !slices.Equal(got, []string{"MCP", "MCP[1]", "MCP[2]", "MCP[3]"}) {
		t.Errorf("the problems are %q: %v", got, err)
	}
}

// TestMCPOfFewScopes: who bounds what such clients may have need not say it twice.
func TestMCPOfFewScopes(t *testing.T) {
	c := valid(t)
	c.MCP = []string{"https://id.example.com/mcp"}
	c.Registration.Scopes = []string{"openid", "notes:read"}
	if _, err := server.New(t.Context(), c); err != nil {
		t.Error(err)
	}
}
