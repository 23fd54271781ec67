package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	browserPrefix = "dwb_"
	// seenEvery is how often the use of a session is written down, and only with
	// what is written anyway.
	seenEvery = time.Hour
	maxAgent  = 200
	// clockLeeway is how far in the future a sign-in may be: hosts have clocks of their own.
	clockLeeway = time.Minute
)

// present is who is signed in in this browser.
type present struct {
	Subject
	session *storage.Session // nil: none, or the host keeps it
	token   string           // the cookie's value, where accounts found it
	here    bool             // and it is that of whoever was there last
}

func (p present) nobody() bool { return p.ID == "" }

// current returns who is signed in. The error is of the store or of the host.
func (h *Handlers) current(ctx context.Context, r *http.Request) (present, error) {
	if h.source != nil {
		r, cancel := h.timed(r, nil)
		defer cancel()
		x := exchangeOf(r.Context())
		before := x.calls("Login")
		s, err := h.source.CurrentSubject(r)
		x.calls(before)
		if err != nil {
			return present{}, fmt.Errorf("%w: the host's session: %w", storage.ErrUnavailable, err)
		}
		if e := tooLate(r.Context()); e != nil {
			return present{}, e
		}
		return present{Subject: s}, nil
	}
	key, ok := opaque.TokenKey(browserPrefix, h.cookies.read(r, sessionCookie))
	if !ok {
		return present{}, nil
	}
	return h.session(ctx, key)
}

// session returns who is signed in by one of our own sessions.
func (h *Handlers) session(ctx context.Context, key string) (present, error) {
	p, err := h.kept(ctx, key)
	if err == nil && p.session != nil && p.AuthTime.After(h.now().Add(clockLeeway)) {
		// The clock was ahead when they signed in, and is right again. Nothing tells how
		// long ago that was, so nobody's max_age is answered by it.
		return present{}, nil
	}
	return p, err
}

// kept returns who has one of our own sessions, also where the sign-in lies in the future:
// when the clock has caught up it counts again, so what ends sessions has to end it too.
func (h *Handlers) kept(ctx context.Context, key string) (present, error) {
	var s *storage.Session
	err := h.store.Do(ctx, func(ctx context.Context) (err error) {
		if s, err = h.sessions.Get(ctx, key); err != nil {
			return err
		}
		now, err := h.sessionStamp(ctx, s.Subject, s.ID)
		if err == nil && now != s.Stamp {
			return storage.ErrNotFound // the person or the session was revoked
		}
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return present{}, nil
	}
	if err != nil {
		return present{}, err
	}
	return present{session: s, Subject: Subject{
		ID: s.Subject, Name: s.Name, SessionID: s.ID, AuthTime: s.AuthTime, ACR: s.ACR, AMR: s.AMR, Org: s.Org,
	}}, nil
}

// replaced returns who has the session of ours whose place a sign-in in this browser takes.
func (h *Handlers) replaced(ctx context.Context, r *http.Request) (present, error) {
	key, ok := opaque.TokenKey(browserPrefix, h.cookies.read(r, sessionCookie))
	if !ok {
		return present{}, nil
	}
	return h.kept(ctx, key)
}

// sessionStamp returns the epochs that a session depends on.
func (h *Handlers) sessionStamp(ctx context.Context, subject, sessionID string) (storage.Stamp, error) {
	person, session := h.epochs.OfSubject(subject), h.epochs.OfSession(sessionID)
	err := h.store.Load(ctx, h.epochs.Ref(person), h.epochs.Ref(session))
	if err != nil {
		return storage.Stamp{}, err
	}
	var stamp storage.Stamp
	if stamp.Subject, err = h.epochs.At(ctx, person); err != nil {
		return storage.Stamp{}, err
	}
	stamp.Session, err = h.epochs.At(ctx, session)
	return stamp, err
}

// signIn makes a session of ours in the unit of work of ctx, ends the one
// before, and completes the subject. The token is new at every sign-in,
// so one that was planted or seen before is worth nothing.
// Where several people may be signed in, that is the one of the same person alone. A brief
// session ends with the browser.
func (h *Handlers) signIn(ctx context.Context, r *http.Request, s Subject, before present, brief bool) (Subject, *storage.Session, outcome, error) {
	now := h.now()
	var others []present
	var stale []string
	if h.several() {
		all, gone, err := h.sessionsHere(ctx, r, h.kept)
		if err != nil {
			return s, nil, outcome{}, err
		}
		stale = gone
		for _, p := range onceEach(all) {
			switch {
			case p.ID != s.ID:
				others = append(others, p)
			case before.ID != s.ID:
				before = p
			}
		}
		if before.ID != s.ID {
			before = present{}
		}
	}
	s.SessionID = opaque.NewID(now)
	ends := now.Add(h.config.Lifetimes.SessionAbsolute)
	if was := before.session; was != nil {
		if was.Subject == s.ID {
			s.SessionID = was.ID // the same person proved it again
			if was.AuthTime.Equal(s.AuthTime) {
				ends = was.EndsAt // or something more
			}
		} else if err := h.engine.RevokeSession(ctx, was.ID); err != nil {
			return s, nil, outcome{}, err
		}
		if err := h.sessions.Delete(ctx, was.Key); err != nil {
			return s, nil, outcome{}, err
		}
	}
	stamp, err := h.sessionStamp(ctx, s.ID, s.SessionID)
	if err != nil {
		return s, nil, outcome{}, err
	}
	token := opaque.NewToken(browserPrefix, now)
	key, _ := opaque.TokenKey(browserPrefix, token) // just made, so it has the form
	session := &storage.Session{
		Key: key, ID: s.SessionID, Subject: s.ID, Name: s.Name, AuthTime: s.AuthTime, ACR: s.ACR, AMR: s.AMR, Org: s.Org, Stamp: stamp,
		SeenAt: now, EndsAt: ends, Brief: brief,
	}
	session.Browser, session.System = agentOf(r.UserAgent())
	if from := h.clientAddr(r); from.IsValid() {
		session.Address = from.String()
	}
	h.extend(session, now)
	if err := h.sessions.Insert(ctx, session); err != nil {
		return s, nil, outcome{}, err
	}
	o := outcome{Session: token, Life: h.cookieLife(present{session: session})}
	if err := h.keep(ctx, r, &o, others, stale, s.SessionID); err != nil {
		return s, nil, outcome{}, err
	}
	return s, session, o, nil
}

func (h *Handlers) extend(s *storage.Session, now time.Time) {
	idle := h.config.Lifetimes.SessionIdle
	if s.Brief {
		idle = min(idle, h.config.Lifetimes.SessionBrief)
	}
	s.SeenAt, s.ExpiresAt = now, now.Add(idle)
	if s.EndsAt.Before(s.ExpiresAt) {
		s.ExpiresAt = s.EndsAt
	}
}

// errSignedOut means that a session of ours ended while it was being used.
var errSignedOut = errors.New("handlers: the session has ended")

// still looks in the unit of work of ctx whether a session of ours that was read shortly
// before goes on, so that what is written there depends on it, and writes down that it is
// in use when that is due. Whatever ends a session raises an epoch of its Stamp.
func (h *Handlers) still(ctx context.Context, p present) error {
	if p.session == nil {
		return nil
	}
	now := h.now()
	if now.Before(p.session.SeenAt.Add(seenEvery)) && now.Before(p.session.ExpiresAt) {
		stamp, err := h.sessionStamp(ctx, p.session.Subject, p.session.ID)
		if err == nil && stamp != p.session.Stamp {
			err = errSignedOut
		}
		return err
	}
	again, err := h.session(ctx, p.session.Key)
	if err != nil {
		return err
	}
	if again.nobody() {
		return errSignedOut
	}
	if now.Before(again.session.SeenAt.Add(seenEvery)) {
		return nil // another request has written it down meanwhile
	}
	h.extend(again.session, now)
	return h.sessions.Put(ctx, again.session)
}

// keepSession gives the browser the token of its session.
func (h *Handlers) keepSession(w http.ResponseWriter, token string, life time.Duration) {
	http.SetCookie(w, h.cookies.cookie(sessionCookie, token, life))
}

func clipped(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return s
}

// errSubject is a mistake of a Login: it named nobody that could be told to a client.
var errSubject = errors.New("handlers: the login named an impossible subject")

// judge checks what a hook says about a person. OpenID Connect Core §2
func (s Subject) judge(now time.Time) error {
	switch {
	case s.ID == "":
		return fmt.Errorf("%w: Subject.ID is empty", errSubject)
	case len(s.ID) > 255:
		return fmt.Errorf("%w: Subject.ID has %d bytes, at most 255 are allowed", errSubject, len(s.ID))
	case s.AuthTime.After(now.Add(clockLeeway)):
		return fmt.Errorf("%w: Subject.AuthTime is %v in the future", errSubject, s.AuthTime.Sub(now).Round(time.Second))
	case len(s.SessionID) > 255:
		return fmt.Errorf("%w: Subject.SessionID has %d bytes, at most 255 are allowed", errSubject, len(s.SessionID))
	}
	for i := range len(s.ID) {
		if c := s.ID[i]; c < 0x21 || c > 0x7e {
			return fmt.Errorf("%w: Subject.ID holds byte %#x, only visible ASCII is allowed", errSubject, c)
		}
	}
	for field, text := range map[string]string{
		"SessionID": s.SessionID, "ACR": s.ACR, "Org": s.Org, "Name": s.Name, "AMR": strings.Join(s.AMR, " "),
	} {
		// Tokens, cookies and records are made of them, so they are bounded and are text.
		switch {
		case len(text) > 1024:
			return fmt.Errorf("%w: Subject.%s has %d bytes, at most 1024 are allowed", errSubject, field, len(text))
		case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
			return fmt.Errorf("%w: Subject.%s holds what is no text", errSubject, field)
		}
	}
	return nil
}
