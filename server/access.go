package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/internal/jsonvalue"
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
	claims := a.SignIn()
	maps.Copy(claims, a.Claims) // which has none of these
	for name, value := range claims {
		claims[name] = jsonvalue.Clone(value)
	}
	if a.Confirmation != (storage.Confirmation{}) {
		claims["cnf"] = confirmationClaim(a.Confirmation)
	}
	return &bearer.Token{
		Subject: a.Subject, ClientID: a.ClientID, Grant: a.Grant, SessionID: a.SessionID, Org: a.Org,
		Scopes: slices.Clone(a.Scopes), Audience: slices.Clone(a.Audience), IssuedAt: a.IssuedAt, ExpiresAt: a.ExpiresAt, Claims: claims,
	}, nil
}

// confirmationClaim is the cnf of a token. RFC 7800 §3.1
func confirmationClaim(c storage.Confirmation) map[string]any {
	claim := map[string]any{}
	if c.JKT != "" {
		claim["jkt"] = c.JKT
	}
	if c.X5T != "" {
		claim["x5t#S256"] = c.X5T
	}
	return claim
}

// Resource returns the audience that bearer.Require asks of a token when the API
// names none: Config.DefaultAudience, which is the issuer unless it is set.
func (s *Server) Resource() string { return s.config.DefaultAudience }
