package engine

import (
	"context"
	"crypto/x509"

	"github.com/doorward/doorward/internal/certificate"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

// CertificateRules say whether clients may show TLS certificates. RFC 8705
type CertificateRules struct {
	Accept bool
	Roots  *x509.CertPool // whose word counts with tls_client_auth; nil: nobody's
}

// Methods are the ways in which clients may prove who they are by a certificate.
func (r CertificateRules) Methods() []string {
	switch {
	case !r.Accept:
		return nil
	case r.Roots == nil:
		return []string{storage.AuthMethodSelfSigned}
	}
	return []string{storage.AuthMethodTLS, storage.AuthMethodSelfSigned}
}

// CertificateNames are the names by which a client may be registered for
// tls_client_auth, by the member of its metadata. RFC 8705 §2.1.2
func CertificateNames(c *storage.Client) map[string]string {
	names := map[string]string{}
	for member, value := range map[string]string{
		certificate.SubjectDN: c.TLSClientAuthSubjectDN, certificate.DNS: c.TLSClientAuthSANDNS, certificate.URI: c.TLSClientAuthSANURI,
		certificate.IP: c.TLSClientAuthSANIP, certificate.Email: c.TLSClientAuthSANEmail,
	} {
		if value != "" {
			names["tls_client_auth_"+member] = value
		}
	}
	return names
}

// CheckCertificateName says what is wrong with a name of CertificateNames.
func CheckCertificateName(member, value string) error {
	_, err := certificateName(member, value)
	return err
}

func certificateName(member, value string) (certificate.Name, error) {
	const prefix = len("tls_client_auth_")
	return certificate.ParseName(member[min(prefix, len(member)):], value)
}

// CheckCertificateSet says what is wrong with the jwks of a client that shows a
// certificate of its own making, and how many it has.
func CheckCertificateSet(jwks []byte) (int, error) {
	set, err := certificate.ParseSet(jwks)
	return set.Len(), err
}

// issuedCertificate is a client whose certificate an authority vouches for. RFC 8705 §2.1
type issuedCertificate struct{ engine *Engine }

func (i issuedCertificate) authenticate(_ context.Context, c *storage.Client, by Credentials) error {
	own, refusal := shownCertificate(c, by)
	if refusal != nil {
		return refusal
	}
	pool := x509.NewCertPool()
	for _, between := range by.Certificates[1:] {
		pool.AddCert(between)
	}
	if _, err := own.Verify(x509.VerifyOptions{
		Roots: i.engine.config.Certificates.Roots, Intermediates: pool, CurrentTime: i.engine.store.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return unproven("certificate_untrusted").setting("MutualTLS.Roots").
			detail("the certificate is of %s, issued by %s", quote(own.Subject.String()), quote(own.Issuer.String())).cause(err)
	}
	names := CertificateNames(c)
	if len(names) != 1 { // a registration that was checked has one
		return unproven("certificate_name").detail("the client has %d names to compare with", len(names))
	}
	for member, value := range names {
		name, err := certificateName(member, value)
		if err != nil || !name.Of(own) {
			return unproven("certificate_name").detail("%s is %s; the certificate is of %s, serial %s", member, quote(value), quote(own.Subject.String()), own.SerialNumber).setting(member)
		}
	}
	return nil
}

// ownCertificate is a client that made its certificate itself and registered it.
// RFC 8705 §2.2
type ownCertificate struct{ engine *Engine }

func (o ownCertificate) authenticate(ctx context.Context, c *storage.Client, by Credentials) error {
	own, refusal := shownCertificate(c, by)
	if refusal != nil {
		return refusal
	}
	if now := o.engine.store.Now(); now.Before(own.NotBefore) || now.After(own.NotAfter) {
		return unproven("certificate_expired").detail("it is valid from %s to %s", own.NotBefore, own.NotAfter)
	}
	set, err := o.certificates(ctx, c, false)
	if err == nil && !set.Has(own) && c.JWKSURI != "" {
		set, err = o.certificates(ctx, c, true)
	}
	switch {
	case err != nil:
		return err
	case !set.Has(own):
		return unproven("certificate_unknown").detail("its SHA-256 is %s, of %d registered ones none", certificate.Thumbprint(own), set.Len()).setting("jwks")
	}
	return nil
}

type certificatesOf struct {
	uri   string
	again bool
}

// certificates returns those that the client has registered. What went wrong with a
// fetch is for the log alone.
func (o ownCertificate) certificates(ctx context.Context, c *storage.Client, again bool) (certificate.Set, error) {
	if c.JWKSURI == "" {
		set, err := certificate.ParseSet(c.JWKS)
		if err != nil {
			return set, unproven("assertion_keys_unusable").cause(err).setting("jwks")
		}
		return set, nil
	}
	set, err := storage.Memo(ctx, o.engine.store, certificatesOf{c.JWKSURI, again}, func() (certificate.Set, error) {
		if again {
			return o.engine.certificates.Refresh(ctx, c.JWKSURI)
		}
		return o.engine.certificates.Get(ctx, c.JWKSURI)
	})
	switch {
	case err == nil:
		return set, nil
	case ctx.Err() != nil:
		return set, ctx.Err()
	}
	return set, unproven("assertion_keys_unusable").detail("%s", outbound.Detail(err)).setting("jwks_uri")
}

// shownCertificate returns the certificate of a client that has shown one and nothing
// else.
func shownCertificate(c *storage.Client, by Credentials) (*x509.Certificate, *Error) {
	switch {
	case c == nil:
		return nil, unproven("client_unknown")
	case by.Secret != "":
		return nil, unproven("client_secret_unexpected")
	case len(by.Certificates) == 0:
		return nil, unproven("certificate_missing").detail("%s; %s", registration(c), came(""))
	}
	return by.Certificates[0], nil
}

// clientCertificates is the cache of the certificates behind the jwks_uri of clients.
func clientCertificates(c *outbound.Client, s *storage.Store) *outbound.Cache[certificate.Set] {
	return outbound.NewCache(c, keySetCache(s), certificate.ParseSet)
}

// byCertificate has a client that names itself alone be judged by its certificate, when
// it is registered for that: the request does not say it.
func (e *Engine) byCertificate(c *storage.Client, by *Credentials) {
	if c != nil && by.Method == storage.AuthMethodNone && c.TakesCertificate() {
		by.Method = c.TokenEndpointAuthMethod
	}
}

// thumbprintOf is that of a certificate that a request came with, "" without one.
func thumbprintOf(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return ""
	}
	return certificate.Thumbprint(chain[0])
}
