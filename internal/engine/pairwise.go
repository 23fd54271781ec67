package engine

import (
	"context"
	"errors"

	"github.com/doorward/doorward/storage"
)

// SubjectFor returns the subject as a client is told it: the same for all clients of
// one sector and another for each sector, so that they can't find out together whom
// they both know. It is a keyed hash, so nothing is stored for it and it stays the same
// for as long as the store does. OpenID Connect Core §8.1
func (e *Engine) SubjectFor(c *storage.Client, subject string) string {
	if c.SubjectType != storage.SubjectPairwise || subject == "" {
		return subject
	}
	return e.store.Lookup("pairwise subject", c.Sector(), subject)
}

// SessionFor returns the session as a client is told it, the claim sid: as the subject,
// another one for each sector of clients with pairwise subjects, who would else know by
// it whom they both know. OpenID Connect Core §8.1, §17.3
func (e *Engine) SessionFor(c *storage.Client, session string) string {
	if c.SubjectType != storage.SubjectPairwise {
		return session
	}
	return e.pairwiseSession(c, session)
}

func (e *Engine) pairwiseSession(c *storage.Client, session string) string {
	if session == "" {
		return ""
	}
	return e.store.Lookup("pairwise session", c.Sector(), session)
}

// toldSession is the session as the ID tokens of a grant tell it: in the way in which
// they tell the subject, which stays the same for the grant's life.
func (e *Engine) toldSession(c *storage.Client, g *storage.Grant) string {
	if g.PairwiseSubject == "" {
		return g.SessionID
	}
	return e.pairwiseSession(c, g.SessionID)
}

// GrantRefs names what is read before a person is granted anything at a client, so that it
// can be read together with what else a request needs. An empty sessionID names none.
func (e *Engine) GrantRefs(subject, clientID, sessionID string) []storage.Ref {
	return e.appendEpochs(append(make([]storage.Ref, 0, 5), e.config.ClientRef(subject)), subject, clientID, sessionID) // and one more
}

// newGrant makes the grant of what was approved, and reads what it depends on.
func (e *Engine) newGrant(ctx context.Context, ok *Approval, c *storage.Client, id string) (*storage.Grant, error) {
	if err := e.store.Load(ctx, e.GrantRefs(ok.Subject, c.ID, ok.SessionID)...); err != nil {
		return nil, err
	}
	if err := e.checkNoClient(ctx, ok.Subject); err != nil {
		return nil, err
	}
	stamp, err := e.stamp(ctx, ok.Subject, ok.SessionID, c)
	if err != nil {
		return nil, err
	}
	g := ok.grant(id, c.ID, stamp, e.store.Now())
	if told := e.SubjectFor(c, ok.Subject); told != ok.Subject {
		g.PairwiseSubject = told
	}
	return g, nil
}

// checkNoClient refuses a person whose subject is the client_id of a client. Tokens that
// a client gets for itself have its client_id as sub, so each would pass for the other
// where an API looks at the sub alone. RFC 9700 §4.15
func (e *Engine) checkNoClient(ctx context.Context, subject string) error {
	switch _, err := e.client(ctx, subject); {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return broken("subject_is_client", nil).
		detail("the subject %s is the client_id of a registered client", quote(subject)).setting("Subject.ID")
}
