package storage

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Client is a registered client. Its JSON names are those of RFC 7591 §2 where
// that defines one. The zero value of every optional field is the strict choice.
type Client struct {
	ID   string `json:"client_id"`             // required; visible ASCII, at most 255 bytes
	Name string `json:"client_name,omitempty"` // shown to people; ID is shown when empty

	// Secret is how a host hands over a secret of its own choosing. It is
	// hashed into Secrets on the way in and is never stored or returned.
	Secret Secret `json:"-"`

	// TokenEndpointAuthMethod is how the client authenticates, RFC 6749 §2.3:
	// "none" makes it a public client, "client_secret_basic" and
	// "client_secret_post" pin one form, empty allows both of these.
	// "private_key_jwt" wants assertions that are signed by a key of JWKS or
	// JWKSURI; "client_secret_jwt" wants them signed by HS256 with the client's secret,
	// which must be kept for that, sealed, where of all others the hash is kept.
	// RFC 7523 §2.2. "self_signed_tls_client_auth" wants a TLS certificate that stands in
	// JWKS or JWKSURI as x5c. RFC 8705 §2.2
	TokenEndpointAuthMethod string `json:"token_endpoint_auth_method,omitempty"`

	// TokenEndpointAuthSigningAlg pins the algorithm of those assertions: RS256,
	// PS256, ES256 or EdDSA for keys, HS256 for a secret. Empty allows each.
	TokenEndpointAuthSigningAlg string `json:"token_endpoint_auth_signing_alg,omitempty"`

	// With "tls_client_auth" the client shows a TLS certificate that an authority of
	// Config.MutualTLS has issued, and that says exactly this of its owner: one of a
	// subject (RFC 4514, as "CN=client.example.com,O=Example"), a DNS name, a URI, an IP
	// address and an e-mail address. RFC 8705 §2.1.2
	TLSClientAuthSubjectDN string `json:"tls_client_auth_subject_dn,omitempty"`
	TLSClientAuthSANDNS    string `json:"tls_client_auth_san_dns,omitempty"`
	TLSClientAuthSANURI    string `json:"tls_client_auth_san_uri,omitempty"`
	TLSClientAuthSANIP     string `json:"tls_client_auth_san_ip,omitempty"`
	TLSClientAuthSANEmail  string `json:"tls_client_auth_san_email,omitempty"`

	// TLSClientCertificateBoundAccessTokens binds every token of the client to the TLS
	// certificate that it shows when it gets it. RFC 8705 §3.4
	TLSClientCertificateBoundAccessTokens bool `json:"tls_client_certificate_bound_access_tokens,omitempty"`

	// JWKS are the client's public keys as a JWK Set; JWKSURI is the https URL
	// where the client publishes it, from where it is fetched and kept for as long
	// as its Cache-Control says, a minute to an hour. One of them at most. RFC 7591 §2
	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`

	// RequirePushedAuthorizationRequests refuses authorize requests that the client
	// did not push beforehand. RFC 9126 §6
	RequirePushedAuthorizationRequests bool `json:"require_pushed_authorization_requests,omitempty"`

	// DPoPBoundAccessTokens binds every token of the client to a key: a request to the
	// token endpoint without a DPoP proof is refused. A client that sends one gets bound
	// tokens in any case. RFC 9449 §5.2
	DPoPBoundAccessTokens bool `json:"dpop_bound_access_tokens,omitempty"`

	// RequireDPoPNonce wants a nonce of the server in each proof, so that proofs can't
	// be made beforehand. RFC 9449 §8
	RequireDPoPNonce bool `json:"require_dpop_nonce,omitempty"`
	// RequireSignedRequestObject refuses authorize requests that the client did not
	// sign by a key of JWKS or JWKSURI; RequestObjectSigningAlg pins the algorithm of
	// those that it signs: RS256, PS256, ES256 or EdDSA. Empty allows each. RFC 9101 §10.5
	RequireSignedRequestObject bool   `json:"require_signed_request_object,omitempty"`
	RequestObjectSigningAlg    string `json:"request_object_signing_alg,omitempty"`

	RedirectURIs           []string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`

	// BackchannelLogoutURI is where the server tells the client that a session in which
	// it has signed somebody in has ended: an https URL without a fragment.
	// BackchannelLogoutSessionRequired says that the client can do nothing without the
	// sid. OpenID Connect Back-Channel Logout §2.2
	BackchannelLogoutURI             string `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired bool   `json:"backchannel_logout_session_required,omitempty"`

	// FrontchannelLogoutURI is a page of the client that signs a person out in the
	// browser that shows it, on the origin of one of its redirect URIs. With
	// FrontchannelLogoutSessionRequired it is given iss and sid.
	// OpenID Connect Front-Channel Logout §2
	FrontchannelLogoutURI             string `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelLogoutSessionRequired bool   `json:"frontchannel_logout_session_required,omitempty"`

	// ApplicationType says where the client runs: web holds its redirect URIs to https and
	// to hosts other than the person's own machine, native and empty allow what is allowed
	// at all. OpenID Connect Registration §2, RFC 8252 §7
	ApplicationType ApplicationType `json:"application_type,omitempty"`

	// GrantTypes are the grants the client may use. Empty: authorization_code
	// and refresh_token when it has redirect URIs, else client_credentials.
	GrantTypes []string `json:"grant_types,omitempty"`

	// Scope is the ceiling of what the client may ask for, separated by
	// spaces. DefaultScope is granted when a request names none; with an empty
	// DefaultScope such a request is refused with invalid_scope.
	Scope        string `json:"scope,omitempty"`
	DefaultScope string `json:"default_scope,omitempty"`

	// Audiences are the resources the client's tokens may be meant for. Empty:
	// the default resource of the server.
	Audiences []string `json:"audiences,omitempty"`

	// Introspects are the audiences that this client is the resource server of:
	// it may introspect tokens meant for them. RFC 7662 §4
	Introspects []string `json:"introspects,omitempty"`

	// AccessTokenFormat is opaque (also when empty) or jwt. A resource of the server
	// that has a format of its own comes before it.
	AccessTokenFormat AccessTokenFormat `json:"access_token_format,omitempty"`

	// IDTokenSignedResponseAlg is RS256, ES256 or EdDSA, as far as the server signs by it.
	// Empty: the first of the server's algorithms.
	IDTokenSignedResponseAlg string `json:"id_token_signed_response_alg,omitempty"`

	// UserinfoSignedResponseAlg makes what userinfo says a JWT that is signed by this
	// algorithm. Empty: JSON. OpenID Connect Core §5.3.2
	UserinfoSignedResponseAlg string `json:"userinfo_signed_response_alg,omitempty"`

	// AuthorizationSignedResponseAlg and IntrospectionSignedResponseAlg sign the answers
	// that the client asks to be signed: of authorize requests by the response_mode, of
	// introspection by the Accept header. Empty: the first of the server's algorithms.
	// JARM §3, RFC 9701 §6
	AuthorizationSignedResponseAlg string `json:"authorization_signed_response_alg,omitempty"`
	IntrospectionSignedResponseAlg string `json:"introspection_signed_response_alg,omitempty"`

	// SubjectType is public (also when empty), for one sub that all clients are told,
	// or pairwise, for one that only the clients of the same sector are told. The
	// sector is the host of SectorIdentifierURI, or the one host of all RedirectURIs
	// when there is none. Changing it changes the sub of everybody at the next
	// sign-in. OpenID Connect Core §8.1
	SubjectType         SubjectType `json:"subject_type,omitempty"`
	SectorIdentifierURI string      `json:"sector_identifier_uri,omitempty"`

	// SoftwareID and SoftwareVersion name the software that the client is an instance of,
	// in its own words. RFC 7591 §2
	SoftwareID      string `json:"software_id,omitempty"`
	SoftwareVersion string `json:"software_version,omitempty"`

	ClientURI string   `json:"client_uri,omitempty"`
	LogoURI   string   `json:"logo_uri,omitempty"`
	PolicyURI string   `json:"policy_uri,omitempty"`
	TOSURI    string   `json:"tos_uri,omitempty"`
	Contacts  []string `json:"contacts,omitempty"`

	// FirstParty says that the client is the host's own, so people are not
	// asked for consent.
	FirstParty bool `json:"first_party,omitempty"`

	// RefreshPolicy is window, strict, until-used or none; none is refused for public
	// clients whose tokens are not bound to a key. Empty: none for tokens that are bound
	// to a key, else window.
	RefreshPolicy RefreshPolicy `json:"refresh_policy,omitempty"`

	// Disabled refuses every request of the client and every token it holds.
	Disabled bool `json:"disabled,omitempty"`

	// Insecure holds what weakens the client.
	Insecure InsecureClient `json:"insecure,omitzero"`

	// Secrets are the hashes of the client's secrets, at most two that have
	// not expired. They are managed by the server.
	Secrets []ClientSecret `json:"secrets,omitempty"`

	// Incarnation tells apart clients that had the same ID one after the
	// other, so that a new one inherits no token. A host that takes a client out of
	// its configuration and puts another in under the same ID gives it another one;
	// empty will do for clients that stay.
	Incarnation string    `json:"incarnation,omitempty"`
	CreatedAt   time.Time `json:"created_at,omitzero"`

	// ExpiresAt ends the client with all that it holds; zero: never. That of a client
	// which registered itself moves on while it is used.
	ExpiresAt time.Time `json:"expires_at,omitzero"`

	// Registered tells of a client that nobody entered; nil for all others. It is managed
	// by the server.
	Registered *Registered `json:"registered,omitempty"`
}

// InsecureClient holds the exceptions a client may have from the rules.
type InsecureClient struct {
	// SkipPKCE lets a confidential client leave out the code challenge. A
	// challenge that is sent is enforced all the same. RFC 9700 §2.1.1
	SkipPKCE bool `json:"skip_pkce,omitempty"`

	// AssertionForTokenEndpoint accepts client assertions whose aud is the URL of
	// the token endpoint, as libraries before 2025 make them. A server that the
	// client also uses could pass such an assertion on. RFC 7523 §3
	AssertionForTokenEndpoint bool `json:"assertion_for_token_endpoint,omitempty"`
}

// ClientSecret is the hash of one secret of a client.
type ClientSecret struct {
	// Hash is "hmac:" and a keyed hash for secrets that the server made, or an
	// argon2id or bcrypt string for those people brought.
	Hash string `json:"hash"`
	// Value is the secret itself, of a client that signs with it. It is never shown.
	Value     Secret    `json:"value,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never
}

// Secret is a value that never reaches a log.
type Secret string

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// RefreshPolicy says what happens to a refresh token when it is used.
// RFC 9700 §4.14.2
type RefreshPolicy string

const (
	// RefreshWindow rotates at every use; for 30 seconds the predecessor gets
	// the same successor again, so that a lost answer or two tabs cost nothing.
	RefreshWindow RefreshPolicy = "window"
	// RefreshStrict rotates at every use; any later use revokes the grant.
	RefreshStrict RefreshPolicy = "strict"
	// RefreshUntilUsed is RefreshWindow without the clock: the predecessor
	// works until its successor was used.
	RefreshUntilUsed RefreshPolicy = "until-used"
	// RefreshNone does not rotate. For confidential clients, and for refresh tokens
	// that are bound to a key.
	RefreshNone RefreshPolicy = "none"
)

// AccessTokenFormat says of what kind access tokens are.
type AccessTokenFormat string

const (
	// AccessTokenOpaque tells nothing to whom it is shown: the server is asked, and a
	// revoked one ends at once. RFC 7662
	AccessTokenOpaque AccessTokenFormat = "opaque"
	// AccessTokenJWT is verified by the keys of the server, without a request; where
	// that is done, a revoked one works until it expires. RFC 9068
	AccessTokenJWT AccessTokenFormat = "jwt"
)

// ApplicationType says where a client runs.
type ApplicationType string

// Where a client runs. OpenID Connect Registration §2
const (
	ApplicationWeb    ApplicationType = "web"    // on a server, or in a page of one
	ApplicationNative ApplicationType = "native" // on the device of a person
)

// SubjectType says whether clients are told the same sub of a person.
type SubjectType string

// Subject types. OpenID Connect Core §8
const (
	SubjectPublic   SubjectType = "public"
	SubjectPairwise SubjectType = "pairwise"
)

// TokenEndpointAuthMethods that show no secret. RFC 7591 §2, OpenID Connect Core §9
const (
	AuthMethodNone       = "none"              // of a public client
	AuthMethodPrivateKey = "private_key_jwt"   // of a client with a key of its own
	AuthMethodSecretJWT  = "client_secret_jwt" // of a client that signs with its secret
	AuthMethodTLS        = "tls_client_auth"   // of a client with a certificate of an authority, RFC 8705 §2.1
	AuthMethodSelfSigned = "self_signed_tls_client_auth"
)

// Grant types, RFC 6749.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
)

// GrantDeviceCode is the grant type of devices without a browser. RFC 8628 §3.4
const GrantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"

// Public says that the client has no way to keep a secret, RFC 6749 §2.1.
func (c *Client) Public() bool { return c.TokenEndpointAuthMethod == AuthMethodNone }

// TakesSecret says that the client proves who it is by a secret.
func (c *Client) TakesSecret() bool {
	return !c.Public() && !c.TakesCertificate() && c.TokenEndpointAuthMethod != AuthMethodPrivateKey
}

// TakesCertificate says that the client proves who it is by a TLS certificate.
func (c *Client) TakesCertificate() bool {
	return c.TokenEndpointAuthMethod == AuthMethodTLS || c.TokenEndpointAuthMethod == AuthMethodSelfSigned
}

// LiveSecrets returns the secrets that are kept to verify signatures and have not ended.
func (c *Client) LiveSecrets(now time.Time) [][]byte {
	var live [][]byte
	for _, s := range c.Secrets {
		if s.Value != "" && (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)) {
			live = append(live, []byte(s.Value))
		}
	}
	return live
}

// Grants returns the grant types of the client, with the default filled in.
func (c *Client) Grants() []string {
	switch {
	case len(c.GrantTypes) > 0:
		return c.GrantTypes
	case len(c.RedirectURIs) > 0:
		return []string{GrantAuthorizationCode, GrantRefreshToken}
	default:
		return []string{GrantClientCredentials}
	}
}

// MayUse says whether the client is registered for a grant type.
func (c *Client) MayUse(grantType string) bool { return slices.Contains(c.Grants(), grantType) }

// Scopes returns the scopes the client may ask for.
func (c *Client) Scopes() []string { return strings.Fields(c.Scope) }

// DefaultScopes returns the scopes of a request that names none.
func (c *Client) DefaultScopes() []string { return strings.Fields(c.DefaultScope) }

// Sector returns the host that the client's pairwise subjects are for, "" when it has
// none or several. OpenID Connect Core §8.1
func (c *Client) Sector() string {
	uris := c.RedirectURIs
	if c.SectorIdentifierURI != "" {
		uris = []string{c.SectorIdentifierURI}
	}
	sector := ""
	for i, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil || i > 0 && !strings.EqualFold(u.Hostname(), sector) {
			return ""
		}
		sector = strings.ToLower(u.Hostname())
	}
	return sector
}

// DisplayName is what people are shown: the name, or the ID without one.
func (c *Client) DisplayName() string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID
}

// Clone returns a copy that shares nothing with c.
func (c *Client) Clone() *Client {
	d := *c
	for _, list := range []*[]string{&d.RedirectURIs, &d.PostLogoutRedirectURIs, &d.GrantTypes, &d.Audiences, &d.Introspects, &d.Contacts} {
		*list = slices.Clone(*list)
	}
	d.Secrets, d.JWKS = slices.Clone(c.Secrets), slices.Clone(c.JWKS)
	if c.Registered != nil {
		kept := *c.Registered
		d.Registered = &kept
	}
	return &d
}

// Clients is the collection of clients that are kept in the store, indexed by
// nothing: they are listed by ID.
func Clients(s *Store) *Collection[Client] {
	return Collect(s, "client", 1, func(c *Client) Meta { return Meta{ID: c.ID, Expiry: c.ExpiresAt} })
}
