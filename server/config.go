package server

import (
	"context"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"net/netip"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/storage"
)

// Config is all that a host says about its authorization server. The required
// fields are Issuer, Store and Login; the zero value of every other field is the
// strict choice.
type Config struct {
	// Issuer is the URL by which clients know the server: https, no query, no
	// fragment, no trailing slash; http only on loopback. It alone decides the
	// URLs and cookies of the server, forwarded headers never do. A loopback
	// issuer is development mode: error pages may show what is registered.
	// RFC 8414 §2
	Issuer string

	// Store is the database. It stays the host's to close, after Run returned.
	Store storage.Backend

	// Login signs people in: handlers.ExistingSession for a product with its
	// own session, handlers.PasswordLogin for a ready page, or any handlers.Login.
	Login handlers.Login

	// Steps are pages of the host's between the login and the consent, in their order:
	// terms, an organisation to choose, a second factor. nil: none.
	Steps []handlers.Step

	// Accounts is how many people may be signed in in one browser at the same time, 5 at
	// most, where the server keeps the sessions. With more than one a sign-in leaves the
	// others be, and prompt=select_account shows a page to choose among them. 0: one; who
	// signs in ends the session of who was there before.
	Accounts int

	// Consent asks people what a client may do. nil: the built-in page.
	Consent handlers.Consent

	// Claims says what tokens and userinfo tell about a person. nil: the sub alone.
	Claims handlers.Claims

	// Grants are further grant types of the token endpoint, which clients are
	// registered for by their Type and discovery tells of. RFC 6749 §4.5
	Grants []handlers.Grant

	// DeviceGrant lets clients sign people in on devices without a browser, as a
	// television or a terminal far away: the device shows a code, and the person types
	// it at <issuer><prefix>/device. Clients are registered for it by
	// storage.GrantDeviceCode. RFC 8628
	DeviceGrant bool

	// OnEvent observes what happened, once, after it is durable. It must not block.
	OnEvent func(ctx context.Context, e handlers.Event)

	// Clients are the configured clients. They live in memory and win over
	// clients of the store; an ID in both is an error at start.
	Clients []storage.Client

	// Registration says which clients the server takes that nobody entered: those that
	// register themselves. The zero value takes none. RFC 7591
	Registration Registration

	// Scopes are the scopes that clients may be registered for, beside openid
	// and offline_access. The description is shown on the consent page. The
	// claims of OpenID Connect Core §5.4 are released by profile, email, address
	// and phone, which are listed here as any other.
	Scopes []Scope

	// DefaultAudience is the aud of access tokens when nothing else says.
	// Empty: the issuer.
	DefaultAudience string

	// Resources are the APIs that tokens may be meant for. With one or more of them
	// clients can be registered for these and DefaultAudience alone, the metadata
	// list those that are URLs, and a client that asks for another one is told
	// which is the nearest. Empty: each client says for what it wants. RFC 8707
	Resources []Resource

	// SignOutEndsOffline ends what was granted with offline_access too when the session
	// ends that it was granted in. Otherwise that is what offline_access is for: it
	// goes on until the person or the client ends it. OpenID Connect Core §11
	SignOutEndsOffline bool

	// Prefix stands between the issuer's path and the endpoints. Empty: /oauth.
	// "/" mounts the endpoints directly under the issuer.
	Prefix string

	// RequirePushed refuses every authorize request that its client did not push
	// beforehand, so that nobody can read or change it in the browser. Single clients
	// are bound to it by their RequirePushedAuthorizationRequests. RFC 9126 §5
	RequirePushed bool

	// DPoP says of whom proofs of a key are asked. Clients may send them in any case,
	// and get tokens that work with that key alone. RFC 9449
	DPoP DPoP
	// RequireSigned refuses every authorize request that its client did not sign as a
	// request object, so that nobody can change it on the way. Single clients are bound
	// to it by their RequireSignedRequestObject. RFC 9101 §10.5
	RequireSigned bool

	// MCP are the URLs of MCP servers whose clients sign people in here without having
	// been registered by hand. It is one field for the whole set: each URL becomes one of
	// Resources, clients register themselves or name a metadata document
	// (Registration), a client that names no scope gets those of Scopes that are about
	// APIs, and what is on the issuer's origin is found from the URL of the MCP server
	// alone: the metadata of RFC 9728, and /authorize, /token and /register at the root
	// for clients of 2025-03-26. What is set in other fields stays as it is, and routes
	// that the application has before Mount come before these.
	MCP []string

	// FAPI2 holds the server and its clients to the FAPI 2.0 Security Profile: requests
	// are pushed, clients prove who they are by keys or certificates, tokens are bound to
	// a key, nothing is signed by RS256. What the profile forbids is an error at start,
	// and a refusal later; a client that was stored before is disabled until it is changed.
	FAPI2 bool

	// MutualTLS lets clients prove who they are, and bind their tokens, by TLS
	// certificates. RFC 8705
	MutualTLS MutualTLS

	// Secrets wrap the keys of the store, the first one being current. Empty: the
	// store keeps one beside itself, if it can.
	Secrets [][]byte

	// KeyWrapper is a key service that wraps the keys of the store, in place of Secrets.
	// On the way from Secrets set both: from the first start on the service wraps them,
	// and the next goes without Secrets. nil: Secrets do.
	KeyWrapper storage.KeyWrapper

	// FormerKeyWrapper is the service to leave: it still opens what it wrapped, and
	// KeyWrapper or Secrets wrap the keys from the first start on.
	FormerKeyWrapper storage.KeyWrapper

	Lifetimes Lifetimes
	Refresh   Refresh
	Keys      Keys
	Pages     Pages
	Limits    Limits
	Insecure  Insecure

	// Proxies are the networks whose X-Forwarded-For is believed, for logs and
	// limits only, and the header of MutualTLS, if there is one.
	Proxies []netip.Prefix

	// Roots are the certificate authorities that are trusted by what the server
	// fetches, as from the jwks_uri of clients. nil: the system's.
	Roots *x509.CertPool

	// Logger receives what an operator should know. nil: slog.Default().
	Logger *slog.Logger

	// Clock replaces the system's clock, for tests. nil: the system's.
	Clock func() time.Time
}

// Scope is a scope with the words by which people are asked for it.
type Scope struct {
	Name        string
	Description string // "Read your notes"; empty: the name is shown

	// Optional lets a person leave it out on the consent page, where it has a box that
	// is ticked; the token says what was granted. Clients that are first-party get it
	// unasked. RFC 6749 §3.3
	Optional bool
}

// Resource is an API, as tokens name it.
type Resource struct {
	// ID is the aud of its tokens, exactly as it is spelled here: the URL of the
	// API. Requests may differ in the case of scheme and host, by the default port,
	// or by leaving out the slash that is the whole path; in nothing else.
	ID string

	// AccessTokenFormat of its tokens. Empty: what the client is registered for,
	// opaque if that says nothing. A JWT is for one resource alone.
	AccessTokenFormat storage.AccessTokenFormat

	// AccessTokenLifetime of its tokens. 0: that of their format, in Lifetimes.
	AccessTokenLifetime time.Duration
}

// Lifetimes are how long things live; 0 takes the default.
type Lifetimes struct {
	Code            time.Duration // 60 s
	AccessToken     time.Duration // 1 h, when it is opaque
	JWTAccessToken  time.Duration // 10 min: an API that verifies it alone does not see that it was revoked
	IDToken         time.Duration // 1 h
	RefreshIdle     time.Duration // 30 days without use
	RefreshAbsolute time.Duration // 90 days in all
	DeviceCode      time.Duration // 10 min to type the code that a device shows, and to answer
	PushedRequest   time.Duration // 60 s from pushing a request to sending the browser
	Interaction     time.Duration // 1 h to sign in and consent
	Consent         time.Duration // 90 days that a consent is remembered
	SessionIdle     time.Duration // 14 days, of the server's own session
	SessionAbsolute time.Duration // 90 days
	SessionBrief    time.Duration // 8 h without use, of one that ends with the browser (PasswordLogin.AskRemember, Interaction.Brief)
}

// DPoP are the rules of tokens that are bound to a key of the client. Single clients are
// held to more by their DPoPBoundAccessTokens and RequireDPoPNonce.
type DPoP struct {
	// Required refuses every request to the token endpoint without a proof.
	Required bool

	// Nonces wants a nonce of the server in each proof, so that proofs can't be made
	// beforehand. The first request of a client costs one round trip more. RFC 9449 §8
	Nonces bool
}

// Refresh are the rules of refresh tokens. The zero value is the window policy of
// 30 seconds, the one default that is not the strictest: with strict, an answer
// lost on the way signs the person out.
type Refresh struct {
	Policy storage.RefreshPolicy // of clients that name none; empty: none for tokens that are bound to a key, else window
	Window time.Duration         // 0: 30 s
}

// Keys are the rules of signing keys and of those that seal what is stored.
type Keys struct {
	// Algorithms of ID tokens, the default first. Empty: RS256, ES256.
	Algorithms []string
	// Rotation is how long a key signs. 0: 30 days.
	Rotation time.Duration
	// DataRotation is how long one key seals what is stored, before Run makes another and
	// seals the records anew. 0: 90 days.
	DataRotation time.Duration
	// CacheTime is how long clients may keep the key set. 0: 1 h.
	CacheTime time.Duration
}

// Pages change what people see.
type Pages struct {
	// Name of the product, shown on every page. Empty: the issuer's host.
	Name string

	// Logo is an SVG or PNG, shown above every page. Empty: a mark in the colour of
	// the brand.
	Logo []byte

	// Light and Dark are the colours for light and dark screens. What is left empty
	// is as it ships; a Brand for light screens serves dark ones as well. Colours in
	// which people could not read are an error at start. WCAG 2.2 §1.4.3
	Light, Dark pages.Colors

	// Overlay replaces single pages, messages or the stylesheet, by the names listed
	// in package pages, and adds languages. What does not parse, asks for what does
	// not exist or lacks a placeholder is an error at start.
	Overlay fs.FS
}

// Limits bound what one address or account may try; 0 takes the default.
type Limits struct {
	// Logins is how many wrong passwords one account takes in 15 minutes before
	// further ones are slowed down. 0: 10.
	Logins int

	// Hooks is how long one call of a hook of yours may take (Login, Consent,
	// CurrentUser, Claims, Policy, a Grant, OnEvent), by the deadline of its context. The
	// request of one that gives up is answered with 503. A hook that does not look at
	// its context can't be stopped, but what it then completes is refused. 0: 30 s.
	Hooks time.Duration

	// Begun is how many sign-ins one address may begin in 10 minutes without finishing
	// them, requests of devices and pushed requests of public clients included. More
	// are answered 429 with Retry-After. 0: 1000. -1: no limit. It counts in memory, in
	// each replica for itself; an IPv6 /64 is one address, loopback is not counted, and
	// Proxies say whose X-Forwarded-For is believed.
	Begun int

	// Grants is how often one person may sign in to one client in an hour; more are
	// answered 429 with Retry-After, since each leaves a grant that may live as long as
	// its refresh token. 0: 1000. -1: no limit. It counts in memory, in each replica for
	// itself.
	Grants int
}

// Insecure weakens the server. Every field that is set is logged at Warn.
type Insecure struct {
	// AcceptClock starts though the clock is behind the last commit.
	AcceptClock bool

	// FetchHosts are hosts, each as "host:port", from which the server fetches
	// what clients point to (their jwks_uri), and where it tells them of a sign-out
	// (their backchannel_logout_uri), though their addresses are not on the
	// open Internet: those of an intranet. Who may register clients can then make
	// the server talk to them, by https: to fetch, and to tell of a sign-out.
	FetchHosts []string
}
