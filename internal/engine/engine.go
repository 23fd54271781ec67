// Package engine speaks the protocol: it decides every authorization, token,
// introspection and revocation request. It is the only package that knows fosite,
// which parses and checks requests and drives the handlers here; what it decides is
// written through the unit of work of storage.Store.
//
// It takes parsed forms and returns plain structs, so it neither reads nor writes
// HTTP, and no fosite type leaves it.
package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/storage"
)

// Config is what the engine needs. All fields are required unless they say
// otherwise; server validates what a host can get wrong.
type Config struct {
	Issuer   string
	TokenURL string // also accepted where a specification allows it
	Store    *storage.Store
	Keys     *keyring.Ring

	// Client returns the client with this ID, or storage.ErrNotFound.
	Client func(ctx context.Context, id string) (*storage.Client, error)
	// Secrets checks a client's secret against its hashes.
	Secrets *ClientSecrets

	Scopes          []string // what the server knows; openid and offline_access are added by server
	DefaultAudience string   // the aud of a token when nothing else says
	Lifetimes       Lifetimes
	Refresh         RefreshRules

	// Grants are further grant types. Optional.
	Grants []Grant

	// Claims shapes what tokens say; it may veto. Run at code exchange, at
	// every refresh and at userinfo. Optional.
	Claims func(ctx context.Context, c *ClaimsRequest) error
	// Emit is called once for what happened, after it is durable. Optional.
	Emit func(ctx context.Context, e Event)

	Logger *slog.Logger
}

// Lifetimes are how long things live.
type Lifetimes struct {
	Code            time.Duration
	AccessToken     time.Duration
	IDToken         time.Duration
	RefreshIdle     time.Duration
	RefreshAbsolute time.Duration
}

// RefreshRules are the refresh policies' settings.
type RefreshRules struct {
	Policy  storage.RefreshPolicy // of clients that have none of their own
	Window  time.Duration         // of RefreshWindow
	Repeats int                   // how often the same answer is given again
}

// Engine decides requests. It is safe for concurrent use.
type Engine struct {
	config Config
}
