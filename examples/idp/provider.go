package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/doorward/doorward/examples/idp/accounts"
	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/moving"
)

// provider is the server with its people, on an open database.
type provider struct {
	settings *settings.Settings
	log      *slog.Logger
	server   *server.Server
	people   *accounts.Accounts
	demo     *storage.Collection[demoRecord]
	backend  *moving.Backend
	clients  clientMemory // those of the configuration file

	moves sync.Mutex
	place string // of the store, when it has moved since the start
}

// newProvider puts the server together. The errors are in the names of the
// configuration file.
func newProvider(ctx context.Context, s *settings.Settings, issuer string, backend *moving.Backend, log *slog.Logger) (*provider, error) {
	p := &provider{settings: s, log: log, backend: backend}
	var err error
	if p.clients, err = recallClients(ctx, backend, issuer); err != nil {
		return nil, err
	}
	config := server.Config{
		Issuer: issuer, Store: backend, Prefix: s.Prefix,
		Login: handlers.PasswordLogin{Verify: func(ctx context.Context, username, password string) (handlers.Subject, error) {
			return p.people.Verify(ctx, username, password)
		}, Account: func(ctx context.Context, username string) (string, error) { return p.people.Account(ctx, username) }},
		Claims: func(ctx context.Context, c *handlers.ClaimsRequest) error { return p.people.Claims(ctx, c) },
		OnEvent: func(ctx context.Context, e handlers.Event) {
			log.InfoContext(ctx, "event", "type", string(e.Type), "client_id", e.ClientID, "sub", e.Subject, "grant", e.Grant, "reason", e.Reason)
		},
		Clients: p.clients.follow(s.Clients), Scopes: s.Scopes, DefaultAudience: s.Audience, Resources: s.Resources, Secrets: s.Secrets,
		Lifetimes: s.Lifetimes, Refresh: s.Refresh, Keys: s.Keys, Limits: s.Limits, Insecure: s.Insecure, DeviceGrant: s.DeviceGrant, RequirePushed: s.RequirePushed, RequireSigned: s.RequireSigned, FAPI2: s.FAPI2, MCP: s.MCP, Registration: s.Registration, DPoP: s.DPoP, MutualTLS: s.MutualTLS,
		Pages: s.Pages, Proxies: s.Proxies, Logger: log,
	}
	config.Pages.Name = s.Name
	if s.Overlay != "" {
		config.Pages.Overlay = os.DirFS(s.Overlay)
	}
	if p.server, err = server.New(ctx, config); err != nil {
		return nil, s.Explain(err)
	}
	if p.people, err = accounts.New(p.server.Store(), s.Users); err != nil {
		return nil, err
	}
	p.demo = storage.Collect(p.server.Store(), "idp.demo", 1, func(*demoRecord) storage.Meta { return storage.Meta{ID: demoID} })
	return p, nil
}

// local is what the command line can do with this provider.
func (p *provider) local() *admin.Local {
	return &admin.Local{Server: p.server, Accounts: p.people, Backend: p.backend, Rotated: p.rotated, Mover: p.move}
}

// The issuer is remembered in the database, outside of any issuer's records, so
// that commands find them without being told.
var issuerKey = storage.Key{Namespace: "idp", Kind: "issuer", ID: "last"}

// rememberIssuer notes the issuer, and warns when the database has served another:
// clients and users of that one are not seen under this one.
func rememberIssuer(ctx context.Context, backend storage.Backend, s *server.Server, log *slog.Logger) error {
	issuer := s.Issuer()
	was, err := lastIssuer(ctx, backend)
	if err != nil || was == issuer {
		return err
	}
	if was != "" {
		log.WarnContext(ctx, "the database has served another issuer; its users and clients are not seen under this one",
			"issuer", issuer, "before", was)
	}
	err = backend.Apply(ctx, storage.Batch{Now: s.Store().Now(), Ops: []storage.Op{
		{Action: storage.ActionPut, Key: issuerKey, If: storage.Any(), Value: []byte(issuer)},
	}})
	if err != nil {
		return fmt.Errorf("remember the issuer: %w", err)
	}
	return nil
}

// lastIssuer returns the issuer that the database served last, empty for a new one.
func lastIssuer(ctx context.Context, backend storage.Backend) (string, error) {
	found, err := backend.Get(ctx, issuerKey)
	if err != nil {
		return "", fmt.Errorf("look up the issuer: %w", err)
	}
	return string(found[0].Value), nil
}
