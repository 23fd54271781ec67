package handlers

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// farewell is a checked request to sign out. OpenID Connect RP-Initiated Logout §2
type farewell struct {
	client *storage.Client // nil: nobody said which
	hint   *engine.Hint    // nil: none, or unreadable
	to     string          // registered for the client; empty: our own page
}

func (h *Handlers) logout(w http.ResponseWriter, r *http.Request) *engine.Error {
	params, e := requestParams(r)
	if e != nil {
		return e
	}
	if name, ok := unreadable(params); ok {
		return controlCharacters(name)
	}
	if name, ok := repeated(params); ok {
		return repeatedParameter(name)
	}
	exchangeOf(r.Context()).locales = locales(params.Get("ui_locales"))
	// As at the authorization endpoint: the cookies come with a GET.
	if r.Method == http.MethodPost {
		if _, e := h.checkLogout(r, params); e != nil {
			return e
		}
		rec, id, secret := h.newLogout(params)
		return h.begin(w, r, rec, id, secret)
	}
	return h.signOut(w, r, params, nil)
}

func (h *Handlers) newLogout(params url.Values) (rec *record, id, secret string) {
	rec, id, secret = h.newRecord(params, params.Get("client_id"), stepLogout)
	rec.Logout, rec.Locales = true, locales(params.Get("ui_locales"))
	return rec, id, secret
}

// signOut ends the session at once when the client proves by its ID token that it
// speaks of this one, and asks the person otherwise. at is the interaction that
// the request was stored in, nil when it was not.
func (h *Handlers) signOut(w http.ResponseWriter, r *http.Request, params url.Values, at *resumed) *engine.Error {
	f, e := h.checkLogout(r, params)
	if e != nil {
		return e
	}
	list, err := h.leaving(r, f)
	if err != nil {
		return storeFailed(err)
	}
	p := list[0]
	switch {
	case p.nobody():
		if at != nil {
			return h.endLogout(w, r, at, list, f, false)
		}
		h.dropSession(w, r, p)
		h.farewell(w, r, f, pages.SignedOut{})
		return nil
	case f.speaksOf(h.toldTo(f.client, p)):
		return h.endLogout(w, r, at, list[:1], f, true)
	case at == nil:
		rec, id, secret := h.newLogout(params)
		return h.begin(w, r, rec, id, secret)
	}
	page := pages.Logout{Form: pages.Form{Action: h.path("interaction/"+at.id) + "?step=logout"}, Account: p.account(), All: len(list) > 1}
	if h.several() { // another one may be there by the time of the answer
		page.Action += "&session=" + url.QueryEscape(p.SessionID)
	}
	if f.client != nil {
		page.Client = readable(f.client.DisplayName(), 60)
	}
	h.show(w, r, http.StatusOK, page)
	return nil
}

// logoutOver answers at an interaction to sign out that is done, or whose time is over.
func (h *Handlers) logoutOver(w http.ResponseWriter, r *http.Request, at *resumed, decision string) *engine.Error {
	if o, ok := at.record.again(h.now(), at.decision, at.secret); ok && o.Goodbye != nil {
		return h.goodbyeAgain(w, r, at, *o.Goodbye)
	}
	again := at.record.Step == stepDone && r.URL.Query().Has("session")
	if decision == "stay" || decision == "signout" && again {
		return h.logoutStep(w, r, at) // there is nothing to ask again
	}
	return h.signOut(w, r, at.record.params(), nil) // a late click, or Back
}

// logoutStep serves the page that asks, and takes its answer.
func (h *Handlers) logoutStep(w http.ResponseWriter, r *http.Request, at *resumed) *engine.Error {
	decision := ""
	if r.Method == http.MethodPost {
		decision = r.PostFormValue("decision")
	}
	if decision != "signout" && decision != "stay" && decision != "all" {
		return h.signOut(w, r, at.record.params(), at)
	}
	f, e := h.checkLogout(r, at.record.params())
	if e != nil {
		return e
	}
	list, err := h.leaving(r, f)
	if err != nil {
		return storeFailed(err)
	}
	if decision != "all" {
		id := r.URL.Query().Get("session")
		shown := slices.IndexFunc(list, func(p present) bool { return p.SessionID == id })
		if shown < 0 && id != "" && decision == "signout" { // who was shown is gone: it was not meant for another
			return h.shownIsGone(w, r, at, f)
		}
		list = list[max(0, shown):][:1]
	}
	return h.endLogout(w, r, at, list, f, decision != "stay")
}

// shownIsGone answers who wants to sign an account out that is not there any more: goodbye
// after a second click, else the question whether another one is meant.
func (h *Handlers) shownIsGone(w http.ResponseWriter, r *http.Request, at *resumed, f *farewell) *engine.Error {
	fresh, e := h.load(r.Context(), at.id) // the click before may have been at the same time
	switch {
	case e != nil:
		return e
	case fresh != nil && fresh.Step == stepDone:
		said := goodbye{}
		if o, ok := fresh.again(h.now(), at.decision, at.secret); ok && o.Goodbye != nil {
			said = *o.Goodbye
		}
		h.farewell(w, r, f, said.page())
		return nil
	}
	return h.signOut(w, r, at.record.params(), at)
}

// leaving returns whom a request to sign out is about, and after that who else is signed in
// in this browser: whoever the hint speaks of, else whoever was there last. It is one at
// least, who may be nobody.
func (h *Handlers) leaving(r *http.Request, f *farewell) ([]present, error) {
	if h.source != nil {
		p, err := h.current(r.Context(), r)
		return []present{p}, err
	}
	all, _, err := h.sessionsHere(r.Context(), r, h.kept)
	list := onceEach(all)
	if err != nil || len(list) == 0 {
		return []present{{}}, err
	}
	if at := slices.IndexFunc(list, func(p present) bool { return f.speaksOf(h.toldTo(f.client, p)) }); at > 0 {
		list[0], list[at] = list[at], list[0]
	}
	return list, nil
}

// checkLogout judges a request to sign out. A post_logout_redirect_uri is followed
// only when it is registered, exactly, for a client that is known.
func (h *Handlers) checkLogout(r *http.Request, params url.Values) (*farewell, *engine.Error) {
	f := &farewell{}
	clientID := params.Get("client_id")
	if token := params.Get("id_token_hint"); token != "" {
		hint, err := h.engine.ReadHint(r.Context(), token)
		switch {
		case errors.Is(err, storage.ErrUnavailable): // nothing is known of the hint yet
			return nil, storeFailed(err)
		case err != nil && clientID == "" && params.Get("post_logout_redirect_uri") != "":
			e := badRequest("hint_unreadable", "The id_token_hint is not an ID token of this server.")
			e.Cause = err
			return nil, e
		case err == nil && clientID != "" && hint.ClientID != clientID:
			e := badRequest("hint_other_client", "The id_token_hint was issued to another client than client_id says.")
			e.Detail = fmt.Sprintf("client_id %s, hint for %s", safeWord(clientID), safeWord(hint.ClientID))
			return nil, e
		case err == nil:
			f.hint, clientID = hint, hint.ClientID
		}
	}
	exchangeOf(r.Context()).clientID = clipped(clientID, maxClientID)
	if clientID != "" {
		client, err := h.config.Client(r.Context(), clientID)
		if err != nil {
			if e := storeFailed(err); e.Status == http.StatusServiceUnavailable {
				return nil, e
			}
			e := badRequest("client_unknown", "The client is not known.")
			e.Detail = "client_id " + safeWord(clientID)
			return nil, e
		}
		f.client = client
	}
	to := params.Get("post_logout_redirect_uri")
	if to == "" {
		return f, nil
	}
	if f.client == nil {
		return nil, badRequest("logout_client_missing", "A post_logout_redirect_uri needs an id_token_hint or a client_id.")
	}
	if !slices.Contains(f.client.PostLogoutRedirectURIs, to) {
		e := badRequest("post_logout_redirect_uri_mismatch", "The post_logout_redirect_uri is not registered for this client.")
		e.Detail = fmt.Sprintf("received %q, registered %q", clipped(to, 200), f.client.PostLogoutRedirectURIs)
		e.Setting = "Client.PostLogoutRedirectURIs"
		return nil, e
	}
	f.to = withState(to, params.Get("state"))
	return f, nil
}

// withState adds the state to a URI and keeps the query it has.
func withState(uri, state string) string {
	u, err := url.Parse(uri)
	if err != nil || state == "" {
		return uri
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "state=" + url.QueryEscape(state)
	return u.String()
}

// toldTo is who is present, by the subject and the session that a client is told.
func (h *Handlers) toldTo(c *storage.Client, p present) present {
	if c != nil {
		p.ID, p.SessionID = h.engine.SubjectFor(c, p.ID), h.engine.SessionFor(c, p.SessionID)
	}
	return p
}

// speaksOf says whether the hint is of the session in this browser.
func (f *farewell) speaksOf(p present) bool {
	if f.hint == nil || f.hint.Subject != p.ID {
		return false
	}
	return f.hint.SessionID == "" || p.SessionID == "" || f.hint.SessionID == p.SessionID
}

// endLogout ends the session, or not, closes the interaction where there is one,
// and says goodbye. All that is ours is one commit.
func (h *Handlers) endLogout(w http.ResponseWriter, r *http.Request, at *resumed, list []present, f *farewell, signOut bool) *engine.Error {
	var frames []pages.Frame
	if signOut { // while it is known who takes part in the session
		var err error
		if list, err = h.withDoubles(r, list); err != nil {
			return storeFailed(err)
		}
		for _, p := range list {
			some, err := h.frames(r.Context(), p)
			if err != nil {
				return storeFailed(err)
			}
			frames = append(frames, some...)
		}
		frames = roomFor(frames)
	}
	if signOut && h.source != nil {
		theirs := newResponse()
		within, cancel := h.timed(r, nil)
		defer cancel()
		x := exchangeOf(r.Context())
		before := x.calls("Login")
		err := h.source.EndSession(theirs, within)
		x.calls(before)
		if err != nil {
			e := failed("sign_out_failed", err)
			e.Setting = "Login"
			return e
		}
		for _, c := range theirs.header.Values("Set-Cookie") {
			w.Header().Add("Set-Cookie", c)
		}
	}
	nobody := list[0].nobody()
	var said goodbye
	err := h.store.Do(r.Context(), func(ctx context.Context) (err error) {
		said, err = h.storeLogout(ctx, at, list, signOut, goodbye{Stayed: !signOut && !nobody, Frames: frames})
		return err
	})
	if err != nil {
		return storeFailed(err)
	}
	if signOut || nobody {
		for _, p := range list {
			h.dropSession(w, r, p)
		}
	}
	h.farewell(w, r, f, said.page())
	return nil
}

// withDoubles adds the other sessions that these people have in this browser: who signs out
// of one would still be signed in by it.
func (h *Handlers) withDoubles(r *http.Request, list []present) ([]present, error) {
	all, _, err := h.sessionsHere(r.Context(), r, h.kept)
	for _, p := range all {
		is := func(q present) bool { return q.ID == p.ID }
		if slices.ContainsFunc(list, is) && !slices.ContainsFunc(list, func(q present) bool { return q.SessionID == p.SessionID }) {
			list = append(list, p)
		}
	}
	return list, err
}

// storeLogout writes what a sign-out changes in the unit of work of ctx, and what was said
// to it. What a click before has done already is not done again, so that many clicks do
// not contend, and it is answered as that was.
func (h *Handlers) storeLogout(ctx context.Context, at *resumed, list []present, signOut bool, said goodbye) (goodbye, error) {
	if at != nil {
		rec, err := h.stored(ctx, at.record.Key)
		if err != nil {
			return said, err
		}
		if rec.Step != stepDone {
			rec.Step = stepDone
			said.Sessions = sessionIDs(list)
			if err := rec.decided(h.now(), at.decision, at.secret, outcome{Goodbye: &said}); err != nil {
				return said, err
			}
			if err := h.records.Put(ctx, rec); err != nil {
				return said, err
			}
		} else if o, ok := rec.again(h.now(), at.decision, at.secret); ok && o.Goodbye != nil {
			said = *o.Goodbye
		}
	}
	if !signOut {
		return said, nil
	}
	for _, p := range list {
		if err := h.endSession(ctx, p); err != nil {
			return said, err
		}
	}
	return said, nil
}

// endSession ends a session in the unit of work of ctx, and what was granted in it.
func (h *Handlers) endSession(ctx context.Context, p present) error {
	if p.session != nil {
		switch _, err := h.sessions.Get(ctx, p.session.Key); {
		case errors.Is(err, storage.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		if err := h.sessions.Delete(ctx, p.session.Key); err != nil {
			return err
		}
	}
	return h.engine.RevokeSession(ctx, p.SessionID)
}

// dropSession takes the cookies of a session away, and one that is of no session any more.
func (h *Handlers) dropSession(w http.ResponseWriter, r *http.Request, p present) {
	if h.source != nil {
		return
	}
	if here := h.cookies.read(r, sessionCookie); here != "" && (p.token == "" || p.token == here) {
		h.cookies.drop(w, sessionCookie)
	}
	h.dropAccount(w, r, p.SessionID)
}

// dropAccount takes the cookie away by which a session is one of several.
func (h *Handlers) dropAccount(w http.ResponseWriter, r *http.Request, sessionID string) {
	if name := accountCookie(sessionID); h.cookies.read(r, name) != "" {
		h.cookies.drop(w, name)
	}
}

// farewell sends the person back to the client, or shows that they are signed out.
func (h *Handlers) farewell(w http.ResponseWriter, r *http.Request, f *farewell, page pages.SignedOut) {
	switch {
	case f.to == "" || page.Stayed:
	case len(page.Frames) == 0:
		redirect(w, f.to)
		return
	default:
		page.Continue = template.URL(f.to) // registered for the client, and checked then
		w.Header().Set("Refresh", framesTime+"; url="+f.to)
	}
	h.show(w, r, http.StatusOK, page)
}
