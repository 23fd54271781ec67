package server

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// longestJWT bounds the life of what can't be taken back everywhere.
const longestJWT = day

func accessTokenFormats() []storage.AccessTokenFormat {
	return []storage.AccessTokenFormat{storage.AccessTokenOpaque, storage.AccessTokenJWT}
}

// resolveResources checks the resources and the default one. Two that compare equal
// would be one with two spellings of its name.
func (r *resolvedConfig) resolveResources(found *problems) {
	if r.DefaultAudience == "" {
		r.DefaultAudience = r.Issuer
	} else {
		judgeAudience("DefaultAudience", r.DefaultAudience, found)
	}
	r.Resources = slices.Clone(r.Resources)
	for i := range r.Resources {
		one := &r.Resources[i]
		field := index("Resources", i)
		judgeAudience(field+".ID", one.ID, found)
		for _, before := range r.Resources[:i] {
			if engine.SameResource(before.ID, one.ID) {
				found.add(field+".ID", quoted(one.ID)+", the same as "+quoted(before.ID), "leave it out")
			}
		}
		if engine.SameResource(one.ID, r.DefaultAudience) && one.ID != r.DefaultAudience {
			found.add("DefaultAudience", quoted(r.DefaultAudience)+", another spelling of "+quoted(one.ID), "spell it as in Resources")
		}
		judgeFormat(field+".AccessTokenFormat", one.AccessTokenFormat, found)
		longest := 7 * day
		if one.AccessTokenFormat == storage.AccessTokenJWT {
			longest = longestJWT
		}
		bounded(field+".AccessTokenLifetime", &one.AccessTokenLifetime, 0, time.Second, longest, found)
	}
}

func judgeFormat(field string, format storage.AccessTokenFormat, found *problems) {
	if format != "" && !slices.Contains(accessTokenFormats(), format) {
		found.add(field, quoted(string(format)), "write one of %s", join(accessTokenFormats()))
	}
}

// longestSigned is how long a token lives at most that the keys sign.
func (r *resolvedConfig) longestSigned() time.Duration {
	longest := max(2*time.Minute, r.Lifetimes.IDToken, r.Lifetimes.AccessToken, r.Lifetimes.JWTAccessToken)
	for _, one := range r.Resources {
		longest = max(longest, one.AccessTokenLifetime)
	}
	return longest
}

// knownAudiences are the audiences that clients may be registered for; nil: any.
func (r *resolvedConfig) knownAudiences() []string {
	if len(r.Resources) == 0 {
		return nil
	}
	known := []string{r.DefaultAudience}
	for _, one := range r.Resources {
		if one.ID != r.DefaultAudience {
			known = append(known, one.ID)
		}
	}
	return known
}

// protectedResources are the resources that the metadata can tell of: those that are
// URLs. RFC 9728 §4
func (r *resolvedConfig) protectedResources() (urls []string) {
	for _, one := range r.Resources {
		u, err := url.Parse(one.ID)
		if err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) {
			urls = append(urls, one.ID)
		}
	}
	return urls
}

func (r *resolvedConfig) engineResources() []engine.Resource {
	list := make([]engine.Resource, len(r.Resources))
	for i, one := range r.Resources {
		list[i] = engine.Resource{ID: one.ID, Format: one.AccessTokenFormat, Life: one.AccessTokenLifetime}
	}
	return list
}

// judgeResources checks what the tokens of a client may be meant for, and what it is
// the resource server of.
func (g *registrar) judgeResources(c *storage.Client, found *problems) {
	for _, list := range []struct {
		field     string
		audiences []string
	}{{"audiences", c.Audiences}, {"introspects", c.Introspects}} {
		for i, a := range list.audiences {
			before := len(found.list)
			judgeAudience(index(list.field, i), a, found)
			if len(g.audiences) == 0 || slices.Contains(g.audiences, a) || len(found.list) > before {
				continue
			}
			near := engine.Nearest(a, g.audiences)
			if d := engine.Difference(a, near); d != "" || engine.SameResource(a, near) {
				found.add(index(list.field, i), quoted(a), "write %s, as in Config.Resources%s", quoted(near), strings.TrimSuffix(": "+d, ": "))
			} else {
				found.add(index(list.field, i), quoted(a), "write one of %s, or add it to Config.Resources", strings.Join(g.audiences, ", "))
			}
		}
	}
	judgeFormat("access_token_format", c.AccessTokenFormat, found)
}
