package engine

import (
	"net/url"
	"slices"
	"strings"

	"github.com/doorward/doorward/storage"
)

// audiences returns what the tokens of a client may be meant for.
func (e *Engine) audiences(c *storage.Client) []string {
	if len(c.Audiences) > 0 {
		return slices.Clone(c.Audiences)
	}
	return []string{e.config.DefaultAudience}
}

// requestedAudience reads the resource parameters, and audience, under which name
// others know the same. RFC 8707 §2
func requestedAudience(form url.Values) []string {
	asked := slices.Clone(form["resource"])
	for _, a := range form["audience"] {
		asked = append(asked, strings.Fields(a)...)
	}
	return slices.DeleteFunc(asked, func(s string) bool { return s == "" })
}

// target returns which of allowed a request asks for, in the spelling of allowed;
// all of them when it asks for none.
func target(form url.Values, allowed []string) ([]string, *Error) {
	for _, r := range form["resource"] {
		if u, err := url.Parse(r); r != "" && (err != nil || !u.IsAbs() || strings.Contains(r, "#")) {
			return nil, refuse(codeInvalidTarget, "resource_malformed",
				"The resource "+quote(r)+" is not an absolute URI without a fragment.")
		}
	}
	asked := requestedAudience(form)
	if len(asked) == 0 {
		return slices.Clone(allowed), nil
	}
	var found []string
	for _, a := range asked {
		i := slices.IndexFunc(allowed, func(s string) bool { return s == a || sameResource(s, a) })
		if i < 0 {
			return nil, refuse(codeInvalidTarget, "resource_not_allowed",
				"The resource "+quote(a)+" is none that this client may have tokens for.").
				detail("tokens may be meant for %q; the nearest is %q", allowed, nearest(a, allowed)).setting("audiences")
		}
		if !slices.Contains(found, allowed[i]) {
			found = append(found, allowed[i])
		}
	}
	return found, nil
}

// sameResource compares as RFC 3986 §6.2.3 allows without guessing: the case of
// scheme and host, the default port and an empty path make no difference, all else does.
func sameResource(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && x.Host != "" && canonical(x) == canonical(y)
}

func canonical(u *url.URL) string {
	c := *u
	c.Scheme, c.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch c.Scheme {
	case "https":
		c.Host = strings.TrimSuffix(c.Host, ":443")
	case "http":
		c.Host = strings.TrimSuffix(c.Host, ":80")
	}
	if c.Path == "" {
		c.Path = "/"
	}
	return c.String()
}

// nearest returns the one of known that shares the longest beginning with s.
func nearest(s string, known []string) string {
	best, most := "", -1
	for _, k := range known {
		n := 0
		for n < len(s) && n < len(k) && s[n] == k[n] {
			n++
		}
		if n > most {
			best, most = k, n
		}
	}
	return best
}
