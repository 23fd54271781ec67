package engine

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// signedAnswerLife is how long a signed answer is good: it carries a code, or tells an
// error, and is read at once. JARM §2.1
const signedAnswerLife = 2 * time.Minute

// Answer is what goes back to the client's redirect URI, iss included. RFC 9207
type Answer struct {
	RedirectURI  string
	ResponseMode string
	Params       url.Values

	ClientID  string // whom it is for
	Algorithm string // by which it is signed, if its ResponseMode wants that
}

// Signed returns the answer as it leaves: with a ResponseMode that wants it signed, the
// parameters are the claims of one JWT, and nothing else is sent. JARM §2.3
func (e *Engine) Signed(ctx context.Context, a *Answer) (*Answer, *Error) {
	mode, signed := strings.CutSuffix(a.ResponseMode, signedMode)
	if !signed {
		return a, nil
	}
	now := e.store.Now()
	claims := map[string]any{}
	for name := range a.Params {
		claims[name] = a.Params.Get(name)
	}
	claims["iss"], claims["aud"], claims["exp"] = e.config.Issuer, a.ClientID, now.Add(signedAnswerLife).Unix()
	response, err := e.config.Keys.Sign(ctx, e.algorithm(a.Algorithm), jwtType, claims)
	if err != nil {
		return nil, broken("signature_failed", err).setting("authorization_signed_response_alg")
	}
	return &Answer{RedirectURI: a.RedirectURI, ResponseMode: mode, Params: url.Values{"response": {response}}}, nil
}

// algorithm returns the one that a client is registered for, or the server's default.
func (e *Engine) algorithm(registered string) string {
	if registered != "" {
		return registered
	}
	return e.config.Keys.Algorithms()[0]
}

// Refuse makes the answer that tells the client err. a must have a RedirectURI. RFC
// 6749 §4.1.2.1
func (e *Engine) Refuse(a *Authorization, err *Error) *Answer {
	return e.answer(a, url.Values{
		"error":             {err.Code},
		"error_description": {clean(err.Description, 500)},
		"error_uri":         {e.ErrorURI(err)},
	})
}

// ErrorURI is where a person finds what a refusal means.
func (e *Engine) ErrorURI(err *Error) string {
	return e.config.Issuer + "/errors#" + url.PathEscape(err.Anchor())
}

// answer completes the parameters of a success and of an error alike: the state as
// it came, and who answers, so that a client of two servers can't mix them up.
func (e *Engine) answer(a *Authorization, params url.Values) *Answer {
	params.Set("iss", e.config.Issuer)
	if a.State != "" {
		params.Set("state", a.State)
	}
	return &Answer{
		RedirectURI: a.RedirectURI, ResponseMode: a.ResponseMode, Params: params,
		ClientID: a.Client.ID, Algorithm: a.Client.AuthorizationSignedResponseAlg,
	}
}

// URL is the redirect of an answer, keeping the URI's own query.
func (a *Answer) URL() string {
	switch before, query, found := strings.Cut(a.RedirectURI, "?"); {
	case !found:
		return a.RedirectURI + "?" + a.Params.Encode()
	case query == "":
		return before + "?" + a.Params.Encode()
	default:
		return a.RedirectURI + "&" + a.Params.Encode()
	}
}
