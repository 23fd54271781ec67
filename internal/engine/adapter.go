package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/ory/fosite"

	"github.com/doorward/doorward/storage"
)

// fositeClient shows a client to fosite as far as this request may use it: the
// one redirect URI that was matched, since fosite's own matching lets more through,
// and the audience that was settled.
type fositeClient struct {
	client      *storage.Client
	redirectURI string
	audience    []string
}

func (c *fositeClient) GetID() string                      { return c.client.ID }
func (c *fositeClient) GetHashedSecret() []byte            { return nil }
func (c *fositeClient) GetRedirectURIs() []string          { return []string{c.redirectURI} }
func (c *fositeClient) GetGrantTypes() fosite.Arguments    { return c.client.Grants() }
func (c *fositeClient) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }
func (c *fositeClient) GetScopes() fosite.Arguments        { return c.client.Scopes() }
func (c *fositeClient) IsPublic() bool                     { return c.client.Public() }
func (c *fositeClient) GetAudience() fosite.Arguments      { return c.audience }

// GetResponseModes makes fosite accept a response_mode at all.
func (c *fositeClient) GetResponseModes() []fosite.ResponseModeType {
	return []fosite.ResponseModeType{fosite.ResponseModeDefault, fosite.ResponseModeQuery, fosite.ResponseModeFormPost}
}

// clientKey holds the client of a request in its context, so that fosite works
// with the one that was judged instead of reading it a second time.
type clientKey struct{}

// grantAdapter is the storage of fosite's authorize handlers. They write three
// records for each code; all of them go into the one grant of the session, which
// Approve inserts. Nothing is read through it: tokens have handlers of our own.
type grantAdapter struct{}

var errNotComposed = errors.New("engine: fosite called storage that no composed handler uses")

// GetClient implements fosite.ClientManager.
func (grantAdapter) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	if c, ok := ctx.Value(clientKey{}).(*fositeClient); ok && c.client.ID == id {
		return c, nil
	}
	return nil, fosite.ErrNotFound
}

// CreateAuthorizeCodeSession puts the code's hash into the grant.
func (grantAdapter) CreateAuthorizeCodeSession(_ context.Context, signature string, r fosite.Requester) error {
	s, ok := r.GetSession().(*session)
	if !ok || s.grant == nil || s.grant.Code == nil {
		return errSession
	}
	s.grant.Code.Hash = []byte(signature)
	return nil
}

// CreatePKCERequestSession puts the challenge into the grant, so that it can't be
// lost before the code is. RFC 7636 §4.4
func (grantAdapter) CreatePKCERequestSession(_ context.Context, signature string, r fosite.Requester) error {
	s, ok := r.GetSession().(*session)
	if !ok || s.grant == nil || s.grant.Code == nil || string(s.grant.Code.Hash) != signature {
		return errSession
	}
	s.grant.Code.Challenge = r.GetRequestForm().Get("code_challenge")
	return nil
}

func (grantAdapter) ClientAssertionJWTValid(context.Context, string) error { return errNotComposed }
func (grantAdapter) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return errNotComposed
}
func (grantAdapter) GetAuthorizeCodeSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, errNotComposed
}
func (grantAdapter) InvalidateAuthorizeCodeSession(context.Context, string) error {
	return errNotComposed
}
func (grantAdapter) GetPKCERequestSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, errNotComposed
}
func (grantAdapter) DeletePKCERequestSession(context.Context, string) error { return errNotComposed }
func (grantAdapter) CreateAccessTokenSession(context.Context, string, fosite.Requester) error {
	return errNotComposed
}
func (grantAdapter) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, errNotComposed
}
func (grantAdapter) DeleteAccessTokenSession(context.Context, string) error { return errNotComposed }
func (grantAdapter) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return errNotComposed
}
func (grantAdapter) GetRefreshTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, errNotComposed
}
func (grantAdapter) DeleteRefreshTokenSession(context.Context, string) error  { return errNotComposed }
func (grantAdapter) RotateRefreshToken(context.Context, string, string) error { return errNotComposed }

// codeStrategy makes codes that name their grant, which is the ID of the request.
type codeStrategy struct{}

// GenerateAuthorizeCode implements oauth2.AuthorizeCodeStrategy.
func (codeStrategy) GenerateAuthorizeCode(_ context.Context, r fosite.Requester) (code, signature string, err error) {
	code, err = newCode(r.GetID())
	if err != nil {
		return "", "", err
	}
	return code, codeHash(code), nil
}

// AuthorizeCodeSignature implements oauth2.AuthorizeCodeStrategy.
func (codeStrategy) AuthorizeCodeSignature(_ context.Context, code string) string {
	return codeHash(code)
}

// ValidateAuthorizeCode implements oauth2.AuthorizeCodeStrategy.
func (codeStrategy) ValidateAuthorizeCode(context.Context, fosite.Requester, string) error {
	return errNotComposed
}

func codeHash(code string) string {
	sum := sha256.Sum256([]byte(code))
	return string(sum[:])
}
