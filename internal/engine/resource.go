package engine

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

// Resource is an API that tokens may be meant for. RFC 8707
type Resource struct {
	ID     string                    // the aud of its tokens
	Format storage.AccessTokenFormat // empty: as the client wants
	Life   time.Duration             // of its access tokens; 0: that of their format
}

// audiences returns what the tokens of a client may be meant for.
func (e *Engine) audiences(c *storage.Client) []string {
	if len(c.Audiences) > 0 {
		return slices.Clone(c.Audiences)
	}
	return []string{e.config.DefaultAudience}
}

// accessForm returns of what form the access tokens for an audience are, and how long
// they live. What the resource can read is its own matter, so it comes before the
// client. A JWT for several would let each of them act at its neighbours, where
// nobody could stop it. RFC 9068 §3, §5, RFC 8707 §2.2
func (e *Engine) accessForm(c *storage.Client, audience []string) (signed bool, life time.Duration, refusal *Error) {
	for _, a := range audience {
		r := e.resources[canonical(a)]
		own := e.config.Lifetimes.AccessToken
		if cmp.Or(r.Format, c.AccessTokenFormat) == storage.AccessTokenJWT {
			signed, own = true, e.config.Lifetimes.JWTAccessToken
			if len(audience) > 1 {
				return false, 0, refuse(codeInvalidTarget, "resource_ambiguous", "An access token for "+show(a)+
					" is a JWT, which is for one resource alone: name one of those granted by the parameter resource.").
					detail("granted, or asked for: %q", audience).setting("access_token_format")
			}
		}
		if own = cmp.Or(r.Life, own); life == 0 || own < life {
			life = own
		}
	}
	return signed, cmp.Or(life, e.config.Lifetimes.AccessToken), nil
}

// longestAccess is how long an access token lives at most.
func (e *Engine) longestAccess() time.Duration {
	longest := max(e.config.Lifetimes.AccessToken, e.config.Lifetimes.JWTAccessToken)
	for _, r := range e.config.Resources {
		longest = max(longest, r.Life)
	}
	return longest
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
func (e *Engine) target(form url.Values, allowed []string) ([]string, *Error) {
	for _, r := range form["resource"] {
		if u, err := url.Parse(r); r != "" && (err != nil || !u.IsAbs() || strings.Contains(r, "#") || !ascii(r)) {
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
		i := slices.IndexFunc(allowed, func(s string) bool { return SameResource(s, a) })
		if i < 0 {
			return nil, e.wrongTarget(a, allowed)
		}
		if !slices.Contains(found, allowed[i]) {
			found = append(found, allowed[i])
		}
	}
	return found, nil
}

// wrongTarget tells which resource was meant, perhaps. Those that the server is
// configured with are no secret, and neither is one that was asked for but for a
// slash; the others that this client may have are for the log.
func (e *Engine) wrongTarget(asked string, allowed []string) *Error {
	known := []string{e.config.DefaultAudience}
	for _, r := range e.config.Resources {
		known = append(known, r.ID)
	}
	isKnown := slices.ContainsFunc(known, func(s string) bool { return SameResource(s, asked) })
	reason, setting := "resource_not_allowed", "audiences"
	text := "The resource " + show(asked) + " is none that this client may have tokens for."
	if !isKnown && len(e.config.Resources) > 0 {
		reason, setting = "resource_unknown", "Config.Resources"
		text = "The resource " + show(asked) + " is not known to this server."
	}
	tellable := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool {
		return !slices.Contains(known, s) && Difference(asked, s) == ""
	})
	if len(tellable) == 0 && !isKnown {
		tellable = known
	}
	if near := Nearest(asked, tellable); near != "" {
		text += " The nearest is " + show(near)
		if d := Difference(asked, near); d != "" {
			text += ": " + d
		}
		text += "."
	}
	return refuse(codeInvalidTarget, reason, text).
		detail("tokens may be meant for %q; the nearest is %q", allowed, Nearest(asked, allowed)).setting(setting)
}

// show is quote for URIs, which are longer.
func show(s string) string { return "'" + clean(s, 200) + "'" }

// SameResource compares as RFC 3986 §6.2.3 allows without guessing: the case of
// scheme and host, the default port and an empty path make no difference, all else does.
func SameResource(a, b string) bool { return a == b || canonical(a) == canonical(b) }

// canonical is the one form of all spellings of a resource. What is no URL with a host
// is only itself.
func canonical(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || strings.Contains(s, "#") || !ascii(s) {
		return s
	}
	u.Host = strings.ToLower(u.Host)
	switch u.Scheme { // in lower case as it is parsed
	case "https":
		u.Host = strings.TrimSuffix(u.Host, ":443")
	case "http":
		u.Host = strings.TrimSuffix(u.Host, ":80")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String()
}

// ascii says that s has no other characters, as is right for a URI. RFC 3986 §2
func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// Nearest returns the one of known that s was meant to be, perhaps: one that differs
// in a trifle, else the one that shares the longest beginning. It is empty when there
// is none.
func Nearest(s string, known []string) string {
	best, most := "", -1
	for _, k := range known {
		if Difference(s, k) != "" {
			return k
		}
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

// Difference says in words what alone tells two resources apart, where that is a
// trifle which people overlook; else it is empty.
func Difference(a, b string) string {
	x, y := canonical(a), canonical(b)
	_, afterX, _ := strings.Cut(x, "://")
	_, afterY, _ := strings.Cut(y, "://")
	switch {
	case x == y:
		return ""
	case strings.TrimSuffix(x, "/") == strings.TrimSuffix(y, "/"):
		return "only the slash at the end differs"
	case strings.EqualFold(x, y):
		return "only upper and lower case differ"
	case afterX != "" && afterX == afterY:
		return "only the scheme differs"
	}
	return ""
}
