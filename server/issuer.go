package server

import (
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// site is what follows from the issuer: where the server stands on the web.
type site struct {
	issuer   string
	path     string // of the issuer, "" at the root
	prefix   string // between the issuer and the endpoints, "" for none
	host     string
	loopback bool
}

// base is the URL under which the endpoints stand.
func (s site) base() string { return s.issuer + s.prefix }

// origin is the issuer without its path.
func (s site) origin() string { return strings.TrimSuffix(s.issuer, s.path) }

// resolveSite checks the issuer and the prefix. Clients compare the issuer byte
// for byte, so a form that is merely equivalent is refused with the one to write.
// RFC 8414 §2, RFC 9207 §2.4
func resolveSite(issuer, prefix string, found *problems) site {
	s := resolveIssuer(issuer, found)
	s.prefix = resolvePrefix(prefix, found)
	return s
}

func resolveIssuer(issuer string, found *problems) site {
	s := site{issuer: issuer}
	if issuer == "" {
		found.add("Issuer", "nothing", `write the URL by which clients reach this server, as in "https://id.example.com"`)
		return s
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.Opaque != "" {
		found.add("Issuer", quoted(issuer)+", which is no URL with a host", `write one, as in "https://id.example.com"`)
		return s
	}
	s.host, s.loopback = u.Host, loopback(u.Hostname())
	if !plainPath(u.EscapedPath()) {
		found.add("Issuer", quoted(issuer)+", whose path has other characters than letters, digits and - . _ ~", "write a path of these")
		return s
	}
	if why, right := correctIssuer(*u, s.loopback); why != "" || right != issuer {
		if why == "" {
			why = "is not in its plain form"
		}
		found.add("Issuer", quoted(issuer)+", which "+why, "write %s", quoted(right))
		return s
	}
	s.path = u.Path
	return s
}

// correctIssuer says what is wrong with an issuer, and how it is right.
func correctIssuer(u url.URL, loopback bool) (why, right string) {
	note := func(text string) {
		if why != "" {
			why += " and "
		}
		why += text
	}
	if u.User != nil {
		note("holds a user name")
		u.User = nil
	}
	if u.RawQuery != "" || u.ForceQuery {
		note("has a query")
		u.RawQuery, u.ForceQuery = "", false
	}
	if u.Fragment != "" {
		note("has a fragment")
		u.Fragment, u.RawFragment = "", ""
	}
	switch u.Scheme = strings.ToLower(u.Scheme); {
	case u.Scheme == "https", u.Scheme == "http" && loopback:
	case u.Scheme == "http":
		note("is http though its host is not loopback")
		u.Scheme = "https"
	default:
		note("is neither https nor, on loopback, http")
		u.Scheme = "https"
	}
	if standard := map[string]string{"https": "443", "http": "80"}[u.Scheme]; u.Port() != "" && u.Port() == standard {
		note("names the port that is the default")
		u.Host = strings.TrimSuffix(u.Host, ":"+standard)
	}
	u.Host = strings.ToLower(u.Host)
	if strings.HasSuffix(u.Path, "/") {
		note("ends in a slash")
		u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	}
	if u.Path != "" && path.Clean(u.Path) != u.Path {
		note("has empty or dot segments in its path")
		u.Path, u.RawPath = path.Clean(u.Path), ""
	}
	return why, u.String()
}

func resolvePrefix(prefix string, found *problems) string {
	switch {
	case prefix == "":
		return "/oauth"
	case prefix == "/":
		return ""
	}
	right := path.Clean("/" + prefix)
	switch {
	case !plainPath(right):
		found.add("Prefix", quoted(prefix)+", which has other characters than letters, digits and - . _ ~", `write a path of these, as in "/oauth"`)
	case right != prefix:
		found.add("Prefix", quoted(prefix), "write %s", quoted(right))
	}
	return right
}

// plainPath says that a path needs no escaping and means nothing to a router: in
// gorilla/mux braces would be a pattern.
func plainPath(p string) bool {
	for i := range len(p) {
		switch c := p[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("/-._~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// loopback says whether a host name stands for this machine. RFC 8252 §7.3, §8.3
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
