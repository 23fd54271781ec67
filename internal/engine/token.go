package engine

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/doorward/doorward/storage"
)

// TokenRequest is a request to the token endpoint, its Form without the credentials.
type TokenRequest struct {
	Credentials Credentials
	Form        url.Values
	Sender      Sender
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
	Nonce        string // for the DPoP-Nonce header, "" for none
}

// Token decides a token request in one unit of work.
func (e *Engine) Token(ctx context.Context, r TokenRequest) (*TokenResponse, *Error) {
	form, refusal := e.tokenForm(r.Form)
	if refusal != nil {
		return nil, refusal
	}
	has := &possession{certificate: thumbprintOf(r.Credentials.Certificates)}
	if has.proof, refusal = e.proof(r.Sender, ""); refusal != nil {
		return nil, refusal
	}
	ctx = context.WithValue(ctx, renewingKey{}, true)
	ctx = context.WithValue(ctx, credentialsKey{}, r.Credentials)
	ctx = context.WithValue(ctx, possessionKey{}, has)
	var response *TokenResponse
	err := e.guarded(ctx, "token", func() error {
		return e.store.Do(ctx, func(ctx context.Context) error {
			if err := e.loadForToken(ctx, r.Credentials, form); err != nil {
				return err
			}
			s := &session{}
			request, err := e.fosite.NewAccessRequest(ctx, &http.Request{
				Method: http.MethodPost, Header: http.Header{}, Form: maps.Clone(form), PostForm: form,
			}, s)
			if err != nil {
				return err
			}
			if _, err := e.fosite.NewAccessResponse(ctx, request); err != nil {
				return err
			}
			response = s.response
			return nil
		})
	})
	if err != nil {
		return nil, failure(err)
	}
	return response, nil
}

// tokenForm checks what does not depend on who asks and returns the form without
// empty parameters, which count as left out. RFC 6749 §3.2
func (e *Engine) tokenForm(form url.Values) (url.Values, *Error) {
	form, twice := parameters(form)
	if refusal := wellFormed(form, twice); refusal != nil {
		return nil, refusal
	}
	grantType := form.Get("grant_type")
	if grantType == "" {
		return nil, missing("grant_type")
	}
	if e.handlers[grantType] == nil {
		return nil, refuse(codeUnsupportedGrant, "grant_type_unknown", "The grant_type "+quote(grantType)+" is not supported.").
			detail("supported: %q", slices.Sorted(maps.Keys(e.handlers)))
	}
	return form, nil
}

// parameters returns the parameters that have a value, and the sorted names of
// those that came more than once though they must not. RFC 6749 §3.1
func parameters(form url.Values) (values url.Values, twice []string) {
	values = make(url.Values, len(form))
	for name, list := range form {
		list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
		if len(list) > 1 && name != "resource" && name != "audience" {
			twice = append(twice, name)
		}
		if len(list) > 0 {
			values[name] = list
		}
	}
	slices.Sort(twice)
	return values, twice
}

// loadForToken reads the client and the grant that the request names in one round
// trip. Nothing is believed of the names.
func (e *Engine) loadForToken(ctx context.Context, by Credentials, form url.Values) error {
	var grant string
	switch form.Get("grant_type") {
	case storage.GrantAuthorizationCode:
		grant, _ = parseCode(form.Get("code"))
	case storage.GrantRefreshToken:
		if t, ok := e.parseRefresh(form.Get("refresh_token")); ok {
			grant = t.grant
		}
	}
	device, _ := parseDeviceCode(form.Get("device_code"))
	clientID := by.ClientID
	if len(clientID) > 2048 {
		clientID = ""
	}
	return e.store.Load(ctx, e.config.ClientRef(clientID), e.grants.Ref(grant), e.devices.Ref(device), e.assertionRef(by), e.proofRef(shown(ctx).proof))
}

// decide judges a token request of one grant type and says what is to be issued.
type decide func(ctx context.Context, c *storage.Client, form url.Values) (*issuance, error)

// tokenHandler runs one grant type in fosite. fosite's own handlers judge reuse and
// replay before they know the client and PKCE, and use codes and refresh tokens
// more than once when requests come in parallel.
type tokenHandler struct {
	engine    *Engine
	grantType string
	decide    decide
}

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (h *tokenHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (h *tokenHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return len(r.GetGrantTypes()) == 1 && r.GetGrantTypes()[0] == h.grantType
}

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (h *tokenHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	c, ok := r.GetClient().(*fositeClient)
	s, also := r.GetSession().(*session)
	if !ok || !also {
		return errSession
	}
	if !c.client.MayUse(h.grantType) {
		return refuse(codeUnauthorized, "grant_type_not_allowed",
			"The client is not registered for the grant_type "+quote(h.grantType)+".").
			detail("it is registered for %q", c.client.Grants()).setting("grant_types")
	}
	has := shown(ctx)
	if err := h.engine.judgeSender(ctx, c.client, has); err != nil {
		return err
	}
	i, err := h.decide(ctx, c.client, r.GetRequestForm())
	if err != nil {
		return err
	}
	i.grantType = h.grantType
	i.bind(has.bound)
	s.issuance = i
	return nil
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler.
func (h *tokenHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, to fosite.AccessResponder) error {
	s, ok := r.GetSession().(*session)
	if !ok || s.issuance == nil {
		return errSession
	}
	response, err := h.engine.issue(ctx, s.issuance)
	if err != nil {
		return err
	}
	response.Nonce = shown(ctx).nonce
	s.response = response
	to.SetAccessToken(response.AccessToken)
	to.SetTokenType(response.TokenType)
	return nil
}
