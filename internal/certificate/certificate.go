// Package certificate reads what clients present as TLS certificates: from the header
// of a proxy, as the name that one is registered by, and as the thumbprint that binds a
// token. It verifies no chain and decides nothing.
//
// RFC 8705, RFC 9440, RFC 4514
package certificate

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	maxHeader = 16 << 10 // bytes of all certificates in a header
	maxChain  = 8        // certificates beside the client's own
	maxSet    = 32       // keys of a set
)

// ErrForm means that a header, a name or a key set can't be read. Its texts say more.
var ErrForm = errors.New("certificate: not readable")

// Thumbprint returns the SHA-256 of a certificate in base64url: the x5t#S256 of
// RFC 8705 §3.1.
func Thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// FromStructured reads the headers Client-Cert and Client-Cert-Chain, as a proxy in
// front makes them: the client's own certificate first. RFC 9440 §2.2, §2.3
func FromStructured(cert string, chain []string) ([]*x509.Certificate, error) {
	own, err := structured(cert)
	if err != nil {
		return nil, err
	}
	list := []*x509.Certificate{own}
	joined := strings.Join(chain, ",")
	if strings.TrimSpace(joined) == "" {
		return list, nil
	}
	if len(joined) > maxHeader || strings.Count(joined, ",") >= maxChain {
		return nil, fmt.Errorf("%w: the chain is too long", ErrForm)
	}
	for part := range strings.SplitSeq(joined, ",") {
		c, err := structured(part)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// structured reads a byte sequence of structured fields, :base64:. RFC 8941 §3.3.5
func structured(s string) (*x509.Certificate, error) {
	s = strings.Trim(s, " \t")
	if len(s) < 2 || len(s) > maxHeader || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, fmt.Errorf("%w: it is not a byte sequence, base64 between colons", ErrForm)
	}
	der, err := base64.StdEncoding.DecodeString(s[1 : len(s)-1])
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64", ErrForm)
	}
	return parse(der)
}

// FromEscapedPEM reads a certificate as PEM with percent escapes, which is how nginx
// passes it ($ssl_client_escaped_cert).
func FromEscapedPEM(s string) ([]*x509.Certificate, error) {
	if len(s) > maxHeader {
		return nil, fmt.Errorf("%w: it is too long", ErrForm)
	}
	text, err := url.PathUnescape(s) // a plus is a character of base64
	if err != nil {
		return nil, fmt.Errorf("%w: it is not percent-encoded", ErrForm)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: it is not one PEM certificate", ErrForm)
	}
	c, err := parse(block.Bytes)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{c}, nil
}

func parse(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a certificate", ErrForm)
	}
	return c, nil
}

// Set holds the certificates of a JWK Set: of each key the first of its x5c. The zero
// value has none. RFC 7517 §4.7, RFC 8705 §2.2.2
type Set struct{ thumbprints map[string]bool }

// ParseSet reads a JWK Set. Keys without x5c are passed over; one that can't be read is
// an error of the whole.
func ParseSet(raw []byte) (Set, error) {
	var doc struct {
		Keys []struct {
			X5C []string `json:"x5c"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil || doc.Keys == nil {
		return Set{}, fmt.Errorf("%w: it is not a JWK Set", ErrForm)
	}
	if len(doc.Keys) > maxSet {
		return Set{}, fmt.Errorf("%w: it has %d keys, at most %d are read", ErrForm, len(doc.Keys), maxSet)
	}
	s := Set{thumbprints: map[string]bool{}}
	for i, key := range doc.Keys {
		if len(key.X5C) == 0 {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(key.X5C[0])
		if err != nil {
			return Set{}, fmt.Errorf("%w: the x5c of key %d is not base64 (with padding, not base64url)", ErrForm, i+1)
		}
		c, err := parse(der)
		if err != nil {
			return Set{}, fmt.Errorf("%w: the x5c of key %d is not a certificate", ErrForm, i+1)
		}
		s.thumbprints[Thumbprint(c)] = true
	}
	return s, nil
}

// Len returns how many certificates the set has.
func (s Set) Len() int { return len(s.thumbprints) }

// Has says whether the set has this certificate, byte for byte.
func (s Set) Has(c *x509.Certificate) bool { return s.thumbprints[Thumbprint(c)] }
