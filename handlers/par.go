package handlers

import (
	"net/http"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// PushedRequests is the pushed authorization request endpoint. RFC 9126 §2
func (h *Handlers) PushedRequests(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, formRule.named("par", clientOrigins).asking(), h.push)
}

func (h *Handlers) push(w http.ResponseWriter, r *http.Request) *engine.Error {
	c, form, e := h.authenticated(r)
	if e != nil {
		return e
	}
	h.allowOrigin(r.Context(), w, r, c.ClientID)
	if c.Method == storage.AuthMethodNone { // others proved who they are, and are few
		if e := h.mayBegin(r); e != nil {
			return e
		}
	}
	pushed, e := h.engine.Push(r.Context(), engine.PushRequest{Credentials: c, Form: form, Sender: h.sender(r, "par")})
	if e != nil {
		return e
	}
	giveNonce(w, pushed.Nonce)
	w.WriteHeader(http.StatusCreated) // held back until the headers are set
	return answerJSON(w, map[string]any{
		"request_uri": pushed.RequestURI, "expires_in": int64(pushed.ExpiresIn / time.Second),
	})
}
