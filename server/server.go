package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/internal/outbox"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
)

// refreshRepeats is how often a predecessor gets the same refresh token again.
const refreshRepeats = 10

// Server is an authorization server. It is safe for concurrent use.
type Server struct {
	config   *resolvedConfig
	store    *storage.Store
	keys     *keyring.Ring
	outbox   *outbox.Outbox
	engine   *engine.Engine
	handlers *handlers.Handlers
	clients  *Clients
	mounted  []route
	spare    []route // mounted where the application has nothing
	log      *slog.Logger

	started time.Time
	running atomic.Bool // Run is running
	ran     atomic.Bool // Run or Maintain was called, or its absence was told
}

// New checks the Config and makes a Server. It reports all problems at once, each
// a *Problem; it talks to the store and to nothing else, creates the signing keys
// of a new store, and starts no goroutine: call Mount or Handler, and Run.
func New(ctx context.Context, c Config) (*Server, error) {
	resolved, found := resolve(c)
	set, err := pages.New(pages.Config{Name: resolved.name, Overlay: c.Pages.Overlay, Logo: c.Pages.Logo, Light: c.Pages.Light, Dark: c.Pages.Dark})
	found.addPages(err)
	if err := found.err(); err != nil {
		return nil, err
	}
	s := &Server{config: resolved, log: resolved.log}
	if s.store, err = storage.Open(ctx, c.Store, storage.Options{
		Namespace: c.Issuer, Secrets: c.Secrets, KeyWrapper: c.KeyWrapper, FormerKeyWrapper: c.FormerKeyWrapper, Clock: c.Clock, AcceptClock: c.Insecure.AcceptClock, Logger: s.log,
	}); err != nil {
		return nil, fmt.Errorf("server: open the store: %w", err)
	}
	s.started = s.store.Now()
	secrets := engine.NewClientSecrets(s.store, secrethash.NewChecker(0))
	fetch := outbound.New(outbound.Options{Hosts: c.Insecure.FetchHosts, Roots: c.Roots, Loopback: resolved.site.loopback})
	if s.clients, err = openClients(ctx, resolved, s.store, secrets, fetch, found); err != nil {
		return nil, err
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	if err := s.openKeys(ctx); err != nil {
		return nil, err
	}
	if err := s.openEngine(secrets, fetch); err != nil {
		return nil, err
	}
	if err := s.openHandlers(set); err != nil {
		return nil, err
	}
	resolved.warn()
	return s, nil
}

func (s *Server) openKeys(ctx context.Context) (err error) {
	c := s.config
	s.keys, err = keyring.Open(ctx, s.store, keyring.Options{
		Algorithms: c.Keys.Algorithms, Rotation: c.Keys.Rotation, CacheTime: c.Keys.CacheTime,
		TokenLife: c.longestSigned(), Logger: s.log,
	})
	if err != nil {
		return fmt.Errorf("server: open the signing keys: %w", err)
	}
	return nil
}

func (s *Server) openEngine(secrets *engine.ClientSecrets, fetch *outbound.Client) (err error) {
	c := s.config
	s.outbox = outbox.New(s.store, s.log)
	s.engine, err = engine.New(engine.Config{
		Issuer: c.Issuer, TokenURL: c.site.base() + pathToken, Store: s.store, Keys: s.keys,
		Client: s.clients.lookup, ClientRef: s.clients.ref, Used: s.clients.used, Secrets: secrets,
		Fetch:  fetch,
		Outbox: s.outbox, SignOutEndsOffline: c.SignOutEndsOffline,
		Scopes: c.scopeNames(), DefaultAudience: c.DefaultAudience, RequirePushed: c.RequirePushed, RequireSigned: c.RequireSigned, NoExceptions: c.FAPI2, Resources: c.engineResources(),
		DPoP: engine.DPoPRules(c.DPoP), Certificates: c.MutualTLS.rules(), Signatures: c.signatures(),
		Lifetimes: engine.Lifetimes{
			Code: c.Lifetimes.Code, AccessToken: c.Lifetimes.AccessToken, JWTAccessToken: c.Lifetimes.JWTAccessToken, IDToken: c.Lifetimes.IDToken, PushedRequest: c.Lifetimes.PushedRequest,
			RefreshIdle: c.Lifetimes.RefreshIdle, RefreshAbsolute: c.Lifetimes.RefreshAbsolute,
			Session: c.Lifetimes.SessionAbsolute, DeviceCode: c.deviceLife(),
		},
		Refresh: engine.RefreshRules{Policy: c.Refresh.Policy, Window: c.Refresh.Window, Repeats: refreshRepeats},
		SignUp:  handlers.TakesSignUps(c.Login), HookTime: c.Limits.Hooks,
		Grants: handlers.AdaptGrants(c.Grants), Claims: handlers.AdaptClaims(c.Claims), Emit: handlers.AdaptEvents(c.OnEvent),
		Logger: s.log,
	})
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

func (s *Server) openHandlers(set *pages.Set) (err error) {
	c := s.config
	words := make([]handlers.ScopeView, len(c.scopes))
	for i, scope := range c.scopes {
		words[i] = handlers.ScopeView{Name: scope.Name, Description: scope.Description, Optional: scope.Optional}
	}
	s.handlers, err = handlers.New(handlers.Config{
		Issuer: c.Issuer, Base: c.site.base(), Store: s.store, Engine: s.engine, Keys: s.keys,
		Client: s.clients.lookup, Registrar: s.clients.endpoint(), Login: c.Login, Steps: c.Steps, Consent: c.Consent, Scopes: words, Pages: set, RequirePushed: c.RequirePushed, RequireSigned: c.RequireSigned,
		Lifetimes: handlers.Lifetimes{
			Interaction: c.Lifetimes.Interaction, Consent: c.Lifetimes.Consent,
			SessionIdle: c.Lifetimes.SessionIdle, SessionAbsolute: c.Lifetimes.SessionAbsolute, SessionBrief: c.Lifetimes.SessionBrief,
		},
		Accounts:   c.Accounts,
		ClientAddr: func(r *http.Request) netip.Addr { return clientAddr(r, c.Proxies) },
		LoginLimit: c.Limits.Logins, BeginLimit: c.Limits.Begun, GrantLimit: c.Limits.Grants, HookTime: c.Limits.Hooks,
		MutualTLS:   s.mutualTLS(),
		AuthMethods: c.registrar.authMethods(),
		Development: c.site.loopback, Logger: s.log,
	})
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	s.spare = s.mcpRoutes()
	s.mounted, err = s.mountList()
	return err
}

// mutualTLS is what the endpoints need to know of client certificates.
func (s *Server) mutualTLS() handlers.MutualTLS {
	m := s.config.MutualTLS
	if !m.Accept {
		return handlers.MutualTLS{}
	}
	found := &certificates{rules: m, proxies: s.config.Proxies, warn: func(r *http.Request) {
		s.log.WarnContext(r.Context(), "a client certificate in a header was ignored: the peer is not one of Proxies", "header", m.Header, "peer", r.RemoteAddr)
	}}
	return handlers.MutualTLS{Methods: m.rules().Methods(), Certificates: found.of, Alias: m.Alias}
}

// Store returns the store that the server keeps its records in, where a host may
// keep records of its own by storage.Collect, sealed and swept as the others are.
// Choose kinds that begin with the host's name.
func (s *Server) Store() *storage.Store { return s.store }

// Clients returns the registered clients.
func (s *Server) Clients() *Clients { return s.clients }

// Issuer returns the issuer, as configured.
func (s *Server) Issuer() string { return s.config.Issuer }

// Interaction returns the interaction that a request to a handler of the host's own
// belongs to, when a login ends elsewhere: behind another provider, by a link in a
// mail, by a passkey. The query parameter interaction names it, by Interaction.ID or
// Interaction.URL, and the browser must be the one that began it. Complete it with
// Accept, Done or Allow, as its Step says; a script (handlers.WantsJSON) gets JSON. The
// error is handlers.ErrNoInteraction, or the store's.
func (s *Server) Interaction(r *http.Request) (*handlers.Interaction, error) {
	return s.handlers.Interaction(r)
}
