package engine

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/token/jwt"

	"github.com/doorward/doorward/storage"
)

// settings answer fosite's questions. What depends on the request is answered by
// it: fosite asks with a context that holds the request.
type settings struct {
	*fosite.Config
	engine *Engine
}

// newProvider composes fosite. Every field that fosite.Config fills in lazily is
// set here, because it does so without a lock while requests are served.
func newProvider(e *Engine) *fosite.Fosite {
	s := &settings{engine: e, Config: &fosite.Config{
		AccessTokenLifespan:          e.config.Lifetimes.AccessToken,
		RefreshTokenLifespan:         e.config.Lifetimes.RefreshIdle,
		AuthorizeCodeLifespan:        e.config.Lifetimes.Code,
		IDTokenLifespan:              e.config.Lifetimes.IDToken,
		IDTokenIssuer:                e.config.Issuer,
		AccessTokenIssuer:            e.config.Issuer,
		TokenURL:                     e.config.TokenURL,
		ScopeStrategy:                fosite.ExactScopeStrategy,
		AudienceMatchingStrategy:     fosite.ExactAudienceMatchingStrategy,
		ClientSecretsHasher:          refusing{},
		JWKSFetcherStrategy:          refusing{},
		ClientAuthenticationStrategy: e.authenticateForFosite,
		// The redirect URI was matched before, more strictly than fosite does.
		RedirectSecureChecker:  func(context.Context, *url.URL) bool { return true },
		MinParameterEntropy:    1,
		RefreshTokenScopes:     []string{scopeOffline},
		OmitRedirectScopeParam: true,
		EnforcePKCE:            true,
		JWTScopeClaimKey:       jwt.JWTScopeFieldString,
		AllowedPromptValues:    e.prompts(),
	}}
	store := grantAdapter{}
	s.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{
		&oauth2.AuthorizeExplicitGrantHandler{AuthorizeCodeStrategy: codeStrategy{}, CoreStorage: store, Config: s},
		&pkce.Handler{AuthorizeCodeStrategy: codeStrategy{}, Storage: store, Config: s},
		openIDHandler{},
	}
	return fosite.NewOAuth2Provider(store, s)
}

// GetTokenEndpointHandlers returns the handler of the request's grant type alone.
func (s *settings) GetTokenEndpointHandlers(ctx context.Context) fosite.TokenEndpointHandlers {
	r, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if !ok || len(r.GetGrantTypes()) != 1 {
		return nil
	}
	if h := s.engine.handlers[r.GetGrantTypes()[0]]; h != nil {
		return fosite.TokenEndpointHandlers{h}
	}
	return nil
}

// GetEnforcePKCE exempts the client of the request where it is exempt.
func (s *settings) GetEnforcePKCE(ctx context.Context) bool {
	r, ok := ctx.Value(fosite.AuthorizeRequestContextKey).(fosite.AuthorizeRequester)
	if !ok {
		return true
	}
	c, ok := r.GetClient().(*fositeClient)
	return !ok || !exemptFromPKCE(c.client)
}

// openIDHandler keeps the nonce with the grant. fosite's own handler for this
// judges prompt, max_age and id_token_hint after the person signed in, against the
// system's clock and with a single key; CheckAuthorize does it before, and the
// server judges the sign-in itself.
type openIDHandler struct{}

// HandleAuthorizeEndpointRequest implements fosite.AuthorizeEndpointHandler.
func (openIDHandler) HandleAuthorizeEndpointRequest(_ context.Context, r fosite.AuthorizeRequester, _ fosite.AuthorizeResponder) error {
	s, ok := r.GetSession().(*session)
	if !ok || s.grant == nil {
		return errSession
	}
	if r.GetGrantedScopes().Has(scopeOpenID) {
		s.grant.Nonce = r.GetRequestForm().Get("nonce")
	}
	return nil
}

var errSession = errors.New("engine: fosite lost the session of a request")

// refusing stands where fosite wants a part that it must never use.
type refusing struct{}

var errRefusing = errors.New("engine: fosite used a part that is not composed")

func (refusing) Compare(context.Context, []byte, []byte) error { return errRefusing }
func (refusing) Hash(context.Context, []byte) ([]byte, error)  { return nil, errRefusing }
func (refusing) Resolve(context.Context, string, bool) (*jose.JSONWebKeySet, error) {
	return nil, errRefusing
}

// session carries one request through fosite and collects what is decided. fosite
// asks it for times of its own clock, which are not used.
type session struct {
	grant    *storage.Grant // what an authorize request is about to write
	issuance *issuance      // what a token request is about to issue
	response *TokenResponse
}

// SetExpiresAt does nothing: the times of a grant come from the Store's clock.
func (s *session) SetExpiresAt(fosite.TokenType, time.Time) {}

// GetExpiresAt returns the zero time, which fosite takes for no limit.
func (s *session) GetExpiresAt(fosite.TokenType) time.Time { return time.Time{} }

// GetUsername returns nothing: names are never invented.
func (s *session) GetUsername() string { return "" }

// GetSubject returns the subject of the grant, if there is one.
func (s *session) GetSubject() string {
	if s.grant == nil {
		return ""
	}
	return s.grant.Subject
}

// Clone returns a shallow copy, which no composed handler asks for.
func (s *session) Clone() fosite.Session {
	c := *s
	return &c
}
