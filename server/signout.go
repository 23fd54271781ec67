package server

import (
	"net/url"
	"slices"
	"strings"

	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

// judgeLogout checks where a client is told that a session has ended.
// OpenID Connect Back-Channel Logout §2.2, OpenID Connect Front-Channel Logout §2
func (g *registrar) judgeLogout(c *storage.Client, found *problems) {
	wanted := "write an https URL without user, password and fragment"
	if g.loopback {
		wanted += ", or http on loopback"
	}
	for _, uri := range []struct {
		field, uri string
		required   bool
	}{
		{"backchannel_logout", c.BackchannelLogoutURI, c.BackchannelLogoutSessionRequired},
		{"frontchannel_logout", c.FrontchannelLogoutURI, c.FrontchannelLogoutSessionRequired},
	} {
		switch {
		case uri.uri == "" && uri.required:
			found.add(uri.field+"_session_required", "true without a "+uri.field+"_uri", "write that, or leave this out")
		case uri.uri != "" && (len(uri.uri) > maxURI || outbound.CheckPostURL(uri.uri, g.loopback) != nil):
			found.add(uri.field+"_uri", quoted(uri.uri), "%s", wanted)
		case uri.uri != "" && uri.field == "frontchannel_logout" && !sharesOrigin(uri.uri, c.RedirectURIs):
			found.add(uri.field+"_uri", quoted(uri.uri)+", which has not the scheme, host and port of a redirect URI", "move it to one of them, or register a redirect URI there")
		}
	}
}

// sharesOrigin says whether a URL stands on the scheme, host and port of one of others.
func sharesOrigin(uri string, others []string) bool {
	u, err := url.Parse(uri)
	return err == nil && slices.ContainsFunc(others, func(other string) bool {
		o, err := url.Parse(other)
		return err == nil && strings.EqualFold(o.Scheme, u.Scheme) && strings.EqualFold(o.Host, u.Host)
	})
}
