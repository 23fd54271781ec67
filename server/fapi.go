package server

import (
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/redirect"
	"github.com/doorward/doorward/storage"
)

// fapiAlgorithms are those by which servers and clients may sign, of those that are known
// here. FAPI 2.0 Security Profile §5.4.1
var fapiAlgorithms = []string{jws.PS256, jws.ES256, jws.EdDSA, jws.Ed25519}

// resolveFAPI2 sets what the profile wants where the Config leaves the choice, and notes
// what it forbids. FAPI 2.0 Security Profile §5.3.2.1
func (r *resolvedConfig) resolveFAPI2(found *problems) {
	if !r.FAPI2 {
		return
	}
	r.RequirePushed = true
	if len(r.Keys.Algorithms) == 0 {
		r.Keys.Algorithms = []string{jws.ES256}
	}
	for i, alg := range r.Keys.Algorithms {
		if !slices.Contains(fapiAlgorithms, alg) {
			found.add(index("Keys.Algorithms", i), quoted(alg)+", which FAPI 2.0 forbids", "write ES256 or EdDSA")
		}
	}
	if r.Lifetimes.Code > time.Minute {
		found.add("Lifetimes.Code", span(r.Lifetimes.Code)+", longer than FAPI 2.0 allows", "write at most 1m, or 0")
	}
	if r.Refresh.Policy != "" {
		found.add("Refresh.Policy", quoted(string(r.Refresh.Policy))+", while FAPI 2.0 wants no rotation", "leave it out: tokens are bound to a key instead")
	}
}

// signatures are the algorithms by which clients may sign.
func (r *resolvedConfig) signatures() []string {
	if r.FAPI2 {
		return fapiAlgorithms
	}
	return jws.Verifiable()
}

// judgeFAPI2 notes what the profile forbids to a client. FAPI 2.0 Security Profile §5.3.2.1,
// §5.3.2.2
func (g *registrar) judgeFAPI2(c *storage.Client, found *problems) {
	if !g.fapi {
		return
	}
	if c.TokenEndpointAuthMethod == "" {
		found.add("token_endpoint_auth_method", "nothing, which allows secrets", "write one of %s, as FAPI 2.0 wants it", strings.Join(g.authMethods(), ", "))
	}
	if !c.DPoPBoundAccessTokens && !c.TLSClientCertificateBoundAccessTokens {
		found.add("dpop_bound_access_tokens", "false", "write true, or tls_client_certificate_bound_access_tokens: FAPI 2.0 wants tokens that are bound to a key")
	}
	for _, pinned := range []struct{ field, alg string }{
		{"token_endpoint_auth_signing_alg", c.TokenEndpointAuthSigningAlg}, {"request_object_signing_alg", c.RequestObjectSigningAlg},
	} {
		if pinned.alg != "" && !slices.Contains(fapiAlgorithms, pinned.alg) {
			found.add(pinned.field, quoted(pinned.alg)+", which FAPI 2.0 forbids", "write one of %s, or nothing", strings.Join(fapiAlgorithms, ", "))
		}
	}
	for i, uri := range c.RedirectURIs {
		if !strings.HasPrefix(uri, "https://") && (!g.loopback || redirect.KindOf(uri) != redirect.Loopback) {
			found.add(index("redirect_uris", i), quoted(uri)+", which FAPI 2.0 forbids", "write an https URI")
		}
	}
	if c.Insecure != (storage.InsecureClient{}) {
		found.add("insecure", "an exception that FAPI 2.0 forbids", "leave it out")
	}
	if c.RefreshPolicy != "" && c.RefreshPolicy != storage.RefreshNone {
		found.add("refresh_policy", quoted(string(c.RefreshPolicy))+", while FAPI 2.0 wants no rotation", "leave it out")
	}
}

// forbids returns what the profile forbids to a client of the store, which may be older
// than it; nil: nothing.
func (g *registrar) forbids(c *storage.Client) error {
	if !g.fapi {
		return nil
	}
	found := &problems{}
	if m := c.TokenEndpointAuthMethod; m != "" && !slices.Contains(g.authMethods(), m) {
		found.add("token_endpoint_auth_method", quoted(m), "write one of %s", strings.Join(g.authMethods(), ", "))
	}
	g.judgeFAPI2(c, found)
	return found.err()
}
