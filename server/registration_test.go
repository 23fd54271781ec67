package server_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestClientRules goes through the rules of a client, under the names of RFC 7591. RFC 7591
// §2, §2.1, OpenID Connect Back-Channel Logout §2.2, OpenID Connect Front-Channel Logout §2
func TestClientRules(t *testing.T) {
	const cb = "https://app.example.com/cb"
	confidential := func(change func(*storage.Client)) storage.Client {
		c := storage.Client{ID: "web", RedirectURIs: []string{cb}, Scope: "openid notes:read"}
		change(&c)
		return c
	}
	public := func(change func(*storage.Client)) storage.Client {
		c := storage.Client{ID: "cli", RedirectURIs: []string{"http://127.0.0.1/cb"}, TokenEndpointAuthMethod: "none"}
		change(&c)
		return c
	}
	with := confidential
	signing := func(change func(*storage.Client)) storage.Client {
		return with(func(c *storage.Client) {
			c.TokenEndpointAuthMethod, c.JWKS = "private_key_jwt", []byte(publicKeys)
			change(c)
		})
	}
	for _, c := range []struct {
		name   string
		client storage.Client
		want   []string
	}{
		{"confidential", with(func(*storage.Client) {}), nil},
		{"public", public(func(*storage.Client) {}), nil},
		{"machine", storage.Client{ID: "m", Scope: "notes:read"}, nil},
		{"long ID", with(func(c *storage.Client) { c.ID = strings.Repeat("a", 256) }), []string{"client_id"}},
		{"ID with a space", with(func(c *storage.Client) { c.ID = "a b" }), []string{"client_id"}},
		{"ID beyond ASCII", with(func(c *storage.Client) { c.ID = "wéb" }), []string{"client_id"}},
		{"name", with(func(c *storage.Client) { c.Name = "Notizbuch für alle 日本" }), nil},
		{"name that turns around", with(func(c *storage.Client) { c.Name = "gnp\u202e.exe" }), []string{"client_name"}},
		{"name with a line", with(func(c *storage.Client) { c.Name = "a\nb" }), []string{"client_name"}},
		{"long name", with(func(c *storage.Client) { c.Name = strings.Repeat("n", 101) }), []string{"client_name"}},
		{"unknown method", with(func(c *storage.Client) { c.TokenEndpointAuthMethod = "kerberos" }), []string{"token_endpoint_auth_method"}},
		{"signs without keys", with(func(c *storage.Client) { c.TokenEndpointAuthMethod = "private_key_jwt" }), []string{"jwks"}},
		{"signs", signing(func(*storage.Client) {}), nil},
		{"signs by keys at a URL", signing(func(c *storage.Client) { c.JWKS, c.JWKSURI = nil, "https://app.example.com/jwks" }), nil},
		{"keys in two places", signing(func(c *storage.Client) { c.JWKSURI = "https://app.example.com/jwks" }), []string{"jwks"}},
		{"keys at a URL without TLS", signing(func(c *storage.Client) { c.JWKS, c.JWKSURI = nil, "http://app.example.com/jwks" }), []string{"jwks_uri"}},
		{"a private key", signing(func(c *storage.Client) {
			c.JWKS = []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`)
		}), []string{"jwks"}},
		{"keys of no use", signing(func(c *storage.Client) { c.JWKS = []byte(`{"keys":[{"kty":"AKP"}]}`) }), []string{"jwks"}},
		{"no keys but text", signing(func(c *storage.Client) { c.JWKS = []byte(`"x"`) }), []string{"jwks"}},
		{"signs and has a secret", signing(func(c *storage.Client) { c.Secret = "correct horse battery" }), []string{"client_secret"}},
		{"signs by PS256", signing(func(c *storage.Client) { c.TokenEndpointAuthSigningAlg = "PS256" }), nil},
		{"signs by HS256", signing(func(c *storage.Client) { c.TokenEndpointAuthSigningAlg = "HS256" }), []string{"token_endpoint_auth_signing_alg"}},
		{"keys without signing", with(func(c *storage.Client) { c.JWKSURI = "https://app.example.com/jwks" }), nil},
		{"assertions of a client without", with(func(c *storage.Client) { c.Insecure.AssertionForTokenEndpoint = true }), []string{"insecure.assertion_for_token_endpoint"}},
		{"assertions for the token endpoint", signing(func(c *storage.Client) { c.Insecure.AssertionForTokenEndpoint = true }), nil},
		{"pushes its requests", with(func(c *storage.Client) { c.RequirePushedAuthorizationRequests = true }), nil},
		{"pinned method", with(func(c *storage.Client) { c.TokenEndpointAuthMethod = "client_secret_post" }), nil},
		{"pairwise", with(func(c *storage.Client) { c.SubjectType = "pairwise" }), nil},
		{"unknown subject type", with(func(c *storage.Client) { c.SubjectType = "private" }), []string{"subject_type"}},
		{"pairwise on one host", with(func(c *storage.Client) {
			c.SubjectType, c.RedirectURIs = "pairwise", []string{cb, "https://app.example.com:8443/cb2"}
		}), nil},
		{"pairwise on two hosts", with(func(c *storage.Client) {
			c.SubjectType, c.RedirectURIs = "pairwise", []string{cb, "https://www.example.com/cb"}
		}), []string{"sector_identifier_uri"}},
		{"pairwise on a device", public(func(c *storage.Client) { c.SubjectType = "pairwise" }), []string{"sector_identifier_uri"}},
		{"pairwise by a scheme", public(func(c *storage.Client) {
			c.SubjectType, c.RedirectURIs = "pairwise", []string{"com.example.app:/cb"}
		}), []string{"sector_identifier_uri"}},
		{"pairwise without redirects", storage.Client{ID: "m", Scope: "notes:read", SubjectType: "pairwise"}, []string{"sector_identifier_uri"}},
		{"sector without TLS", with(func(c *storage.Client) { c.SectorIdentifierURI = "http://app.example.com/s" }), []string{"sector_identifier_uri"}},
		{"unknown grant", with(func(c *storage.Client) { c.GrantTypes = []string{"authorization_code", "password"} }), []string{"grant_types[1]"}},
		{"refresh alone", with(func(c *storage.Client) { c.GrantTypes = []string{"refresh_token"} }), []string{"grant_types"}},
		{"code without redirect", with(func(c *storage.Client) { c.RedirectURIs, c.GrantTypes = nil, []string{"authorization_code"} }), []string{"redirect_uris"}},
		{"public without redirect", public(func(c *storage.Client) { c.RedirectURIs = nil }), []string{"redirect_uris"}},
		{"public machine", public(func(c *storage.Client) { c.GrantTypes = []string{"client_credentials"} }), []string{"grant_types"}},
		{"public that does not rotate", public(func(c *storage.Client) { c.RefreshPolicy = "none" }), []string{"refresh_policy"}},
		{"confidential that does not rotate", with(func(c *storage.Client) { c.RefreshPolicy = "none" }), nil},
		{"unknown policy", with(func(c *storage.Client) { c.RefreshPolicy = "never" }), []string{"refresh_policy"}},
		{"public without PKCE", public(func(c *storage.Client) { c.Insecure.SkipPKCE = true }), []string{"insecure.skip_pkce"}},
		{"confidential without PKCE", with(func(c *storage.Client) { c.Insecure.SkipPKCE = true }), nil},
		{"public with a secret", public(func(c *storage.Client) { c.Secret = "correct horse battery" }), []string{"client_secret"}},
		{"short secret", with(func(c *storage.Client) { c.Secret = "1234567" }), []string{"client_secret"}},
		{"secret beyond ASCII", with(func(c *storage.Client) { c.Secret = "schlüsselbund" }), []string{"client_secret"}},
		{"hash of nothing", with(func(c *storage.Client) { c.Secrets = []storage.ClientSecret{{Hash: "md5:x"}} }), []string{"secrets[0]"}},
		{"keyed hash", with(func(c *storage.Client) { c.Secrets = []storage.ClientSecret{{Hash: "hmac:x"}} }), []string{"secrets[0]"}},
		{"three secrets", with(func(c *storage.Client) {
			c.Secrets = []storage.ClientSecret{{Hash: bcryptHash}, {Hash: bcryptHash}, {Hash: bcryptHash}}
		}), []string{"client_secret"}},
		{"unknown scope", with(func(c *storage.Client) { c.Scope = "openid notes:delete" }), []string{"scope"}},
		{"default beyond scope", with(func(c *storage.Client) { c.DefaultScope = "notes:write" }), []string{"default_scope"}},
		{"default", with(func(c *storage.Client) { c.DefaultScope = "notes:read" }), nil},
		{"unknown algorithm", with(func(c *storage.Client) { c.IDTokenSignedResponseAlg = "RS256" }), []string{"id_token_signed_response_alg"}},
		{"algorithm", with(func(c *storage.Client) { c.IDTokenSignedResponseAlg = "ES256" }), nil},
		{"audiences", with(func(c *storage.Client) {
			c.Audiences = []string{"https://api.example.com/v1", "api", "urn:example:api"}
		}), nil},
		{"audiences of no form", with(func(c *storage.Client) { c.Audiences = []string{"", "a b", "https://", "https://a.example/#f"} }),
			[]string{"audiences[0]", "audiences[1]", "audiences[2]", "audiences[3]"}},
		{"redirect with a fragment", with(func(c *storage.Client) { c.RedirectURIs = []string{cb, cb + "#f"} }), []string{"redirect_uris[1]"}},
		{"redirect that runs", with(func(c *storage.Client) { c.RedirectURIs = []string{"javascript:alert(1)"} }), []string{"redirect_uris[0]"}},
		{"redirect twice", with(func(c *storage.Client) { c.RedirectURIs = []string{cb, cb} }), []string{"redirect_uris[1]"}},
		{"relative logout", with(func(c *storage.Client) { c.PostLogoutRedirectURIs = []string{"/bye"} }), []string{"post_logout_redirect_uris[0]"}},
		{"told of sign-outs", with(func(c *storage.Client) {
			c.BackchannelLogoutURI, c.BackchannelLogoutSessionRequired = "https://elsewhere.example/out?x=1", true
			c.FrontchannelLogoutURI, c.FrontchannelLogoutSessionRequired = "https://app.example.com/out", true
		}), nil},
		{"told by http", with(func(c *storage.Client) {
			c.BackchannelLogoutURI, c.FrontchannelLogoutURI = "http://127.0.0.1:8080/out", "https://app.example.com/out#f"
		}), []string{"backchannel_logout_uri", "frontchannel_logout_uri"}},
		{"told nowhere", with(func(c *storage.Client) {
			c.BackchannelLogoutSessionRequired, c.FrontchannelLogoutSessionRequired = true, true
		}), []string{"backchannel_logout_session_required", "frontchannel_logout_session_required"}},
		{"told on another origin", with(func(c *storage.Client) { c.FrontchannelLogoutURI = "https://app.example.com:8443/out" }), []string{"frontchannel_logout_uri"}},
		{"links", with(func(c *storage.Client) {
			c.ClientURI, c.LogoURI, c.PolicyURI, c.TOSURI = "https://a.example", "http://a.example/logo", "javascript:x", "//a"
		}), []string{"logo_uri", "policy_uri", "tos_uri"}},
		{"all at once", storage.Client{ID: "a b", TokenEndpointAuthMethod: "none", Scope: "x", RefreshPolicy: "none", Secret: "s"},
			[]string{"client_id", "client_secret", "client_secret", "refresh_policy", "redirect_uris", "scope"}},
	} {
		s := start(t, valid(t))
		_, _, err := s.Clients().Create(t.Context(), c.client)
		if got := fields(t, err); !slices.Equal(got, c.want) {
			t.Errorf("%s: the problems are %q, want %q: %v", c.name, got, c.want, err)
		}
		if err != nil && c.client.Secret != "" && strings.Contains(err.Error(), string(c.client.Secret)) && len(c.client.Secret) > 3 {
			t.Errorf("%s: the error tells the secret: %v", c.name, err)
		}
	}
}

// TestConfiguredClientRules holds that a configured client is judged in the same way,
// named by its place, and that it needs its secret at once.
func TestConfiguredClientRules(t *testing.T) {
	config := valid(t)
	config.Clients = []storage.Client{
		{ID: "cli", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"http://127.0.0.1/cb"}},
		{ID: "web", RedirectURIs: []string{"https://app.example.com/cb#f"}},
	}
	_, err := server.New(t.Context(), config)
	want := []string{`Clients[1] "web": redirect_uris[0]`, `Clients[1] "web": client_secret`}
	if got := fields(t, err); !slices.Equal(got, want) {
		t.Errorf("the problems are %q, want %q: %v", got, want, err)
	}
}

// publicKeys is a key set of one key, that of RFC 8037 §A.2.
const publicKeys = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

// TestFetchHosts holds that a host without a port is told, and one with it is fine.
func TestFetchHosts(t *testing.T) {
	config := valid(t)
	config.Insecure.FetchHosts = []string{"keys.intranet.example:443", "keys.intranet.example", "https://keys.intranet.example"}
	_, err := server.New(t.Context(), config)
	want := []string{"Insecure.FetchHosts[1]", "Insecure.FetchHosts[2]"}
	if got := fields(t, err); !slices.Equal(got, want) {
		t.Errorf("the problems are %q, want %q: %v", got, want, err)
	}
}

// bcryptHash is the bcrypt hash of a secret.
const bcryptHash = "$2a$04$ABEGIKMOQSUWYacegikmo.QIoOFNzIUTWuTpoTZJnC9fRlyQNhm8C"
