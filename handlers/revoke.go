package handlers

import (
	"net/http"

	"github.com/doorward/doorward/internal/engine"
)

func (h *Handlers) revoke(w http.ResponseWriter, r *http.Request) *engine.Error {
	c, form, e := authenticated(r)
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
	c, form, e := authenticated(r)
	if e != nil {
		return e
	}
	if form.Get("token") == "" {
		return tokenParameterMissing()
	}
	answer, e := h.engine.Introspect(r.Context(), c, form.Get("token"))
	if e != nil {
		return e
	}
	return answerJSON(w, answer)
}

func tokenParameterMissing() *engine.Error {
	return badRequest("parameter_missing", "The parameter token is missing.")
}
