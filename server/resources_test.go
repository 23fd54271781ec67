package server_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

const mcp = "https://host.example.com/mcp"

func TestResources(t *testing.T) {
	for _, c := range []struct {
		name      string
		resources []server.Resource
		audience  string
		want      []string
	}{
		{"none", nil, "", nil},
		{"two", []server.Resource{{ID: mcp}, {ID: mcp + "/", AccessTokenFormat: "jwt", AccessTokenLifetime: time.Minute}}, "", nil},
		{"the default among them", []server.Resource{{ID: mcp}}, mcp, nil},
		{"a name", []server.Resource{{ID: "notes"}}, "", nil},
		{"nothing", []server.Resource{{}}, "", []string{"Resources[0].ID"}},
		{"a fragment", []server.Resource{{ID: mcp + "#x"}}, "", []string{"Resources[0].ID"}},
		{"one twice", []server.Resource{{ID: mcp}, {ID: "HTTPS://host.example.com:443/mcp"}}, "", []string{"Resources[1].ID"}},
		{"another spelling of the default", []server.Resource{{ID: mcp}}, "https://HOST.example.com/mcp", []string{"DefaultAudience"}},
		{"a format", []server.Resource{{ID: mcp, AccessTokenFormat: "JWT"}}, "", []string{"Resources[0].AccessTokenFormat"}},
		{"a long life", []server.Resource{{ID: mcp, AccessTokenLifetime: 48 * time.Hour}}, "", nil},
		{"a long life of a JWT", []server.Resource{{ID: mcp, AccessTokenFormat: "jwt", AccessTokenLifetime: 48 * time.Hour}}, "", []string{"Resources[0].AccessTokenLifetime"}},
		{"a negative life", []server.Resource{{ID: mcp, AccessTokenLifetime: -1}}, "", []string{"Resources[0].AccessTokenLifetime"}},
	} {
		config := valid(t)
		config.Resources, config.DefaultAudience = c.resources, c.audience
		_, err := server.New(t.Context(), config)
		if got := fields(t, err); !slices.Equal(got, c.want) {
			t.Errorf("%s: the problems are %q, want %q: %v", c.name, got, c.want, err)
		}
	}
}

// With a list of resources a client is registered for these, spelled as they are.
func TestClientResources(t *testing.T) {
	config := valid(t)
	config.Resources = []server.Resource{{ID: mcp}, {ID: "https://api.example.com"}}
	s := start(t, config)
	for _, c := range []struct {
		audiences, introspects []string
		format                 storage.AccessTokenFormat
		want                   []string
		says                   string
	}{
		{[]string{mcp, "https://api.example.com"}, []string{mcp}, "jwt", nil, ""},
		{[]string{config.Issuer}, nil, "opaque", nil, ""}, // the default
		{nil, nil, "", nil, ""},
		{[]string{mcp + "/"}, nil, "", []string{"audiences[0]"}, `write "` + mcp + `", as in Config.Resources: only the slash at the end differs`},
		{[]string{"https://api.example.com/"}, nil, "", []string{"audiences[0]"}, `write "https://api.example.com", as in Config.Resources`},
		{[]string{mcp}, []string{"notes"}, "", []string{"introspects[0]"}, "or add it to Config.Resources"},
		{[]string{""}, nil, "", []string{"audiences[0]"}, ""},
		{nil, nil, "saml", []string{"access_token_format"}, "write one of opaque, jwt"},
	} {
		client := storage.Client{
			RedirectURIs: []string{"https://app.example.com/cb"}, Audiences: c.audiences, Introspects: c.introspects, AccessTokenFormat: c.format,
		}
		_, _, err := s.Clients().Create(t.Context(), client)
		if got := fields(t, err); !slices.Equal(got, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: the problems are %q, want %q that say %q: %v", c.audiences, got, c.want, c.says, err)
		}
		if err != nil && !errors.Is(err, server.ErrInvalid) {
			t.Errorf("%q: %v", c.audiences, err)
		}
	}
}

// RFC 9728 §4: the metadata list what is a URL, and nothing when there is no list.
func TestResourcesInMetadata(t *testing.T) {
	for _, c := range []struct {
		resources []server.Resource
		want      []string
	}{
		{nil, nil},
		{[]server.Resource{{ID: "notes"}}, nil},
		{[]server.Resource{{ID: mcp}, {ID: "notes"}, {ID: "http://plain.example.com"}, {ID: "http://localhost:8080/mcp"}}, []string{mcp, "http://localhost:8080/mcp"}},
	} {
		config := valid(t)
		config.Resources = c.resources
		var document map[string]json.RawMessage
		body := request(start(t, config).Handler(), http.MethodGet, config.Issuer+"/.well-known/oauth-authorization-server").Body
		if err := json.Unmarshal(body.Bytes(), &document); err != nil {
			t.Fatal(err)
		}
		var got []string
		if raw, ok := document["protected_resources"]; ok {
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
		} else if c.want != nil {
			t.Error("protected_resources is missing")
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("the metadata differ (-want +got):\n%s", diff)
		}
	}
}
