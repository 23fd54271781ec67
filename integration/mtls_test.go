package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// authority issues certificates of clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	made := a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a certificate, one that signs itself while there is no authority yet.
func (a *authority) issue(t testing.TB, template *x509.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = serial, time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	parent, signer := template, key
	if a != nil && a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func clientTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// secured is a provider that is reached over TLS, and asks for certificates.
type secured struct {
	*world
	listener  *httptest.Server
	authority *authority
	billing   *tls.Certificate // of the client billing, by the authority
	own       *tls.Certificate // of the client own-cert, by itself
}

func startSecured(t testing.TB, change func(*server.Config)) *secured {
	t.Helper()
	s := &secured{authority: newAuthority(t)}
	s.billing = s.authority.issue(t, clientTemplate("billing.test"))
	s.own = (*authority)(nil).issue(t, clientTemplate("own.test"))
	var handler http.Handler
	s.listener = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	s.listener.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.listener.StartTLS()
	t.Cleanup(s.listener.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.authority.cert)
	jwks, err := json.Marshal(map[string]any{"keys": []any{map[string]any{"kty": "EC", "x5c": []string{base64.StdEncoding.EncodeToString(s.own.Certificate[0])}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.world = start(t, plan{issuer: s.listener.URL, configure: func(c *server.Config) {
		c.MutualTLS = server.MutualTLS{Accept: true, Roots: roots, Alias: "https://mtls.test"}
		c.DeviceGrant = true
		grants := []string{"client_credentials", "authorization_code", "refresh_token", storage.GrantDeviceCode}
		all := storage.Client{Scope: "openid notes:read", DefaultScope: "notes:read", GrantTypes: grants, RedirectURIs: []string{"https://billing.test/cb"}}
		issued, self, public := all, all, all
		issued.ID, issued.TokenEndpointAuthMethod, issued.TLSClientAuthSubjectDN = "billing", storage.AuthMethodTLS, "CN=billing.test,O=Example"
		issued.TLSClientCertificateBoundAccessTokens = true
		self.ID, self.TokenEndpointAuthMethod, self.JWKS = "own-cert", storage.AuthMethodSelfSigned, jwks
		public.ID, public.TokenEndpointAuthMethod, public.TLSClientCertificateBoundAccessTokens = "native", storage.AuthMethodNone, true
		public.GrantTypes = []string{"authorization_code", "refresh_token"}
		public.AccessTokenFormat = storage.AccessTokenJWT
		c.Clients = append(c.Clients, issued, self, public)
		if change != nil {
			change(c)
		}
	}})
	handler = s.handler
	return s
}

// by is a client of the provider that shows a certificate, or none.
func (s *secured) by(cert *tls.Certificate) *http.Client {
	config := s.listener.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
}

// post sends a form with a certificate and these headers.
func (s *secured) post(t testing.TB, place string, cert *tls.Certificate, header http.Header, fields url.Values) *reply {
	t.Helper()
	sent := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	maps.Copy(sent, header)
	return answered(t)(send(s.by(cert), http.MethodPost, s.endpoint(place), sent, fields.Encode()))
}

func (s *secured) token(t testing.TB, client string, cert *tls.Certificate) *reply {
	t.Helper()
	return s.post(t, "token", cert, nil, url.Values{"grant_type": {"client_credentials"}, "client_id": {client}})
}

// TestCertificates: a client is known by the certificate that it is registered by, at
// every endpoint, and by no other. RFC 8705 §2, RFC 8705 §2.1, §2.1.2, §2.2
func TestCertificates(t *testing.T) {
	s := startSecured(t, nil)
	expect(t, "an issued one", s.token(t, "billing", s.billing), http.StatusOK)
	expect(t, "one of its own", s.token(t, "own-cert", s.own), http.StatusOK)
	old := clientTemplate("billing.test")
	old.NotAfter = time.Now().Add(-time.Minute)
	forServers := clientTemplate("billing.test")
	forServers.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for what, c := range map[string]struct {
		client string
		cert   *tls.Certificate
		reason string
	}{
		"none":                         {"billing", nil, "certificate_missing"},
		"of another client":            {"billing", s.own, "certificate_untrusted"},
		"of another name":              {"billing", s.authority.issue(t, clientTemplate("other.test")), "certificate_name"},
		"of another authority":         {"billing", newAuthority(t).issue(t, clientTemplate("billing.test")), "certificate_untrusted"},
		"that signs itself":            {"billing", (*authority)(nil).issue(t, clientTemplate("billing.test")), "certificate_untrusted"},
		"that has expired":             {"billing", s.authority.issue(t, old), "certificate_untrusted"},
		"of a server":                  {"billing", s.authority.issue(t, forServers), "certificate_untrusted"},
		"of its own: none":             {"own-cert", nil, "certificate_missing"},
		"of its own: not registered":   {"own-cert", s.billing, "certificate_unknown"},
		"of its own: the same name":    {"own-cert", (*authority)(nil).issue(t, clientTemplate("own.test")), "certificate_unknown"},
		"a client that takes none":     {"machine", s.billing, "client_secret_missing"},
		"a client that does not exist": {"nobody", s.billing, "client_unknown"},
	} {
		s.journal.turn()
		expect(t, what, s.token(t, c.client, c.cert), http.StatusUnauthorized, "invalid_client", "errors#invalid_client")
		if reasons := s.journal.reasons(); len(reasons) != 1 || reasons[0] != c.reason {
			t.Errorf("%s: the log says %v, want %s", what, reasons, c.reason)
		}
	}
	expect(t, "a certificate and a secret", s.post(t, "token", s.billing, nil,
		url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}, "client_secret": {"x"}}), http.StatusUnauthorized, "invalid_client")
	for place, fields := range map[string]url.Values{
		"revoke": {"token": {"x"}}, "introspect": {"token": {"x"}}, "device_authorization": {}, "par": {
			"response_type": {"code"}, "redirect_uri": {"https://billing.test/cb"}, "code_challenge_method": {"S256"},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
		}} {
		fields.Set("client_id", "billing")
		if r := s.post(t, place, s.billing, nil, fields); r.status != http.StatusOK && r.status != http.StatusCreated {
			t.Errorf("%s: %s", place, r)
		}
		expect(t, place+" without", s.post(t, place, nil, nil, fields), http.StatusUnauthorized, "invalid_client")
	}
}

// TestCertificateBoundTokens: a token works with the certificate by which it was got.
// RFC 8705 §3, §4, RFC 8705 §3.2, §3.4
func TestCertificateBoundTokens(t *testing.T) {
	s := startSecured(t, nil)
	other := (*authority)(nil).issue(t, clientTemplate("device.test"))
	show := func(token string, cert *tls.Certificate) *reply {
		return answered(t)(send(s.by(cert), http.MethodGet, s.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + token}}, ""))
	}
	s.transport = s.by(nil).Transport
	code, verifier, err := s.code(s.person(), "native", "alice", url.Values{"scope": {"openid"}})
	if err != nil {
		t.Fatal(err)
	}
	fields := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"native"}, "code": {code}, "redirect_uri": {s.redirectURI("native")}, "code_verifier": {verifier},
	}
	expect(t, "no certificate", s.post(t, "token", nil, nil, fields), http.StatusBadRequest, "certificate_required")
	tokens := s.post(t, "token", s.own, nil, fields)
	expect(t, "any certificate of a public client", tokens, http.StatusOK, `"Bearer"`)
	access := tokens.text("access_token")
	expect(t, "its certificate", show(access, s.own), http.StatusOK, "alice")
	for what, cert := range map[string]*tls.Certificate{"no": nil, "another": other} {
		r := show(access, cert)
		expect(t, what+" certificate", r, http.StatusUnauthorized, "invalid_token", "certificate_other")
		if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("the challenge is %q", r.header.Get("WWW-Authenticate"))
		}
	}
	again := refreshing(tokens)
	again.Set("client_id", "native")
	expect(t, "a refresh with another", s.post(t, "token", other, nil, again), http.StatusBadRequest, "invalid_grant", "certificate_other")
	next := s.post(t, "token", s.own, nil, again)
	expect(t, "a refresh with its own", next, http.StatusOK)
	if next.text("refresh_token") != tokens.text("refresh_token") {
		t.Error("a refresh token that is bound to a certificate was rotated")
	}
	machine := s.token(t, "billing", s.billing)
	told := s.post(t, "introspect", s.billing, nil, url.Values{"client_id": {"billing"}, "token": {machine.text("access_token")}})
	if cnf, ok := told.field("cnf"); !ok || cnf.(map[string]any)["x5t#S256"] == "" || cnf.(map[string]any)["x5t#S256"] == nil {
		t.Errorf("introspection: %s", told)
	}
	expect(t, "a client that does not bind", s.token(t, "own-cert", s.own), http.StatusOK)
}

// TestCertificateHeaders: a certificate in a header is believed of a listed proxy alone,
// and there it counts instead of the connection's. RFC 8705 §6.5, RFC 9440
func TestCertificateHeaders(t *testing.T) {
	escaped := func(c *tls.Certificate) string {
		return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
	}
	structured := func(c *tls.Certificate) string {
		return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
	}
	for name, c := range map[string]struct {
		header string
		format server.CertificateFormat
		write  func(*tls.Certificate) string
	}{
		"RFC 9440": {"Client-Cert", "", structured},
		"nginx":    {"X-Client-Cert", server.CertificatePEM, escaped},
	} {
		t.Run(name, func(t *testing.T) {
			for _, listed := range []bool{true, false} {
				s := startSecured(t, func(config *server.Config) {
					config.MutualTLS.Header, config.MutualTLS.Format = c.header, c.format
					config.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
					if listed {
						config.Proxies = append(config.Proxies, netip.MustParsePrefix("127.0.0.0/8"))
					}
				})
				fields := url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}}
				passed := http.Header{c.header: {c.write(s.billing)}}
				want := http.StatusUnauthorized
				if listed {
					want = http.StatusOK
				}
				for range 2 {
					expect(t, "the header", s.post(t, "token", nil, passed, fields), want)
				}
				if warned := strings.Count(string(s.journal.all()), "a client certificate in a header was ignored"); (warned == 1) == listed {
					t.Errorf("listed %v: warned %d times", listed, warned)
				}
				if !listed {
					expect(t, "the connection's", s.post(t, "token", s.billing, http.Header{c.header: {"x"}}, fields), http.StatusOK)
					continue
				}
				expect(t, "the proxy's own certificate", s.post(t, "token", s.billing, nil, fields), http.StatusUnauthorized)
				expect(t, "garbage", s.post(t, "token", nil, http.Header{c.header: {"x"}}, fields), http.StatusBadRequest, "certificate_malformed")
				expect(t, "two headers", s.post(t, "token", nil, http.Header{c.header: {c.write(s.billing), c.write(s.billing)}}, fields), http.StatusBadRequest, "certificate_malformed")
			}
		})
	}
}

// TestCertificatesInTheMetadata: they tell of certificates exactly when they are looked at.
// RFC 8705 §5
func TestCertificatesInTheMetadata(t *testing.T) {
	s := startSecured(t, nil)
	r := answered(t)(send(s.by(nil), http.MethodGet, s.endpoint("/.well-known/openid-configuration"), nil, ""))
	expect(t, "with", r, http.StatusOK, `"tls_client_certificate_bound_access_tokens":true`, `"tls_client_auth"`, `"self_signed_tls_client_auth"`,
		`"token_endpoint":"https://mtls.test/oauth/token"`)
	w := start(t, plan{})
	off := answered(t)(send(&http.Client{Transport: w.transport}, http.MethodGet, w.endpoint("/.well-known/openid-configuration"), nil, ""))
	expect(t, "without", off, http.StatusOK, `"tls_client_certificate_bound_access_tokens":false`)
	if strings.Contains(string(off.body), "tls_client_auth") || strings.Contains(string(off.body), "mtls_endpoint_aliases") {
		t.Errorf("%s", off)
	}
}
