package redirect

import (
	"fmt"
	"strings"
)

// Mismatch tells why a redirect URI was refused.
type Mismatch struct {
	// Registered is the registered URI that is closest; empty when there is none.
	Registered string
	// Difference says in words what to change, "extra trailing slash" for example.
	// Empty when the URI matches. It holds parts of both URIs, so it is for the log
	// and, where the issuer is on loopback, for the developer's page.
	Difference string
}

// Explain compares a redirect URI that Match refused with the closest registered one.
func Explain(registered []string, requested string) Mismatch {
	if Match(registered, requested) {
		return Mismatch{Registered: requested}
	}
	got := split(requested)
	var closest comparison
	for i, uri := range registered {
		if c := compare(got, split(uri)); i == 0 || c.distance < closest.distance {
			closest = c
		}
	}
	m := Mismatch{Registered: closest.registered, Difference: strings.Join(closest.words, "; ")}
	switch problem := got.problem(); {
	case problem != "":
		m.Difference = "not a valid redirect URI: " + problem
	case len(registered) == 0:
		m.Difference = "no redirect URI is registered"
	case m.Difference == "": // equal, but for a port that only loopback may choose
		m.Difference = "the registered URI is not valid: " + split(m.Registered).problem()
	}
	return m
}

// comparison is how far a registered URI is from the requested one, and in what.
type comparison struct {
	registered string
	distance   int
	words      []string
}

func (c *comparison) note(distance int, format string, args ...any) {
	c.distance += distance
	c.words = append(c.words, fmt.Sprintf(format, args...))
}

// Distances of parts. Another host is farther than all else together: to whom the URI
// belongs is what a person recognizes first.
const (
	slight  = 1   // case, slash, port, http for https
	partial = 4   // path or query
	distant = 100 // host or scheme
)

func compare(got, want parts) comparison {
	c := comparison{registered: want.uri}
	c.scheme(got, want)
	c.host(got, want)
	if got.hasPort != want.hasPort || got.port != want.port {
		if !got.loopback() || !want.loopback() {
			c.note(slight, "different port (%s instead of %s)", portName(got), portName(want))
		}
	}
	c.path(got, want)
	if got.hasQuery != want.hasQuery || got.query != want.query {
		switch {
		case !want.hasQuery:
			c.note(partial, "query differs (one was added)")
		case !got.hasQuery:
			c.note(partial, "query differs (?%s is missing)", clip(want.query))
		default:
			c.note(partial, "query differs (?%s instead of ?%s)", clip(got.query), clip(want.query))
		}
	}
	return c
}

func (c *comparison) scheme(got, want parts) {
	switch {
	case got.scheme == want.scheme:
	case strings.EqualFold(got.scheme, want.scheme):
		c.note(slight, "letter case of the scheme differs (%s instead of %s)", clip(got.scheme), clip(want.scheme))
	case got.web() && want.web():
		c.note(slight, "%s instead of %s", got.scheme, want.scheme)
	default:
		c.note(distant, "different scheme (%s instead of %s)", clip(got.scheme), clip(want.scheme))
	}
}

func (c *comparison) host(got, want parts) {
	switch {
	case got.host == want.host && got.authority == want.authority:
	case got.host == want.host:
		c.note(slight, "%d instead of %d slashes after the scheme", slashes(got), slashes(want))
	case strings.EqualFold(got.host, want.host):
		c.note(slight, "letter case of the host differs (%s instead of %s)", clip(got.host), clip(want.host))
	case got.loopback() && want.loopback():
		c.note(partial, "%s and %s are different hosts", got.host, want.host)
	default:
		c.note(distant, "different host (%s instead of %s)", hostName(got), hostName(want))
	}
}

func (c *comparison) path(got, want parts) {
	switch {
	case got.path == want.path:
	case got.path == want.path+"/":
		c.note(slight, "extra trailing slash")
	case got.path+"/" == want.path:
		c.note(slight, "missing trailing slash")
	case strings.EqualFold(got.path, want.path):
		c.note(slight, "letter case of the path differs (%s instead of %s)", clip(got.path), clip(want.path))
	case strings.EqualFold(got.path, want.path+"/") || strings.EqualFold(got.path+"/", want.path):
		c.note(2*slight, "letter case of the path and the trailing slash differ (%s instead of %s)", clip(got.path), clip(want.path))
	default:
		c.note(partial, "different path (%s instead of %s)", pathName(got), pathName(want))
	}
}

func portName(p parts) string {
	if !p.hasPort {
		return "none"
	}
	return clip(p.port)
}

func hostName(p parts) string {
	if p.host == "" {
		return "none"
	}
	return clip(p.host)
}

func pathName(p parts) string {
	if p.path == "" {
		return "none"
	}
	return clip(p.path)
}

func slashes(p parts) int {
	if p.authority {
		return 2
	}
	return len(p.path[:min(1, len(p.path))])
}
