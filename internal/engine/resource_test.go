package engine_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// RFC 8707 §2, RFC 3986 §6.2, RFC 3986 §2
func TestSameResource(t *testing.T) {
	const mcp = "https://host.example/mcp"
	for _, c := range []struct {
		a, b       string
		same       bool
		difference string
	}{
		{mcp, mcp, true, ""},
		{mcp, "HTTPS://Host.Example/mcp", true, ""},
		{mcp, "https://host.example:443/mcp", true, ""},
		{"http://host.example:80/mcp", "http://host.example/mcp", true, ""},
		{"https://host.example", "https://host.example/", true, ""},
		{"https://host.example?x=1", "https://host.example/?x=1", true, ""},
		{"rs", "rs", true, ""},
		{mcp, mcp + "/", false, "only the slash at the end differs"},
		{mcp, "http://host.example/mcp", false, "only the scheme differs"},
		{mcp, "https://host.example/MCP", false, "only upper and lower case differ"},
		{mcp, "https://host.example:8443/mcp", false, ""},
		{mcp, "https://host.example:80/mcp", false, ""},
		{mcp, mcp + "/x/../", false, ""},
		{mcp, "https://host.example/x/../mcp", false, ""},
		{mcp, "https://host.example//mcp", false, ""},
		{mcp, "https://host.example/%6dcp", false, ""},
		{mcp, "https://evil@host.example/mcp", false, ""},
		{mcp, mcp + "?", false, ""},
		{mcp, mcp + "#", false, ""},
		{mcp, mcp + ".evil.example", false, ""},
		{mcp, "https://host.example./mcp", false, ""},
		{"https://kelvin.example", "https://\u212aelvin.example", false, ""},
		{"rs", "RS", false, "only upper and lower case differ"},
	} {
		if got := engine.SameResource(c.a, c.b); got != c.same {
			t.Errorf("%s, %s: same is %v", c.a, c.b, got)
		}
		if got := engine.Difference(c.a, c.b); got != c.difference {
			t.Errorf("%s, %s: the difference is %q, want %q", c.a, c.b, got, c.difference)
		}
	}
}

// A client that mistook the resource is told which it meant, and of no other one that
// is not public.
func TestWrongTarget(t *testing.T) {
	const mcp, hidden = "https://host.example/mcp", "https://hidden.example/api"
	known := []engine.Resource{{ID: mcp}, {ID: "https://api.example"}}
	for _, c := range []struct {
		name         string
		resources    []engine.Resource
		asked        string
		reason, says string
	}{
		{"a slash", known, mcp + "/", "resource_unknown", "'https://host.example/mcp/' is not known to this server. The nearest is 'https://host.example/mcp': only the slash at the end differs."},
		{"the scheme", known, "http://host.example/mcp", "resource_unknown", "The nearest is 'https://host.example/mcp': only the scheme differs."},
		{"a prefix", known, mcp + "/tools", "resource_unknown", "The nearest is 'https://host.example/mcp'."},
		{"a hidden one, nearly", known, hidden + "/", "resource_unknown", "The nearest is 'https://hidden.example/api': only the slash at the end differs."},
		{"near a hidden one", known, "https://hidden.example/ap", "resource_unknown", "The nearest is 'https://host.example/mcp'."},
		{"known, but not the client's", known, "https://api.example/", "resource_not_allowed", "'https://api.example/' is none that this client may have tokens for."},
		{"a slash, with no list", nil, mcp + "/", "resource_not_allowed", "The nearest is 'https://host.example/mcp': only the slash at the end differs."},
		{"quotes and lines", known, "https://host.example/\"x\\", "resource_unknown", "'https://host.example/'x''"},
	} {
		w := newWorld(t, func(config *engine.Config) { config.Resources = c.resources })
		client := publicClient()
		client.Audiences = []string{mcp, hidden}
		w.add(client)
		_, refusal := w.CheckAuthorize(t.Context(), request("resource", c.asked))
		refused(t, refusal, "invalid_target", c.reason)
		if refusal != nil && !strings.Contains(refusal.Description, c.says) {
			t.Errorf("%s: the client is told %q", c.name, refusal.Description)
		}
		if refusal != nil && !strings.Contains(c.says, hidden) && strings.Contains(refusal.Description, hidden) {
			t.Errorf("%s: the client is told of a hidden resource: %q", c.name, refusal.Description)
		}
		a, refusal := w.CheckAuthorize(t.Context(), request("resource", "HTTPS://HOST.example:443/mcp"))
		w.fine(refusal)
		if len(a.Audience) != 1 || a.Audience[0] != mcp {
			t.Errorf("the audience is %q, not as it is configured", a.Audience)
		}
	}
}

// The resource decides what its tokens are, the client where the resource does not. RFC 6749
// §1.4, RFC 9068 §3
func TestAccessTokenFormats(t *testing.T) {
	const signed, opaque = storage.AccessTokenJWT, storage.AccessTokenOpaque
	for _, c := range []struct {
		client, resource storage.AccessTokenFormat
		life             time.Duration
		jwt              bool
		want             time.Duration
	}{
		{"", "", 0, false, time.Hour},
		{opaque, "", 0, false, time.Hour},
		{signed, "", 0, true, 10 * time.Minute},
		{"", signed, 0, true, 10 * time.Minute},
		{opaque, signed, 0, true, 10 * time.Minute},
		{signed, opaque, 0, false, time.Hour},
		{"", "", 3 * time.Hour, false, 3 * time.Hour},
		{"", signed, time.Minute, true, time.Minute},
	} {
		w := newWorld(t, func(config *engine.Config) {
			config.Resources = []engine.Resource{{ID: api, Format: c.resource, Life: c.life}}
		})
		client := publicClient()
		client.Audiences, client.AccessTokenFormat = []string{"HTTPS://api.example/"}, c.client // as it was registered before the resource was listed
		w.add(client)
		tokens := w.signIn()
		if jwt := strings.Count(tokens.AccessToken, ".") == 2; jwt != c.jwt || tokens.ExpiresIn != c.want {
			t.Errorf("%q at %q: JWT is %v, for %v", c.client, c.resource, jwt, tokens.ExpiresIn)
		}
		w.advance(c.want - time.Second)
		if !w.works(tokens.AccessToken) {
			t.Errorf("%q at %q: ended too early", c.client, c.resource)
		}
		w.advance(time.Second)
		if w.works(tokens.AccessToken) {
			t.Errorf("%q at %q: did not end", c.client, c.resource)
		}
	}
}

// A grant without a refresh token lives as long as its access token, however long a
// resource has it.
func TestLongLivedResource(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) { c.Resources = []engine.Resource{{ID: issuer, Life: 48 * time.Hour}} })
	client := publicClient()
	client.GrantTypes = []string{"authorization_code"}
	w.add(client)
	tokens := w.signIn()
	w.advance(47 * time.Hour)
	if !w.works(tokens.AccessToken) {
		t.Error("the grant ended before its token")
	}
}

// RFC 8707 §2.2: the grant keeps all, a JWT is for one.
func TestSeveralResources(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) {
		c.Resources = []engine.Resource{{ID: api, Format: storage.AccessTokenJWT}, {ID: other}, {ID: issuer}}
	})
	client := publicClient()
	client.Audiences = []string{api, other, issuer}
	w.add(client)
	code := w.approve(request())
	for _, asked := range [][]string{nil, {api, other}} {
		form := redemption(code)
		form["resource"] = asked
		_, refusal := w.Token(t.Context(), engine.TokenRequest{Credentials: spa, Form: form})
		refused(t, refusal, "invalid_target", "resource_ambiguous")
	}
	if code := w.approve(request("resource", api)); true { // the grant has one
		tokens, refusal := w.redeem(spa, code)
		w.fine(refusal)
		if got := payload(t, tokens.AccessToken)["aud"]; got != api {
			t.Errorf("the audience is %v", got)
		}
	}
	tokens, refusal := w.redeem(spa, code, "resource", api) // and the code was not used up
	w.fine(refusal)
	if got := payload(t, tokens.AccessToken)["aud"]; got != api {
		t.Errorf("the audience is %v", got)
	}
	_, refusal = w.refresh(spa, tokens.RefreshToken)
	refused(t, refusal, "invalid_target", "resource_ambiguous")
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken}, "resource": {other, issuer}}
	tokens, refusal = w.Token(t.Context(), engine.TokenRequest{Credentials: spa, Form: form})
	w.fine(refusal)
	a, refusal := w.Access(t.Context(), tokens.AccessToken)
	w.fine(refusal)
	if strings.Contains(tokens.AccessToken, ".") || len(a.Audience) != 2 {
		t.Errorf("an opaque token gets both, not %q", a.Audience)
	}
}
