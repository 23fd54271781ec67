package handlers

import (
	"net/http"
	"strings"

	"github.com/doorward/doorward/internal/dpop"
	"github.com/doorward/doorward/internal/engine"
)

func (h *Handlers) userInfo(w http.ResponseWriter, r *http.Request) *engine.Error {
	scheme, token, e := presentedToken(r)
	if e != nil {
		return e
	}
	access, e := h.engine.Access(r.Context(), token)
	if e != nil {
		return challenged(e, scheme)
	}
	exchangeOf(r.Context()).clientID = access.ClientID
	h.allowOrigin(r.Context(), w, r, access.ClientID)
	from := h.sender(r, "userinfo")
	if from.Certificates, e = h.certificates(r); e != nil {
		return e
	}
	nonce, e := h.engine.CheckSender(r.Context(), access, token, scheme, from)
	if e != nil {
		return e
	}
	giveNonce(w, nonce)
	claims, e := h.engine.UserInfo(r.Context(), access)
	if e != nil {
		return challenged(e, scheme)
	}
	signed, e := h.engine.SignUserInfo(r.Context(), access, claims)
	if e != nil {
		return e
	}
	if signed != "" {
		return answerJWT(w, "application/jwt", signed)
	}
	return answerJSON(w, claims)
}

// challenged has the challenge of a refusal name the scheme that the request used.
func challenged(e *engine.Error, scheme string) *engine.Error {
	if e.Challenge != "" {
		e.Challenge = scheme
	}
	return e
}

// The schemes by which an access token comes. RFC 6750 §2.1, RFC 9449 §7.1
const (
	schemeBearer = "Bearer"
	schemeDPoP   = dpop.Scheme
)

// presentedToken takes the access token and its scheme from the header, or from the form
// of a POST, never from a URL, where it would end up in logs. RFC 6750 §2, OAuth 2.1 §5.1,
// RFC 9449 §7.1
func presentedToken(r *http.Request) (scheme, token string, e *engine.Error) {
	scheme = schemeBearer
	refuse := func(e *engine.Error) (string, string, *engine.Error) {
		e.Challenge = scheme
		return "", "", e
	}
	if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		return refuse(badRequest("token_in_query", "An access token in the URL is not accepted; send it in the Authorization header."))
	}
	header := r.Header.Values("Authorization")
	switch {
	case len(header) > 1:
		return refuse(badRequest("several_credentials", "The Authorization header was sent more than once."))
	case len(header) == 1:
		sent, value, _ := strings.Cut(header[0], " ")
		switch {
		case strings.EqualFold(sent, schemeDPoP):
			scheme = schemeDPoP
		case !strings.EqualFold(sent, schemeBearer):
			e := unauthenticated("authorization_scheme", "Access tokens are sent with the scheme Bearer or DPoP, not "+safeWord(sent)+".")
			e.Code = "invalid_token"
			return refuse(e)
		}
		token = strings.TrimSpace(value)
	}
	if r.Method == http.MethodPost && (r.ContentLength != 0 || r.Header.Get("Content-Type") != "") {
		form, e := submitted(r)
		if e != nil {
			return refuse(e)
		}
		if form.Has("access_token") {
			if len(header) > 0 {
				return refuse(badRequest("several_credentials", "The access token was sent in the header and in the body; use one of them."))
			}
			token = form.Get("access_token")
		}
	}
	if token == "" {
		e := unauthenticated("token_missing", "The request has no access token: send it in the Authorization header with scheme Bearer.")
		e.Code = "invalid_token"
		return refuse(e)
	}
	return scheme, token, nil
}
