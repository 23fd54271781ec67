package engine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

// Grant is a further grant type.
type Grant struct {
	Type string
	// Exchange judges a request and says what is to be issued, once for each
	// request and outside of any commit. *Denied and *Error refuse; any other
	// error is a failure of the server.
	Exchange func(ctx context.Context, r *GrantRequest) (*GrantResult, error)
}

// GrantRequest is a token request of a further grant type. Scopes and Audience are
// what was asked for within what the client may have; Scopes are its defaults, or
// empty, when the request names none.
type GrantRequest struct {
	Client           *storage.Client
	Form             url.Values
	Scopes, Audience []string
}

// GrantResult is what is to be issued.
type GrantResult struct {
	Approval
	Refresh bool // a refresh token too, if the client may use one
	Extra   map[string]any
}

type exchangeKey struct{}

// further runs a further grant type as one of ours.
func (e *Engine) further(g Grant) decide {
	return func(ctx context.Context, c *storage.Client, form url.Values) (*issuance, error) {
		r := &GrantRequest{Client: c.Clone(), Form: url.Values(http.Header(form).Clone())} // the host may write to it
		var refusal *Error
		if form.Get("scope") != "" || len(c.DefaultScopes()) > 0 {
			if r.Scopes, refusal = e.grantable(c, form.Get("scope")); refusal != nil {
				return nil, refusal
			}
		}
		if r.Audience, refusal = e.target(form, e.audiences(c)); refusal != nil {
			return nil, refusal
		}
		result, err := storage.Memo(ctx, e.store, exchangeKey{}, func() (*GrantResult, error) { return e.exchange(ctx, g, r) })
		if err != nil {
			return nil, err
		}
		return e.granted(ctx, c, g.Type, result)
	}
}

func (e *Engine) exchange(ctx context.Context, g Grant, r *GrantRequest) (result *GrantResult, err error) {
	err = e.guarded(ctx, "grant "+g.Type, func() error {
		within, cancel := e.hookTime(e.store.Apart(ctx))
		defer cancel()
		if result, err = g.Exchange(within, r); err != nil {
			return err
		}
		return tooLate(within)
	})
	switch {
	case err != nil:
		return nil, hookFailure("grant_failed", err)
	case result == nil:
		return nil, broken("grant_failed", nil).detail("the grant %s returned nothing", g.Type)
	}
	return result, nil
}

// granted makes the grant record of a result.
func (e *Engine) granted(ctx context.Context, c *storage.Client, grantType string, r *GrantResult) (*issuance, error) {
	if r.Audience == nil {
		r.Audience = e.audiences(c)
	}
	if err := e.checkApproval(&r.Approval, c.Scopes(), e.audiences(c)); err != nil {
		return nil, err
	}
	now := e.store.Now()
	g, err := e.newGrant(ctx, &r.Approval, c, opaque.NewID(now))
	if err != nil {
		return nil, err
	}
	g.ExpiresAt = e.endOfGrant(now)
	i := &issuance{client: c, grant: g, scopes: g.Scopes, audience: g.Audience, extra: r.Extra, event: EventTokenIssued}
	if r.Refresh && c.MayUse(storage.GrantRefreshToken) {
		i.refresh = e.startChain(g, now)
	}
	i.keep = func(ctx context.Context) error { return e.grants.Insert(ctx, g) }
	return i, nil
}

// hookFailure makes of what a hook returned the refusal it stands for.
func hookFailure(reason string, err error) error {
	var denied *Denied
	var told *Error
	switch {
	case errors.Is(err, storage.ErrUnavailable):
		return unavailable(err)
	case errors.As(err, &denied):
		return refuse(codeInvalidGrant, "denied", "The server may not issue a token for this person at present.").
			detail("%s", denied.Reason).cause(err)
	case errors.As(err, &told):
		return told
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(codeUnavailable, "hook_deadline", "The request took too long. Try again.").cause(err).setting("Limits.Hooks")
	default:
		return broken(reason, err)
	}
}

// grant makes a grant of what was approved.
func (a *Approval) grant(id, clientID string, stamp storage.Stamp, now time.Time) *storage.Grant {
	return &storage.Grant{
		ID: id, ClientID: clientID, Subject: a.Subject, Stamp: stamp, CreatedAt: now,
		Scopes: slices.Clone(a.Scopes), Audience: slices.Clone(a.Audience),
		SessionID: a.SessionID, AuthTime: a.AuthTime, ACR: a.ACR, AMR: slices.Clone(a.AMR), Org: a.Org,
	}
}
