package storage

import "time"

// Participant is a client that signed a person in in one session, for as long as it has
// to be told when that ends. There is one record for each client of a session, so that
// signing in to one contends with nothing of another.
type Participant struct {
	SessionID   string    `json:"sid,omitempty"` // empty: the host names no sessions
	ClientID    string    `json:"client_id"`
	Incarnation string    `json:"incarnation,omitempty"` // of the client
	Subject     string    `json:"sub"`
	At          time.Time `json:"at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// IndexSession lists by session; value: SessionKey.
const IndexSession = "sid"

// SessionKey is the form of a session's ID in keys and indexes.
func (s *Store) SessionKey(sessionID string) string { return s.Lookup("session", sessionID) }

// ParticipantKey is the ID of the participant that a client is in a session.
func (s *Store) ParticipantKey(subject, sessionID, clientID string) string {
	return s.Lookup("participant", subject, sessionID, clientID)
}

// Participants is the collection of participants, listed by session and by subject.
func Participants(s *Store) *Collection[Participant] {
	return Collect(s, "participant", 1, func(p *Participant) Meta {
		m := Meta{
			ID: s.ParticipantKey(p.Subject, p.SessionID, p.ClientID), Expiry: p.ExpiresAt,
			Index: []Index{{IndexSubject, s.SubjectKey(p.Subject)}},
		}
		if p.SessionID != "" {
			m.Index = append(m.Index, Index{IndexSession, s.SessionKey(p.SessionID)})
		}
		return m
	})
}
