package handlers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/doorward/doorward/internal/engine"
)

func (h *Handlers) authorize(w http.ResponseWriter, r *http.Request) *engine.Error {
	params, e := requestParams(r)
	if e != nil {
		return e
	}
	x := exchangeOf(r.Context())
	x.clientID, x.locales = clipped(params.Get("client_id"), maxClientID), locales(params.Get("ui_locales"))
	if e := h.wrongHost(r); e != nil {
		return e
	}
	if resumed, e := h.resume(w, r, params); e != nil || resumed {
		return e
	}
	a, e := h.engine.CheckAuthorize(r.Context(), params)
	x.silently(a)
	if a != nil {
		x.locales = a.UILocales // a pushed request names them where the browser does not see it
	}
	if e != nil {
		return h.refuseClient(w, r, a, e)
	}
	// A form of another site brings no Lax cookie, so who is signed in can be seen
	// only after a GET.
	if r.Method == http.MethodPost {
		rec, id, secret := h.newRecord(a.Params, a.Client.ID, stepStart)
		rec.Locales = a.UILocales
		return h.begin(w, r, rec, id, secret)
	}
	return h.decide(w, r, a, nil)
}

// requestParams returns the parameters of a GET or POST, those that came twice
// twice: who is told of it depends on which they are. RFC 6749 §3.1
func requestParams(r *http.Request) (url.Values, *engine.Error) {
	encoded := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if e := formType(r); e != nil {
			return nil, e
		}
		if encoded != "" {
			return nil, badRequest("query_parameters", "Parameters of a POST belong in the body, not in the query.")
		}
		body, e := readBody(r)
		if e != nil {
			return nil, e
		}
		encoded = string(body)
	}
	params, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, badRequest("malformed_parameters", "The parameters are not well-formed.")
	}
	return params, nil
}

// wrongHost finds a developer who opened 127.0.0.1 where the issuer is localhost,
// or the other way round: cookies would not come along.
func (h *Handlers) wrongHost(r *http.Request) *engine.Error {
	if !h.config.Development {
		return nil
	}
	opened, right, ok := h.hosts(r)
	if ok {
		return nil
	}
	e := badRequest("wrong_host", otherHost(opened, right))
	e.Setting = "Config.Issuer"
	return e
}

func otherHost(opened, right string) string {
	return fmt.Sprintf("You opened %s, but this server is %s. For a browser these are two different hosts; use %s.", opened, right, right)
}

// hosts compares the host that a browser opened with that of the issuer; ok is
// true when they are the same or when both are not names of this machine.
func (h *Handlers) hosts(r *http.Request) (opened, right string, ok bool) {
	u, err := url.Parse(h.origin)
	if err != nil {
		return "", "", true // checked by New
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	if len(name) > 2 && name[0] == '[' {
		name = name[1 : len(name)-1]
	}
	return safeWord(r.Host), u.Host, name == u.Hostname() || !loopback(name) || !loopback(u.Hostname())
}

// refuseClient tells the client an error, or the person where the client can't be
// told: nothing is ever sent to a redirect URI that is not registered.
func (h *Handlers) refuseClient(w http.ResponseWriter, r *http.Request, a *engine.Authorization, e *engine.Error) *engine.Error {
	if a == nil || a.RedirectURI == "" || a.Client == nil || e.Status >= http.StatusInternalServerError {
		return e
	}
	h.record(r.Context(), e)
	return h.deliver(w, r, outcome{Answer: h.engine.Refuse(a, e)}, a.Client.ID)
}

// resumed is an interaction that a request found, nil for a request that began
// none yet.
type resumed struct {
	record     *record
	id, secret string
	decision   []byte
}

// decide answers at once when the person is signed in and nothing is left to ask,
// and else begins an interaction, or goes on with the one that has begun.
func (h *Handlers) decide(w http.ResponseWriter, r *http.Request, a *engine.Authorization, at *resumed) *engine.Error {
	p, choose, err := h.pick(r, a)
	if err != nil {
		return storeFailed(err)
	}
	silent := slices.Contains(a.Prompt, "none")
	now := h.now()
	switch {
	case choose && silent:
		return h.refuseClient(w, r, a, selectionRequired())
	case choose && !slices.Contains(a.Prompt, "create"):
		return h.ask(w, r, a, at, stepSelect, present{})
	}
	lacking := h.unmet(a, p.Subject, yet(now), now)
	if raise := lacking != nil && lacking.Reason == "acr_unmet" && !silent && len(h.config.Steps) > 0; lacking != nil && !raise || asksForPage(a.Prompt) {
		if silent {
			return h.trySilently(w, r, a, lacking)
		}
		return h.ask(w, r, a, at, stepLogin, present{})
	}
	if err := p.judge(now); err != nil {
		e := failed("subject_invalid", err)
		e.Setting = "Login"
		if a.Device != nil {
			return e
		}
		h.record(r.Context(), e)
		return h.deliver(w, r, outcome{Answer: h.engine.Refuse(a, e)}, a.Client.ID)
	}
	switch next, e := h.dueFor(r, a, at, p.Subject); {
	case e != nil:
		return e
	case next != "" && silent:
		return h.refuseClient(w, r, a, stepRequired())
	case next != "":
		return h.ask(w, r, a, at, next, p)
	case lacking != nil: // no step is there that could raise the acr
		return h.ask(w, r, a, at, stepLogin, present{})
	}
	var o outcome
	arrives := h.arrival(p)
	err = h.store.Do(r.Context(), func(ctx context.Context) error {
		var err error
		o, err = h.answerAtOnce(ctx, a, p, at)
		return err
	})
	switch {
	case errors.Is(err, errMustAsk) && silent:
		return h.refuseClient(w, r, a, consentRequired())
	case errors.Is(err, errMustAsk):
		return h.ask(w, r, a, at, stepConsent, p)
	case errors.Is(err, errSignedOut) && silent:
		return h.refuseClient(w, r, a, h.unmet(a, Subject{}, yet(now), now))
	case errors.Is(err, errSignedOut):
		return h.ask(w, r, a, at, stepLogin, present{})
	case err != nil:
		return storeFailed(err)
	}
	o.Session, o.Life = arrives.Session, arrives.Life
	return h.deliver(w, r, o, a.Client.ID)
}

var errMustAsk = errors.New("handlers: the person has to be asked")

// answerAtOnce issues the code in the unit of work of ctx: the grant is all that
// is written, but for an interaction that came by POST, and the hourly note of the
// session.
func (h *Handlers) answerAtOnce(ctx context.Context, a *engine.Authorization, p present, at *resumed) (outcome, error) {
	if err := h.store.Load(ctx, h.engine.GrantRefs(p.ID, a.Client.ID, p.SessionID)...); err != nil {
		return outcome{}, err
	}
	ask, scopes, err := h.mustAsk(ctx, a, p.Subject, false)
	if err != nil {
		return outcome{}, err
	}
	if ask {
		return outcome{}, errMustAsk
	}
	if err := h.still(ctx, p); err != nil {
		return outcome{}, err
	}
	if at == nil {
		answer, err := h.approve(ctx, a, p.Subject, scopes)
		return outcome{Answer: answer}, err
	}
	in := h.view(a, at.record, at.id, at.secret)
	in.decision = at.decision
	return h.move(ctx, in, func(rec *record) (outcome, error) {
		rec.Step = stepDone
		answer, err := h.approve(ctx, a, p.Subject, scopes)
		return outcome{Answer: answer}, err
	})
}

// ask sends the person to a page.
func (h *Handlers) ask(w http.ResponseWriter, r *http.Request, a *engine.Authorization, at *resumed, next step, p present) *engine.Error {
	place := func(rec *record) {
		rec.Step = next
		if !p.nobody() {
			rec.Subject, rec.Shown = p.Subject, shown(a)
			if p.session != nil {
				rec.SessionKey, rec.Brief = []byte(p.session.Key), p.session.Brief
			}
		}
	}
	if at == nil {
		rec, id, secret := h.newRecord(a.Params, a.Client.ID, next)
		rec.Device, rec.Locales = claimOf(a), a.UILocales
		place(rec)
		return h.beginPushed(w, r, a, rec, id, secret)
	}
	err := h.store.Do(r.Context(), func(ctx context.Context) error {
		rec, err := h.stored(ctx, at.record.Key)
		if err != nil || rec.Step != at.record.Step {
			return err
		}
		place(rec)
		return h.records.Put(ctx, rec)
	})
	if err != nil {
		return storeFailed(err)
	}
	redirect(w, h.path("interaction/"+at.id))
	return nil
}

// trySilently gives the login a chance to know the person without a page. What it
// writes is discarded, but for cookies of a login that succeeded.
func (h *Handlers) trySilently(w http.ResponseWriter, r *http.Request, a *engine.Authorization, e *engine.Error) *engine.Error {
	if h.source != nil {
		return h.refuseClient(w, r, a, e)
	}
	in := h.view(a, nil, "", "")
	discarded := newResponse()
	r, cancel := h.timed(r, in)
	defer cancel()
	x := exchangeOf(r.Context())
	before := x.calls("Login")
	h.login(in)(discarded, r, in)
	x.calls(before)
	switch {
	case in.silentError != nil:
		return h.refuseClient(w, r, a, in.silentError)
	case in.silent == nil:
		return h.refuseClient(w, r, a, e)
	}
	for _, c := range discarded.header.Values("Set-Cookie") {
		w.Header().Add("Set-Cookie", c)
	}
	return h.deliver(w, r, *in.silent, a.Client.ID)
}
