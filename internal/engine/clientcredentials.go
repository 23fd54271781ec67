package engine

import (
	"context"
	"net/url"

	"github.com/doorward/doorward/storage"
)

// clientCredentials judges a client that acts for itself. There is no grant and no
// refresh token: the client can always ask again. RFC 6749 §4.4
func (e *Engine) clientCredentials(_ context.Context, c *storage.Client, form url.Values) (*issuance, error) {
	if c.Public() {
		return nil, refuse(codeUnauthorized, "client_public",
			"A client without a secret can not prove who it is, so it may not use client_credentials.").setting("token_endpoint_auth_method")
	}
	asked, refusal := splitScope(form.Get("scope"))
	if refusal != nil {
		return nil, refusal
	}
	for _, s := range asked {
		if s == scopeOpenID || s == scopeOffline {
			return nil, refuse(codeInvalidScope, "scope_needs_person",
				"The scope "+quote(s)+" is about a person, and nobody signs in with client_credentials.")
		}
	}
	scopes, audience, refusal := e.asked(c, form)
	if refusal != nil {
		return nil, refusal
	}
	scopes = without(without(scopes, scopeOpenID), scopeOffline) // of the defaults
	return &issuance{client: c, scopes: scopes, audience: audience, event: EventTokenIssued}, nil
}
