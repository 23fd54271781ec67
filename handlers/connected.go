package handlers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

// AppView is an application that a person is connected with: they allowed it something,
// or it holds something of theirs.
type AppView struct {
	ClientID   string
	Name       string // fit for a page; the client's texts come from whoever registered it
	FirstParty bool   // nobody was asked

	Scopes   []ScopeView // of all that it may do
	Audience []string
	Offline  bool // access goes on while the person is away

	Since    time.Time // when it was allowed what stands, or when the oldest of that began
	LastUsed time.Time // zero: it was not used yet
	Access   []AccessView
}

// AccessView is one sign-in at an application that still stands, a grant.
type AccessView struct {
	Grant     string // for Server.RevokeGrant
	SessionID string // in which it was granted, empty when there was none
	Device    bool   // it began without a browser: on a device, or by a grant type of the host's
	Offline   bool   // it goes on when the session ends
	Scopes    []string
	Audience  []string
	Since     time.Time
	LastUsed  time.Time // zero: not yet. The first use, or the last refresh
}

// Apps returns the applications that a person is connected with, by name.
func (h *Handlers) Apps(ctx context.Context, subject string) ([]AppView, error) {
	found := map[string]*AppView{}
	err := h.store.Do(ctx, func(ctx context.Context) error { // which reads each epoch once
		clear(found)
		if err := h.appsOfGrants(ctx, subject, found); err != nil {
			return err
		}
		return h.appsOfConsents(ctx, subject, found)
	})
	if err != nil {
		return nil, err
	}
	list := make([]AppView, 0, len(found))
	for _, app := range found {
		list = append(list, *app)
	}
	slices.SortFunc(list, func(a, b AppView) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ClientID, b.ClientID))
	})
	return list, nil
}

// appOf returns the entry of a client, nil when the client is no more.
func (h *Handlers) appOf(ctx context.Context, found map[string]*AppView, clientID string) (*AppView, error) {
	if app := found[clientID]; app != nil {
		return app, nil
	}
	c, err := h.config.Client(ctx, clientID)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found[clientID] = &AppView{ClientID: clientID, Name: viewClient(c, "").Name, FirstParty: c.FirstParty}
	return found[clientID], nil
}

func (h *Handlers) appsOfGrants(ctx context.Context, subject string, found map[string]*AppView) error {
	return everyPage(ctx, storage.Grants(h.store), h.store.SubjectKey(subject), func(g *storage.Grant) error {
		if g.Subject != subject { // the index is a short hash
			return nil
		}
		if stands, err := h.engine.Stands(ctx, g); err != nil || !stands {
			return err
		}
		app, err := h.appOf(ctx, found, g.ClientID)
		if err != nil || app == nil {
			return err
		}
		a := AccessView{
			Grant: g.ID, SessionID: g.SessionID, Device: g.Code == nil, Offline: g.Refresh != nil && g.Refresh.Offline,
			Scopes: g.Scopes, Audience: g.Audience, Since: g.CreatedAt, LastUsed: lastUsed(g),
		}
		app.add(h, g.Scopes, g.Audience, a.Since, a.LastUsed)
		app.Access = append(app.Access, a)
		return nil
	})
}

// appsOfConsents adds what was allowed, used or not.
func (h *Handlers) appsOfConsents(ctx context.Context, subject string, found map[string]*AppView) error {
	return everyPage(ctx, h.consents, h.store.SubjectKey(subject), func(c *storage.Consent) error {
		if c.Subject != subject {
			return nil
		}
		epoch, err := h.epochs.At(ctx, h.epochs.OfApp(subject, c.ClientID))
		if err != nil || epoch != c.Epoch {
			return err
		}
		app, err := h.appOf(ctx, found, c.ClientID)
		if err != nil || app == nil {
			return err
		}
		app.add(h, c.Scopes, c.Audience, c.GivenAt, time.Time{})
		return nil
	})
}

// add takes what an application may do into its entry.
func (a *AppView) add(h *Handlers, scopes, audience []string, since, used time.Time) {
	for _, v := range h.viewScopes(scopes) {
		if v.Name == "offline_access" {
			a.Offline = true
		}
		if !slices.ContainsFunc(a.Scopes, func(s ScopeView) bool { return s.Name == v.Name }) {
			a.Scopes = append(a.Scopes, v)
		}
	}
	for _, aud := range audience {
		if !slices.Contains(a.Audience, aud) {
			a.Audience = append(a.Audience, aud)
		}
	}
	if a.Since.IsZero() || since.Before(a.Since) {
		a.Since = since
	}
	if used.After(a.LastUsed) {
		a.LastUsed = used
	}
}

func lastUsed(g *storage.Grant) time.Time {
	var at time.Time
	if g.Code != nil {
		at = g.Code.UsedAt
	}
	if g.Refresh != nil {
		for _, t := range []time.Time{g.Refresh.IssuedAt, g.Refresh.RotatedAt} {
			if t.After(at) {
				at = t
			}
		}
	}
	return at
}

// everyPage hands over everything of a person in a collection that is listed by subject.
func everyPage[T any](ctx context.Context, from *storage.Collection[T], subject string, take func(*T) error) error {
	page := storage.Page{Limit: storage.MaxPage}
	for {
		found, next, err := from.List(ctx, storage.IndexSubject, subject, page)
		if err != nil {
			return err
		}
		for _, v := range found {
			if err := take(v); err != nil {
				return err
			}
		}
		if page.After = next; next == "" {
			return nil
		}
	}
}

// SessionView is a session that the server keeps.
type SessionView struct {
	ID       string // Subject.SessionID, for Server.RevokeSession
	Subject  string
	Browser  string // "Firefox", empty when unknown
	System   string // "Windows", empty when unknown
	Address  string // IP address of the sign-in, empty when unknown
	AuthTime time.Time
	SeenAt   time.Time // to the hour
	EndsAt   time.Time // at the latest
	ACR      string
	AMR      []string
}

// Sessions returns the sessions of a person, the newest first; none when the host keeps
// them.
func (h *Handlers) Sessions(ctx context.Context, subject string) (list []SessionView, err error) {
	if h.source != nil {
		return nil, nil
	}
	err = h.store.Do(ctx, func(ctx context.Context) error {
		list = nil
		return everyPage(ctx, h.sessions, h.store.SubjectKey(subject), func(s *storage.Session) error {
			if s.Subject != subject {
				return nil
			}
			now, err := h.sessionStamp(ctx, s.Subject, s.ID)
			if err != nil || now != s.Stamp {
				return err
			}
			list = append(list, SessionView{
				ID: s.ID, Subject: s.Subject, Browser: s.Browser, System: s.System, Address: s.Address,
				AuthTime: s.AuthTime, SeenAt: s.SeenAt, EndsAt: s.EndsAt, ACR: s.ACR, AMR: s.AMR,
			})
			return nil
		})
	})
	slices.SortFunc(list, func(a, b SessionView) int { return b.AuthTime.Compare(a.AuthTime) })
	return list, err
}

// sessionsAtOnce are ended in one commit, two operations each.
const sessionsAtOnce = 20

// EndOtherSessions ends the sessions of a person but the one to keep.
func (h *Handlers) EndOtherSessions(ctx context.Context, subject, keep string) error {
	list, err := h.Sessions(ctx, subject)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(s SessionView) bool { return s.ID == keep })
	for some := range slices.Chunk(list, sessionsAtOnce) {
		err := h.store.Do(ctx, func(ctx context.Context) error {
			for _, s := range some {
				if err := h.engine.RevokeSession(ctx, s.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
