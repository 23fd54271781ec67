package server

import (
	"crypto/x509"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/doorward/doorward/internal/certificate"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// MutualTLS lets clients show TLS certificates: to prove who they are, and to bind their
// tokens to. The zero value looks at none. The listener of the host must ask for them
// without verifying them (tls.RequestClientCert): whom to trust is settled here, for
// each client by the way it is registered. RFC 8705
type MutualTLS struct {
	// Accept turns it on: clients may be registered for self_signed_tls_client_auth
	// and for tokens that are bound to a certificate.
	Accept bool

	// Roots are the authorities whose certificates name clients; with them clients may
	// be registered for tls_client_auth. nil: none. The system's are never asked, since
	// anybody gets a certificate from these.
	Roots *x509.CertPool

	// Header is where a proxy that ends TLS puts the client's certificate. It is looked
	// at in requests of Config.Proxies alone, and there in place of the connection's; the
	// proxy must overwrite it in every request. Empty: none.
	Header string

	// Format of the Header. Empty: CertificateStructured.
	Format CertificateFormat

	// Alias is an origin, as "https://mtls.example.com", under which the same endpoints
	// are reached by clients with certificates, so that browsers are not asked for one
	// at the issuer's. It is told in the metadata. Empty: none. RFC 8705 §5
	Alias string
}

// CertificateFormat is how a proxy writes a certificate into a header.
type CertificateFormat string

const (
	// CertificateStructured is that of the header Client-Cert: base64 of the DER between
	// colons. What else belongs to the chain is read from the same name followed by
	// -Chain. RFC 9440
	CertificateStructured CertificateFormat = "rfc9440"
	// CertificatePEM is PEM with percent escapes, as $ssl_client_escaped_cert of nginx.
	CertificatePEM CertificateFormat = "escaped-pem"
)

// resolveMutualTLS notes what is wrong with the rules of client certificates.
func (r *resolvedConfig) resolveMutualTLS(found *problems) {
	m := &r.MutualTLS
	if !m.Accept {
		if *m != (MutualTLS{}) {
			found.add("MutualTLS.Accept", "false beside other fields that are set", "set it, or leave the others out")
		}
		return
	}
	switch {
	case m.Header == "" && m.Format != "":
		found.add("MutualTLS.Format", quoted(string(m.Format))+" without a Header", "write the Header that the proxy sets, or leave it out")
	case m.Header != "" && len(r.Proxies) == 0:
		found.add("MutualTLS.Header", quoted(m.Header)+", while Proxies is empty", "write the networks of the proxies that set it: from nobody else it is believed")
	case m.Header != "" && strings.ContainsFunc(m.Header, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}):
		found.add("MutualTLS.Header", quoted(m.Header), `write the name of a header, as in "Client-Cert"`)
	}
	if m.Header != "" && m.Format == "" {
		m.Format = CertificateStructured
	}
	if m.Format != "" && m.Format != CertificateStructured && m.Format != CertificatePEM {
		found.add("MutualTLS.Format", quoted(string(m.Format)), "write %s or %s", quoted(string(CertificateStructured)), quoted(string(CertificatePEM)))
	}
	if m.Alias == "" {
		return
	}
	u, err := url.Parse(m.Alias)
	if err != nil || u.Scheme != "https" || u.Host == "" || m.Alias != "https://"+strings.ToLower(u.Host) {
		found.add("MutualTLS.Alias", quoted(m.Alias), `write an https origin without a path, as in "https://mtls.example.com"`)
	}
}

func (m MutualTLS) rules() engine.CertificateRules {
	return engine.CertificateRules{Accept: m.Accept, Roots: m.Roots}
}

// certificates finds the certificate that a client has shown.
type certificates struct {
	rules   MutualTLS
	proxies []netip.Prefix
	once    sync.Once // the warning that somebody sends the header who may not
	warn    func(r *http.Request)
}

// of returns the certificates of a request, the client's own first, nil without one. A
// header is anybody's word but for that of a proxy that is listed. RFC 8705 §6.5
func (c *certificates) of(r *http.Request) ([]*x509.Certificate, error) {
	if c.rules.Header != "" {
		if believed(address(r.RemoteAddr), c.proxies) {
			return c.fromHeader(r)
		}
		if len(r.Header.Values(c.rules.Header)) > 0 {
			c.once.Do(func() { c.warn(r) })
		}
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil
	}
	return r.TLS.PeerCertificates, nil
}

func (c *certificates) fromHeader(r *http.Request) ([]*x509.Certificate, error) {
	values := r.Header.Values(c.rules.Header)
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return nil, nil
	case len(values) > 1:
		// One of them is not the proxy's.
		return nil, certificate.ErrForm
	case c.rules.Format == CertificatePEM:
		return certificate.FromEscapedPEM(values[0])
	}
	return certificate.FromStructured(values[0], r.Header.Values(c.rules.Header+"-Chain"))
}

// judgeCertificate notes what is wrong with how a client is known by a certificate.
func (g *registrar) judgeCertificate(c *storage.Client, found *problems) {
	names := engine.CertificateNames(c)
	for _, member := range slices.Sorted(maps.Keys(names)) {
		switch err := engine.CheckCertificateName(member, names[member]); {
		case c.TokenEndpointAuthMethod != storage.AuthMethodTLS:
			found.add(member, quoted(names[member])+" of a client that does not authenticate by it", `leave it out, or write "tls_client_auth" as token_endpoint_auth_method`)
		case err != nil:
			found.add(member, quoted(names[member]), "correct it: %s", strings.TrimPrefix(err.Error(), "certificate: not readable: "))
		}
	}
	if c.TokenEndpointAuthMethod == storage.AuthMethodTLS && len(names) != 1 {
		what := "nothing"
		if len(names) > 1 {
			what = strings.Join(slices.Sorted(maps.Keys(names)), " and ")
		}
		found.add("tls_client_auth_subject_dn", what, "write exactly one of tls_client_auth_subject_dn, tls_client_auth_san_dns, _san_uri, _san_ip and _san_email: what the certificate must say of its owner")
	}
	if c.TLSClientCertificateBoundAccessTokens && !g.certificates.Accept {
		found.add("tls_client_certificate_bound_access_tokens", "true, while no certificates are looked at", "set Config.MutualTLS.Accept, or leave it out")
	}
	if c.TokenEndpointAuthMethod != storage.AuthMethodSelfSigned || len(c.JWKS) == 0 {
		return
	}
	switch n, err := engine.CheckCertificateSet(c.JWKS); {
	case err != nil:
		found.add("jwks", "a set that can't be used ("+strings.TrimPrefix(err.Error(), "certificate: not readable: ")+")", "write each certificate as x5c, base64 of its DER")
	case n == 0:
		found.add("jwks", "no certificate", "write each certificate as x5c of a key: self_signed_tls_client_auth compares with these")
	}
}
