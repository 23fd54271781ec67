package handlers

import (
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/engine"
)

func (h *Handlers) token(w http.ResponseWriter, r *http.Request) *engine.Error {
	c, form, e := h.authenticated(r)
	if e != nil {
		return e
	}
	h.allowOrigin(r.Context(), w, r, c.ClientID)
	answer, e := h.engine.Token(r.Context(), engine.TokenRequest{Credentials: c, Form: form, Sender: h.sender(r, "token")})
	if e != nil {
		return e
	}
	giveNonce(w, answer.Nonce)
	return answerJSON(w, tokenBody(answer))
}

// tokenBody is the successful response. RFC 6749 §5.1, OpenID Connect Core §3.1.3.3
func tokenBody(a *engine.TokenResponse) map[string]any {
	body := maps.Clone(a.Extra)
	if body == nil {
		body = map[string]any{}
	}
	body["access_token"] = a.AccessToken
	body["token_type"] = a.TokenType
	body["expires_in"] = int64(a.ExpiresIn / time.Second)
	if len(a.Scopes) > 0 {
		body["scope"] = strings.Join(a.Scopes, " ")
	}
	if a.RefreshToken != "" {
		body["refresh_token"] = a.RefreshToken
	}
	if a.IDToken != "" {
		body["id_token"] = a.IDToken
	}
	return body
}
