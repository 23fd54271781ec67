package handlers

import (
	"crypto/x509"
	"net/http"
	"strings"

	"github.com/doorward/doorward/internal/dpop"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/quotable"
)

// sender is what a request to an endpoint shows of the key of who sent it. The URL is
// the issuer's: whoever relays a request to another server of the same client could
// choose the Host header. RFC 9449 §4.3
func (h *Handlers) sender(r *http.Request, place string) engine.Sender {
	urls := []string{h.config.Base + "/" + place}
	if alias := h.alias(urls[0]); alias != "" {
		urls = append(urls, alias)
	}
	return engine.Sender{Proofs: r.Header.Values(dpop.Header), Method: r.Method, URLs: urls}
}

// MutualTLS is what the endpoints know of TLS certificates of clients; the zero value is
// that none are looked at. RFC 8705
type MutualTLS struct {
	Methods []string // by which clients may prove who they are

	// Certificates returns what a request's client has shown, its own certificate first,
	// nil for none; the error is what a proxy said that can't be read.
	Certificates func(*http.Request) ([]*x509.Certificate, error)

	Alias string // another origin of the endpoints, "" for none
}

// on says whether certificates are looked at.
func (m MutualTLS) on() bool { return m.Certificates != nil }

func (h *Handlers) certificates(r *http.Request) ([]*x509.Certificate, *engine.Error) {
	if !h.config.MutualTLS.on() {
		return nil, nil
	}
	list, err := h.config.MutualTLS.Certificates(r)
	if err != nil {
		e := badRequest("certificate_malformed", "The TLS client certificate that a proxy passed on can not be read.")
		e.Cause, e.Setting = err, "MutualTLS.Format"
		return nil, e
	}
	return list, nil
}

// alias returns the URL under which clients with certificates reach an endpoint, "" for
// none. RFC 8705 §5
func (h *Handlers) alias(endpoint string) string {
	path, ok := strings.CutPrefix(endpoint, h.origin)
	if !ok || h.config.MutualTLS.Alias == "" {
		return ""
	}
	return h.config.MutualTLS.Alias + path
}

// giveNonce hands out the nonce that the next proof needs. RFC 9449 §8.2
func giveNonce(w http.ResponseWriter, nonce string) {
	if nonce != "" {
		w.Header().Set(dpop.NonceHeader, nonce)
	}
}

// proofChallenge is the WWW-Authenticate header of a token that is bound to a key.
// RFC 9449 §7.1
func proofChallenge(code, description string) string {
	var b strings.Builder
	b.WriteString(dpop.Scheme + " ")
	if code != "" {
		b.WriteString(`error="` + code + `", error_description="` + quotable.Text(description) + `", `)
	}
	b.WriteString(`algs="` + strings.Join(dpop.Algorithms(), " ") + `"`)
	return b.String()
}
