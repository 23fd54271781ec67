package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// Grant is a further grant type: another way to tokens at the token endpoint, where
// the client is authenticated, the commit made and the answer written as for the
// others. Clients are registered for it by its Type. RFC 6749 §4.5
type Grant struct {
	// Type is what clients send as grant_type, an absolute URI. Required.
	Type string

	// Exchange judges a request. It is called once for each and outside of any
	// commit. Refuse and *GrantError refuse; any other error is a failure of the
	// server. The Claims hook runs after it and may still veto. Required.
	Exchange func(ctx context.Context, r *GrantRequest) (*GrantResult, error)
}

// GrantRequest is a token request of a further grant type, by a client that proved
// who it is and is registered for the type.
type GrantRequest struct {
	Client storage.Client // without its secrets
	Form   url.Values     // without the client's credentials

	// Scopes and Audience are what the request asks for, within what the client may
	// have; without a scope parameter the client's default scopes.
	Scopes   []string
	Audience []string
}

// GrantResult is what is to be issued. More than the client may have is refused as a
// failure of the server.
type GrantResult struct {
	Subject  Subject  // whom the tokens are about. Required.
	Scopes   []string // nil: none
	Audience []string // nil: that of the request

	// Refresh asks for a refresh token too, if the client is registered for
	// refresh_token.
	Refresh bool

	// Extra are further members of the answer, such as issued_token_type.
	Extra map[string]any
}

// GrantError refuses a request of a further grant type in words that the client is
// told. RFC 6749 §5.2
type GrantError struct {
	Code        string // invalid_request, or one that the grant's specification defines. Empty: invalid_grant
	Description string // what came, what was expected; never a token or secret
	Detail      string // for the log alone
}

// Error returns the code and the description.
func (e *GrantError) Error() string { return e.code() + ": " + e.Description }

func (e *GrantError) code() string {
	if e.Code == "" {
		return "invalid_grant"
	}
	return e.Code
}

// AdaptGrants makes of further grant types what the engine runs.
func AdaptGrants(grants []Grant) []engine.Grant {
	adapted := make([]engine.Grant, len(grants))
	for i, g := range grants {
		adapted[i] = engine.Grant{Type: g.Type, Exchange: func(ctx context.Context, r *engine.GrantRequest) (*engine.GrantResult, error) {
			return exchangeGrant(ctx, g, r)
		}}
	}
	return adapted
}

func exchangeGrant(ctx context.Context, g Grant, r *engine.GrantRequest) (*engine.GrantResult, error) {
	client := r.Client.Clone()
	client.Secret, client.Secrets = "", nil
	result, err := g.Exchange(ctx, &GrantRequest{Client: *client, Form: r.Form, Scopes: r.Scopes, Audience: slices.Clone(r.Audience)})
	if told := (*GrantError)(nil); errors.As(err, &told) {
		return nil, &engine.Error{
			Code: told.code(), Reason: "grant_refused", Status: http.StatusBadRequest,
			Description: told.Description, Detail: told.Detail,
		}
	}
	if err != nil || result == nil { // that nothing came is for the engine to tell
		return nil, hookFailed(err)
	}
	s := result.Subject
	issued := &engine.GrantResult{
		Approval: engine.Approval{
			Subject: s.ID, SessionID: s.SessionID, AuthTime: s.AuthTime, ACR: s.ACR, AMR: s.AMR, Org: s.Org,
			Scopes: result.Scopes, Audience: result.Audience,
		},
		Refresh: result.Refresh, Extra: result.Extra,
	}
	if issued.Audience == nil {
		issued.Audience = r.Audience
	}
	return issued, nil
}
