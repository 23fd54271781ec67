package engine

import (
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/doorward/doorward/storage"
)

const (
	repeatKind  = "refresh-repeat"
	reuseReason = "refresh_reuse"
)

// place is where a refresh token stands in its chain.
type place int

const (
	placeForeign     place = iota // authentic, but of a chain that this store does not know
	placeHead                     // the newest
	placePredecessor              // the head was made from it
	placeOld                      // any earlier one
)

// refresh judges a refresh token. Before the client and the token's MAC are known
// to be right nothing is told and nothing is revoked, or whoever finds an old
// token could sign its owner out. RFC 6749 §6, RFC 9700 §4.14.2
func (e *Engine) refresh(ctx context.Context, c *storage.Client, form url.Values) (*issuance, error) {
	presented := form.Get("refresh_token")
	if presented == "" {
		return nil, missing("refresh_token")
	}
	t, g, err := e.grantOfRefresh(ctx, presented)
	if err != nil {
		return nil, err
	}
	if g.ClientID != c.ID {
		return nil, errRefresh("refresh_other_client").detail("the token of grant %s was issued to %s", g.ID, quote(g.ClientID))
	}
	if reason, err := e.standing(ctx, g, c); err != nil || reason != "" {
		return nil, orError(err, errRefresh(reason).detail("grant %s, revoked for %q", g.ID, g.RevokedReason))
	}
	if err := e.checkChainLives(g); err != nil {
		return nil, err
	}
	if refusal := sameSender(ctx, g.Refresh.Bound, "refresh token"); refusal != nil {
		return nil, refusal
	}
	scopes, audience, refusal := e.narrowed(c, g, form)
	if refusal != nil {
		return nil, refusal
	}
	i := &issuance{client: c, grant: g, scopes: scopes, audience: audience, event: EventTokenRefresh}
	return i, e.advance(ctx, i, t, presented)
}

func (e *Engine) grantOfRefresh(ctx context.Context, presented string) (refreshToken, *storage.Grant, error) {
	t, ok := e.parseRefresh(presented)
	if !ok {
		return t, nil, errRefresh("refresh_unknown").detail("it is not a refresh token of this server")
	}
	g, err := e.grants.Get(ctx, t.grant)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return t, nil, errRefresh("refresh_expired").detail("grant %s ended and is gone", t.grant)
	case err != nil:
		return t, nil, err
	case g.Refresh == nil:
		return t, nil, errRefresh("refresh_unknown").detail("grant %s has no refresh token", g.ID)
	}
	return t, g, nil
}

func (e *Engine) checkChainLives(g *storage.Grant) *Error {
	now, end := e.store.Now(), e.endOfChain(g.Refresh)
	switch {
	case !now.Before(end):
		return errRefresh("refresh_expired").detail("grant %s: its absolute end was %s", g.ID, end.Format(time.RFC3339))
	case !now.Before(g.Refresh.IdleEnd):
		return errRefresh("refresh_idle").detail("grant %s: it was not used until %s", g.ID, g.Refresh.IdleEnd.Format(time.RFC3339))
	}
	return nil
}

// narrowed returns what the new access token is for: what the request asks for of
// what was granted and of what the client may still have. The grant itself keeps
// all. RFC 6749 §6, RFC 8707 §2.2
func (e *Engine) narrowed(c *storage.Client, g *storage.Grant, form url.Values) (scopes, audience []string, refusal *Error) {
	scopes, audience, refusal = e.stillAllowed(c, g)
	if refusal != nil {
		return nil, nil, refusal
	}
	asked, refusal := splitScope(form.Get("scope"))
	if refusal != nil {
		return nil, nil, refusal
	}
	if odd, ok := subset(asked, scopes); !ok {
		return nil, nil, refuse(codeInvalidScope, "scope_not_granted", "The scope "+quote(odd)+" was not granted.").
			detail("grant %s: granted %v, the client may have %v", g.ID, g.Scopes, c.Scopes())
	}
	if len(asked) > 0 {
		scopes = asked
	}
	audience, refusal = e.target(form, audience)
	return scopes, audience, refusal
}

// stillAllowed returns what of a grant its client is still registered for.
func (e *Engine) stillAllowed(c *storage.Client, g *storage.Grant) (scopes, audience []string, refusal *Error) {
	scopes, audience = both(g.Scopes, c.Scopes()), both(g.Audience, e.audiences(c))
	if len(scopes) == 0 && len(g.Scopes) > 0 || len(audience) == 0 && len(g.Audience) > 0 {
		return nil, nil, refuse(codeInvalidGrant, "grant_not_allowed", "The client may no longer have any of what was granted.").
			detail("grant %s: scopes %v for %q", g.ID, g.Scopes, g.Audience).setting("scope")
	}
	return scopes, audience, nil
}

// advance decides by the policy what the presented token gets.
func (e *Engine) advance(ctx context.Context, i *issuance, t refreshToken, presented string) error {
	at := placeOf(i.grant.Refresh, t)
	first, err := storage.Memo(ctx, e.store, firstSight{i.grant.ID}, func() (place, error) { return at, nil })
	if err != nil {
		return err
	}
	policy := e.policy(i.client, i.grant.Refresh, shown(ctx).bound)
	now := e.store.Now()
	switch {
	case at == placeForeign:
		return errRefresh("refresh_unknown").
			detail("grant %s: an authentic token that the store does not know; was an old copy of the database restored?", i.grant.ID)
	case policy == storage.RefreshNone && at == placeHead:
		i.refresh = presented
		e.touch(i, now)
		return nil
	case at == placeHead:
		i.refresh = e.rotate(i.grant, t, now)
		i.keep = func(ctx context.Context) error { return e.grants.Put(ctx, i.grant) }
		return nil
	case at == placePredecessor && e.repeatable(policy, i.grant.Refresh, now):
		return e.repeat(ctx, i, t)
	case first == placeHead:
		return errRefresh("refresh_used").detail("grant %s: lost a race for generation %d, nothing was revoked", i.grant.ID, t.generation)
	case policy != storage.RefreshStrict && e.justBefore(i.grant.Refresh, t, now):
		return errRefresh("refresh_used").
			detail("grant %s: generation %d was used %s ago and its successor was used as well; nothing was revoked",
				i.grant.ID, t.generation, now.Sub(i.grant.Refresh.RotatedBefore))
	}
	return e.reused(ctx, i.grant, t, now)
}

func placeOf(r *storage.Refresh, t refreshToken) place {
	hash := secretHash(t.secret)
	switch {
	case t.generation == r.Generation && hmac.Equal(hash, r.Head):
		return placeHead
	case t.generation >= r.Generation:
		return placeForeign
	case t.generation+1 == r.Generation && hmac.Equal(hash, r.Previous):
		return placePredecessor
	default:
		return placeOld
	}
}

// policy returns how a refresh token is treated, for a request that shows this key. One
// that does not rotate needs a client that can prove who it is, or is bound to a key;
// where nothing is configured it does not rotate when it can be used with such a proof
// only, for then rotating finds no thief. RFC 9700 §4.14.2
func (e *Engine) policy(c *storage.Client, r *storage.Refresh, has storage.Confirmation) storage.RefreshPolicy {
	bound := r.Bound != (storage.Confirmation{})
	p := cmp.Or(c.RefreshPolicy, e.config.Refresh.Policy)
	switch {
	case p == "" && (bound || !c.Public() && has != (storage.Confirmation{})):
		return storage.RefreshNone
	case p == "", p == storage.RefreshNone && c.Public() && !bound:
		return storage.RefreshWindow
	}
	return p
}

// repeatable says whether the predecessor of the head may have the same answer
// again. That its successor is the head proves that this one was not used.
func (e *Engine) repeatable(p storage.RefreshPolicy, r *storage.Refresh, now time.Time) bool {
	switch p {
	case storage.RefreshUntilUsed, storage.RefreshNone: // none: the policy was another when the head was made
		return true
	case storage.RefreshWindow:
		return now.Sub(r.RotatedAt) < e.config.Refresh.Window
	default:
		return false
	}
}

// repeat gives the same refresh token again, and an access token for what is asked
// now. The grant is not written, so repeats never disturb each other.
func (e *Engine) repeat(ctx context.Context, i *issuance, t refreshToken) error {
	r := i.grant.Refresh
	i.refresh = e.makeRefresh(e.successor(t, r.Salt))
	life := r.IdleEnd.Sub(e.store.Now())
	if e.policy(i.client, r, storage.Confirmation{}) == storage.RefreshWindow {
		life = min(life, e.config.Refresh.Window+time.Minute) // nothing is repeated later
	}
	i.keep = func(ctx context.Context) error {
		return e.store.Count(ctx, repeatKind, fmt.Sprintf("%s.%d", i.grant.ID, t.generation), 1, int64(e.config.Refresh.Repeats), life)
	}
	return nil
}

// justBefore says whether a token is the one before the predecessor and was used a
// moment ago: two tabs may do that, and nobody gains anything by it. Later it is a
// theft that shows, also under the policy that knows no clock.
func (e *Engine) justBefore(r *storage.Refresh, t refreshToken, now time.Time) bool {
	return t.generation+2 == r.Generation && now.Sub(r.RotatedBefore) < e.config.Refresh.Window
}

// touch moves the idle end of a chain that does not rotate, at most once an hour,
// so that a refresh is one insert otherwise.
func (e *Engine) touch(i *issuance, now time.Time) {
	r := i.grant.Refresh
	if idle := e.idleEnd(now, e.endOfChain(r)); idle.Sub(r.IdleEnd) >= min(time.Hour, e.config.Lifetimes.RefreshIdle/10) {
		r.IdleEnd = idle
		i.grant.ExpiresAt = e.endOfGrant(idle)
		i.keep = func(ctx context.Context) error { return e.grants.Put(ctx, i.grant) }
	}
}

// reused ends the grant: an old token can only come from somebody who kept it. RFC
// 9700 §4.14.2
func (e *Engine) reused(ctx context.Context, g *storage.Grant, t refreshToken, now time.Time) error {
	age := now.Sub(g.Refresh.RotatedAt) // of its use, at least
	if t.generation+2 == g.Refresh.Generation {
		age = now.Sub(g.Refresh.RotatedBefore)
	}
	e.emit(storage.Surviving(ctx), Event{
		Type: EventRefreshReuse, ClientID: g.ClientID, Subject: g.Subject, Grant: g.ID, Reason: reuseReason, Age: age,
	})
	if err := e.revoke(storage.Surviving(ctx), g, reuseReason); err != nil {
		return err
	}
	// It is an authentic token, and the client that it was issued to sends it: how long
	// ago tells its developer whether an answer was lost or two copies are at work.
	return refuse(codeInvalidGrant, reuseReason, "The refresh token was used before, "+age.Round(time.Second).String()+
		" ago, so all that belongs to it was revoked.").detail("grant %s was revoked: generation %d was used again, %s after its use; the newest is %d",
		g.ID, t.generation, age, g.Refresh.Generation)
}

// errRefresh is the refusal of a refresh token; what exactly is wrong only the log
// is told.
func errRefresh(reason string) *Error {
	return refuse(codeInvalidGrant, reason, "The refresh token is unknown, expired, used or revoked, or belongs to another client.").secret()
}

// errRepeats is the refusal of a refresh token whose answer was given again too often.
func errRepeats() *Error {
	return errRefresh("refresh_repeats").detail("the same answer was given again as often as it may be; nothing was revoked")
}
