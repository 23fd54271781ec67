package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
)

func other(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }

// TestDiscovery holds what the metadata say, at every place where clients look.
// OpenID Connect Discovery §4, RFC 8414 §3.1, RFC 8414 §5, RFC 9207 §3, RFC 9449 §5.1
func TestDiscovery(t *testing.T) {
	for name, c := range map[string]struct {
		issuer, prefix string
		paths          []string
	}{
		"root":   {"https://id.example.com", "", []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}},
		"prefix": {"https://id.example.com", "/", []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}},
		"path": {"https://id.example.com/auth", "/connect", []string{
			"/auth/.well-known/openid-configuration", "/auth/.well-known/oauth-authorization-server",
			"/.well-known/openid-configuration/auth", "/.well-known/oauth-authorization-server/auth",
		}},
	} {
		config := valid(t)
		config.Issuer, config.Prefix = c.issuer, c.prefix
		if name == "path" { // where somebody fills in what scopes release, that is told
			config.Scopes = append(config.Scopes, server.Scope{Name: "email"})
			config.Claims = func(context.Context, *handlers.ClaimsRequest) error { return nil }
		}
		s := start(t, config)
		router := mux.NewRouter()
		if err := s.Mount(router); err != nil {
			t.Fatal(err)
		}
		for _, handler := range []http.Handler{s.Handler(), router} {
			for _, path := range c.paths {
				got := request(handler, http.MethodGet, path, "Origin", "https://elsewhere.example")
				if got.Code != http.StatusOK {
					t.Errorf("%s: %s: %d", name, path, got.Code)
					continue
				}
				golden(t, "discovery-"+name+".json", indented(t, got.Body.Bytes()))
				if allowed := got.Header().Get("Access-Control-Allow-Origin"); allowed != "*" {
					t.Errorf("%s: %s: allowed for the origin %q", name, path, allowed)
				}
			}
		}
	}
}

// TestMountLeavesNoTrace holds that a host which lists its routes finds those that are
// served, and that a refused Mount adds none.
func TestMountLeavesNoTrace(t *testing.T) {
	s := start(t, valid(t))
	paths := func(r *mux.Router) (list []string) {
		_ = r.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
			if path, err := route.GetPathTemplate(); err == nil {
				list = append(list, path)
			}
			return nil
		})
		return list
	}
	r := mux.NewRouter()
	r.HandleFunc("/oauth/token", other)
	if err := s.Mount(r); !errors.Is(err, server.ErrMount) {
		t.Fatalf("Mount over a route of the host: %v", err)
	}
	if got := paths(r); len(got) != 1 {
		t.Errorf("after a refused Mount the router has %q", got)
	}
	r = mux.NewRouter()
	if err := s.Mount(r); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths(r) {
		if strings.Contains(path, "probe") {
			t.Errorf("the router has the route %s", path)
		}
	}
}

// TestExactPaths holds that no other spelling of a path is served, under a router
// that would be generous as well.
func TestExactPaths(t *testing.T) {
	s := start(t, valid(t))
	generous := mux.NewRouter().StrictSlash(true)
	if err := s.Mount(generous); err != nil {
		t.Fatal(err)
	}
	generous.HandleFunc("/host/", other)
	for _, path := range []string{
		"/oauth/jwks/", "/oauth/%6awks", "/oauth%2Fjwks", "/OAUTH/jwks", "/oauth/jwks;x", "/oauth/interaction/", "/oauth/interaction/a/b",
		"/jwks", "/oauth", "/.well-known/openid-configuration/", "/.well-known/openid-configuration/auth", "/errors/",
	} {
		for name, h := range map[string]http.Handler{"Handler": s.Handler(), "Mount": generous} {
			if got := request(h, http.MethodGet, path); got.Code != http.StatusNotFound {
				t.Errorf("%s: GET %s: %d, want 404", name, path, got.Code)
			}
		}
	}
	if got := request(generous, http.MethodGet, "/host"); got.Code != http.StatusMovedPermanently {
		t.Errorf("the host's own router lost its StrictSlash: GET /host is %d", got.Code)
	}
	for _, path := range []string{"/oauth/jwks", "/errors"} {
		if got := request(s.Handler(), http.MethodGet, path); got.Code != http.StatusOK {
			t.Errorf("GET %s: %d, want 200", path, got.Code)
		}
	}
}

// TestMethods holds that a wrong method is told which ones are right. RFC 9110 §15.5.6
func TestMethods(t *testing.T) {
	s := start(t, valid(t))
	router := mux.NewRouter()
	if err := s.Mount(router); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/oauth/token": "POST", "/oauth/revoke": "POST", "/oauth/introspect": "POST", "/oauth/authorize": "GET, POST",
		"/oauth/userinfo": "GET, POST", "/oauth/jwks": "GET, HEAD", "/.well-known/openid-configuration": "GET, HEAD",
	} {
		got := request(router, http.MethodDelete, path)
		if got.Code != http.StatusMethodNotAllowed || got.Header().Get("Allow") != want {
			t.Errorf("DELETE %s: %d, Allow %q; want 405, %q", path, got.Code, got.Header().Get("Allow"), want)
		}
	}
}

func TestCollisions(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*mux.Router) *mux.Router
		want    []string
	}{
		"none": {func(r *mux.Router) *mux.Router {
			r.HandleFunc("/", other)
			r.HandleFunc("/login", other)
			r.HandleFunc("/{page}", other).Methods(http.MethodDelete)
			r.NotFoundHandler = http.HandlerFunc(other)
			return r
		}, nil},
		"the same path": {func(r *mux.Router) *mux.Router { r.HandleFunc("/oauth/token", other); return r },
			[]string{"/oauth/token", "Prefix"}},
		"the same path for another method": {func(r *mux.Router) *mux.Router {
			r.HandleFunc("/oauth/token", other).Methods(http.MethodPut)
			return r
		}, []string{"PUT /oauth/token"}},
		"a named route": {func(r *mux.Router) *mux.Router { r.HandleFunc("/errors", other).Name("oops"); return r },
			[]string{"/errors", "(oops)"}},
		"a pattern": {func(r *mux.Router) *mux.Router { r.HandleFunc("/{area}/{page}", other); return r },
			[]string{"/oauth/jwks", "/{area}/{page}", "after Mount"}},
		"a catch-all": {func(r *mux.Router) *mux.Router { r.PathPrefix("/").HandlerFunc(other); return r },
			[]string{"/oauth/authorize", "the route /", "after Mount"}},
		"a catch-all without a path": {func(r *mux.Router) *mux.Router { r.NewRoute().HandlerFunc(other); return r },
			[]string{"/oauth/authorize", "matches every request"}},
		"a route of a subrouter": {func(r *mux.Router) *mux.Router {
			r.PathPrefix("/oauth").Subrouter().HandleFunc("/token", other)
			return r
		}, []string{"/oauth/token"}},
		"below a path": {func(r *mux.Router) *mux.Router { return r.PathPrefix("/oauth").Subrouter() },
			[]string{`"/oauth"`, `"/"`, "https://id.example.com/.well-known/oauth-authorization-server", "404"}},
	} {
		router := mux.NewRouter()
		err := start(t, valid(t)).Mount(c.prepare(router))
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, server.ErrMount) {
			t.Errorf("%s: %v, want ErrMount", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q: %v", name, want, err)
			}
		}
		if got := request(router, http.MethodGet, "/.well-known/openid-configuration"); got.Code == http.StatusOK {
			t.Errorf("%s: something was mounted all the same", name)
		}
	}
}

// TestMountBelowAnotherPath is the mistake of a router under /oauth with an issuer
// under /auth.
func TestMountBelowAnotherPath(t *testing.T) {
	config := valid(t)
	config.Issuer = "https://id.example.com/auth"
	err := start(t, config).Mount(mux.NewRouter().PathPrefix("/oauth").Subrouter())
	if !errors.Is(err, server.ErrMount) {
		t.Fatalf("%v, want ErrMount", err)
	}
	for _, want := range []string{`"/oauth"`, `"/auth"`, "https://id.example.com/.well-known/oauth-authorization-server/auth"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestMountTwice(t *testing.T) {
	s, router := start(t, valid(t)), mux.NewRouter()
	if err := s.Mount(router); err != nil {
		t.Fatal(err)
	}
	if err := s.Mount(router); !errors.Is(err, server.ErrMount) {
		t.Errorf("mounting it again: %v, want ErrMount", err)
	}
}
