package handlers

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

const (
	placeApps     = "account/apps"
	placeSessions = "account/sessions"

	// declined marks the page that a person comes back to who did not want to sign in.
	declined = "declined=1"
	// done marks the page that follows a change.
	done = "done=1"
)

// accountRule is that of the pages of a person's own account.
var accountRule = rule{name: "account", methods: []string{http.MethodGet, http.MethodPost}, page: true, forms: true}

// ownRequest stands for an authorize request where nobody asks but the person.
func (h *Handlers) ownRequest() *engine.Authorization {
	return &engine.Authorization{Client: &storage.Client{Name: h.pages.Name(), FirstParty: true}}
}

// owner returns whose account a page is of. Who is not signed in is sent to do that and
// comes back; present is nobody then, and the answer is written.
func (h *Handlers) owner(w http.ResponseWriter, r *http.Request, place string) (present, *engine.Error) {
	p, err := h.current(r.Context(), r)
	if err != nil {
		return p, storeFailed(err)
	}
	if !p.nobody() {
		return p, nil
	}
	if r.URL.RawQuery == declined {
		h.show(w, r, http.StatusOK, pages.SignedOut{})
		return p, nil
	}
	others, err := h.accounts(r.Context(), r)
	if err != nil {
		return p, storeFailed(err)
	}
	rec, id, secret := h.newRecord(nil, "", stepLogin)
	rec.Account = place
	if len(others) > 0 {
		rec.Step = stepSelect
	}
	return p, h.begin(w, r, rec, id, secret)
}

// startAccount goes on with a sign-in for a page of the account that was set back to its
// beginning: to the page when somebody is there by now, and else to the login. There is no
// client to which anything could be granted.
func (h *Handlers) startAccount(w http.ResponseWriter, r *http.Request, a *engine.Authorization, at *resumed) *engine.Error {
	p, choose, err := h.pick(r, a)
	switch {
	case err != nil:
		return storeFailed(err)
	case choose:
		return h.ask(w, r, a, at, stepSelect, present{})
	case p.nobody():
		return h.ask(w, r, a, at, stepLogin, present{})
	}
	in := h.view(a, at.record, at.id, at.secret)
	in.decision = at.decision
	o, e := h.moved(r, in, nil, func(_ context.Context, rec *record) (outcome, error) {
		rec.Step = stepDone
		return outcome{Place: h.path(rec.Account)}, nil
	})
	if e != nil {
		return e
	}
	return h.deliver(w, r, o, "")
}

// accountForm reads a form of an account page. It counts only from our own site, and
// for the person that it was made for: another may have signed in meanwhile.
func (h *Handlers) accountForm(r *http.Request, p present) (form url.Values, meant bool, e *engine.Error) {
	if e := h.sameSite(r); e != nil {
		return nil, false, e
	}
	if e := formType(r); e != nil {
		return nil, false, e
	}
	body, e := readBody(r)
	if e != nil {
		return nil, false, e
	}
	if form, e = parseForm(string(body)); e != nil {
		return nil, false, e
	}
	return form, hmac.Equal([]byte(form.Get("token")), []byte(h.accountToken(p))), nil
}

func (h *Handlers) accountToken(p present) string {
	return base64.RawURLEncoding.EncodeToString(h.store.MAC("account form", []byte(p.ID), []byte(p.SessionID)))
}

// accountApps lists what the person is connected with, asks, and disconnects.
func (h *Handlers) accountApps(w http.ResponseWriter, r *http.Request) *engine.Error {
	p, e := h.owner(w, r, placeApps)
	if e != nil || p.nobody() {
		return e
	}
	apps, err := h.Apps(r.Context(), p.ID)
	if err != nil {
		return storeFailed(err)
	}
	if r.Method == http.MethodPost {
		return h.removeApp(w, r, p, apps)
	}
	if id := r.URL.Query().Get("app"); id != "" {
		at := slices.IndexFunc(apps, func(a AppView) bool { return a.ClientID == id })
		if at < 0 { // it is disconnected already
			redirect(w, h.path(placeApps))
			return nil
		}
		h.show(w, r, http.StatusOK, pages.RemoveApp{Form: pages.Form{Action: h.path(placeApps)}, ID: id, Token: h.accountToken(p), App: h.pageApp(r, apps[at])})
		return nil
	}
	page := pages.Apps{Account: p.account(), Removed: r.URL.RawQuery == done}
	if h.source == nil {
		page.Sessions = h.path(placeSessions)
	}
	for _, a := range apps {
		page.List = append(page.List, h.pageApp(r, a))
	}
	h.show(w, r, http.StatusOK, page)
	return nil
}

// removeApp disconnects an application. One that is not in the list is not, or each
// name that somebody makes up would be remembered as disconnected.
func (h *Handlers) removeApp(w http.ResponseWriter, r *http.Request, p present, apps []AppView) *engine.Error {
	form, meant, e := h.accountForm(r, p)
	if e != nil {
		return e
	}
	to, id := h.path(placeApps), form.Get("app")
	if meant && form.Get("decision") == "remove" && slices.ContainsFunc(apps, func(a AppView) bool { return a.ClientID == id }) {
		if err := h.engine.RevokeApp(r.Context(), p.ID, id); err != nil {
			return storeFailed(err)
		}
		to += "?" + done
	}
	redirect(w, to)
	return nil
}

func (h *Handlers) pageApp(r *http.Request, a AppView) pages.App {
	page := pages.App{Name: a.Name, Since: a.Since, LastUsed: a.LastUsed, Remove: h.path(placeApps) + "?" + url.Values{"app": {a.ClientID}}.Encode()}
	page.Scopes, _ = h.pageScopes(r, a.Scopes)
	page.Offline = a.Offline
	return page
}

// accountSessions lists where the person is signed in, and signs out.
func (h *Handlers) accountSessions(w http.ResponseWriter, r *http.Request) *engine.Error {
	p, e := h.owner(w, r, placeSessions)
	if e != nil || p.nobody() {
		return e
	}
	list, err := h.Sessions(r.Context(), p.ID)
	if err != nil {
		return storeFailed(err)
	}
	if r.Method == http.MethodPost {
		return h.endSessions(w, r, p, list)
	}
	page := pages.Sessions{
		Form: pages.Form{Action: h.path(placeSessions)}, Token: h.accountToken(p), Account: p.account(),
		Others: len(list) > 1, Ended: r.URL.RawQuery == done, Apps: h.path(placeApps), SignOut: h.path("logout"),
	}
	for _, s := range list {
		one := pages.Session{ID: s.ID, Browser: s.Browser, System: s.System, Address: s.Address, Since: s.AuthTime, SeenAt: s.SeenAt, Current: s.ID == p.SessionID}
		if one.Current {
			page.List = slices.Insert(page.List, 0, one)
		} else {
			page.List = append(page.List, one)
		}
	}
	h.show(w, r, http.StatusOK, page)
	return nil
}

// endSessions ends one session of the person, or all others than this one. A session is
// named by its ID, which is public: whose it is counts.
func (h *Handlers) endSessions(w http.ResponseWriter, r *http.Request, p present, list []SessionView) *engine.Error {
	form, meant, e := h.accountForm(r, p)
	if e != nil {
		return e
	}
	to, err := h.path(placeSessions), error(nil)
	switch id := form.Get("session"); {
	case !meant:
	case form.Get("decision") == "others":
		err, to = h.EndOtherSessions(r.Context(), p.ID, p.SessionID), to+"?"+done
	case form.Get("decision") == "end" && slices.ContainsFunc(list, func(s SessionView) bool { return s.ID == id }):
		err, to = h.engine.RevokeSession(r.Context(), id), to+"?"+done
	}
	if err != nil {
		return storeFailed(err)
	}
	redirect(w, to)
	return nil
}
