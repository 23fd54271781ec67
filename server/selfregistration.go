package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

// Registration says which clients the server takes that nobody entered. Each of them
// has to use PKCE, is asked about on the consent page, and gets no more than what is
// listed here. The zero value takes none.
type Registration struct {
	// Endpoint lets programs register clients. RFC 7591 §3
	Endpoint RegistrationAccess

	// Documents takes clients that are known by the URL of a document with their metadata,
	// which is their client_id: it is fetched, kept for as long as its Cache-Control says
	// (a minute to a day, an hour when it says nothing), and never for longer than the
	// server runs, but for what was granted: tokens are refreshed for 30 days after the
	// document could be fetched last. OAuth Client ID Metadata Document
	Documents bool
	// DocumentHost says of which hosts documents are taken; nil: of all on the open
	// Internet. It is called for each request, so it has to be quick.
	DocumentHost func(host string) bool

	// GrantTypes are those that such clients may have; what else they ask for is left
	// out. nil: authorization_code and refresh_token.
	GrantTypes []string

	// Scopes are those that such clients may ask people for; what else they register
	// is left out. nil: every scope of the server, since people are asked.
	Scopes []string

	// DefaultScopes are granted when neither the registration nor the request names a
	// scope. nil: such a request is refused with invalid_scope.
	DefaultScopes []string

	// Audiences are the APIs that such clients may have tokens for. nil: all of
	// Config.Resources, or DefaultAudience alone when there are none.
	Audiences []string

	// Policy may refuse a client, by handlers.Refuse with words for its author, or
	// change what it asks for; what it leaves is checked as any other. An error of
	// another kind is answered with server_error. It is called for each registration
	// and change, and each time a document was fetched, under the deadline of
	// Limits.Hooks, after which it is answered with 503 whatever it says. nil: whatever
	// is valid is taken.
	Policy func(ctx context.Context, c *NewClient) error

	// Statements are those whose software statements count: what they say of a client
	// comes before what it says itself. One with an aud has to name the issuer there.
	// RequireStatement refuses clients without one.
	// RFC 7591 §2.3
	Statements       []StatementIssuer
	RequireStatement bool

	// Unused is how long a registered client is kept that nobody signs in to. 0: 24 h
	Unused time.Duration
	// Idle is how long one is kept after it was used last. 0: 90 days, or
	// Lifetimes.RefreshIdle if that is longer.
	Idle time.Duration

	// PerAddress and InAll are how many clients one address, and all together, may
	// register in an hour with the open endpoint. 0: 20 and 500. Public clients that
	// are known already do not count.
	PerAddress int
	InAll      int
}

// RegistrationAccess says who may register clients.
type RegistrationAccess string

// Who may register clients. RFC 7591 §3
const (
	RegistrationOff     RegistrationAccess = ""      // nobody: there is no endpoint
	RegistrationByToken RegistrationAccess = "token" // who holds an initial access token, Clients.IssueInitialToken
	RegistrationOpen    RegistrationAccess = "open"  // everybody
)

// NewClient is a client that nobody entered, as Registration.Policy sees it.
type NewClient struct {
	// Client is what will be stored. All of it may be changed but ID, Registered, and
	// the dates.
	Client *storage.Client

	// Metadata is what the client said of itself, by the names of RFC 7591 §2, with what
	// a software statement says laid over it.
	Metadata map[string]json.RawMessage

	Origin       storage.Origin
	InitialToken string // ID of the initial access token, "" for none
	Statement    string // issuer of the software statement, "" for none
	Update       bool   // the client is there already
}

// StatementIssuer is somebody who vouches for clients. RFC 7591 §2.3
type StatementIssuer struct {
	Issuer  string          // iss of its statements
	JWKS    json.RawMessage // its public keys as a JWK Set, or
	JWKSURI string          // the https URL where it publishes them
}

// on says whether there is an endpoint.
func (r *Registration) on() bool { return r.Endpoint != RegistrationOff }

// resolveRegistration checks the rules for clients that nobody entered.
func (r *resolvedConfig) resolveRegistration(found *problems) {
	c := &r.Registration
	if !slices.Contains([]RegistrationAccess{RegistrationOff, RegistrationByToken, RegistrationOpen}, c.Endpoint) {
		found.add("Registration.Endpoint", quoted(string(c.Endpoint)), "write token, open, or nothing for off")
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{storage.GrantAuthorizationCode, storage.GrantRefreshToken}
	}
	for i, name := range c.GrantTypes {
		if !slices.Contains(r.registrar.grantNames(), name) {
			found.add(index("Registration.GrantTypes", i), quoted(name), "write grant types that the server has")
		}
	}
	if c.Scopes == nil {
		c.Scopes = r.scopeNames()
	}
	for i, name := range c.Scopes {
		if !slices.Contains(r.scopeNames(), name) {
			found.add(index("Registration.Scopes", i), quoted(name), "write a scope of Config.Scopes")
		}
	}
	for i, name := range c.DefaultScopes {
		if !slices.Contains(c.Scopes, name) {
			found.add(index("Registration.DefaultScopes", i), quoted(name), "write a scope of Registration.Scopes")
		}
	}
	given := c.Audiences
	if given == nil {
		c.Audiences = r.knownAudiences()
	}
	for i, audience := range given {
		if known := r.knownAudiences(); known != nil && !slices.Contains(known, audience) {
			found.add(index("Registration.Audiences", i), quoted(audience), "write an API of Config.Resources")
		} else {
			judgeAudience(index("Registration.Audiences", i), audience, found)
		}
	}
	for i := range c.Statements {
		judgeStatementIssuer(index("Registration.Statements", i), &c.Statements[i], found)
	}
	if c.RequireStatement && len(c.Statements) == 0 {
		found.add("Registration.RequireStatement", "true without anybody who may vouch", "list the issuers in Registration.Statements")
	}
	bounded("Registration.Unused", &c.Unused, day, time.Minute, year, found)
	bounded("Registration.Idle", &c.Idle, max(90*day, r.Lifetimes.RefreshIdle), time.Hour, 10*year, found)
	if c.Idle < r.Lifetimes.RefreshIdle {
		found.add("Registration.Idle", span(c.Idle)+", less than Lifetimes.RefreshIdle", "write at least %s, or refresh tokens end with their client", span(r.Lifetimes.RefreshIdle))
	}
	for _, limit := range []struct {
		field     string
		value     *int
		otherwise int
	}{{"PerAddress", &c.PerAddress, 20}, {"InAll", &c.InAll, 500}} {
		if *limit.value < 0 {
			found.add("Registration."+limit.field, "a negative number", "write how many are taken in an hour, or 0 for %d", limit.otherwise)
		}
		*limit.value = cmp.Or(*limit.value, limit.otherwise)
	}
}

func judgeStatementIssuer(field string, s *StatementIssuer, found *problems) {
	if s.Issuer == "" {
		found.add(field+".Issuer", "nothing", "write the iss of its statements")
	}
	switch {
	case (len(s.JWKS) == 0) == (s.JWKSURI == ""):
		found.add(field, "none or both of JWKS and JWKSURI", "write its public keys, or where it publishes them")
	case s.JWKSURI != "" && outbound.CheckURL(s.JWKSURI) != nil:
		found.add(field+".JWKSURI", quoted(s.JWKSURI), "write an https URL without user, password and fragment")
	case len(s.JWKS) > 0:
		if keys, err := jws.ParseKeys(s.JWKS); err != nil || keys.Len() == 0 {
			found.add(field+".JWKS", "a set without a key that verifies a signature", "write its public keys")
		}
	}
}

// admit lets the host's policy look at a client that nobody entered. What it says after
// its deadline counts for nothing, as with every hook.
func (c *Clients) admit(ctx context.Context, n *NewClient) error {
	if c.registration.Policy == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.hookTime)
	defer cancel()
	before := *n.Client
	err := c.guarded(ctx, "Registration.Policy", func() error { return c.registration.Policy(ctx, n) })
	if n.Client == nil {
		n.Client = &before
	}
	n.Client.ID, n.Client.Incarnation, n.Client.Registered = before.ID, before.Incarnation, before.Registered
	n.Client.CreatedAt, n.Client.ExpiresAt, n.Client.Secrets, n.Client.Secret = before.CreatedAt, before.ExpiresAt, before.Secrets, ""
	reason, refused := handlers.Refused(err)
	switch late := ctx.Err(); {
	case errors.Is(late, context.DeadlineExceeded):
		return &engine.Error{
			Code: "temporarily_unavailable", Reason: "hook_deadline", Status: http.StatusServiceUnavailable, RetryAfter: 2 * time.Second,
			Description: "The request took too long. Try again.", Cause: errors.Join(late, err), Setting: "Limits.Hooks",
		}
	case refused:
		e := badMetadata("invalid_client_metadata", "registration_refused", "This server does not take the client: "+reason)
		e.Setting = "Registration.Policy"
		return e
	case errors.Is(err, errPanic):
		return panicked("Registration.Policy", err)
	case err != nil:
		return &engine.Error{
			Code: "server_error", Reason: "registration_policy_failed", Status: http.StatusInternalServerError,
			Description: "Something went wrong in the server. Its log has the details.", Cause: err, Setting: "Registration.Policy",
		}
	}
	return nil
}
