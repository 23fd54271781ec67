package bearer_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/handlers/bearer"
)

// RFC 9728 §3.1, RFC 9728 §3
func TestMetadataPlaces(t *testing.T) {
	const root = "/.well-known/oauth-protected-resource"
	for _, c := range []struct {
		resource, url string
		paths         []string
	}{
		{"https://api.example.com", "https://api.example.com" + root, []string{root}},
		{"https://api.example.com/", "https://api.example.com" + root, []string{root}},
		{"https://api.example.com/mcp", "https://api.example.com" + root + "/mcp", []string{root + "/mcp", root}},
		{"https://api.example.com:8443/a/b/", "https://api.example.com:8443" + root + "/a/b", []string{root + "/a/b", root}},
		{"https://api.example.com/a%2Fb", "https://api.example.com" + root + "/a%2Fb", []string{root + "/a%2Fb", root}},
		{"https://api.example.com/a?k=v", "https://api.example.com" + root + "/a?k=v", []string{root + "/a", root}},
		{"http://127.0.0.1:8080/mcp", "http://127.0.0.1:8080" + root + "/mcp", []string{root + "/mcp", root}},
		{"urn:example:api", "", nil},
		{"api", "", nil},
		{"", "", nil},
		{"https://user@api.example.com", "", nil},
		{"https://api example", "", nil},
	} {
		m := bearer.Metadata{Resource: c.resource}
		if got := m.URL(); got != c.url {
			t.Errorf("%q: the URL is %q, want %q", c.resource, got, c.url)
		}
		if diff := cmp.Diff(c.paths, m.Paths()); diff != "" {
			t.Errorf("%q: the paths (-want +got):\n%s", c.resource, diff)
		}
	}
}

// RFC 9728 §2, §3.2
func TestMetadataDocument(t *testing.T) {
	m := bearer.Metadata{Resource: resource, AuthorizationServers: []string{"https://id.example.com"}, Scopes: []string{"notes:read"}, Name: "Notes", Documentation: "https://example.com/help"}
	get := func(m bearer.Metadata, method string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest(method, m.URL(), nil))
		return w
	}
	w := get(m, http.MethodGet)
	want := `{"resource":"https://api.example.com/notes","authorization_servers":["https://id.example.com"],"scopes_supported":["notes:read"],"bearer_methods_supported":["header"],"resource_name":"Notes","resource_documentation":"https://example.com/help"}`
	if got := strings.TrimSpace(w.Body.String()); got != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("the document is %s\nwant %s", got, want)
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any origin may read it, and none with credentials: %v", w.Header())
	}
	w = get(bearer.Metadata{Resource: resource}, http.MethodGet)
	if got := strings.TrimSpace(w.Body.String()); got != `{"resource":"https://api.example.com/notes","bearer_methods_supported":["header"]}` {
		t.Errorf("the shortest document is %s", got)
	}
	if w := get(m, http.MethodPost); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if w := get(m, http.MethodOptions); w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Methods") == "" {
		t.Errorf("a preflight: %d %v", w.Code, w.Header())
	}
}
