package handlers

import (
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
	return engine.Sender{Proofs: r.Header.Values(dpop.Header), Method: r.Method, URLs: []string{h.config.Base + "/" + place}}
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
