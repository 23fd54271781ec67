package engine

import (
	"context"
	"errors"
	"time"

	"github.com/doorward/doorward/storage"
)

// RevokeGrant ends a grant and all that hangs on it. Ending what has ended is no
// error.
func (e *Engine) RevokeGrant(ctx context.Context, id, reason string) error {
	return e.store.Do(ctx, func(ctx context.Context) error {
		g, err := e.grants.Get(ctx, id)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return e.revoke(ctx, g, reason)
	})
}

// revoke marks a grant, once. Its tokens are not touched: they are valid only while
// it is, so what is inserted at this very moment is dead as well.
func (e *Engine) revoke(ctx context.Context, g *storage.Grant, reason string) error {
	if g.Revoked() {
		return nil
	}
	g.RevokedAt, g.RevokedReason = e.store.Now(), reason
	e.emit(ctx, Event{Type: EventGrantRevoked, ClientID: g.ClientID, Subject: g.Subject, Grant: g.ID, Reason: reason})
	return e.grants.Put(ctx, g)
}

// RevokeSubject ends everything of a person, and has the clients told.
func (e *Engine) RevokeSubject(ctx context.Context, subject string) error {
	return e.store.Do(ctx, func(ctx context.Context) error {
		e.emit(ctx, Event{Type: EventSubjectRevoke, Subject: subject})
		if err := e.tellLogout(ctx, ended{Subject: subject}); err != nil {
			return err
		}
		return e.epochs.Raise(ctx, e.epochs.OfSubject(subject), time.Time{})
	})
}

// RevokeApp ends everything a person allowed a client, and the remembered consent.
func (e *Engine) RevokeApp(ctx context.Context, subject, clientID string) error {
	return e.store.Do(ctx, func(ctx context.Context) error {
		e.emit(ctx, Event{Type: EventAppRevoke, Subject: subject, ClientID: clientID})
		if err := e.consents.Delete(ctx, e.store.ConsentKey(subject, clientID)); err != nil {
			return err
		}
		return e.epochs.Raise(ctx, e.epochs.OfApp(subject, clientID), time.Time{})
	})
}

// RevokeSession ends what hangs on a session, and has the clients told that signed
// somebody in in it; grants with offline_access stay.
func (e *Engine) RevokeSession(ctx context.Context, sessionID string) error {
	if sessionID == "" {
		return nil
	}
	return e.store.Do(ctx, func(ctx context.Context) error {
		e.emit(ctx, Event{Type: EventSessionRevoke, Reason: sessionID})
		if err := e.tellLogout(ctx, ended{SessionID: sessionID}); err != nil {
			return err
		}
		return e.epochs.Raise(ctx, e.epochs.OfSession(sessionID), e.endOfSession())
	})
}

// endOfSession is when the session that ends now, and the last grant that was made in
// it, would have ended by themselves, so that the mark of its end is needed no longer.
func (e *Engine) endOfSession() time.Time {
	l := e.config.Lifetimes
	return e.endOfGrant(e.store.Now().Add(max(max(l.Code, l.DeviceCode)+l.RefreshAbsolute, l.Session))).Add(24 * time.Hour)
}
