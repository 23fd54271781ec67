package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/doorward/doorward/handlers/bearer"
)

// resolveMCP turns on what the clients of MCP servers need that nobody registered: an
// entry among the resources, ways to become known, and a scope for those that name none.
// What the Config sets itself stays. MCP 2026-07-28, Authorization
func (r *resolvedConfig) resolveMCP(found *problems) {
	if len(r.MCP) == 0 {
		return
	}
	if r.FAPI2 {
		found.add("MCP", "MCP beside FAPI2", "leave one of them out: the clients of MCP servers are public")
	}
	r.Resources = slices.Clone(r.Resources)
	for i, address := range r.MCP {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
			found.add(index("MCP", i), quoted(address), `write the https URL of the MCP server, as people type it: "https://app.example.com/mcp"`)
			continue
		case u.RawQuery != "" || u.Fragment != "" || strings.Contains(address, "#"):
			found.add(index("MCP", i), quoted(address)+", which has a query or a fragment", "write the URL without it")
			continue
		}
		if !slices.ContainsFunc(r.Resources, func(one Resource) bool { return one.ID == address }) {
			r.Resources = append(r.Resources, Resource{ID: address})
		}
	}
	if r.DefaultAudience == "" && len(r.MCP) == 1 {
		r.DefaultAudience = r.MCP[0] // clients of 2025-03-26 name no resource
	}
	if r.Registration.Endpoint == RegistrationOff {
		r.Registration.Endpoint = RegistrationOpen
	}
	r.Registration.Documents = true
	if r.Registration.DefaultScopes == nil {
		r.Registration.DefaultScopes = slices.DeleteFunc(r.apiScopes(), func(s string) bool {
			return r.Registration.Scopes != nil && !slices.Contains(r.Registration.Scopes, s)
		})
	}
}

// apiScopes are the scopes that are about the host's APIs, not about a person.
func (r *resolvedConfig) apiScopes() (names []string) {
	for _, s := range r.Scopes {
		if !slices.Contains([]string{scopeOpenID, scopeOffline, "profile", "email", "address", "phone"}, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// API returns what an API needs to accept the tokens of this server: a middleware by its
// Require, and metadata for clients that know only its URL. The resource is one of
// Config.Resources or of Config.MCP, as it is spelled there. The server mounts the metadata
// of Config.MCP itself where they are on its origin; those of other APIs are served by their
// hosts. RFC 9728
func (s *Server) API(resource string) bearer.API {
	return bearer.API{Verifier: s, Resource: resource, Logger: s.log, Metadata: &bearer.Metadata{
		Resource: resource, AuthorizationServers: []string{s.config.Issuer}, Scopes: s.config.apiScopes(), Name: s.config.Pages.Name,
	}}
}

// mcpRoutes are where clients of MCP servers look: the metadata of each MCP server on this
// origin, and endpoints at the root for clients that read no metadata at all. The host's
// own routes come before these. MCP 2025-03-26, Authorization §2.3.3
func (s *Server) mcpRoutes() (list []route) {
	if len(s.config.MCP) == 0 {
		return nil
	}
	taken := map[string]bool{}
	for _, address := range s.config.MCP {
		if !strings.HasPrefix(address, s.config.site.origin()+"/") && address != s.config.site.origin() {
			continue // another host's
		}
		metadata := s.API(address).Metadata
		for _, path := range metadata.Paths() {
			if !taken[path] {
				taken[path] = true
				list = append(list, route{path, metadata.ServeHTTP, nil})
			}
		}
	}
	if s.config.site.path != "" || s.config.site.prefix == "" {
		return list
	}
	for path, serve := range map[string]http.HandlerFunc{
		"/authorize": s.handlers.Authorize, pathToken: s.handlers.Token, pathRegister: s.handlers.Register,
	} {
		if path != pathRegister || s.handlers.Registers() {
			list = append(list, route{path, serve, nil})
		}
	}
	return list
}
