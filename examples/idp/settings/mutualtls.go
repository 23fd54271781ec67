package settings

import (
	"crypto/x509"

	"github.com/doorward/doorward/server"
)

// takeMutualTLS reads the rules of client certificates, with the authorities of a file.
func (s *Settings) takeMutualTLS(f file, roots string, found *Problems) {
	m := f.MutualTLS
	s.MutualTLS = server.MutualTLS{Accept: m.Accept, Header: m.Header, Format: server.CertificateFormat(m.Format), Alias: m.Alias}
	if roots == "" {
		return
	}
	const name = "mutual_tls.roots"
	body, err := readBounded(roots)
	if err != nil {
		found.addError(s.at.line(name), name, err, "write the path of a PEM file that can be read")
		return
	}
	s.MutualTLS.Roots = x509.NewCertPool()
	if !s.MutualTLS.Roots.AppendCertsFromPEM(body) {
		found.add(s.at.line(name), name, quoted(roots)+", which holds no certificate", "write a file with the PEM certificates of the authorities")
	}
}
