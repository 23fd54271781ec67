package bearer

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// wellKnown is where the metadata of a protected resource are. RFC 9728 §3
const wellKnown = "/.well-known/oauth-protected-resource"

// Metadata is what a protected resource tells clients about itself, so that one that
// knows nothing but the API's URL finds the authorization server. It is an
// http.Handler: serve it at all of its Paths, outside Require.
//
//	for _, path := range metadata.Paths() {
//		http.Handle(path, metadata)
//	}
//
// RFC 9728 §2
type Metadata struct {
	// Resource is the resource identifier, which is the URL of the API as clients know
	// it, and the audience of tokens for it. Clients compare it byte for byte.
	Resource string

	// AuthorizationServers are the issuers whose tokens the API accepts.
	AuthorizationServers []string

	Scopes        []string // that may be asked for here; empty: not told
	Name          string   // for people; empty: none
	Documentation string   // URL of a page for developers; empty: none
}

// URL returns where clients look for the document: the well-known path stands between
// the host and the path of the resource. It is empty when Resource is no http or
// https URL. RFC 9728 §3.1
func (m Metadata) URL() string {
	u := m.parse()
	if u == nil {
		return ""
	}
	query := ""
	if u.RawQuery != "" {
		query = "?" + u.RawQuery
	}
	return u.Scheme + "://" + u.Host + insertedPath(u) + query
}

// Paths returns the paths to serve the document at: that of URL, and the one at the
// root, where older clients look. It is empty when URL is.
func (m Metadata) Paths() []string {
	u := m.parse()
	switch {
	case u == nil:
		return nil
	case insertedPath(u) == wellKnown:
		return []string{wellKnown}
	}
	return []string{insertedPath(u), wellKnown}
}

func (m Metadata) parse() *url.URL {
	u, err := url.Parse(m.Resource)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return nil
	}
	return u
}

func insertedPath(u *url.URL) string { return wellKnown + strings.TrimSuffix(u.EscapedPath(), "/") }

// ServeHTTP answers with the document. Any origin may read it, for clients run in
// browsers too. RFC 9728 §3.2
func (m Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "GET, HEAD")
		header.Set("Access-Control-Allow-Headers", "MCP-Protocol-Version")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "The metadata of a protected resource are read with GET.", http.StatusMethodNotAllowed)
		return
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "public, max-age=300")
	_ = json.NewEncoder(w).Encode(struct { // fails when the client has gone
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers,omitempty"`
		Scopes               []string `json:"scopes_supported,omitempty"`
		Methods              []string `json:"bearer_methods_supported"`
		Name                 string   `json:"resource_name,omitempty"`
		Documentation        string   `json:"resource_documentation,omitempty"`
	}{m.Resource, m.AuthorizationServers, m.Scopes, []string{"header"}, m.Name, m.Documentation})
}
