// Package dpop reads DPoP proofs, by which a client shows with each request that it
// holds the key that its tokens are bound to.
//
// A proof is judged by itself: that its key made it, for this request and this token,
// a moment ago. That it comes once, and that its key is the right one, is for whoever
// asked: a Proof has the thumbprint and the jti. The package keeps no state but in a
// Seen, and knows neither clients nor grants.
//
// RFC 9449
package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/jws"
)

const (
	// Header is where a proof stands, NonceHeader where the server gives a nonce.
	Header      = "DPoP"
	NonceHeader = "DPoP-Nonce"

	// Scheme is that of the Authorization header, and the token_type. RFC 9449 §5, §7.1
	Scheme = "DPoP"

	// MaxAge is how old a proof may be, and Leeway how far in the future it may seem
	// to be made: the clocks of phones and of people's computers differ.
	MaxAge = 5 * time.Minute
	Leeway = time.Minute

	typeProof = "dpop+jwt"
	maxJTI    = 128 // bytes
	maxNonce  = 128 // bytes
)

// Algorithms are those that proofs may be signed by. RFC 9449 §5.1
func Algorithms() []string { return jws.Verifiable() }

// Request is what a proof must be made for.
type Request struct {
	Proofs []string // the DPoP headers as they came
	Method string   // of the request
	URLs   []string // the configured URLs of the endpoint, any of which will do
	Token  string   // the access token that comes with it, "" for none
}

// Proof is a proof that was found good.
type Proof struct {
	Thumbprint string // of its key: the jkt of RFC 9449 §6
	Algorithm  string // one of Algorithms
	JTI        string // 1 to 128 bytes
	Nonce      string // as it came, "" for none; not judged
	IssuedAt   time.Time
}

// Ends is when the proof is too old to be used again, so it need not be remembered.
func (p *Proof) Ends() time.Time { return p.IssuedAt.Add(MaxAge + time.Second) }

// Defect is why a proof is refused.
type Defect struct {
	Reason string // stable, as dpop_url
	Text   string // for the client
	Detail string // for the log: what came. It may hold what the client sent
}

// Error returns the reason and the text.
func (d *Defect) Error() string {
	s := "dpop: " + d.Reason + ": " + d.Text
	if d.Detail != "" {
		s += ": " + d.Detail
	}
	return s
}

func defect(reason, text string) *Defect { return &Defect{Reason: reason, Text: text} }

func (d *Defect) with(format string, args ...any) *Defect {
	d.Detail = fmt.Sprintf(format, args...)
	return d
}

// Read returns the proof of a request, and nil when there is none. RFC 9449 §4.3
func Read(r Request, now time.Time) (*Proof, *Defect) {
	switch len(r.Proofs) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, defect("dpop_repeated", "The DPoP header was sent more than once.")
	}
	h, payload, thumbprint, err := jws.VerifyOwn(r.Proofs[0])
	switch {
	case errors.Is(err, jws.ErrSignature):
		return nil, defect("dpop_signature", "The signature of the DPoP proof is wrong.")
	case errors.Is(err, jws.ErrAlgorithm):
		return nil, defect("dpop_algorithm", "The DPoP proof must be signed by one of "+strings.Join(Algorithms(), ", ")+".").with("%v", err)
	case errors.Is(err, jws.ErrKey):
		return nil, defect("dpop_key", "The jwk of the DPoP proof must be a public key that fits its alg: RSA of 2048 bits or more, P-256 or Ed25519.").with("%v", err)
	case err != nil:
		return nil, defect("dpop_malformed", "The DPoP header is not a compact JWT with a jwk that is accepted here.").with("%v", err)
	case h.Type != typeProof:
		// Anything else that the key has signed must not pass. RFC 8725 §3.11
		return nil, defect("dpop_type", "The typ of the DPoP proof must be "+typeProof+".").with("it is %.80q", h.Type)
	}
	claims, err := jws.Members(payload)
	if err != nil {
		return nil, defect("dpop_malformed", "The DPoP header is not a compact JWT with a jwk that is accepted here.").with("%v", err)
	}
	return r.judge(claims, &Proof{Thumbprint: thumbprint, Algorithm: h.Algorithm}, now)
}

func (r Request) judge(claims map[string]json.RawMessage, p *Proof, now time.Time) (*Proof, *Defect) {
	var ok bool
	if p.JTI, ok = text(claims, "jti"); !ok || p.JTI == "" || len(p.JTI) > maxJTI {
		return nil, defect("dpop_jti", "The DPoP proof needs a jti, a string of 1 to 128 bytes.")
	}
	if method, ok := text(claims, "htm"); !ok || method != r.Method {
		return nil, defect("dpop_method", "The htm of the DPoP proof must be the method of the request, "+printable(r.Method)+".").with("it is %.40q", method)
	}
	address, _ := text(claims, "htu")
	if !r.at(address) {
		return nil, defect("dpop_url", "The htu of the DPoP proof must be the URL of the request as it is configured: "+printable(strings.Join(r.URLs, " or "))+".").
			with("it is %.200q", address)
	}
	if d := p.judgeTime(claims["iat"], now); d != nil {
		return nil, d
	}
	if claims["nonce"] != nil {
		if p.Nonce, ok = text(claims, "nonce"); !ok || p.Nonce == "" || len(p.Nonce) > maxNonce {
			return nil, defect("dpop_nonce", "The nonce of the DPoP proof is not one of this server.")
		}
	}
	if r.Token == "" {
		return p, nil
	}
	sum := sha256.Sum256([]byte(r.Token))
	ath, _ := text(claims, "ath")
	if subtle.ConstantTimeCompare([]byte(ath), []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) != 1 {
		return nil, defect("dpop_token", "The ath of the DPoP proof must be the SHA-256 of the access token in base64url.")
	}
	return p, nil
}

func (r Request) at(address string) bool {
	came, ok := normal(address)
	if !ok {
		return false
	}
	for _, u := range r.URLs {
		if here, ok := normal(u); ok && here == came {
			return true
		}
	}
	return false
}

func (p *Proof) judgeTime(raw json.RawMessage, now time.Time) *Defect {
	var at float64
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') || json.Unmarshal(raw, &at) != nil || at < 0 || at > 1<<40 {
		return defect("dpop_time", "The DPoP proof needs an iat, in seconds since 1970.")
	}
	whole, part := math.Modf(at)
	p.IssuedAt = time.Unix(int64(whole), int64(part*1e9)).UTC()
	switch {
	case p.IssuedAt.Before(now.Add(-MaxAge)):
		return defect("dpop_time", "The DPoP proof is older than 5 minutes: make one for each request, and compare the clocks.").
			with("iat %s; here it is %s", p.IssuedAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case p.IssuedAt.After(now.Add(Leeway)):
		return defect("dpop_time", "The iat of the DPoP proof is in the future; compare the clocks.").
			with("iat %s; here it is %s", p.IssuedAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// text returns a claim that is a string.
func text(claims map[string]json.RawMessage, name string) (s string, ok bool) {
	raw := claims[name]
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// printable keeps what stands in a description to one line of ASCII: a method is the
// sender's own word.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s[:min(len(s), 200)])
}
