package certificate

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Kinds of names that a client may be registered by. RFC 8705 §2.1.2
const (
	SubjectDN = "subject_dn"
	DNS       = "san_dns"
	URI       = "san_uri"
	IP        = "san_ip"
	Email     = "san_email"
)

// Name is what a certificate must say of its owner.
type Name struct {
	kind, value string
	dn          []string // of SubjectDN: its parts, each in one form
	ip          netip.Addr
}

// ParseName reads a name of a kind. The error is ErrForm.
func ParseName(kind, value string) (Name, error) {
	n := Name{kind: kind, value: value}
	var err error
	switch kind {
	case SubjectDN:
		n.dn, err = parseDN(value)
	case IP:
		if n.ip, err = netip.ParseAddr(value); err != nil || n.ip.Zone() != "" {
			err = fmt.Errorf("%w: it is not an IP address", ErrForm)
		}
	case DNS, Email:
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.Contains(value, "*") {
			err = fmt.Errorf("%w: it is not a single name in ASCII", ErrForm)
		}
	case URI:
		if !strings.Contains(value, ":") || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			err = fmt.Errorf("%w: it is not an absolute URI", ErrForm)
		}
	default:
		err = fmt.Errorf("%w: there is no kind %.40q", ErrForm, kind)
	}
	return n, err
}

// Of says whether a certificate has the name. It must have been verified before: a name
// is worth what its issuer's word is. RFC 8705 §2.1.2
func (n Name) Of(c *x509.Certificate) bool {
	switch n.kind {
	case SubjectDN:
		dn, err := subjectOf(c)
		return err == nil && len(n.dn) > 0 && slices.Equal(dn, n.dn)
	case DNS:
		return slices.ContainsFunc(c.DNSNames, func(s string) bool { return strings.EqualFold(s, n.value) })
	case Email:
		return slices.Contains(c.EmailAddresses, n.value)
	case URI:
		for _, u := range c.URIs {
			if u.String() == n.value {
				return true
			}
		}
	case IP:
		for _, raw := range c.IPAddresses {
			if ip, ok := netip.AddrFromSlice(raw); ok && ip.Unmap() == n.ip.Unmap() {
				return true
			}
		}
	}
	return false
}

// attributeNames are the short names of RFC 4514 §3, and those that tools print.
var attributeNames = map[string]string{
	"CN": "2.5.4.3", "SN": "2.5.4.4", "SURNAME": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8",
	"STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "POSTALCODE": "2.5.4.17", "GN": "2.5.4.42", "GIVENNAME": "2.5.4.42",
	"ORGANIZATIONIDENTIFIER": "2.5.4.97", "DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1",
	"EMAILADDRESS": "1.2.840.113549.1.9.1", "E": "1.2.840.113549.1.9.1",
}

// subjectOf returns the parts of the subject, the last of the certificate first, as
// RFC 4514 §2.1 writes them.
func subjectOf(c *x509.Certificate) ([]string, error) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &sequence); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: its subject", ErrForm)
	}
	var parts []string
	for _, set := range slices.Backward(sequence) {
		var one []string
		for _, a := range set {
			value, ok := a.Value.(string)
			if !ok {
				return nil, fmt.Errorf("%w: the subject has something that is no text", ErrForm)
			}
			one = append(one, a.Type.String()+"="+value)
		}
		parts = append(parts, together(one))
	}
	return parts, nil
}

// together makes one part of its attributes, whose order means nothing. A value could
// hold any character, so they are joined by one that says how long each is.
func together(attributes []string) string {
	slices.Sort(attributes)
	var b strings.Builder
	for _, a := range attributes {
		fmt.Fprintf(&b, "%d:%s", len(a), a)
	}
	return b.String()
}

// parseDN reads the string form of a distinguished name. RFC 4514 §3
func parseDN(s string) ([]string, error) {
	wrong := func(why string) ([]string, error) {
		return nil, fmt.Errorf("%w: %s; write it as in CN=client.example.com,O=Example", ErrForm, why)
	}
	if s == "" || len(s) > 1024 {
		return wrong("it has not 1 to 1024 bytes")
	}
	var parts, one []string
	for {
		name, rest, found := strings.Cut(s, "=")
		name = strings.TrimSpace(name)
		oid, known := attributeNames[strings.ToUpper(name)]
		switch {
		case !found:
			return wrong("a part has no =")
		case !known && !dotted(name):
			return wrong(fmt.Sprintf("%.40q is no attribute that is known; its number will do", name))
		case !known:
			oid = name
		}
		value, after, end, err := attributeValue(rest)
		if err != nil {
			return wrong(err.Error())
		}
		one = append(one, oid+"="+value)
		if end != '+' {
			parts, one = append(parts, together(one)), nil
		}
		if end == 0 {
			return parts, nil
		}
		s = after
	}
}

func dotted(s string) bool {
	return strings.Contains(s, ".") && strings.Trim(s, "0123456789.") == "" && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".")
}

// attributeValue reads to the comma or plus that ends a value, 0 at the end of all.
func attributeValue(s string) (value, rest string, end byte, err error) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, "#") {
		return "", "", 0, fmt.Errorf("a value in hexadecimal is not read")
	}
	var b bytes.Buffer
	kept := 0 // the length without spaces that nobody escaped
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ',', '+':
			return string(b.Bytes()[:kept]), s[i+1:], c, checkValue(kept)
		case '"', ';', '<', '>', 0:
			return "", "", 0, fmt.Errorf("%q must be written with a backslash before it", c)
		case '\\':
			i++
			switch {
			case i < len(s) && strings.IndexByte(`"+,;<>\ #=`, s[i]) >= 0:
				b.WriteByte(s[i])
			case i+1 < len(s):
				raw, err := hex.DecodeString(s[i : i+2])
				if err != nil {
					return "", "", 0, fmt.Errorf("a backslash stands before something else than two hex digits")
				}
				b.Write(raw)
				i++
			default:
				return "", "", 0, fmt.Errorf("it ends in a backslash")
			}
			kept = b.Len()
		default:
			b.WriteByte(c)
			if c != ' ' {
				kept = b.Len()
			}
		}
	}
	return string(b.Bytes()[:kept]), "", 0, checkValue(kept)
}

func checkValue(length int) error {
	if length == 0 {
		return fmt.Errorf("a part has no value")
	}
	return nil
}
