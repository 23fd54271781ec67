package bearer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/jsonvalue"
)

// What a Verifier's errors are about. Their texts say more, for the log alone.
var (
	// ErrInvalid means that the token opens nothing here: unknown, expired, revoked,
	// forged, or meant for somebody else. RFC 6750 §3.1 (invalid_token)
	ErrInvalid = errors.New("bearer: the access token is not valid")

	// ErrUnavailable means that nobody can tell at the moment.
	ErrUnavailable = errors.New("bearer: access tokens can't be verified at the moment")
)

// Verifier tells what an access token allows. The error is ErrInvalid or
// ErrUnavailable, wrapped with the reason; any other is answered with 500. The
// caller owns the Token. It is called concurrently.
//
// A Verifier that belongs to one resource also has the method Resource() string:
// the audience that a token must name, unless API.Resource says otherwise. For one
// without that method the audience is its own matter.
type Verifier interface {
	Verify(ctx context.Context, token string) (*Token, error)
}

// Token is what a valid access token says.
type Token struct {
	Subject  string // the person; the client itself with client credentials
	ClientID string

	// What only the authorization server itself knows; empty from elsewhere.
	Grant     string // empty with client credentials too
	SessionID string
	Org       string

	Scopes    []string
	Audience  []string  // the resources it is meant for
	IssuedAt  time.Time // zero when the issuer does not tell
	ExpiresAt time.Time // zero when the issuer does not tell

	// Claims are what the issuer says beyond the fields above: what the Claims hook
	// of the server put there, acr, amr and auth_time, and from elsewhere also jti and
	// so on.
	Claims map[string]any
}

// Allows says whether the token carries a scope.
func (t *Token) Allows(scope string) bool { return slices.Contains(t.Scopes, scope) }

// authTime is when the person signed in, as far as the token tells.
func (t *Token) authTime() (at time.Time, told bool) {
	switch seconds := t.Claims["auth_time"].(type) {
	case int64:
		return time.Unix(seconds, 0), true
	case float64: // as JSON is read; one beyond the year 10000 is none
		return time.Unix(int64(seconds), 0), seconds >= 0 && seconds < 253402300800
	}
	return time.Time{}, false
}

// MeantFor says whether the token's audience names a resource, in exactly this
// spelling. A token for its neighbour must not open an API. RFC 8707 §3, RFC 9068 §4
func (t *Token) MeantFor(resource string) bool { return slices.Contains(t.Audience, resource) }

// clone returns a copy that the caller may change.
func (t *Token) clone() *Token {
	c := *t
	c.Scopes, c.Audience, c.Claims = slices.Clone(t.Scopes), slices.Clone(t.Audience), make(map[string]any, len(t.Claims))
	for name, value := range t.Claims {
		c.Claims[name] = jsonvalue.Clone(value)
	}
	return &c
}

type contextKey struct{}

// FromContext returns the token that Require let in, or nil in a handler that is not
// behind Require.
func FromContext(ctx context.Context) *Token {
	t, _ := ctx.Value(contextKey{}).(*Token)
	return t
}
