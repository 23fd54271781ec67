package engine

import (
	"context"
	"net/url"
	"time"

	"github.com/doorward/doorward/storage"
)

var errStub = &Error{Code: "server_error", Status: 500}

// New makes an Engine.
func New(c Config) (*Engine, error) { return &Engine{config: c}, nil }

// Authorization is an authorize request that was checked.
type Authorization struct {
	Client       *storage.Client
	Params       url.Values // the request as it came, to be kept with the interaction and checked again
	RedirectURI  string     // valid and registered; "" when it isn't: then no redirect must happen
	ResponseMode string     // query or form_post
	State        string
	Scopes       []string // asked for, or the client's defaults
	Audience     []string
	Nonce        string
	Prompt       []string
	MaxAge       *time.Duration // nil: not asked; 0: now
	ACRValues    []string
	LoginHint    string
	UILocales    []string
	Display      string
	Hint         *Hint // of id_token_hint, nil if none
}

// CheckAuthorize checks an authorize request before anybody is shown a page. When
// the error is not nil and the Authorization has a RedirectURI, the error is to be
// sent there.
func (e *Engine) CheckAuthorize(ctx context.Context, params url.Values) (*Authorization, *Error) {
	return nil, errStub
}

// Approval is what the person decided.
type Approval struct {
	Subject   string
	SessionID string
	AuthTime  time.Time
	ACR       string
	AMR       []string
	Org       string
	Scopes    []string // granted: a subset of what was asked
	Audience  []string
}

// Approve writes the grant with its code in the unit of work of ctx. prompt,
// max_age and acr were settled by the caller.
func (e *Engine) Approve(ctx context.Context, a *Authorization, ok Approval) (*Answer, *Error) {
	return nil, errStub
}

// Refuse makes the answer that tells the client err.
func (e *Engine) Refuse(a *Authorization, err *Error) *Answer { return nil }

// Answer is what goes back to the client's redirect URI, iss included. RFC 9207
type Answer struct {
	RedirectURI  string
	ResponseMode string
	Params       url.Values
}

// URL is the redirect of an answer, keeping the URI's own query.
func (a *Answer) URL() string { return "" }

// Credentials are what a client presented to prove who it is. RFC 6749 §2.3
type Credentials struct {
	ClientID string
	Secret   storage.Secret
	Method   string // none, client_secret_basic, client_secret_post
}

// TokenRequest is a request to the token endpoint, its Form without the credentials.
type TokenRequest struct {
	Credentials Credentials
	Form        url.Values
}

// TokenResponse is its answer. RFC 6749 §5.1
type TokenResponse struct {
	AccessToken  string
	TokenType    string
	ExpiresIn    time.Duration
	RefreshToken string
	IDToken      string
	Scopes       []string
	Extra        map[string]any
}

// Token decides a token request in one unit of work.
func (e *Engine) Token(ctx context.Context, r TokenRequest) (*TokenResponse, *Error) {
	return nil, errStub
}

// Revoke ends a token of the client, RFC 7009: an access token alone, with a
// refresh token the whole grant. Unknown tokens are no error.
func (e *Engine) Revoke(ctx context.Context, c Credentials, token, hint string) *Error {
	return errStub
}

// Introspect tells about a token, RFC 7662: to the client it was issued to and to
// the resource it is meant for. Everybody else sees {"active": false}.
func (e *Engine) Introspect(ctx context.Context, c Credentials, token, hint string) (map[string]any, *Error) {
	return nil, errStub
}

// Access is a valid access token.
type Access struct {
	Subject, ClientID, SessionID, Grant, Org string

	Scopes, Audience    []string
	IssuedAt, ExpiresAt time.Time
	Claims              map[string]any
}

// Access checks an access token. The error is invalid_token or unavailable. RFC 6750
func (e *Engine) Access(ctx context.Context, token string) (*Access, *Error) { return nil, errStub }

// UserInfo returns the claims of the person behind an access token. OpenID Connect Core §5.3
func (e *Engine) UserInfo(ctx context.Context, a *Access) (map[string]any, *Error) {
	return nil, errStub
}

// Hint is what an ID token given as a hint says.
type Hint struct {
	Subject, ClientID, SessionID string
	IssuedAt, ExpiresAt          time.Time
}

// ReadHint reads an ID token of ours, whatever its age and whichever of our keys signed it.
func (e *Engine) ReadHint(ctx context.Context, idToken string) (*Hint, error) { return nil, errStub }

// RevokeGrant ends a grant and all that hangs on it.
func (e *Engine) RevokeGrant(ctx context.Context, id, reason string) error { return errStub }

// RevokeSubject ends everything of a person.
func (e *Engine) RevokeSubject(ctx context.Context, subject string) error { return errStub }

// RevokeApp ends everything a person allowed a client, and the remembered consent.
func (e *Engine) RevokeApp(ctx context.Context, subject, clientID string) error { return errStub }

// RevokeSession ends what hangs on a session; grants with offline_access stay.
func (e *Engine) RevokeSession(ctx context.Context, sessionID string) error { return errStub }

// ClaimsRequest is filled by the Claims hook.
type ClaimsRequest struct {
	Subject, ClientID, Grant, Org string
	GrantType                     string // empty at userinfo
	Scopes, Audience              []string

	User                           map[string]any // released by scope, OpenID Connect Core §5.4
	IDToken, UserInfo, AccessToken map[string]any // put there whatever the scopes
}

// Denied is returned by a Claims hook, wrapped or not, to refuse: invalid_grant at the token endpoint.
type Denied struct{ Reason string }

// Error returns the reason.
func (d *Denied) Error() string { return d.Reason }

// Grant is a further grant type.
type Grant struct {
	Type     string
	Exchange func(ctx context.Context, r *GrantRequest) (*GrantResult, error)
}

// GrantRequest is a token request of a further grant type.
type GrantRequest struct {
	Client           *storage.Client
	Form             url.Values
	Scopes, Audience []string
}

// GrantResult is what is to be issued.
type GrantResult struct {
	Approval
	Refresh bool
	Extra   map[string]any
}

// ClientSecrets makes and checks the secrets of clients.
type ClientSecrets struct{}

// NewClientSecrets ...
func NewClientSecrets(s *storage.Store) *ClientSecrets { return &ClientSecrets{} }

// Generate makes a secret of 256 bits and its keyed hash.
func (s *ClientSecrets) Generate(now time.Time) (storage.Secret, storage.ClientSecret) {
	return "", storage.ClientSecret{}
}

// Bring hashes a secret that somebody chose, slowly, to be stored.
func (s *ClientSecrets) Bring(plain storage.Secret, now time.Time) (storage.ClientSecret, error) {
	return storage.ClientSecret{}, errStub
}

// Keyed hashes a secret from the configuration, which lives in memory only.
func (s *ClientSecrets) Keyed(plain storage.Secret) storage.ClientSecret {
	return storage.ClientSecret{}
}
