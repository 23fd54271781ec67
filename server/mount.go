package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/handlers"
)

// pathToken is also named as an audience of client assertions.
const pathToken = "/token"

// route is one row of the mount list. The handlers judge method and origin
// themselves, so a path belongs to one row whole.
type route struct {
	path  string
	serve http.HandlerFunc
	url   *string // where the metadata tell of it; nil: nowhere
}

// mountList is all that the server answers to. The metadata are made from it, so
// they can't promise what is not there.
func (s *Server) mountList() ([]route, error) {
	h, at, base := s.handlers, s.config.site.path, s.config.site.path+s.config.site.prefix
	var told handlers.Endpoints
	list := []route{
		{base + "/authorize", h.Authorize, &told.Authorize},
		{base + "/par", h.PushedRequests, &told.Push},
		{base + "/interaction/{id}", h.Interact, nil},
		{base + pathToken, h.Token, &told.Token},
		{base + "/revoke", h.Revoke, &told.Revoke},
		{base + "/introspect", h.Introspect, &told.Introspect},
		{base + "/userinfo", h.UserInfo, &told.UserInfo},
		{base + "/jwks", h.JWKS, &told.JWKS},
		{base + "/assets/{name}", h.Assets, nil},
		{at + "/errors", h.Errors, nil},
	}
	list = append(list, route{base + "/account/apps", h.AccountApps, nil})
	if h.KeepsSessions() {
		list = append(list, route{base + "/account/sessions", h.AccountSessions, nil})
	}
	if h.SignsOut() {
		list = append(list, route{base + "/logout", h.Logout, &told.Logout})
	}
	if s.config.DeviceGrant {
		list = append(list, route{base + "/device_authorization", h.DeviceAuthorization, &told.DeviceAuthorization},
			route{base + "/device", h.Device, nil})
	}
	if h.Registers() {
		list = append(list, route{base + pathRegister, h.Register, &told.Register}, route{base + pathRegister + "/{id}", h.Registration, nil})
	}
	for _, row := range list {
		if row.url != nil {
			*row.url = s.config.site.origin() + row.path
		}
	}
	metadata, err := h.Metadata(told, handlers.Offer{
		Scopes: s.config.scopeNames(), Grants: s.config.registrar.grantNames(), Claims: s.config.claimNames(),
		Resources: s.config.protectedResources(), Documents: s.config.Registration.Documents,
	})
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	for _, path := range s.config.site.metadataPaths() {
		list = append(list, route{path, metadata, nil})
	}
	return list, nil
}

// metadataPaths are the places where clients look for the metadata: that of OpenID
// Connect appends to the issuer, that of RFC 8414 inserts before its path, and
// clients of each also try the other's. OpenID Connect Discovery §4, RFC 8414 §3.1
func (s site) metadataPaths() []string {
	const openID, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	if s.path == "" {
		return []string{openID, oauth}
	}
	return []string{s.path + openID, s.path + oauth, openID + s.path, oauth + s.path}
}

// Mount registers the server's paths on a router, the one that serves the origin
// of the issuer. Only exact paths are registered, and what else the host serves is
// not touched. It is an error when the router stands under a path of its own, or
// when a route that the host has already would take a request for one of ours;
// nothing is registered then. Register a catch-all after Mount. Middleware of the
// router runs for these paths too: what asks for a session or a form token of the
// host's has to let them pass.
func (s *Server) Mount(r *mux.Router) error {
	if err := s.config.site.checkRouter(r, s.mounted); err != nil {
		return err
	}
	// A router of our own, so that StrictSlash of the host's does not answer for
	// paths that merely resemble ours.
	own := r.NewRoute().Subrouter().StrictSlash(false)
	for _, row := range s.mounted {
		own.Handle(row.path, s.exact(row))
	}
	for _, row := range s.spare {
		if s.config.site.collision(r, row) != nil {
			s.log.Info("a path for clients of MCP servers is left to the application", "path", row.path)
			continue
		}
		own.Handle(row.path, s.exact(row))
	}
	return nil
}

// exact serves a row for its own path as it is spelled and no other form: what
// a proxy in front judged by the path must be what is served here.
func (s *Server) exact(row route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawPath != "" || strings.Contains(r.URL.Path, "//") {
			notFound(w, r)
			return
		}
		s.remindOfRun(r.Context())
		row.serve(w, r)
	})
}

// Handler returns the server as one http.Handler, for any other mux and for a
// server that does nothing else. It expects the paths as clients send them, those
// under /.well-known at the root included: do not strip the issuer's path.
func (s *Server) Handler() http.Handler {
	t := table{places: map[string]http.Handler{}, folders: map[string]http.Handler{}}
	for _, row := range slices.Concat(s.mounted, s.spare) {
		rows, at := t.places, row.path
		if folder, _, ok := strings.Cut(row.path, "{"); ok {
			rows, at = t.folders, folder
		}
		if rows[at] == nil {
			rows[at] = s.exact(row)
		}
	}
	return t
}

// table is the mount list by path. A row whose last element is a variable is found by its
// folder, and takes what has exactly one more element.
type table struct{ places, folders map[string]http.Handler }

// ServeHTTP implements http.Handler.
func (t table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if place := t.places[path]; place != nil {
		place.ServeHTTP(w, r)
		return
	}
	if at := strings.LastIndexByte(path, '/') + 1; at < len(path) {
		if folder := t.folders[path[:at]]; folder != nil {
			folder.ServeHTTP(w, r)
			return
		}
	}
	notFound(w, r)
}

// notFound answers what is at no path of ours. A body of unstated length ends the
// connection here too: a proxy that reads Content-Length would take the rest of it for
// the next request. RFC 9112 §6.1
func notFound(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
	http.NotFound(w, r)
}
