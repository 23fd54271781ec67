package engine

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

// Access is a valid access token.
type Access struct {
	Subject, ClientID, SessionID, Grant, Org string

	Told  string              // the subject as the client is told it
	Asked storage.AskedClaims // one by one, of the grant

	Scopes, Audience    []string
	IssuedAt, ExpiresAt time.Time
	Claims              map[string]any

	// How the person signed in; empty when the client acts for itself.
	AuthTime time.Time
	ACR      string
	AMR      []string

	// Confirmation is the key it is bound to. Who asks for more than what the token
	// says must ask for the key as well: CheckSender.
	Confirmation storage.Confirmation
}

// SignIn are the claims of how the person signed in, as far as it is known, by which an
// API decides whether that is enough. RFC 9470 §6
func (a *Access) SignIn() map[string]any {
	claims := map[string]any{}
	a.addSignIn(claims)
	return claims
}

func (a *Access) addSignIn(claims map[string]any) {
	if !a.AuthTime.IsZero() {
		claims["auth_time"] = a.AuthTime.Unix()
	}
	if a.ACR != "" {
		claims["acr"] = a.ACR
	}
	if len(a.AMR) > 0 {
		claims["amr"] = a.AMR
	}
}

// Access checks an access token. The error is invalid_token or unavailable. RFC 6750
func (e *Engine) Access(ctx context.Context, token string) (*Access, *Error) {
	var found *Access
	err := e.guarded(ctx, "access", func() error {
		return e.store.Do(ctx, func(ctx context.Context) (err error) {
			found, err = e.access(ctx, token)
			return err
		})
	})
	if err != nil {
		return nil, failure(err)
	}
	return found, nil
}

func (e *Engine) access(ctx context.Context, token string) (*Access, error) {
	t, loaded, err := e.findAccess(ctx, token)
	if err != nil {
		return nil, err
	}
	g, reason, err := e.tokenStanding(ctx, t, isJWT(token), loaded)
	if err != nil || reason != "" {
		return nil, orError(err, errAccess(reason).detail("a token of grant %q, client %s", t.Grant, quote(t.ClientID)))
	}
	subject, told := t.Subject, t.Subject
	if t.Grant != "" { // a JWT has what the client is told
		subject, told = g.Subject, g.Told()
	}
	return &Access{
		Subject: subject, Told: told, Asked: g.Asked, ClientID: t.ClientID, SessionID: g.SessionID, Grant: t.Grant, Org: g.Org,
		Scopes: t.Scopes, Audience: t.Audience, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, Claims: maps.Clone(t.Claims),
		AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR, Confirmation: t.Confirmation,
	}, nil
}

// findAccess returns an access token that was issued here and has not ended. It is not to
// be changed. loaded says that what it hangs on was read with it.
func (e *Engine) findAccess(ctx context.Context, token string) (t *storage.AccessToken, loaded bool, err error) {
	if isJWT(token) {
		t, err = e.readAccessJWT(ctx, token)
		return t, false, err
	}
	key, ok := opaque.TokenKey(accessPrefix, token)
	if !ok {
		return nil, false, errAccess("token_unknown").detail("it does not have the form of an access token of this server")
	}
	seen := e.tokens.Seen(key)
	if seen != nil {
		if err := e.store.Load(ctx, append(e.hangsOn(seen), e.tokens.Ref(key))...); err != nil {
			return nil, false, err
		}
	}
	t, err = e.tokens.View(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, false, errAccess("token_unknown").detail("it was never issued, has ended or was revoked")
	}
	return t, t != nil && t == seen, err
}

// hangsOn are the references of what an access token is valid with.
func (e *Engine) hangsOn(t *storage.AccessToken) []storage.Ref {
	refs := append(make([]storage.Ref, 0, 6), e.config.ClientRef(t.ClientID), e.grants.Ref(t.Grant)) // and one more
	return e.appendEpochs(refs, t.Subject, t.ClientID, t.Session)
}

// tokenStanding returns the grant of an access token, an empty one when it has none,
// and says why the token is valid no more, or "". What it depends on is read in one
// round trip, in one snapshot, but for the session of a JWT, which its grant tells. The
// grant is not to be changed.
func (e *Engine) tokenStanding(ctx context.Context, t *storage.AccessToken, signed, loaded bool) (g *storage.Grant, reason string, err error) {
	if !loaded {
		refs := e.hangsOn(t)
		if signed {
			refs = append(refs, e.revoked.Ref(t.Key))
		}
		if err := e.store.Load(ctx, refs...); err != nil {
			return nil, "", err
		}
	}
	if signed { // an opaque one that was revoked is not there any more
		if _, err := e.revoked.Get(ctx, t.Key); !errors.Is(err, storage.ErrNotFound) {
			return nil, "token_revoked", err
		}
	}
	c, err := e.client(ctx, t.ClientID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, "client_unknown", nil
	case err != nil:
		return nil, "", err
	case c.Incarnation != t.Incarnation:
		return nil, "client_replaced", nil
	case c.Disabled:
		return nil, "client_disabled", nil
	case t.Grant == "":
		return &storage.Grant{}, "", nil
	}
	g, err = e.grants.View(ctx, t.Grant)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, "grant_ended", nil
	case err != nil:
		return nil, "", err
	}
	reason, err = e.standing(ctx, g, c)
	return g, reason, err
}

func (e *Engine) appendEpochs(refs []storage.Ref, subject, clientID, sessionID string) []storage.Ref {
	return append(refs,
		e.epochs.Ref(e.epochs.OfSubject(subject)),
		e.epochs.Ref(e.epochs.OfApp(subject, clientID)),
		e.epochs.Ref(e.epochs.OfSession(sessionID)),
	)
}

// standing says why a grant is valid no more, or "".
func (e *Engine) standing(ctx context.Context, g *storage.Grant, c *storage.Client) (reason string, err error) {
	switch {
	case g.Revoked():
		return "grant_revoked", nil
	case c.Incarnation != g.Stamp.Incarnation:
		return "client_replaced", nil
	case c.Disabled:
		return "client_disabled", nil
	}
	now, err := e.stamp(ctx, g.Subject, g.SessionID, c)
	switch {
	case err != nil:
		return "", err
	case now.Subject != g.Stamp.Subject:
		return "subject_revoked", nil
	case now.App != g.Stamp.App:
		return "app_revoked", nil
	case now.Session != g.Stamp.Session && !e.outlivesSession(g):
		return "session_ended", nil
	}
	return "", nil
}

// Stands says whether a grant is valid still. That of a client which is disabled for
// the time being does.
func (e *Engine) Stands(ctx context.Context, g *storage.Grant) (bool, error) {
	c, err := e.client(ctx, g.ClientID)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	enabled := c.Clone()
	enabled.Disabled = false
	reason, err := e.standing(ctx, g, enabled)
	return reason == "", err
}

// outlivesSession says whether a grant goes on when its session has ended. OpenID
// Connect Core §11
func (e *Engine) outlivesSession(g *storage.Grant) bool {
	return g.Refresh != nil && g.Refresh.Offline && !e.config.SignOutEndsOffline
}

func errAccess(reason string) *Error {
	return refuse(codeInvalidToken, reason, "The access token is unknown, expired or revoked.").secret()
}
