package server

import (
	"context"

	"github.com/doorward/doorward/handlers"
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
		switch valid, err := s.engine.Stands(ctx, g); {
		case err != nil:
			return nil, "", err
		case valid:
			grants = append(grants, *g)
		}
	}
	return grants, next, nil
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

// Apps returns the applications that a person is connected with, those that were allowed
// and never used included, by name. What a person sees on the page of connected apps,
// <issuer><prefix>/account/apps, is this list; RevokeApp takes one away.
func (s *Server) Apps(ctx context.Context, subject string) ([]handlers.AppView, error) {
	return s.handlers.Apps(ctx, subject)
}

// Sessions returns the sessions of a person that the server keeps, the newest first;
// none when the host's session is the truth. RevokeSession ends one.
func (s *Server) Sessions(ctx context.Context, subject string) ([]handlers.SessionView, error) {
	return s.handlers.Sessions(ctx, subject)
}

// RevokeOtherSessions ends the sessions of a person that the server keeps and what was
// granted in them, as RevokeSession does, all but the one named; an empty keep spares
// none. It is what to call after a password was changed.
func (s *Server) RevokeOtherSessions(ctx context.Context, subject, keep string) error {
	return s.handlers.EndOtherSessions(ctx, subject, keep)
}
