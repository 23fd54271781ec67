package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

// Endpoints are the URLs of what is mounted; an empty one is not there.
type Endpoints struct {
	Authorize  string
	Push       string
	Token      string
	Revoke     string
	Introspect string
	UserInfo   string
	JWKS       string
	Logout     string

	DeviceAuthorization string
	Register            string
}

// Offer is what the metadata tell beside the endpoints: the names that the server
// knows.
type Offer struct {
	Scopes []string
	Grants []string
	Claims []string // of people, beside those of the protocol itself

	Documents bool     // client ID metadata documents are taken
	Resources []string // URLs of the APIs that it makes tokens for
}

// protocolClaims are in ID tokens whatever the Claims hook says, each where there is
// something to tell. OpenID Connect Core §2
var protocolClaims = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid"}

// Metadata returns the handler of the well-known documents, which tell what is
// mounted and nothing else. OpenID Connect Discovery §3, RFC 8414 §2
func (h *Handlers) Metadata(at Endpoints, offer Offer) (http.HandlerFunc, error) {
	body, err := json.Marshal(h.document(at, offer))
	if err != nil {
		return nil, fmt.Errorf("handlers: metadata: %w", err)
	}
	rule, told := rule{name: "metadata", methods: toRead, origins: anyOrigin}, prepare("application/json", body, 5*time.Minute)
	return func(w http.ResponseWriter, r *http.Request) {
		if servePrepared(w, r, &rule, told) {
			return
		}
		h.serve(w, r, rule, func(w http.ResponseWriter, r *http.Request) *engine.Error {
			told.write(w, r)
			return nil
		})
	}, nil
}

func (h *Handlers) document(at Endpoints, offer Offer) map[string]any {
	methods, signatures := h.config.AuthMethods, h.engine.Signatures()
	proven := slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return m == storage.AuthMethodNone })
	asserted := signatures
	if slices.Contains(methods, storage.AuthMethodSecretJWT) {
		asserted = append(slices.Clone(signatures), jws.HS256)
	}
	doc := map[string]any{
		"issuer":                                         h.config.Issuer,
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       engine.ResponseModes(),
		"grant_types_supported":                          offer.Grants,
		"subject_types_supported":                        []string{"public", "pairwise"},
		"id_token_signing_alg_values_supported":          h.config.Keys.Algorithms(),
		"code_challenge_methods_supported":               []string{"S256"},
		"tls_client_certificate_bound_access_tokens":     h.config.MutualTLS.on(),
		"dpop_signing_alg_values_supported":              signatures,
		"token_endpoint_auth_methods_supported":          methods,
		"scopes_supported":                               offer.Scopes,
		"claims_supported":                               slices.Concat(protocolClaims, offer.Claims),
		"claim_types_supported":                          []string{"normal"},
		"claims_parameter_supported":                     true,
		"request_parameter_supported":                    true,
		"request_object_signing_alg_values_supported":    signatures,
		"require_signed_request_object":                  h.config.RequireSigned,
		"authorization_signing_alg_values_supported":     h.config.Keys.Algorithms(),
		"userinfo_signing_alg_values_supported":          h.config.Keys.Algorithms(),
		"request_uri_parameter_supported":                false,
		"require_request_uri_registration":               false,
		"require_pushed_authorization_requests":          h.config.RequirePushed,
		"authorization_response_iss_parameter_supported": true,
		"prompt_values_supported":                        h.prompts(),
		"display_values_supported":                       []string{"page"},
		"ui_locales_supported":                           h.pages.Languages(),
		"service_documentation":                          h.config.Issuer + "/errors",
	}
	for name, url := range map[string]string{
		"authorization_endpoint": at.Authorize, "pushed_authorization_request_endpoint": at.Push, "token_endpoint": at.Token, "revocation_endpoint": at.Revoke,
		"introspection_endpoint": at.Introspect, "userinfo_endpoint": at.UserInfo, "jwks_uri": at.JWKS,
		"end_session_endpoint": at.Logout, "device_authorization_endpoint": at.DeviceAuthorization, "registration_endpoint": at.Register,
	} {
		if url != "" {
			doc[name] = url
		}
	}
	doc["backchannel_logout_supported"], doc["backchannel_logout_session_supported"] = true, true
	if at.Logout != "" {
		doc["frontchannel_logout_supported"], doc["frontchannel_logout_session_supported"] = true, true
	}
	if offer.Documents {
		doc["client_id_metadata_document_supported"] = true
	}
	if h.config.MutualTLS.Alias != "" {
		doc["mtls_endpoint_aliases"] = h.aliases(doc)
	}
	if len(offer.Resources) > 0 {
		doc["protected_resources"] = offer.Resources // RFC 9728 §4
	}
	if at.Revoke != "" {
		doc["revocation_endpoint_auth_methods_supported"] = methods
	}
	if at.Introspect != "" {
		doc["introspection_endpoint_auth_methods_supported"] = proven
		doc["introspection_signing_alg_values_supported"] = h.config.Keys.Algorithms()
	}
	for name := range doc {
		if endpoint, ok := strings.CutSuffix(name, "_auth_methods_supported"); ok {
			doc[endpoint+"_auth_signing_alg_values_supported"] = asserted
		}
	}
	return doc
}

// prompts are the values of prompt that the login can do something with.
func (h *Handlers) prompts() []string {
	known := []string{"none", "login", "consent", "select_account"}
	if TakesSignUps(h.config.Login) {
		known = append(known, "create")
	}
	return known
}

// aliases are the endpoints that take certificates, under their other origin. RFC 8705 §5
func (h *Handlers) aliases(doc map[string]any) map[string]string {
	aliases := map[string]string{}
	for _, name := range []string{
		"token_endpoint", "revocation_endpoint", "introspection_endpoint", "pushed_authorization_request_endpoint",
		"device_authorization_endpoint", "userinfo_endpoint",
	} {
		if at, ok := doc[name].(string); ok {
			aliases[name] = h.alias(at)
		}
	}
	return aliases
}

func (h *Handlers) jwks(w http.ResponseWriter, r *http.Request) *engine.Error {
	body, life, err := h.config.Keys.JWKS(r.Context())
	if err != nil {
		return storeFailed(err)
	}
	h.keySet.of("application/json", body, life).write(w, r)
	return nil
}

func (h *Handlers) asset(w http.ResponseWriter, r *http.Request) *engine.Error {
	a, ok := h.pages.Asset(lastElement(r.URL.Path))
	if !ok {
		return &engine.Error{Code: "invalid_request", Reason: "not_found", Status: http.StatusNotFound, Description: "There is no such file."}
	}
	prepare(a.Type, a.Body, 24*time.Hour).write(w, r)
	return nil
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
