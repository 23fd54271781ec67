package server

import (
	"context"
	"errors"

	"github.com/doorward/doorward/storage"
)

// Grants returns one page of what a person allowed clients to do and what is
// still valid, by age, and the After of the next page, empty after the last. A
// page may hold less than its limit.
func (s *Server) Grants(ctx context.Context, subject string, page storage.Page) (grants []storage.Grant, next string, err error) {
	found, next, err := storage.Grants(s.store).List(ctx, storage.IndexSubject, s.store.SubjectKey(subject), page)
	if err != nil {
		return nil, "", err
	}
	for _, g := range found {
		if g.Subject != subject {
			continue // the index is a short hash
		}
		switch valid, err := s.valid(ctx, g); {
		case err != nil:
			return nil, "", err
		case valid:
			grants = append(grants, *g)
		}
	}
	return grants, next, nil
}

// valid says whether what a grant depends on is as it was when it was made.
func (s *Server) valid(ctx context.Context, g *storage.Grant) (bool, error) {
	if g.Revoked() {
		return false, nil
	}
	client, err := s.clients.lookup(ctx, g.ClientID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case client.Incarnation != g.Stamp.Incarnation:
		return false, nil
	}
	epochs := storage.NewEpochs(s.store)
	type held struct {
		by  storage.Holder
		was uint64
	}
	on := []held{
		{epochs.OfSubject(g.Subject), g.Stamp.Subject},
		{epochs.OfApp(g.Subject, g.ClientID), g.Stamp.App},
	}
	if g.Refresh == nil || !g.Refresh.Offline {
		on = append(on, held{epochs.OfSession(g.SessionID), g.Stamp.Session})
	}
	for _, h := range on {
		if is, err := epochs.At(ctx, h.by); err != nil || is != h.was {
			return false, err
		}
	}
	return true, nil
}

// RevokeGrant ends one grant and every token of it. reason goes to the log and to
// the event. Ending what has ended is no error.
func (s *Server) RevokeGrant(ctx context.Context, id, reason string) error {
	return s.engine.RevokeGrant(ctx, id, reason)
}

// RevokeSubject ends every grant and token of a person, as when an account is
// closed or taken over. A grant made later is not touched.
func (s *Server) RevokeSubject(ctx context.Context, subject string) error {
	return s.engine.RevokeSubject(ctx, subject)
}

// RevokeApp ends everything that a person allowed one client, and forgets the
// consent.
func (s *Server) RevokeApp(ctx context.Context, subject, clientID string) error {
	return s.engine.RevokeApp(ctx, subject, clientID)
}

// RevokeSession ends what was granted in one session (Subject.SessionID); grants
// with offline_access stay. A host whose session is the truth calls it at
// sign-out, and gives the next session another ID. OpenID Connect Core §11
func (s *Server) RevokeSession(ctx context.Context, sessionID string) error {
	return s.engine.RevokeSession(ctx, sessionID)
}
