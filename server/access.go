package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/doorward/doorward/storage"
)

// ErrInvalidToken means that an access token is unknown, has ended or was
// revoked. RFC 6750 §3.1 (invalid_token)
var ErrInvalidToken = errors.New("server: the access token is not valid")

// Access is what a valid access token allows.
type Access struct {
	Subject   string // the person; the client itself with client credentials
	ClientID  string
	Grant     string // empty with client credentials
	SessionID string
	Org       string

	Scopes    []string
	Audience  []string
	IssuedAt  time.Time
	ExpiresAt time.Time
	Claims    map[string]any // what the Claims hook put into the access token
}

// Allows says whether the token carries a scope.
func (a *Access) Allows(scope string) bool { return slices.Contains(a.Scopes, scope) }

// MeantFor says whether the token's audience names a resource. An API that is not
// the only one checks it, or a token for its neighbour opens it. RFC 8707 §3
func (a *Access) MeantFor(resource string) bool { return slices.Contains(a.Audience, resource) }

// AccessToken checks an access token for an API in the same process, without
// HTTP: a token that was revoked a moment ago is refused. The error is
// ErrInvalidToken, or storage.ErrUnavailable when nobody can tell.
func (s *Server) AccessToken(ctx context.Context, token string) (*Access, error) {
	a, err := s.engine.Access(ctx, token)
	if err != nil {
		if err.Status >= http.StatusInternalServerError {
			return nil, fmt.Errorf("server: check an access token: %w: %w", storage.ErrUnavailable, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	}
	return &Access{
		Subject: a.Subject, ClientID: a.ClientID, Grant: a.Grant, SessionID: a.SessionID, Org: a.Org,
		Scopes: a.Scopes, Audience: a.Audience, IssuedAt: a.IssuedAt, ExpiresAt: a.ExpiresAt, Claims: a.Claims,
	}, nil
}
