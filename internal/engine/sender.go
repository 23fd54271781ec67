package engine

import (
	"context"
	"crypto/hmac"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/doorward/doorward/internal/dpop"
	"github.com/doorward/doorward/internal/redact"
	"github.com/doorward/doorward/storage"
)

// DPoPRules say of whom proofs are asked. Single clients are held to more by
// storage.Client. RFC 9449
type DPoPRules struct {
	Required bool // of every client, for every token
	Nonces   bool // every proof needs a nonce of this server
}

// Sender is what a request shows of the key of whoever sent it.
type Sender struct {
	Proofs []string // the DPoP headers as they came
	Method string   // of the request
	URLs   []string // the configured URLs of the endpoint

	Certificates []*x509.Certificate // as Credentials.Certificates; looked at with an access token
}

// proof returns the DPoP proof of a request, nil when there is none. The token is the
// access token that came with it, if any. RFC 9449 §4.3
func (e *Engine) proof(from Sender, token string) (*dpop.Proof, *Error) {
	p, d := dpop.Read(dpop.Request{Proofs: from.Proofs, Method: from.Method, URLs: from.URLs, Token: token}, e.store.Now())
	if d != nil {
		return nil, refuse(codeInvalidProof, d.Reason, clean(d.Text, 500)).detail("%s", d.Detail)
	}
	if p != nil && !slices.Contains(e.config.Signatures, p.Algorithm) {
		return nil, refuse(codeInvalidProof, "dpop_algorithm", "The DPoP proof must be signed by one of "+strings.Join(e.config.Signatures, ", ")+".").
			detail("it is signed by %s", p.Algorithm)
	}
	return p, nil
}

// possession is what a request to the token endpoint has shown, kept in its context.
type possession struct {
	proof       *dpop.Proof // nil: none
	certificate string      // its SHA-256, "" for none
	nonce       string      // that the client is to use from now on, "" for no change

	bound storage.Confirmation // what the tokens of the request are bound to
}

type possessionKey struct{}

// shown returns what the request of ctx has shown.
func shown(ctx context.Context) *possession {
	if p, ok := ctx.Value(possessionKey{}).(*possession); ok {
		return p
	}
	return &possession{}
}

// jkt is the thumbprint of the proof's key, "" without one.
func (p *possession) jkt() string {
	if p.proof == nil {
		return ""
	}
	return p.proof.Thumbprint
}

// proofRef names the record of a proof, so that it is read together with others.
func (e *Engine) proofRef(p *dpop.Proof) storage.Ref {
	if p == nil {
		return e.proofs.Ref("")
	}
	return e.proofs.Ref(e.proofID(p))
}

func (e *Engine) proofID(p *dpop.Proof) string { return e.store.Lookup("proof", p.Thumbprint, p.JTI) }

// judgeSender judges what a request to the token endpoint has shown, and settles what
// its tokens are bound to.
func (e *Engine) judgeSender(ctx context.Context, c *storage.Client, has *possession) error {
	if err := e.judgeProof(ctx, c, has); err != nil {
		return err
	}
	has.bound.JKT = has.jkt()
	if c.TLSClientCertificateBoundAccessTokens {
		if has.certificate == "" {
			return refuse(codeInvalidRequest, "certificate_required", "The client gets tokens only with a TLS client certificate, and none came.").
				setting("tls_client_certificate_bound_access_tokens")
		}
		has.bound.X5T = has.certificate
	}
	return nil
}

// judgeProof judges the proof of a client that has authenticated, and notes it in the
// batch of the request: with whatever the request leads to, the proof is used up. A
// refused request leaves no trace, so that a device that polls costs no commit.
func (e *Engine) judgeProof(ctx context.Context, c *storage.Client, shown *possession) error {
	p := shown.proof
	if p == nil {
		return orNil(e.mustProve(c))
	}
	nonce, refusal := e.judgeNonce(c, p)
	if refusal != nil {
		return refusal
	}
	shown.nonce = nonce
	used := &mark{ID: e.proofID(p), EndAt: p.Ends().Add(clockLeeway)}
	switch _, err := e.proofs.Get(ctx, used.ID); {
	case err == nil:
		return errReplayed(p)
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	return e.proofs.Put(ctx, used)
}

// mustProve refuses a request without a proof where one is asked for. RFC 9449 §5.2
func (e *Engine) mustProve(c *storage.Client) *Error {
	if !c.DPoPBoundAccessTokens && !e.config.DPoP.Required {
		return nil
	}
	return refuse(codeInvalidProof, "dpop_missing", "The request needs a DPoP proof: send one in the DPoP header.").setting("dpop_bound_access_tokens")
}

func errReplayed(p *dpop.Proof) *Error {
	return refuse(codeInvalidProof, "dpop_replayed", "The DPoP proof was used before: make a new one for each request.").
		detail("jti %s", quote(redact.Identifier(p.JTI)))
}

// judgeNonce refuses a proof whose nonce is wrong, or that lacks one where one is
// asked for, and returns the nonce to change to when that of the proof ends soon. One
// that is sent must be right even where none is asked for. RFC 9449 §8, §8.2
func (e *Engine) judgeNonce(c *storage.Client, p *dpop.Proof) (next string, refusal *Error) {
	if p.Nonce == "" && !c.RequireDPoPNonce && !e.config.DPoP.Nonces {
		return "", nil
	}
	now := e.store.Now()
	good, current := e.nonces.Good(p.Nonce, now)
	switch {
	case !good:
		refusal = refuse(codeUseNonce, "dpop_nonce", "The DPoP proof needs the nonce of the DPoP-Nonce header of this answer.")
		refusal.Nonce = e.nonces.At(now)
		return "", refusal
	case !current:
		return e.nonces.At(now), nil
	}
	return "", nil
}

// sameSender refuses a request that does not show the key that something is bound to.
// what names it in the description.
func sameSender(ctx context.Context, bound storage.Confirmation, what string) *Error {
	has := shown(ctx)
	switch {
	case bound.JKT == "":
	case has.proof == nil:
		return refuse(codeInvalidProof, "dpop_missing", "The "+what+" is bound to a key: the request needs a DPoP proof.")
	case !hmac.Equal([]byte(has.jkt()), []byte(bound.JKT)):
		return refuse(codeInvalidGrant, "dpop_key_other", "The "+what+" is bound to another key than that of the DPoP proof.").
			detail("the proof is of %s", quote(has.jkt()))
	}
	if bound.X5T != "" && !hmac.Equal([]byte(has.certificate), []byte(bound.X5T)) {
		return refuse(codeInvalidGrant, "certificate_other", "The "+what+" is bound to another TLS client certificate than the one that came, if any.").
			detail("%s", came(has.certificate))
	}
	return nil
}

// came says for the log which certificate a request has shown.
func came(thumbprint string) string {
	if thumbprint == "" {
		return "no certificate came over TLS, nor in the header of a listed proxy"
	}
	return "the SHA-256 of the one that came is " + quote(thumbprint)
}

// bind binds what is issued to the key that the request has shown. The refresh
// tokens of a client that can't prove who it is are bound too, from the first one on:
// binding an older chain would let a thief of one lock its owner out unnoticed. Others
// are bound to the client's credentials, and their keys may change. RFC 9449 §5
func (i *issuance) bind(bound storage.Confirmation) {
	i.bound = bound
	if i.grant != nil && i.grant.Refresh != nil && i.grantType != storage.GrantRefreshToken && i.client.Public() {
		i.grant.Refresh.Bound = bound
	}
}

// CheckSender refuses an access token that came otherwise than it is bound: without
// its key, or with a proof for a token that is bound to none. scheme is that of the
// Authorization header. It returns the nonce to change to, "" for none. What came is
// remembered in this process alone, because reading must not write. RFC 9449 §7.1, §7.2
func (e *Engine) CheckSender(ctx context.Context, a *Access, token, scheme string, from Sender) (nonce string, refusal *Error) {
	refusal = failure(e.guarded(ctx, "sender", func() error {
		return e.store.Do(ctx, func(ctx context.Context) (err error) {
			nonce, err = e.checkSender(ctx, a, token, scheme, from)
			return err
		})
	}))
	if refusal != nil && refusal.Status < http.StatusInternalServerError {
		refusal.Status = http.StatusUnauthorized
		if a.Confirmation.JKT != "" || scheme == dpop.Scheme {
			refusal.Challenge = dpop.Scheme
		}
	}
	return nonce, refusal
}

func (e *Engine) checkSender(ctx context.Context, a *Access, token, scheme string, from Sender) (string, error) {
	if x5t := a.Confirmation.X5T; x5t != "" && !hmac.Equal([]byte(thumbprintOf(from.Certificates)), []byte(x5t)) { // RFC 8705 §3
		return "", refuse(codeInvalidToken, "certificate_other", "The access token is bound to another TLS client certificate than the one that came, if any.").
			detail("%s", came(thumbprintOf(from.Certificates)))
	}
	switch {
	case a.Confirmation.JKT == "" && scheme == dpop.Scheme:
		return "", refuse(codeInvalidToken, "token_unbound", "The access token is not bound to a key: send it with the scheme Bearer.")
	case a.Confirmation.JKT == "":
		return "", nil
	case scheme != dpop.Scheme:
		return "", refuse(codeInvalidToken, "token_bound", "The access token is bound to a key: send it with the scheme DPoP and a proof.")
	}
	p, refusal := e.proof(from, token)
	switch {
	case refusal != nil:
		return "", refusal
	case p == nil:
		return "", refuse(codeInvalidProof, "dpop_missing", "The request needs a DPoP proof: send one in the DPoP header.")
	case !hmac.Equal([]byte(p.Thumbprint), []byte(a.Confirmation.JKT)):
		return "", refuse(codeInvalidToken, "dpop_key_other", "The access token is bound to another key than that of the DPoP proof.")
	}
	c, err := e.client(ctx, a.ClientID)
	if err != nil {
		return "", err
	}
	next, refusal := e.judgeNonce(c, p)
	if refusal != nil {
		return "", refusal
	}
	if !e.seen.First(p, e.store.Now()) {
		return "", errReplayed(p)
	}
	return next, nil
}
