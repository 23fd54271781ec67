package engine

import (
	"net/url"
	"strings"
)

// Answer is what goes back to the client's redirect URI, iss included. RFC 9207
type Answer struct {
	RedirectURI  string
	ResponseMode string
	Params       url.Values
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
	return &Answer{RedirectURI: a.RedirectURI, ResponseMode: a.ResponseMode, Params: params}
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
