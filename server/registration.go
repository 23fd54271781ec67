package server

import (
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/internal/redirect"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
)

// grantType is one row of the table of grants.
type grantType struct {
	name         string
	confidential bool // public clients may not use it
	redirects    bool // it needs redirect URIs
	signsIn      bool // a person takes part, so there can be something to refresh
}

// grantTypes is the table of grants: those of the engine, with that of devices where it
// is on, and those that the host adds. Client validation and discovery follow from it.
func grantTypes(devices bool, further []handlers.Grant) []grantType {
	table := []grantType{
		{name: storage.GrantAuthorizationCode, redirects: true, signsIn: true},
		{name: storage.GrantRefreshToken},
		{name: storage.GrantClientCredentials, confidential: true},
	}
	if devices {
		table = append(table, grantType{name: storage.GrantDeviceCode, signsIn: true})
	}
	for _, g := range further {
		table = append(table, grantType{name: g.Type, signsIn: true})
	}
	return table
}

// judgeGrantTypes notes what is wrong with the grants that the host adds.
func judgeGrantTypes(devices bool, further []handlers.Grant, found *problems) {
	for i, g := range further {
		field := index("Grants", i)
		u, err := url.Parse(g.Type)
		switch {
		case g.Type == "":
			found.add(field+".Type", "nothing", `write the URI that clients send as grant_type, as in "urn:example:device"`)
		case err != nil || u.Scheme == "" || !visible(g.Type): // RFC 6749 §4.5
			found.add(field+".Type", quoted(g.Type), `write an absolute URI, as in "urn:example:device"`)
		case devices && g.Type == storage.GrantDeviceCode:
			found.add(field+".Type", quoted(g.Type)+", which DeviceGrant brings", "leave one of them out")
		case slices.ContainsFunc(further[:i], func(before handlers.Grant) bool { return before.Type == g.Type }):
			found.add(field+".Type", quoted(g.Type)+" a second time", "leave it out")
		}
		if g.Exchange == nil {
			found.add(field+".Exchange", "nothing", "set the function that judges a request")
		}
	}
}

// authMethods are the ways in which a client may prove who it is. RFC 6749 §2.3
func (g *registrar) authMethods() []string {
	if g.fapi {
		return append([]string{storage.AuthMethodPrivateKey}, g.certificates.Methods()...)
	}
	return slices.Concat([]string{"client_secret_basic", "client_secret_post", storage.AuthMethodSecretJWT, storage.AuthMethodPrivateKey}, g.certificates.Methods(), []string{storage.AuthMethodNone})
}

const (
	maxClientID   = 255
	maxClientName = 100 // characters
	maxURIs       = 100
	maxURI        = 2000
	minSecret     = 8 // bytes, of a secret that somebody brings
	goodSecret    = 16
	maxSecret     = 512
	maxSecrets    = 2 // valid at the same time
	maxKeySet     = 64 << 10
)

// registrar judges clients, those of a Config and those made while running.
type registrar struct {
	grants     []grantType
	scopes     []string
	audiences  []string // nil: any
	algorithms []string // of ID tokens

	certificates engine.CertificateRules

	fapi     bool // the FAPI 2.0 profile is on
	loopback bool // the issuer is on loopback, so clients may be too
	now      func() time.Time
}

func (g *registrar) grantNames() []string {
	names := make([]string, len(g.grants))
	for i, row := range g.grants {
		names[i] = row.name
	}
	return names
}

// judge notes all that is wrong with a client, under the names of RFC 7591 §2.
func (g *registrar) judge(c *storage.Client, found *problems) {
	g.judgeIdentity(c, found)
	g.judgeAuthentication(c, found)
	g.judgeGrants(c, found)
	g.judgeScopes(c, found)
	judgeRedirects(c, found)
	g.judgeApplication(c, found)
	judgePresentation(c, found)
	judgeSubjects(c, found)
	g.judgeResources(c, found)
	g.judgeLogout(c, found)
	g.judgeAlgorithms(c, found)
	g.judgeFAPI2(c, found)
}

// judgeAlgorithms checks by what the server is to sign for the client.
func (g *registrar) judgeAlgorithms(c *storage.Client, found *problems) {
	for _, signed := range []struct{ field, alg string }{
		{"id_token_signed_response_alg", c.IDTokenSignedResponseAlg}, {"userinfo_signed_response_alg", c.UserinfoSignedResponseAlg},
		{"authorization_signed_response_alg", c.AuthorizationSignedResponseAlg}, {"introspection_signed_response_alg", c.IntrospectionSignedResponseAlg},
	} {
		if signed.alg != "" && !slices.Contains(g.algorithms, signed.alg) {
			found.add(signed.field, quoted(signed.alg), "write one of %s, or add it to Config.Keys.Algorithms", strings.Join(g.algorithms, ", "))
		}
	}
}

func (g *registrar) judgeIdentity(c *storage.Client, found *problems) {
	switch {
	case c.ID == "":
		found.add("client_id", "nothing", "give the client an ID, as in \"web\"")
	case len(c.ID) > maxClientID:
		found.add("client_id", quoted(c.ID), "write at most %d characters", maxClientID)
	case !visible(c.ID):
		found.add("client_id", quoted(c.ID), "write visible ASCII characters without spaces")
	}
	switch n := utf8.RuneCountInString(c.Name); {
	case !utf8.ValidString(c.Name) || strings.ContainsFunc(c.Name, hidden):
		// A name is shown where people decide whom to trust.
		found.add("client_name", quoted(c.Name)+", which has characters that are not seen", "write only what people can see")
	case n > maxClientName:
		found.add("client_name", quoted(c.Name), "write at most %d characters", maxClientName)
	}
}

// hidden characters change how a text is read without being seen: controls and
// overrides of the direction, but not the joiners that some scripts need.
func hidden(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = 0x200C, 0x200D
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != zeroWidthNonJoiner && r != zeroWidthJoiner ||
		r == 0x2028 || r == 0x2029
}

func (g *registrar) judgeAuthentication(c *storage.Client, found *problems) {
	if c.TokenEndpointAuthMethod == storage.AuthMethodTLS && g.certificates.Roots == nil {
		found.add("token_endpoint_auth_method", quoted(c.TokenEndpointAuthMethod)+", which is off", "set Config.MutualTLS.Accept and Roots, or write another method")
		return
	}
	if c.TokenEndpointAuthMethod == storage.AuthMethodSelfSigned && !g.certificates.Accept {
		found.add("token_endpoint_auth_method", quoted(c.TokenEndpointAuthMethod)+", which is off", "set Config.MutualTLS.Accept, or write another method")
		return
	}
	if m := c.TokenEndpointAuthMethod; m != "" && !slices.Contains(g.authMethods(), m) {
		otherwise := ", or nothing to allow basic and post"
		if g.fapi {
			otherwise = ": FAPI 2.0 wants a key or a certificate"
		}
		found.add("token_endpoint_auth_method", quoted(m), "write one of %s%s", strings.Join(g.authMethods(), ", "), otherwise)
		return
	}
	judgeKeys(c, found)
	g.judgeCertificate(c, found)
	if c.Secret != "" {
		judgeSecret(c, found)
	}
	live := 0
	for i, s := range c.Secrets {
		if s.ExpiresAt.IsZero() || g.now().Before(s.ExpiresAt) {
			live++
		}
		judgeHash(index("secrets", i), s.Hash, found)
		if c.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT && s.Value == "" {
			found.add(index("secrets", i), "a hash, which verifies no signature", "hand over the secret itself as Secret")
		}
	}
	if c.Secret != "" {
		live++
	}
	switch {
	case c.Public() && live > 0:
		found.add("client_secret", "a secret of a public client", `leave it out, or write another token_endpoint_auth_method than "none"`)
	case !c.TakesSecret() && live > 0:
		found.add("client_secret", "a secret of a client that has a key", "leave it out, or write another token_endpoint_auth_method than %s", quoted(c.TokenEndpointAuthMethod))
	case live > maxSecrets:
		found.add("client_secret", "more secrets than may be valid at the same time", "leave at most %d", maxSecrets)
	}
	if !c.Public() {
		return
	}
	if c.Insecure.SkipPKCE {
		found.add("insecure.skip_pkce", "true for a public client", "leave it out: without a secret PKCE is all that protects the code")
	}
	if c.RefreshPolicy == storage.RefreshNone && !c.DPoPBoundAccessTokens && !c.TLSClientCertificateBoundAccessTokens {
		found.add("refresh_policy", `"none" for a public client`, `write "window" or "strict", or dpop_bound_access_tokens: a stolen token would never be noticed`)
	}
}

// judgeKeys checks the keys by which the client signs. RFC 7591 §2
func judgeKeys(c *storage.Client, found *problems) {
	signs := c.TokenEndpointAuthMethod == storage.AuthMethodPrivateKey
	keyed := c.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT
	asks := c.RequireSignedRequestObject || c.RequestObjectSigningAlg != ""
	switch {
	case len(c.JWKS) > 0 && c.JWKSURI != "":
		found.add("jwks", "jwks and jwks_uri", "leave one of them out")
	case c.TokenEndpointAuthMethod == storage.AuthMethodSelfSigned && len(c.JWKS) == 0 && c.JWKSURI == "":
		found.add("jwks", "nothing", "write the client's certificates as x5c of a JWK Set, or its https URL as jwks_uri: self_signed_tls_client_auth needs them")
	case signs && len(c.JWKS) == 0 && c.JWKSURI == "":
		found.add("jwks", "nothing", "write the client's public keys as a JWK Set, or their https URL as jwks_uri: private_key_jwt needs them")
	case asks && len(c.JWKS) == 0 && c.JWKSURI == "":
		found.add("jwks", "nothing", "write the client's public keys as a JWK Set, or their https URL as jwks_uri: signed request objects need them")
	}
	if len(c.JWKS) > 0 {
		keys, err := jws.ParseKeys(c.JWKS)
		switch {
		case len(c.JWKS) > maxKeySet:
			found.add("jwks", "a very large set", "write at most %d KiB", maxKeySet>>10)
		case err != nil:
			found.add("jwks", "a set that can't be used ("+strings.TrimPrefix(err.Error(), "jws: not an acceptable key set: ")+")", "write public keys of 2048 bits or more (RSA), on P-256 (EC) or Ed25519 (OKP)")
		case keys.Len() == 0 && c.TokenEndpointAuthMethod != storage.AuthMethodSelfSigned:
			found.add("jwks", "no key that verifies a signature", "write one for %s", strings.Join(jws.Verifiable(), ", "))
		}
	}
	if c.JWKSURI != "" && outbound.CheckURL(c.JWKSURI) != nil {
		found.add("jwks_uri", quoted(c.JWKSURI), "write an https URL without user, password and fragment")
	}
	switch alg := c.TokenEndpointAuthSigningAlg; {
	case alg == "" || keyed && alg == jws.HS256 || !keyed && slices.Contains(jws.Verifiable(), alg):
	case keyed:
		found.add("token_endpoint_auth_signing_alg", quoted(alg), "write HS256, or nothing: client_secret_jwt has no other")
	default:
		found.add("token_endpoint_auth_signing_alg", quoted(alg), "write one of %s, or nothing to allow each", strings.Join(jws.Verifiable(), ", "))
	}
	if alg := c.RequestObjectSigningAlg; alg != "" && !slices.Contains(jws.Verifiable(), alg) {
		found.add("request_object_signing_alg", quoted(alg), "write one of %s, or nothing to allow each", strings.Join(jws.Verifiable(), ", "))
	}
	if c.Insecure.AssertionForTokenEndpoint && !signs && !keyed {
		found.add("insecure.assertion_for_token_endpoint", "true for a client that sends no assertions", "leave it out")
	}
}

func judgeSecret(c *storage.Client, found *problems) {
	secret := c.Secret
	switch {
	case c.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT && len(secret) < jws.MinSecret:
		found.add("client_secret", "a secret that is too short to sign with", "write at least %d random characters: HS256 can be guessed without asking the server", jws.MinSecret)
	case len(secret) < minSecret:
		found.add("client_secret", "a secret that can be guessed", "write at least %d characters, better 32 random ones", minSecret)
	case len(secret) > maxSecret:
		found.add("client_secret", "a very long secret", "write at most %d characters", maxSecret)
	case strings.ContainsFunc(string(secret), func(r rune) bool { return r < 0x20 || r > 0x7e }):
		found.add("client_secret", "a secret with other characters than ASCII", "write the characters of RFC 6749 appendix A.2, space to tilde")
	}
}

// judgeHash accepts what the engine can check: argon2id and bcrypt of others, and
// the keyed hashes of its own.
func judgeHash(field, hash string, found *problems) {
	if strings.HasPrefix(hash, "hmac:") {
		return
	}
	if err := secrethash.Valid(hash); err != nil {
		found.add(field, "a hash that can't be used ("+strings.TrimPrefix(err.Error(), "secrethash: ")+")", "write an argon2id or bcrypt hash, or the secret itself as Secret")
	}
}

func (g *registrar) judgeGrants(c *storage.Client, found *problems) {
	names := g.grantNames()
	signsIn := false
	for i, name := range c.GrantTypes {
		at := slices.Index(names, name)
		if at < 0 && name == storage.GrantDeviceCode {
			found.add(index("grant_types", i), quoted(name)+", which is off", "set Config.DeviceGrant, or leave it out")
			continue
		}
		if at < 0 {
			found.add(index("grant_types", i), quoted(name), "write one of %s", strings.Join(names, ", "))
			continue
		}
		signsIn = signsIn || g.grants[at].signsIn
	}
	if slices.Contains(c.GrantTypes, storage.GrantRefreshToken) && !signsIn {
		found.add("grant_types", "refresh_token alone", "add authorization_code, whose tokens are refreshed")
	}
	if p := c.RefreshPolicy; p != "" && !slices.Contains(refreshPolicies(), p) {
		found.add("refresh_policy", quoted(string(p)), "write one of %s", join(refreshPolicies()))
	}
	if len(c.GrantTypes) == 0 && len(c.RedirectURIs) == 0 && c.Public() {
		found.add("redirect_uris", "nothing", "write where people return to: a public client can do nothing else")
		return
	}
	for _, row := range g.grants {
		if !c.MayUse(row.name) {
			continue
		}
		if row.confidential && c.Public() {
			found.add("grant_types", row.name+" of a public client", "leave it out: it needs a client that can keep a secret")
		}
		if row.redirects && len(c.RedirectURIs) == 0 {
			found.add("redirect_uris", "nothing", "write where people return to: %s needs it", row.name)
		}
	}
}

func (g *registrar) judgeScopes(c *storage.Client, found *problems) {
	for _, s := range c.Scopes() {
		if !slices.Contains(g.scopes, s) {
			found.add("scope", quoted(s), "write scopes that the server knows (%s), or add it to Config.Scopes", strings.Join(g.scopes, " "))
		}
	}
	for _, s := range c.DefaultScopes() {
		if !slices.Contains(c.Scopes(), s) {
			found.add("default_scope", quoted(s), "add it to the client's scope, or leave it out")
		}
	}
}

func judgeRedirects(c *storage.Client, found *problems) {
	for _, list := range []struct {
		field string
		uris  []string
	}{{"redirect_uris", c.RedirectURIs}, {"post_logout_redirect_uris", c.PostLogoutRedirectURIs}} {
		if len(list.uris) > maxURIs {
			found.add(list.field, "more entries than anybody needs", "write at most %d", maxURIs)
			continue
		}
		for i, uri := range list.uris {
			if err := redirect.Validate(uri, c.Public()); err != nil {
				found.add(index(list.field, i), quoted(uri), "correct it: %s", strings.TrimPrefix(err.Error(), "redirect: "))
			} else if slices.Index(list.uris, uri) < i {
				found.add(index(list.field, i), quoted(uri)+" a second time", "leave it out")
			}
		}
	}
}

// judgeApplication holds a client to what it says of where it runs. A native one may have
// an https URI beside those of its device, or alone: systems give these to the app that
// proved the host to be its own. OpenID Connect Registration §2, RFC 8252
// §7.2
func (g *registrar) judgeApplication(c *storage.Client, found *problems) {
	switch c.ApplicationType {
	case "", storage.ApplicationNative:
	case storage.ApplicationWeb:
		for i, uri := range c.RedirectURIs {
			if kind := redirect.KindOf(uri); kind == redirect.PrivateUse || kind == redirect.Loopback && !g.loopback {
				found.add(index("redirect_uris", i), quoted(uri)+", which leads a web application to a device", `write an https URI, or "native" as application_type`)
			}
		}
	default:
		found.add("application_type", quoted(string(c.ApplicationType)), "write web or native, or leave it out")
	}
}

// judgePresentation checks the links that pages show. RFC 7591 §5
func judgePresentation(c *storage.Client, found *problems) {
	for _, link := range []struct{ field, uri string }{
		{"client_uri", c.ClientURI}, {"logo_uri", c.LogoURI}, {"policy_uri", c.PolicyURI}, {"tos_uri", c.TOSURI},
	} {
		if link.uri == "" {
			continue
		}
		u, err := url.Parse(link.uri)
		if err != nil || u.Host == "" || u.User != nil || len(link.uri) > maxURI || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			found.add(link.field, quoted(link.uri), "write an https URL")
		}
	}
	for i, contact := range c.Contacts {
		if len(contact) > maxURI || strings.ContainsFunc(contact, hidden) {
			found.add(index("contacts", i), quoted(contact), "write an address by which people are reached")
		}
	}
}

// judgeAudience accepts absolute URIs without a fragment, and plain names.
// RFC 7519 §2 (StringOrURI), RFC 8707 §2
func judgeAudience(field, audience string, found *problems) {
	u, err := url.Parse(audience)
	switch {
	case audience == "":
		found.add(field, "nothing", "write the URL of the API, or leave the entry out")
	case !visible(audience) || len(audience) > maxURI:
		found.add(field, quoted(audience), "write at most %d visible ASCII characters without spaces", maxURI)
	case err != nil || strings.Contains(audience, ":") && (u.Scheme == "" || u.Host == "" && u.Opaque == ""):
		found.add(field, quoted(audience), "write an absolute URL, as in \"https://api.example.com\"")
	case strings.Contains(audience, "#"):
		before, _, _ := strings.Cut(audience, "#")
		found.add(field, quoted(audience)+", which has a fragment", "write %s", quoted(before))
	}
}

func refreshPolicies() []storage.RefreshPolicy {
	return []storage.RefreshPolicy{storage.RefreshWindow, storage.RefreshStrict, storage.RefreshUntilUsed, storage.RefreshNone}
}

func join[S ~string](list []S) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

// visible says that s is visible ASCII.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
