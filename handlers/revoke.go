package handlers

import (
	"mime"
	"net/http"
	"strings"

	"github.com/doorward/doorward/internal/engine"
)

func (h *Handlers) revoke(w http.ResponseWriter, r *http.Request) *engine.Error {
	c, form, e := h.authenticated(r)
	if e != nil {
		return e
	}
	h.allowOrigin(r.Context(), w, r, c.ClientID)
	if form.Get("token") == "" {
		return tokenParameterMissing()
	}
	if e := h.engine.Revoke(r.Context(), c, form.Get("token")); e != nil {
		return e
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *Handlers) introspect(w http.ResponseWriter, r *http.Request) *engine.Error {
	c, form, e := h.authenticated(r)
	if e != nil {
		return e
	}
	if form.Get("token") == "" {
		return tokenParameterMissing()
	}
	w.Header().Add("Vary", "Accept")
	if accepts(r, introspectionJWT) {
		signed, e := h.engine.IntrospectSigned(r.Context(), c, form.Get("token"))
		if e != nil {
			return e
		}
		return answerJWT(w, introspectionJWT, signed)
	}
	answer, e := h.engine.Introspect(r.Context(), c, form.Get("token"))
	if e != nil {
		return e
	}
	return answerJSON(w, answer)
}

// introspectionJWT is asked for by who wants the answer signed. RFC 9701 §4
const introspectionJWT = "application/token-introspection+jwt"

// accepts says whether the request names a media type itself: a wildcard asks for nothing
// that its sender may not know. RFC 9110 §12.5.1
func accepts(r *http.Request, media string) bool {
	for _, line := range r.Header.Values("Accept") {
		for entry := range strings.SplitSeq(line, ",") {
			name, params, err := mime.ParseMediaType(entry)
			if err == nil && name == media && params["q"] != "0" {
				return true
			}
		}
	}
	return false
}

func tokenParameterMissing() *engine.Error {
	return badRequest("parameter_missing", "The parameter token is missing.")
}
