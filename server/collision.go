package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/mux"
)

// ErrMount means that the routes can't be mounted where they were to be.
var ErrMount = errors.New("server: mount")

// checkRouter finds what would keep requests from the routes: a router that does
// not stand at the root, and routes that the host registered before.
func (s site) checkRouter(r *mux.Router, list []route) error {
	if at := standsUnder(r); at != "" {
		// The first URL that clients ask for and that would lead nowhere.
		missing := s.origin() + s.metadataPaths()[len(s.metadataPaths())-1]
		return fmt.Errorf("%w: the router stands under %q, but the issuer %q has the path %q: %s would be answered with 404; mount on the outermost router, the paths of the issuer are added here",
			ErrMount, at, s.issuer, pathOrRoot(s.path), missing)
	}
	var problems []error
	for _, row := range list {
		if err := s.collision(r, row); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func pathOrRoot(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// standsUnder returns the path that the router puts before its routes.
func standsUnder(r *mux.Router) string {
	const probe = "/doorward-probe"
	copied := *r // a route can be made on a router only; the host's keeps no trace of this one
	template, err := copied.NewRoute().Path(probe).GetPathTemplate()
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(template, probe)
}

// collision finds the route of the host that would answer in the place of ours:
// one of the same path, or one that matches it, as a catch-all does.
func (s site) collision(r *mux.Router, row route) error {
	path := strings.NewReplacer("{id}", "example", "{name}", "example").Replace(row.path)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		req := &http.Request{Method: method, URL: &url.URL{Path: path}, Host: s.host, Header: http.Header{}}
		var match mux.RouteMatch
		if r.Match(req, &match) && match.MatchErr == nil && match.Route != nil {
			return fmt.Errorf("%w: %s %s is answered by the route %s that was registered before; register that one after Mount, or choose another Prefix than %q",
				ErrMount, method, row.path, describe(match.Route), pathOrRoot(s.prefix))
		}
	}
	var found error
	_ = r.Walk(func(have *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		if template, err := have.GetPathTemplate(); err == nil && template == row.path && found == nil && have.GetHandler() != nil {
			found = fmt.Errorf("%w: %s is also the path of the route %s that was registered before; give one of them another path, or choose another Prefix than %q",
				ErrMount, row.path, describe(have), pathOrRoot(s.prefix))
		}
		return nil
	})
	return found
}

// describe names a route of the host.
func describe(r *mux.Route) string {
	var words []string
	if methods, err := r.GetMethods(); err == nil {
		words = append(words, strings.Join(methods, ","))
	}
	if host, err := r.GetHostTemplate(); err == nil {
		words = append(words, host)
	}
	if template, err := r.GetPathTemplate(); err == nil {
		words = append(words, template)
	}
	if name := r.GetName(); name != "" {
		words = append(words, "("+name+")")
	}
	if len(words) == 0 {
		return "without a path, which matches every request"
	}
	return strings.Join(words, " ")
}
