package certificate_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/certificate"
)

func issue(t testing.TB, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now(), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	check(t, err)
	c, err := x509.ParseCertificate(der)
	check(t, err)
	return c
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// RFC 9440 §2.2, §2.3, RFC 8941 §3.3.5
func TestHeaders(t *testing.T) {
	c := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "one"}})
	b64 := base64.StdEncoding.EncodeToString(c.Raw)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	if list, err := certificate.FromStructured(":"+b64+":", nil); err != nil || len(list) != 1 || !list[0].Equal(c) {
		t.Errorf("structured: %v", err)
	}
	if list, err := certificate.FromStructured(" :"+b64+": ", []string{":" + b64 + ":", ":" + b64 + ": , :" + b64 + ":"}); err != nil || len(list) != 4 {
		t.Errorf("a chain: %d, %v", len(list), err)
	}
	if list, err := certificate.FromEscapedPEM(url.PathEscape(text)); err != nil || len(list) != 1 || !list[0].Equal(c) {
		t.Errorf("PEM: %v", err)
	}
	for _, wrong := range []string{"", ":", "::", b64, ":" + b64, ":" + b64[1:] + ":", ":AAAA:", ":" + b64 + ":, :" + b64 + ":", ":" + strings.Repeat("A", 20000) + ":"} {
		if _, err := certificate.FromStructured(wrong, nil); err == nil {
			t.Errorf("structured: %.20q was read", wrong)
		}
	}
	if _, err := certificate.FromStructured(":"+b64+":", []string{strings.Repeat(":AAAA:,", 9)}); err == nil {
		t.Error("a long chain was read")
	}
	for _, wrong := range []string{"", "%", "x", url.PathEscape(text + text), url.PathEscape(strings.ReplaceAll(text, "CERTIFICATE", "PRIVATE KEY")), strings.Repeat("A", 20000)} {
		if _, err := certificate.FromEscapedPEM(wrong); err == nil {
			t.Errorf("PEM: %.20q was read", wrong)
		}
	}
}

// RFC 7517 §4.7, RFC 8705 §2.2.2
func TestSets(t *testing.T) {
	c, other := issue(t, &x509.Certificate{}), issue(t, &x509.Certificate{})
	b64 := base64.StdEncoding.EncodeToString(c.Raw)
	s, err := certificate.ParseSet([]byte(`{"keys":[{"kty":"OKP"},{"x5c":["` + b64 + `","AAAA"]}]}`))
	check(t, err)
	if s.Len() != 1 || !s.Has(c) || s.Has(other) {
		t.Errorf("the set is %+v", s)
	}
	if (certificate.Set{}).Has(c) {
		t.Error("the empty set has one")
	}
	for _, wrong := range []string{"", "[]", "{}", `{"keys":[{"x5c":["!"]}]}`, `{"keys":[{"x5c":["AAAA"]}]}`, `{"keys":[` + strings.Repeat("{},", 32) + `{}]}`} {
		if _, err := certificate.ParseSet([]byte(wrong)); err == nil {
			t.Errorf("%.30q was read", wrong)
		}
	}
}

// RFC 4514 §2.1, §3, RFC 8705 §2.1.2
func TestNames(t *testing.T) {
	uri, err := url.Parse("spiffe://example.com/billing")
	check(t, err)
	c := issue(t, &x509.Certificate{
		Subject: pkix.Name{
			CommonName: "billing, the #1 client", Organization: []string{`Ex"ample`}, Country: []string{"DE"},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: "x"}},
		},
		DNSNames: []string{"billing.example.com"}, EmailAddresses: []string{"billing@example.com"}, URIs: []*url.URL{uri},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")},
	})
	for _, n := range []struct {
		kind, value string
		good, is    bool
	}{
		{certificate.SubjectDN, `1.2.3.4=x,CN=billing\, the #1 client,O=Ex\"ample,C=DE`, true, true},
		{certificate.SubjectDN, `1.2.3.4 = x , cn=billing\2C the \231 client, o=Ex\22ample, c=DE`, true, true},
		{certificate.SubjectDN, `CN=billing\, the #1 client,O=Ex\"ample,C=DE`, true, false}, // a part is missing
		{certificate.SubjectDN, `C=DE,O=Ex\"ample,CN=billing\, the #1 client,1.2.3.4=x`, true, false},
		{certificate.SubjectDN, `1.2.3.4=x+CN=billing\, the #1 client,O=Ex\"ample,C=DE`, true, false},
		{certificate.SubjectDN, `1.2.3.4=x,CN=Billing\, the #1 client,O=Ex\"ample,C=DE`, true, false},
		{certificate.SubjectDN, "", false, false},
		{certificate.SubjectDN, "billing", false, false},
		{certificate.SubjectDN, "XY=billing", false, false},
		{certificate.SubjectDN, "CN=", false, false},
		{certificate.SubjectDN, "CN=a,", false, false},
		{certificate.SubjectDN, `CN=a\`, false, false},
		{certificate.SubjectDN, `CN=a\zz`, false, false},
		{certificate.SubjectDN, `CN="a"`, false, false},
		{certificate.SubjectDN, "CN=#0403", false, false},
		{certificate.DNS, "billing.example.com", true, true},
		{certificate.DNS, "BILLING.example.com", true, true},
		{certificate.DNS, "example.com", true, false},
		{certificate.DNS, "*.example.com", false, false},
		{certificate.URI, "spiffe://example.com/billing", true, true},
		{certificate.URI, "spiffe://example.com/billing/", true, false},
		{certificate.URI, "billing", false, false},
		{certificate.IP, "192.0.2.1", true, true},
		{certificate.IP, "::ffff:192.0.2.1", true, true},
		{certificate.IP, "2001:DB8:0::1", true, true},
		{certificate.IP, "192.0.2.2", true, false},
		{certificate.IP, "billing", false, false},
		{certificate.Email, "billing@example.com", true, true},
		{certificate.Email, "other@example.com", true, false},
		{"san_other", "x", false, false},
	} {
		name, err := certificate.ParseName(n.kind, n.value)
		if (err == nil) != n.good {
			t.Errorf("%s %s: %v", n.kind, n.value, err)
		}
		if got := name.Of(c); err == nil && got != n.is {
			t.Errorf("%s %s: %v", n.kind, n.value, got)
		}
	}
	if (certificate.Name{}).Of(issue(t, &x509.Certificate{})) {
		t.Error("no name is that of a certificate without one")
	}
}

// FuzzHeaders: what a header holds is a certificate or an error.
func FuzzHeaders(f *testing.F) {
	f.Add(":AAAA:", "CN=a,O=b")
	f.Add("-----BEGIN%20CERTIFICATE-----%0A", `CN=a\2C\,+O=\\`)
	f.Fuzz(func(t *testing.T, header, name string) {
		if list, err := certificate.FromStructured(header, []string{header}); err == nil && len(list) < 1 {
			t.Fatal("neither a certificate nor an error")
		}
		if list, err := certificate.FromEscapedPEM(header); err == nil && len(list) != 1 {
			t.Fatal("neither a certificate nor an error")
		}
		_, _ = certificate.ParseName(certificate.SubjectDN, name)
	})
}
