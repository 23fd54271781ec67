package server_test

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"testing"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestMutualTLSRules goes through what a host can get wrong about client certificates.
func TestMutualTLSRules(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name    string
		rules   server.MutualTLS
		proxies []netip.Prefix
		want    []string
	}{
		{"off", server.MutualTLS{}, nil, nil},
		{"on", server.MutualTLS{Accept: true}, nil, nil},
		{"all of it", server.MutualTLS{Accept: true, Roots: x509.NewCertPool(), Header: "X-Client-Cert", Format: "escaped-pem", Alias: "https://mtls.example.com:8443"}, proxies, nil},
		{"roots alone", server.MutualTLS{Roots: x509.NewCertPool()}, nil, []string{"MutualTLS.Accept"}},
		{"a header of nobody", server.MutualTLS{Accept: true, Header: "Client-Cert"}, nil, []string{"MutualTLS.Header"}},
		{"no header", server.MutualTLS{Accept: true, Header: "Client Cert"}, proxies, []string{"MutualTLS.Header"}},
		{"a format alone", server.MutualTLS{Accept: true, Format: "rfc9440"}, proxies, []string{"MutualTLS.Format"}},
		{"an unknown format", server.MutualTLS{Accept: true, Header: "Client-Cert", Format: "xfcc"}, proxies, []string{"MutualTLS.Format"}},
		{"an alias with a path", server.MutualTLS{Accept: true, Alias: "https://mtls.example.com/"}, nil, []string{"MutualTLS.Alias"}},
		{"an alias by http", server.MutualTLS{Accept: true, Alias: "http://mtls.example.com"}, nil, []string{"MutualTLS.Alias"}},
	} {
		config := valid(t)
		config.MutualTLS, config.Proxies = c.rules, c.proxies
		_, err := server.New(t.Context(), config)
		if got := fields(t, err); !slices.Equal(got, c.want) {
			t.Errorf("%s: the problems are %q, want %q: %v", c.name, got, c.want, err)
		}
	}
}

// TestCertificateRules goes through the rules of clients with certificates and keys.
func TestCertificateRules(t *testing.T) {
	const bound, method, jwks = "tls_client_certificate_bound_access_tokens", "token_endpoint_auth_method", "jwks"
	client := func(method string, change func(*storage.Client)) storage.Client {
		c := storage.Client{ID: "billing", TokenEndpointAuthMethod: method, GrantTypes: []string{"client_credentials"}}
		if change != nil {
			change(&c)
		}
		return c
	}
	named := func(change func(*storage.Client)) storage.Client {
		return client(storage.AuthMethodTLS, func(c *storage.Client) {
			c.TLSClientAuthSANDNS = "billing.example.com"
			if change != nil {
				change(c)
			}
		})
	}
	public := storage.Client{ID: "app", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"https://app.example.com/cb"}, RefreshPolicy: "none"}
	proves, shows := public, public
	proves.DPoPBoundAccessTokens, shows.TLSClientCertificateBoundAccessTokens = true, true
	off, own, full := server.MutualTLS{}, server.MutualTLS{Accept: true}, server.MutualTLS{Accept: true, Roots: x509.NewCertPool()}
	for _, c := range []struct {
		name   string
		rules  server.MutualTLS
		client storage.Client
		want   []string
	}{
		{"by a name", full, named(nil), nil},
		{"by a name, without authorities", own, named(nil), []string{method}},
		{"by a name, off", off, named(nil), []string{method}},
		{"of its own, off", off, client(storage.AuthMethodSelfSigned, nil), []string{method}},
		{"no name", full, client(storage.AuthMethodTLS, nil), []string{"tls_client_auth_subject_dn"}},
		{"two names", full, named(func(c *storage.Client) { c.TLSClientAuthSANIP = "192.0.2.1" }), []string{"tls_client_auth_subject_dn"}},
		{"a wrong name", full, client(storage.AuthMethodTLS, func(c *storage.Client) { c.TLSClientAuthSubjectDN = "billing" }), []string{"tls_client_auth_subject_dn"}},
		{"a wrong address", full, client(storage.AuthMethodTLS, func(c *storage.Client) { c.TLSClientAuthSANIP = "billing" }), []string{"tls_client_auth_san_ip"}},
		{"a name of a client with a secret", full, client("", func(c *storage.Client) { c.TLSClientAuthSANEmail = "a@b.example" }), []string{"tls_client_auth_san_email"}},
		{"a name and a secret", full, named(func(c *storage.Client) { c.Secret = "correct horse battery" }), []string{"client_secret"}},
		{"of its own, none", own, client(storage.AuthMethodSelfSigned, nil), []string{jwks}},
		{"of its own, at a URL", own, client(storage.AuthMethodSelfSigned, func(c *storage.Client) { c.JWKSURI = "https://app.example.com/jwks" }), nil},
		{"of its own, a key alone", own, client(storage.AuthMethodSelfSigned, func(c *storage.Client) { c.JWKS = []byte(publicKeys) }), []string{jwks}},
		{"of its own, garbage", own, client(storage.AuthMethodSelfSigned, func(c *storage.Client) { c.JWKS = []byte(`{"keys":[{"kty":"RSA","x5c":["AAAA"]}]}`) }), []string{jwks, jwks}},
		{"bound to a certificate", own, client("", func(c *storage.Client) { c.TLSClientCertificateBoundAccessTokens = true }), nil},
		{"bound to a certificate, off", off, client("", func(c *storage.Client) { c.TLSClientCertificateBoundAccessTokens = true }), []string{bound}},
		{"public, bound to a key", off, proves, nil},
		{"public, bound to a certificate", own, shows, nil},
		{"public, bound to nothing", own, public, []string{"refresh_policy"}},
	} {
		config := valid(t)
		config.MutualTLS = c.rules
		s := start(t, config)
		_, _, err := s.Clients().Create(t.Context(), c.client)
		if got := fields(t, err); !slices.Equal(got, c.want) {
			t.Errorf("%s: the problems are %q, want %q: %v", c.name, got, c.want, err)
		}
	}
}
