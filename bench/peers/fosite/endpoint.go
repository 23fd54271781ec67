package main

import (
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/doorward/doorward/bench/peer"
)

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	request, err := p.provider.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		fail(w, "authorize", err)
		return
	}
	who := p.sessions.Person(w, r)
	if who == "" {
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	response, err := p.provider.NewAuthorizeResponse(r.Context(), request, p.session(who, false))
	if err != nil {
		fail(w, "authorize", err)
		return
	}
	p.provider.WriteAuthorizeResponse(r.Context(), w, request, response)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	machine := r.PostFormValue("grant_type") == "client_credentials"
	request, err := p.provider.NewAccessRequest(r.Context(), r, p.session("", machine))
	if err != nil {
		p.provider.WriteAccessError(r.Context(), w, request, err)
		return
	}
	if machine {
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope)
		}
		request.GrantAudience(peer.Audience)
	}
	response, err := p.provider.NewAccessResponse(r.Context(), request)
	if err != nil {
		p.provider.WriteAccessError(r.Context(), w, request, err)
		return
	}
	p.provider.WriteAccessResponse(r.Context(), w, request, response)
}

func (p *provider) introspect(w http.ResponseWriter, r *http.Request) {
	response, err := p.provider.NewIntrospectionRequest(r.Context(), r, p.session("", false))
	if err != nil {
		p.provider.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	p.provider.WriteIntrospectionResponse(r.Context(), w, response)
}

// userInfo is what a host writes, for fosite has no such endpoint.
func (p *provider) userInfo(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	use, request, err := p.provider.IntrospectToken(r.Context(), token, fosite.AccessToken, p.session("", false), "openid")
	if err != nil || use != fosite.AccessToken {
		http.Error(w, "invalid_token", http.StatusUnauthorized)
		return
	}
	peer.WriteJSON(w, map[string]any{"sub": request.GetSession().GetSubject()})
}

func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.provider.WriteRevocationResponse(r.Context(), w, p.provider.NewRevocationRequest(r.Context(), r))
}

func (p *provider) push(w http.ResponseWriter, r *http.Request) {
	request, err := p.provider.NewPushedAuthorizeRequest(r.Context(), r)
	if err != nil {
		p.provider.WritePushedAuthorizeError(r.Context(), w, request, err)
		return
	}
	response, err := p.provider.NewPushedAuthorizeResponse(r.Context(), request, p.session("", false))
	if err != nil {
		p.provider.WritePushedAuthorizeError(r.Context(), w, request, err)
		return
	}
	p.provider.WritePushedAuthorizeResponse(r.Context(), w, request, response)
}

// metadata is a discovery document. fosite has none.
type metadata struct {
	Issuer string `json:"issuer"`
	peer.Endpoints
	ResponseTypes     []string `json:"response_types_supported"`
	ResponseModes     []string `json:"response_modes_supported"`
	GrantTypes        []string `json:"grant_types_supported"`
	SubjectTypes      []string `json:"subject_types_supported"`
	Scopes            []string `json:"scopes_supported"`
	SigningAlgorithms []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods       []string `json:"token_endpoint_auth_methods_supported"`
	ChallengeMethods  []string `json:"code_challenge_methods_supported"`
	Claims            []string `json:"claims_supported"`
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	peer.WriteJSON(w, metadata{
		Issuer: p.issuer,
		Endpoints: peer.Endpoints{
			Authorization: p.issuer + "/authorize", Token: p.issuer + "/token", UserInfo: p.issuer + "/userinfo",
			Introspection: p.issuer + "/introspect", Revocation: p.issuer + "/revoke", Pushed: p.issuer + "/par", JWKS: p.issuer + "/jwks",
		},
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "fragment", "form_post"},
		GrantTypes:   []string{"authorization_code", "refresh_token", "client_credentials"},
		SubjectTypes: []string{"public"}, Scopes: []string{"openid", peer.Scope}, SigningAlgorithms: []string{p.algorithm},
		AuthMethods: []string{"client_secret_basic", "client_secret_post"}, ChallengeMethods: []string{"S256"},
		Claims: []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce"},
	})
}
