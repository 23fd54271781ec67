package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/internal/outbox"
	"github.com/doorward/doorward/storage"
)

const (
	logoutTokenType = "logout+jwt"
	logoutTokenLife = 2 * time.Minute
	logoutEvent     = "http://schemas.openid.net/event/backchannel-logout"

	topicEnded  = "session_ended"
	topicLogout = "backchannel_logout"

	// participantsAtOnce is how many clients are taken over into the outbox in one
	// commit, two operations each.
	participantsAtOnce = 25
)

// ended is the message that a session has ended, or every session of a person. Who is
// to be told is looked up when it is delivered: the sign-out writes one record, however
// many clients there are, and misses none that signed in just before it.
type ended struct {
	SessionID string `json:"sid,omitempty"`
	Subject   string `json:"sub,omitempty"`
}

// farewell is the message to one client.
type farewell struct {
	ClientID    string `json:"client_id"`
	Incarnation string `json:"incarnation,omitempty"`
	Subject     string `json:"sub"`
	SessionID   string `json:"sid,omitempty"`
}

// deliveries registers what the engine tells others.
func (e *Engine) deliveries() {
	e.outbox.Register(topicEnded, outbox.Topic{Deliver: e.fanOut})
	e.outbox.Register(topicLogout, outbox.Topic{Deliver: e.sendLogout, GivenUp: func(ctx context.Context, m *outbox.Message, last error) {
		var f farewell
		_ = json.Unmarshal(m.Body, &f) // it was read before
		e.emit(ctx, Event{Type: EventLogoutUntold, ClientID: f.ClientID, Subject: f.Subject, Reason: last.Error(), Age: e.store.Now().Sub(m.CreatedAt)})
	}})
}

// takePart notes in the unit of work of ctx that the client of a grant signs somebody in
// in its session, if the client wants to be told of the end. A record that is there
// already is not written again, so that tabs and silent requests do not contend.
func (e *Engine) takePart(ctx context.Context, c *storage.Client, g *storage.Grant) error {
	if c.BackchannelLogoutURI == "" && c.FrontchannelLogoutURI == "" || !slices.Contains(g.Scopes, scopeOpenID) {
		return nil
	}
	p := &storage.Participant{
		SessionID: g.SessionID, ClientID: c.ID, Incarnation: c.Incarnation, Subject: g.Subject,
		At: g.CreatedAt, ExpiresAt: e.endOfSession(),
	}
	known, err := e.participants.Get(ctx, e.store.ParticipantKey(p.Subject, p.SessionID, p.ClientID))
	if err == nil && known.Incarnation == p.Incarnation && known.ExpiresAt.After(p.ExpiresAt.Add(-24*time.Hour)) {
		return nil
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	return e.participants.Put(ctx, p)
}

// Participants returns the clients that are to be told of the end of a session, with the
// person that each signed in.
func (e *Engine) Participants(ctx context.Context, sessionID string) ([]*storage.Participant, error) {
	if sessionID == "" {
		return nil, nil
	}
	found, _, err := e.participantsOf(ctx, ended{SessionID: sessionID}, storage.Page{})
	return found, err
}

func (e *Engine) participantsOf(ctx context.Context, of ended, page storage.Page) (list []*storage.Participant, next string, err error) {
	index, value := storage.IndexSubject, e.store.SubjectKey(of.Subject)
	if of.SessionID != "" {
		index, value = storage.IndexSession, e.store.SessionKey(of.SessionID)
	}
	found, next, err := e.participants.List(ctx, index, value, page)
	for _, p := range found {
		if p.SessionID == of.SessionID || of.SessionID == "" && p.Subject == of.Subject { // the index is a short hash
			list = append(list, p)
		}
	}
	return list, next, err
}

// tellLogout puts into the unit of work of ctx that clients are to be told, if there are
// any.
func (e *Engine) tellLogout(ctx context.Context, of ended) error {
	found, _, err := e.participantsOf(ctx, of, storage.Page{Limit: 1})
	if err != nil || len(found) == 0 {
		return err
	}
	return e.outbox.Put(ctx, topicEnded, topicEnded, of)
}

// fanOut makes a message for each client and forgets that it took part, both in one
// commit, so that a crash in between tells nobody twice and leaves nobody out.
func (e *Engine) fanOut(ctx context.Context, m *outbox.Message) error {
	var of ended
	if err := json.Unmarshal(m.Body, &of); err != nil {
		return fmt.Errorf("engine: read a message of the outbox: %w", err)
	}
	page := storage.Page{Limit: participantsAtOnce}
	for {
		found, next, err := e.participantsOf(ctx, of, page)
		if err != nil {
			return err
		}
		if err := e.store.Do(ctx, func(ctx context.Context) error { return e.handOver(ctx, m, found) }); err != nil {
			return err
		}
		if page.After = next; next == "" {
			return nil
		}
	}
}

func (e *Engine) handOver(ctx context.Context, m *outbox.Message, found []*storage.Participant) error {
	for _, p := range found {
		if p.At.After(m.CreatedAt) { // a sign-in after the end
			continue
		}
		key := e.store.ParticipantKey(p.Subject, p.SessionID, p.ClientID)
		switch _, err := e.participants.Get(ctx, key); {
		case errors.Is(err, storage.ErrNotFound):
			continue // told already
		case err != nil:
			return err
		}
		if err := e.participants.Delete(ctx, key); err != nil {
			return err
		}
		to, err := e.backchannel(ctx, p.ClientID, p.Incarnation)
		if err != nil {
			return err
		}
		if to == nil {
			continue
		}
		body := farewell{ClientID: p.ClientID, Incarnation: p.Incarnation, Subject: p.Subject, SessionID: p.SessionID}
		if err := e.outbox.Put(ctx, topicLogout, p.ClientID, body); err != nil {
			return err
		}
	}
	return nil
}

// backchannel returns the client if it is still the same and wants to be told, else nil.
func (e *Engine) backchannel(ctx context.Context, id, incarnation string) (*storage.Client, error) {
	c, err := e.client(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case c.Incarnation != incarnation || c.BackchannelLogoutURI == "":
		return nil, nil
	}
	return c, nil
}

// errLogout is why a client could not be told. The text is one of few: nothing that the
// client answered is in it.
type errLogout string

func (e errLogout) Error() string { return string(e) }

// sendLogout tells a client by a token that was made for this try.
// OpenID Connect Back-Channel Logout §2.5, §2.8
func (e *Engine) sendLogout(ctx context.Context, m *outbox.Message) error {
	var f farewell
	if err := json.Unmarshal(m.Body, &f); err != nil {
		return fmt.Errorf("engine: read a message of the outbox: %w", err)
	}
	c, err := e.backchannel(ctx, f.ClientID, f.Incarnation)
	if err != nil || c == nil {
		return err
	}
	token, err := e.logoutToken(ctx, c, f)
	if err != nil {
		return err
	}
	status, err := e.fetch.Post(ctx, c.BackchannelLogoutURI, url.Values{"logout_token": {token}})
	switch {
	case errors.Is(err, outbound.ErrURL):
		return errLogout("the backchannel_logout_uri is none that is reached")
	case err != nil:
		e.log.InfoContext(ctx, "a client could not be reached", "client_id", c.ID, "detail", outbound.Detail(err))
		return errLogout("no answer")
	case status == http.StatusOK, status == http.StatusNoContent:
		e.emit(ctx, Event{Type: EventLogoutTold, ClientID: c.ID, Subject: f.Subject, Age: e.store.Now().Sub(m.CreatedAt)})
		return nil
	case status == http.StatusBadRequest:
		return errLogout("the client refused the logout token")
	}
	return errLogout("the status is " + strconv.Itoa(status))
}

// logoutToken makes a logout token. It has a type of its own, events and no nonce, and
// so never passes for an ID token. OpenID Connect Back-Channel Logout §2.4
func (e *Engine) logoutToken(ctx context.Context, c *storage.Client, f farewell) (string, error) {
	now := e.store.Now()
	body := map[string]any{
		"iss": e.config.Issuer, "aud": c.ID, "sub": e.SubjectFor(c, f.Subject), "jti": opaque.NewID(now),
		"iat": now.Unix(), "exp": now.Add(logoutTokenLife).Unix(),
		"events": map[string]any{logoutEvent: struct{}{}},
	}
	if f.SessionID != "" {
		body["sid"] = e.SessionFor(c, f.SessionID)
	}
	signed, err := e.config.Keys.Sign(ctx, e.algorithm(c.IDTokenSignedResponseAlg), logoutTokenType, body)
	if err != nil {
		return "", fmt.Errorf("engine: sign a logout token: %w", err)
	}
	return signed, nil
}
