package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/storage"
)

// Verify checks an access token for an API in the same process, without HTTP: a
// token that was revoked a moment ago is refused. It makes the server a
// bearer.Verifier. Whom the token is meant for is not judged: bearer.Require does
// that, and a caller of its own asks Token.MeantFor, or a token for its neighbour
// opens it. The error is bearer.ErrInvalid, or bearer.ErrUnavailable when nobody can
// tell. RFC 6750 §3.1
func (s *Server) Verify(ctx context.Context, token string) (*bearer.Token, error) {
	a, err := s.engine.Access(ctx, token)
	if err != nil {
		if err.Status >= http.StatusInternalServerError {
			return nil, fmt.Errorf("server: %w: %w: %w", bearer.ErrUnavailable, storage.ErrUnavailable, err)
		}
		return nil, fmt.Errorf("server: %w: %w", bearer.ErrInvalid, err)
	}
	return &bearer.Token{
		Subject: a.Subject, ClientID: a.ClientID, Grant: a.Grant, SessionID: a.SessionID, Org: a.Org,
		Scopes: a.Scopes, Audience: a.Audience, IssuedAt: a.IssuedAt, ExpiresAt: a.ExpiresAt, Claims: a.Claims,
	}, nil
}

// Resource returns the audience that bearer.Require asks of a token when the API
// names none: Config.DefaultAudience, which is the issuer unless it is set.
func (s *Server) Resource() string { return s.config.DefaultAudience }
