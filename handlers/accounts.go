package handlers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/opaque"
)

// Several people may be signed in in one browser. The session's cookie is that of whoever
// was there last; beside it each of them has a cookie of their own, named by the session,
// so that two tabs which sign in at the same time do not lose one. A browser without the
// first of these cookies has accounts, but nobody is there: a page asks who it is.
const accountPrefix = "account_"

// mostAccounts bounds what is read of one browser.
const mostAccounts = 10

func accountCookie(sessionID string) string {
	sum := sha256.Sum256([]byte(sessionID))
	return accountPrefix + hex.EncodeToString(sum[:8])
}

// several says whether more than one person may be signed in in one browser.
func (h *Handlers) several() bool { return h.source == nil && h.config.Accounts > 1 }

// accounts returns who is signed in in this browser, whoever was there last first. No
// person is there twice.
func (h *Handlers) accounts(ctx context.Context, r *http.Request) ([]present, error) {
	all, _, err := h.sessionsHere(ctx, r, h.session)
	return onceEach(all), err
}

// onceEach leaves the first session of each person.
func onceEach(all []present) (list []present) {
	for _, p := range all {
		if !slices.ContainsFunc(list, func(q present) bool { return q.ID == p.ID }) {
			list = append(list, p)
		}
	}
	return list
}

// sessionsHere returns every session of this browser in the order of accounts, and the
// cookies of accounts that are of no session any more. A person has two where two tabs
// signed them in at the same time. read is session, or kept.
func (h *Handlers) sessionsHere(ctx context.Context, r *http.Request, read func(ctx context.Context, key string) (present, error)) (list []present, stale []string, err error) {
	if h.source != nil {
		return nil, nil, nil
	}
	here := h.cookies.read(r, sessionCookie)
	names, tokens := []string{sessionCookie}, []string{here}
	if h.several() {
		for _, c := range r.Cookies() {
			if name, ok := strings.CutPrefix(c.Name, h.cookies.prefix); ok && strings.HasPrefix(name, accountPrefix) && len(tokens) < mostAccounts {
				names, tokens = append(names, name), append(tokens, c.Value)
			}
		}
	}
	alive := map[string]bool{}
	for i, token := range tokens {
		key, ok := opaque.TokenKey(browserPrefix, token)
		lives, known := alive[key]
		if lives {
			continue
		}
		p := present{}
		if ok && !known {
			if p, err = read(ctx, key); err != nil {
				return nil, nil, err
			}
			alive[key] = !p.nobody()
		}
		if p.nobody() {
			if names[i] != sessionCookie {
				stale = append(stale, names[i])
			}
			continue
		}
		p.token, p.here = token, token == here
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(a, b present) int {
		if a.here != b.here {
			return cmp.Compare(btoi(b.here), btoi(a.here))
		}
		return b.AuthTime.Compare(a.AuthTime)
	})
	return list, stale, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pick returns who is meant by a request: the account that its hints name, else whoever was
// there last. choose says that only the person can tell.
func (h *Handlers) pick(r *http.Request, a *engine.Authorization) (p present, choose bool, err error) {
	if !h.several() {
		p, err = h.current(r.Context(), r)
		return p, false, err
	}
	list, err := h.accounts(r.Context(), r)
	if err != nil || len(list) == 0 {
		return present{}, false, err
	}
	for _, q := range list {
		if h.named(a, q) {
			return q, false, nil
		}
	}
	if list[0].here {
		p = list[0]
	}
	return p, p.nobody() || slices.Contains(a.Prompt, "select_account"), nil
}

// named says whether a request is about this person and no other. OpenID Connect Core §3.1.2.1
func (h *Handlers) named(a *engine.Authorization, p present) bool {
	switch {
	case slices.Contains(a.Prompt, "select_account"):
		return false
	case a.Hint != nil:
		return a.Hint.Subject == h.engine.SubjectFor(a.Client, p.ID)
	case a.Asked.IDToken["sub"].Value != nil || len(a.Asked.IDToken["sub"].Values) > 0:
		return a.Asked.IDToken["sub"].Takes(h.engine.SubjectFor(a.Client, p.ID))
	}
	return a.LoginHint != "" && (a.LoginHint == p.ID || p.Name != "" && accountKey(a.LoginHint) == accountKey(p.Name))
}

// arrival is the outcome by which the browser gets a session that it has already to be
// that of whoever is there.
func (h *Handlers) arrival(p present) outcome {
	if p.session == nil || p.token == "" || p.here {
		return outcome{}
	}
	return outcome{Session: p.token, Life: h.cookieLife(p)}
}

// cookieLife is how long the browser keeps a session; 0: until it is closed.
func (h *Handlers) cookieLife(p present) time.Duration {
	if p.session.Brief {
		return 0
	}
	return max(time.Second, p.session.EndsAt.Sub(h.now()))
}

// accountsPage is the step at which a person chooses among the accounts of this browser.
func (h *Handlers) accountsPage(w http.ResponseWriter, r *http.Request, in *Interaction) *engine.Error {
	list, err := h.accounts(r.Context(), r)
	if err != nil {
		return storeFailed(err)
	}
	if r.Method == http.MethodPost {
		at := slices.IndexFunc(list, func(p present) bool { return p.SessionID == r.PostFormValue("session") })
		switch decision := r.PostFormValue("decision"); {
		case decision == "deny":
			in.Deny(w, r)
			return nil
		case decision == "other":
			return h.toLogin(w, r, in)
		case decision == "account" && at >= 0:
			o, e := h.chosen(r, in, list[at])
			if e != nil {
				return e
			}
			in.done = true
			return h.deliver(w, r, o, in.a.Client.ID)
		case decision == "remove" && at >= 0:
			return h.removeAccount(w, r, in, list[at])
		}
	}
	if len(list) == 0 {
		return h.toLogin(w, r, in)
	}
	if exchangeOf(r.Context()).script {
		in.accounts = list
		in.WriteJSON(w, r, http.StatusOK)
		return nil
	}
	page := pages.Accounts{Form: pages.Form{Action: in.Action}, Client: in.pageClient(r)}
	for _, p := range list {
		page.List = append(page.List, pages.Account{ID: p.SessionID, Name: p.account()})
	}
	h.show(w, r, http.StatusOK, page)
	return nil
}

// toLogin leads from the choice of an account to the login.
func (h *Handlers) toLogin(w http.ResponseWriter, r *http.Request, in *Interaction) *engine.Error {
	o, e := h.moved(r, in, nil, func(_ context.Context, rec *record) (outcome, error) {
		rec.Step = stepLogin
		return outcome{Place: h.path("interaction/" + in.ID)}, nil
	})
	if e != nil {
		return e
	}
	in.done = true
	return h.deliver(w, r, o, in.a.Client.ID)
}

// removeAccount signs one person out of this browser.
func (h *Handlers) removeAccount(w http.ResponseWriter, r *http.Request, in *Interaction, p present) *engine.Error {
	if err := h.store.Do(r.Context(), func(ctx context.Context) error { return h.endSession(ctx, p) }); err != nil {
		return storeFailed(err)
	}
	h.dropSession(w, r, p)
	in.done = true
	redirect(w, h.path("interaction/"+in.ID))
	return nil
}

// chosen goes on as one of the people who are signed in.
func (h *Handlers) chosen(r *http.Request, in *Interaction, p present) (outcome, *engine.Error) {
	next, e := h.due(r.Context(), in, p.Subject, nil)
	if e != nil {
		return outcome{}, e
	}
	lacking := h.unmet(in.a, p.Subject, in.record.CreatedAt, h.now())
	if lacking != nil && lacking.Reason == "acr_unmet" && next != "" {
		lacking = nil // a step may raise it
	}
	return h.moved(r, in, nil, func(ctx context.Context, rec *record) (outcome, error) {
		o := h.arrival(p)
		o.Place = h.path("interaction/" + in.ID)
		switch err := h.still(ctx, p); {
		case errors.Is(err, errSignedOut):
			return outcome{Place: o.Place}, nil
		case err != nil:
			return outcome{}, err
		}
		if lacking != nil {
			rec.Step, rec.Chosen = stepLogin, true
			return o, nil //nolint:nilerr // what is lacking is for the login to mend
		}
		rec.Subject, rec.SessionKey, rec.Shown, rec.Brief = p.Subject, []byte(p.session.Key), shown(in.a), p.session.Brief
		if next != "" {
			rec.Step = next
			return o, nil
		}
		return h.settle(ctx, in, rec, o)
	})
}

// keep adds to the sign-in of a person what the browser needs to go on knowing the others,
// in the unit of work of ctx. The one that was seen least recently makes room. Cookies of
// sessions that have ended go, or in time they would hide those that have not.
func (h *Handlers) keep(ctx context.Context, r *http.Request, o *outcome, others []present, stale []string, sessionID string) error {
	for _, name := range stale {
		if name != accountCookie(sessionID) {
			o.Cookies = append(o.Cookies, cookieChange{Name: name})
		}
	}
	slices.SortStableFunc(others, func(a, b present) int { return b.session.SeenAt.Compare(a.session.SeenAt) })
	for i, p := range others {
		name := accountCookie(p.SessionID)
		switch has := h.cookies.read(r, name) != ""; {
		case i >= h.config.Accounts-1:
			if err := h.endSession(ctx, p); err != nil {
				return err
			}
			if has {
				o.Cookies = append(o.Cookies, cookieChange{Name: name})
			}
		case !has:
			o.Cookies = append(o.Cookies, cookieChange{name, p.token, h.cookieLife(p)})
		}
	}
	if len(others) > 0 || h.cookies.read(r, accountCookie(sessionID)) != "" {
		o.Cookies = append(o.Cookies, cookieChange{accountCookie(sessionID), o.Session, o.Life})
	}
	return nil
}

// cookieChange is a cookie of an account that the browser gets, or loses where the value
// is empty.
type cookieChange struct {
	Name  string        `json:"name"`
	Value string        `json:"value,omitempty"`
	Life  time.Duration `json:"life,omitempty"`
}
