// Package engine speaks the protocol: it decides every authorization, token,
// introspection and revocation request. It is the only package that knows fosite,
// which parses and checks requests and drives the handlers here; what it decides is
// written through the unit of work of storage.Store.
//
// It takes parsed forms and returns plain structs, so it neither reads nor writes
// HTTP, and no fosite type leaves it.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ory/fosite"

	"github.com/doorward/doorward/internal/certificate"
	"github.com/doorward/doorward/internal/dpop"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/internal/outbox"
	"github.com/doorward/doorward/storage"
)

// Config is what the engine needs. All fields are required unless they say
// otherwise; server validates what a host can get wrong.
type Config struct {
	Issuer   string
	TokenURL string // also accepted where a specification allows it
	Store    *storage.Store
	Keys     *keyring.Ring

	// Client returns the client with this ID, or storage.ErrNotFound. Nobody changes it.
	Client func(ctx context.Context, id string) (*storage.Client, error)
	// ClientRef names the record that Client reads, so that it is read together with
	// others. Optional: nil names those of the store.
	ClientRef func(id string) storage.Ref
	// Used is called in the unit of work in which a client gets a code or a token, so
	// that what is kept of it only while it is used lives on. Optional.
	Used func(ctx context.Context, c *storage.Client) error
	// Secrets checks a client's secret against its hashes.
	Secrets *ClientSecrets

	Scopes          []string   // what the server knows; openid and offline_access are added by server
	DefaultAudience string     // the aud of a token when nothing else says
	Resources       []Resource // what the server knows more of. Optional
	Lifetimes       Lifetimes
	Refresh         RefreshRules

	// DPoP says of whom proofs of a key are asked.
	DPoP DPoPRules

	// Signatures are the algorithms by which clients may sign. Optional: nil takes all
	// that can be verified.
	Signatures []string

	// Certificates say whether clients may show TLS certificates.
	Certificates CertificateRules

	// NoExceptions says that the profile of the server forbids what storage.InsecureClient
	// allows, so that no refusal advises it. FAPI 2.0 Security Profile §5.3.2
	NoExceptions bool

	// RequirePushed refuses authorize requests that were not pushed. RFC 9126 §5
	RequirePushed bool

	// RequireSigned refuses authorize requests that are not signed. RFC 9101 §10.5
	RequireSigned bool

	// HookTime is how long one call of a hook may take, by its context. 0: no limit
	HookTime time.Duration

	// SignUp accepts prompt=create.
	SignUp bool

	// Grants are further grant types. Optional.
	Grants []Grant

	// Claims shapes what tokens say; it may veto. Run at code exchange, at
	// every refresh and at userinfo. Optional.
	Claims func(ctx context.Context, c *ClaimsRequest) error
	// Emit is called once for what happened, after it is durable. Optional.
	Emit func(ctx context.Context, e Event)

	// Outbox takes what clients are told of the end of sessions. Optional: nil makes
	// one that nobody runs.
	Outbox *outbox.Outbox

	// SignOutEndsOffline ends grants with offline_access with their session too.
	SignOutEndsOffline bool

	// Fetch reaches what clients point to. Optional: nil reaches the open
	// Internet alone.
	Fetch *outbound.Client

	Logger *slog.Logger
}

// Lifetimes are how long things live.
type Lifetimes struct {
	Code            time.Duration
	AccessToken     time.Duration // opaque
	JWTAccessToken  time.Duration // 0: 10 minutes
	IDToken         time.Duration
	PushedRequest   time.Duration // 0: 1 minute
	RefreshIdle     time.Duration
	RefreshAbsolute time.Duration
	Session         time.Duration // longest of a session that server keeps itself; 0: it keeps none
	DeviceCode      time.Duration // 0: there is no device grant
}

// RefreshRules are the refresh policies' settings.
type RefreshRules struct {
	Policy  storage.RefreshPolicy // of clients that have none of their own
	Window  time.Duration         // of RefreshWindow
	Repeats int                   // how often the same answer is given again
}

// Engine decides requests. It is safe for concurrent use.
type Engine struct {
	config   Config
	store    *storage.Store
	log      *slog.Logger
	grants   *storage.Collection[storage.Grant]
	tokens   *storage.Collection[storage.AccessToken]
	revoked  *storage.Collection[mark]
	consents *storage.Collection[storage.Consent]
	epochs   *storage.Epochs

	participants *storage.Collection[storage.Participant]
	outbox       *outbox.Outbox
	fetch        *outbound.Client

	methods map[string]authenticator

	resources map[string]Resource // by their canonical form

	devices *storage.Collection[device]
	polls   polls
	hourly  hourly

	assertions *storage.Collection[mark]
	keySets    *outbound.Cache[jws.Keys]
	pushed     *storage.Collection[pushedRequest]

	certificates *outbound.Cache[certificate.Set]

	proofs *storage.Collection[mark]
	seen   dpop.Seen
	nonces dpop.Nonces

	handlers map[string]*tokenHandler
	fosite   *fosite.Fosite
}

// New makes an Engine. It reports every field of c that is missing.
func New(c Config) (*Engine, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.Lifetimes.JWTAccessToken = cmp.Or(c.Lifetimes.JWTAccessToken, 10*time.Minute)
	if c.ClientRef == nil {
		c.ClientRef = storage.Clients(c.Store).RecentRef
	}
	e := &Engine{
		config: c, store: c.Store, log: c.Logger,
		grants: storage.Grants(c.Store), tokens: storage.AccessTokens(c.Store), revoked: marks(c.Store, "revoked-jwt"),
		consents: storage.Consents(c.Store), epochs: storage.NewEpochs(c.Store),
	}
	if c.Signatures == nil {
		e.config.Signatures = jws.Verifiable()
	}
	if c.Fetch == nil {
		c.Fetch = outbound.New(outbound.Options{})
	}
	e.participants, e.outbox, e.fetch = storage.Participants(c.Store), c.Outbox, c.Fetch
	if e.outbox == nil {
		e.outbox = outbox.New(c.Store, c.Logger)
	}
	e.deliveries()
	e.assertions, e.keySets, e.pushed = marks(c.Store, "assertion"), clientKeys(c.Fetch, c.Store), pushedRequests(c.Store)
	e.proofs = marks(c.Store, "proof")
	e.nonces.MAC = func(data []byte) []byte { return c.Store.MAC("dpop nonce", data) }
	e.methods = map[string]authenticator{
		storage.AuthMethodNone:       noSecret{},
		methodBasic:                  presentedSecret{c.Secrets},
		methodPost:                   presentedSecret{c.Secrets},
		storage.AuthMethodPrivateKey: signedAssertion{e, storage.AuthMethodPrivateKey},
		storage.AuthMethodSecretJWT:  signedAssertion{e, storage.AuthMethodSecretJWT},
	}
	e.certificates = clientCertificates(c.Fetch, c.Store)
	for _, method := range c.Certificates.Methods() {
		e.methods[method] = map[string]authenticator{
			storage.AuthMethodTLS: issuedCertificate{e}, storage.AuthMethodSelfSigned: ownCertificate{e},
		}[method]
	}
	e.resources = map[string]Resource{}
	for _, r := range c.Resources {
		e.resources[canonical(r.ID)] = r
	}
	e.handlers = map[string]*tokenHandler{}
	for _, h := range []*tokenHandler{
		{e, storage.GrantAuthorizationCode, e.redeem},
		{e, storage.GrantRefreshToken, e.refresh},
		{e, storage.GrantClientCredentials, e.clientCredentials},
	} {
		e.handlers[h.grantType] = h
	}
	e.devices = devices(c.Store)
	if c.Lifetimes.DeviceCode > 0 {
		e.handlers[storage.GrantDeviceCode] = &tokenHandler{e, storage.GrantDeviceCode, e.redeemDevice}
	}
	for _, g := range c.Grants {
		if e.handlers[g.Type] != nil || g.Type == "" || g.Exchange == nil {
			return nil, fmt.Errorf("engine: the grant type %q is there already, or has no name or no Exchange", g.Type)
		}
		e.handlers[g.Type] = &tokenHandler{e, g.Type, e.further(g)}
	}
	e.fosite = newProvider(e)
	return e, nil
}

func (c *Config) validate() error {
	var problems []error
	missing := func(is bool, field string) {
		if is {
			problems = append(problems, errors.New("engine: Config."+field+" is missing"))
		}
	}
	missing(c.Issuer == "", "Issuer")
	missing(c.TokenURL == "", "TokenURL")
	missing(c.Store == nil, "Store")
	missing(c.Keys == nil, "Keys")
	missing(c.Client == nil, "Client")
	missing(c.Secrets == nil, "Secrets")
	missing(c.DefaultAudience == "", "DefaultAudience")
	missing(c.Logger == nil, "Logger")
	for _, l := range []struct {
		name string
		life time.Duration
	}{
		{"Code", c.Lifetimes.Code}, {"AccessToken", c.Lifetimes.AccessToken}, {"IDToken", c.Lifetimes.IDToken},
		{"RefreshIdle", c.Lifetimes.RefreshIdle}, {"RefreshAbsolute", c.Lifetimes.RefreshAbsolute},
	} {
		missing(l.life <= 0, "Lifetimes."+l.name)
	}
	return errors.Join(problems...)
}
