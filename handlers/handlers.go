package handlers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/storage"
)

// Config is what the endpoints stand on. Package server fills it; hosts never
// meet it. All fields are required unless they say otherwise.
type Config struct {
	Issuer string // exact, without a slash at its end
	Base   string // issuer and prefix: the URL under which the endpoints stand

	Store  *storage.Store
	Engine *engine.Engine
	Keys   *keyring.Ring
	// Client returns the client with this ID, or storage.ErrNotFound.
	Client func(ctx context.Context, id string) (*storage.Client, error)
	// Registrar registers clients that ask for it. Optional: nil registers none.
	Registrar Registrar

	Login   Login
	Steps   []Step      // between the two; none: nil
	Consent Consent     // nil: the built-in page
	Scopes  []ScopeView // with their words for the consent page
	Pages   *pages.Set

	AuthMethods []string // in which clients prove who they are, none included; told in the metadata

	RequirePushed bool // told in the metadata
	RequireSigned bool // told in the metadata
	MutualTLS     MutualTLS

	Accounts    int // how many people may be signed in in one browser; less than 2: one
	Lifetimes   Lifetimes
	HookTime    time.Duration                  // how long one call of a hook may take; 0: no limit
	LoginLimit  int                            // wrong passwords of an account in 15 minutes
	GrantLimit  int                            // sign-ins of one person to one client in an hour; 0 or less: no limit
	BeginLimit  int                            // interactions and the like of an address in 10 minutes; 0 or less: no limit
	ClientAddr  func(*http.Request) netip.Addr // nil: the peer of the connection
	Development bool                           // the issuer is on loopback: pages may tell more
	Logger      *slog.Logger
}

// Lifetimes are how long a person may take, and is remembered.
type Lifetimes struct {
	Interaction     time.Duration
	Consent         time.Duration
	SessionIdle     time.Duration
	SessionAbsolute time.Duration
	SessionBrief    time.Duration // without use, of one that ends with the browser
}

// Handlers are the endpoints of one issuer. Every exported method that takes a
// ResponseWriter and a Request is one of them, whole: it judges the method, sets
// the headers, survives a panic. They are safe for concurrent use.
type Handlers struct {
	config   Config
	store    *storage.Store
	engine   *engine.Engine
	pages    *pages.Set
	log      *slog.Logger
	origin   string // scheme and host of the issuer
	basePath string // path of Base, no slash at its end
	consent  Consent
	source   SessionSource // nil: the sessions are our own
	records  *storage.Collection[record]
	sessions *storage.Collection[storage.Session]
	consents *storage.Collection[storage.Consent]
	epochs   *storage.Epochs
	cookies  jar
	guesses  *guesses
	keySet   latest
	reasons  func() (*prepared, error) // the page of errors, made once

	beginnings tally[netip.Prefix]
	signIns    tally[app]
	codes      codeGuesses
	csrf       *http.CrossOriginProtection
}

// New makes the endpoints. The error names every field that is missing.
func New(c Config) (*Handlers, error) {
	var problems []error
	missing := func(field string, is bool) {
		if is {
			problems = append(problems, fmt.Errorf("handlers: Config.%s is missing", field))
		}
	}
	missing("Store", c.Store == nil)
	missing("Engine", c.Engine == nil)
	missing("Keys", c.Keys == nil)
	missing("Client", c.Client == nil)
	missing("Login", c.Login == nil)
	missing("Pages", c.Pages == nil)
	missing("Logger", c.Logger == nil)
	base, err := url.Parse(c.Base)
	if err != nil || base.Scheme == "" || base.Host == "" {
		problems = append(problems, fmt.Errorf("handlers: Config.Base is %q and must be an absolute URL", c.Base))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	h := &Handlers{
		config: c, store: c.Store, engine: c.Engine, pages: c.Pages, log: c.Logger,
		origin: base.Scheme + "://" + base.Host, basePath: strings.TrimSuffix(base.Path, "/"),
		consent: c.Consent, records: interactions(c.Store), sessions: storage.Sessions(c.Store),
		consents: storage.Consents(c.Store), epochs: storage.NewEpochs(c.Store),
		cookies: newJar(c.Issuer), guesses: newGuesses(), csrf: http.NewCrossOriginProtection(),
	}
	h.reasons = sync.OnceValues(h.renderReasons)
	if h.consent == nil {
		h.consent = ConsentFunc(serveConsentPage)
	}
	if s, ok := c.Login.(SessionSource); ok {
		h.source = s
	}
	// The issuer says what our origin is; behind a proxy the Host header may not.
	if err := h.csrf.AddTrustedOrigin(h.origin); err != nil {
		return nil, fmt.Errorf("handlers: Config.Base: %w", err)
	}
	return h, nil
}

// Methods of endpoints.
var (
	toRead  = []string{http.MethodGet, http.MethodHead}
	toVisit = []string{http.MethodGet, http.MethodPost}
)

var (
	jwksRule     = rule{name: "jwks", methods: toRead, origins: anyOrigin}
	userInfoRule = rule{name: "userinfo", methods: toVisit, origins: clientOrigins}
)

// Form endpoints take POST and one media type; their answers are never stored.
var formRule = rule{methods: []string{http.MethodPost}}

// Token is the token endpoint. RFC 6749 §3.2
func (h *Handlers) Token(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, formRule.named("token", clientOrigins), h.token)
}

// Revoke is the revocation endpoint. RFC 7009 §2
func (h *Handlers) Revoke(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, formRule.named("revoke", clientOrigins), h.revoke)
}

// Introspect is the introspection endpoint. RFC 7662 §2
func (h *Handlers) Introspect(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, formRule.named("introspect", noOrigin), h.introspect)
}

// UserInfo is the userinfo endpoint. OpenID Connect Core §5.3
func (h *Handlers) UserInfo(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, userInfoRule, h.userInfo)
}

// JWKS serves the public keys. RFC 7517 §5
func (h *Handlers) JWKS(w http.ResponseWriter, r *http.Request) {
	body, life, ready := h.config.Keys.Ready()
	if ready && servePrepared(w, r, &jwksRule, h.keySet.of("application/json", body, life)) {
		return
	}
	h.serve(w, r, jwksRule, h.jwks)
}

// Authorize is the authorization endpoint. RFC 6749 §3.1
func (h *Handlers) Authorize(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "authorize", methods: toVisit, page: true, asks: true}, h.authorize)
}

// DeviceAuthorization is the device authorization endpoint. RFC 8628 §3.1
func (h *Handlers) DeviceAuthorization(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, formRule.named("device_authorization", noOrigin).asking(), h.deviceAuthorization)
}

// Device is the page on which people type the code that a device shows. RFC 8628 §3.3
func (h *Handlers) Device(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "device", methods: toVisit, page: true, forms: true, asks: true}, h.device)
}

// Interact serves the pages of an interaction; the last element of its path is
// the interaction's ID.
func (h *Handlers) Interact(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "interaction", methods: toVisit, page: true, forms: true, scripts: true, asks: true}, h.interact)
}

// Logout is the end session endpoint. OpenID Connect RP-Initiated Logout §2
func (h *Handlers) Logout(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "logout", methods: toVisit, page: true}, h.logout)
}

// AccountApps is the page of the applications that a person is connected with.
func (h *Handlers) AccountApps(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, accountRule, h.accountApps)
}

// AccountSessions is the page of the sessions of a person.
func (h *Handlers) AccountSessions(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, accountRule, h.accountSessions)
}

// KeepsSessions says whether the sessions are our own, so that there is something for
// AccountSessions to show.
func (h *Handlers) KeepsSessions() bool { return h.source == nil }

// Errors is the page that error_uri leads to. RFC 6749 §5.2
func (h *Handlers) Errors(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "errors", methods: toRead, page: true}, h.errorsPage)
}

// Assets serves the stylesheet, the icon, the logo and the script; the last element of its
// path is the file's name.
func (h *Handlers) Assets(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, rule{name: "assets", methods: toRead, page: true}, h.asset)
}

// SignsOut says whether the sign-out endpoint has something to end: the sessions
// are our own, or the host gave a way to end its own.
func (h *Handlers) SignsOut() bool {
	s, ok := h.source.(ExistingSession)
	return !ok || s.SignOut != nil
}

func (h *Handlers) now() time.Time { return h.store.Now() }

// path returns the URL path of a place under Base.
func (h *Handlers) path(place string) string { return h.basePath + "/" + place }
