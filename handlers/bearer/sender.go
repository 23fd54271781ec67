package bearer

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/dpop"
)

// errNoBaseURL is what an operator is told when a proof can't be judged.
var errNoBaseURL = errors.New("bearer: API.BaseURL: found none, and the resource is no URL; write the URL by which clients reach the API, for DPoP proofs name it")

const minNonceSecret = 32 // bytes

// errNonceSecret is what an operator is told when nonces could be guessed.
var errNonceSecret = errors.New("bearer: API.NonceSecret: found less than 32 bytes; write 32 random bytes or more")

// confirmation is what a token is bound to: the thumbprints of a key of DPoP proofs and
// of a certificate, each "" for none. What is bound in a way that is not known here can't
// be checked, so it is not ok. RFC 7800 §3.1
func (t *Token) confirmation() (jkt, x5t string, ok bool) {
	cnf, isObject := t.Claims["cnf"].(map[string]any)
	if t.Claims["cnf"] == nil {
		return "", "", true
	}
	jkt, _ = cnf["jkt"].(string)
	x5t, _ = cnf["x5t#S256"].(string)
	return jkt, x5t, isObject && (jkt != "" || x5t != "")
}

// possess refuses a token that came otherwise than it is bound. RFC 9449 §7, RFC 8705 §3
func (g *gate) possess(header http.Header, r *http.Request, scheme, credentials string, t *Token) *refusal {
	jkt, x5t, ok := t.confirmation()
	switch {
	case !ok:
		return invalid("The access token is bound in a way that is not known here.", nil)
	case x5t != "" && !same(thumbprint(g.certificate(r)), x5t):
		return invalid("The access token is bound to another TLS client certificate than the one that came, if any.", nil)
	case jkt == "" && scheme == dpop.Scheme:
		return unproven("invalid_token", "The access token is not bound to a key: send it with the scheme Bearer.", nil)
	case jkt == "":
		return nil
	case scheme != dpop.Scheme:
		return unproven("invalid_token", "The access token is bound to a key, and can't be used as a bearer token: send it with the scheme DPoP and a proof.", nil)
	}
	if g.nonces != nil && len(g.api.NonceSecret) < minNonceSecret {
		return broken(errNonceSecret)
	}
	base := g.base()
	if base == "" {
		return broken(errNoBaseURL)
	}
	now := g.now()
	p, defect := dpop.Read(dpop.Request{
		Proofs: r.Header.Values(dpop.Header), Method: r.Method, URLs: []string{base + r.URL.EscapedPath()}, Token: credentials,
	}, now)
	switch {
	case defect != nil:
		return unproven("invalid_dpop_proof", defect.Text, defect)
	case p == nil:
		return unproven("invalid_dpop_proof", "The request needs a DPoP proof: send one in the DPoP header.", nil)
	case !same(p.Thumbprint, jkt):
		return unproven("invalid_token", "The access token is bound to another key than that of the DPoP proof.", nil)
	case !g.fresh(header, p, now):
		return unproven("use_dpop_nonce", "The DPoP proof needs the nonce that comes with this answer, in the header DPoP-Nonce.", nil)
	case !g.seen.First(p, now):
		return unproven("invalid_dpop_proof", "The DPoP proof was used before: make a new one for each request.", nil)
	}
	return nil
}

// fresh says whether a proof has a nonce, where one is wanted, and gives a new one when
// it has none, or one that will end soon. RFC 9449 §9, §8.2
func (g *gate) fresh(header http.Header, p *dpop.Proof, now time.Time) bool {
	if g.nonces == nil {
		return true
	}
	good, current := g.nonces.Good(p.Nonce, now)
	if !current {
		header.Set(dpop.NonceHeader, g.nonces.At(now))
		header.Set("Cache-Control", "no-store") // a nonce kept is a nonce that ends. RFC 9449 §8.2
	}
	return good
}

// noncesOf are made from a secret, nil for none.
func noncesOf(secret []byte) *dpop.Nonces {
	if secret == nil {
		return nil
	}
	return &dpop.Nonces{MAC: func(data []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("doorward bearer dpop nonce\x00"))
		mac.Write(data)
		return mac.Sum(nil)
	}}
}

// unproven is a refusal whose challenge is that of tokens that are bound to a key.
func unproven(code, description string, cause error) *refusal {
	return &refusal{status: http.StatusUnauthorized, code: code, description: description, cause: cause, scheme: dpop.Scheme}
}

// base is what stands before the path of a request in the htu of its proof. The Host
// header is never asked: who relays a request of a client that trusts them chooses it.
func (g *gate) base() string {
	if g.api.BaseURL != "" {
		return strings.TrimSuffix(g.api.BaseURL, "/")
	}
	u, err := url.Parse(g.resource)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (g *gate) certificate(r *http.Request) *x509.Certificate {
	switch {
	case g.api.Certificate != nil:
		return g.api.Certificate(r)
	case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

func thumbprint(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
