package handlers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

// hostPolicy is the Content-Security-Policy of a page that a host's hook writes:
// the host knows what its page needs, but nobody may frame it.
const hostPolicy = "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

// interact serves the page at which an interaction stands.
func (h *Handlers) interact(w http.ResponseWriter, r *http.Request) *engine.Error {
	if e := h.sameSite(r); e != nil {
		return e
	}
	body, e := readBody(r)
	if e != nil {
		return e
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if e := scriptForm(r, body); e != nil {
		return e
	}
	at := &resumed{id: lastElement(r.URL.Path)}
	if at.record, e = h.load(r.Context(), at.id); e != nil {
		return e
	}
	if at.record == nil {
		h.expired(w, r, at, "interaction_unknown")
		return nil
	}
	x := exchangeOf(r.Context())
	x.clientID, x.locales, x.at = at.record.ClientID, at.record.Locales, at.id
	at.secret = h.cookies.read(r, interactionCookie(at.id))
	if !at.record.boundTo(at.secret) {
		h.foreign(w, r)
		return nil
	}
	at.decision = h.store.MAC("interaction decision", []byte(r.Method), []byte(r.URL.RawQuery), body)
	decision := ""
	if r.Method == http.MethodPost {
		decision = formField(r, body, "decision")
	}
	over := at.record.ended(h.now()) || at.record.Step == stepDone
	switch {
	case at.record.Logout && over:
		return h.logoutOver(w, r, at, decision)
	case at.record.Device != nil && at.record.Step == stepDone:
		h.deviceDone(w, r, at.record)
		return nil
	case at.record.Account != "" && over:
		redirect(w, h.path(at.record.Account))
		return nil
	case decision == "restart" && over:
		return h.restart(w, r, at.record)
	case decision == "restart": // it goes on where it stands
		redirect(w, h.path("interaction/"+at.id))
		return nil
	}
	if o, ok := h.givenAgain(r, at); ok {
		return h.deliver(w, r, o, at.record.ClientID)
	}
	switch {
	case at.record.Step == stepDone:
		h.expired(w, r, at, "interaction_used")
		return nil
	case over:
		h.expired(w, r, at, "interaction_expired")
		return nil
	case at.record.Step == stepLogout:
		return h.logoutStep(w, r, at)
	}
	return h.takeStep(w, r, at)
}

// givenAgain returns the outcome that the same request had before, or that a script fetches.
func (h *Handlers) givenAgain(r *http.Request, at *resumed) (outcome, bool) {
	// Where a GET led to another page of ours, that page is shown: sending the
	// browser there again would be a circle.
	if o, ok := at.record.again(h.now(), at.decision, at.secret); ok && (o.Answer != nil || r.Method == http.MethodPost) {
		return o, true
	}
	if at.record.Step == stepDone && r.Method == http.MethodGet && r.URL.RawQuery == theAnswer {
		return at.record.last(h.now(), at.secret)
	}
	return outcome{}, false
}

// sameSite refuses a form that was sent from another site.
func (h *Handlers) sameSite(r *http.Request) *engine.Error {
	if r.Method != http.MethodPost {
		return nil
	}
	if err := h.csrf.Check(r); err != nil {
		e := badRequest("cross_site_post", "This form was sent from another site.")
		e.Status, e.Cause = http.StatusForbidden, err
		return e
	}
	return nil
}

// takeStep hands the request to the hook whose turn it is.
func (h *Handlers) takeStep(w http.ResponseWriter, r *http.Request, at *resumed) *engine.Error {
	a, e := h.recheck(r.Context(), at.record)
	exchangeOf(r.Context()).silently(a)
	if e != nil {
		return h.refuseClient(w, r, a, e)
	}
	switch {
	case at.record.Step == stepStart && at.record.Account != "":
		return h.startAccount(w, r, a, at)
	case at.record.Step == stepStart:
		return h.decide(w, r, a, at)
	}
	// A form of a step that is over, sent again by a double click, must not be
	// taken for an answer to the next question.
	if sent := r.URL.Query().Get("step"); r.Method == http.MethodPost && sent != "" && sent != string(at.record.Step) {
		redirect(w, h.path("interaction/"+at.id))
		return nil
	}
	in := h.view(a, at.record, at.id, at.secret)
	in.decision = at.decision
	w.Header().Set("Content-Security-Policy", hostPolicy)
	r, cancel := h.timed(r, in)
	defer cancel()
	if at.record.Step == stepSelect {
		w.Header().Del("Content-Security-Policy")
		return h.accountsPage(w, r, in)
	}
	if at.record.Step == stepLogin {
		if h.source == nil {
			p, err := h.current(r.Context(), r)
			if err != nil {
				return storeFailed(err)
			}
			in.Subject = p.Subject
		}
		if script(r) {
			in.WriteJSON(w, r, http.StatusOK)
			return nil
		}
		x := exchangeOf(r.Context())
		before := x.calls("Login")
		h.login(in)(w, r, in)
		x.calls(before)
	} else {
		same, e := h.samePerson(r, in)
		if e != nil {
			return e
		}
		if !same {
			redirect(w, h.path("interaction/"+at.id))
			return nil
		}
		if e := h.serveNext(w, r, in); e != nil {
			return e
		}
	}
	if out, ok := w.(*response); ok && !in.done && !out.written() {
		return failed("hook_silent", errors.New("handlers: the hook wrote no page and completed nothing"))
	}
	return nil
}

// script says whether a script asks where an interaction stands, which is no matter of a
// hook.
func script(r *http.Request) bool {
	return r.Method == http.MethodGet && exchangeOf(r.Context()).script
}

// serveNext serves what comes after the login: a step of the host's, or the consent.
func (h *Handlers) serveNext(w http.ResponseWriter, r *http.Request, in *Interaction) (e *engine.Error) {
	_, extra := in.record.Step.extra()
	if !extra {
		if in.Granted, e = h.granted(r.Context(), in.a, in.Subject.ID); e != nil {
			return e
		}
	}
	switch {
	case script(r) && !h.forgotten(in.record.Step):
		in.WriteJSON(w, r, http.StatusOK)
		return nil
	case extra:
		return h.serveStep(w, r, in)
	}
	x := exchangeOf(r.Context())
	before := x.calls("Consent")
	h.consentFor(in).ServeConsent(w, r, in)
	x.calls(before)
	return nil
}

// login is the hook whose turn it is for who is not signed in: the one for new people,
// where the client sent one. Initiating User Registration §4
func (h *Handlers) login(in *Interaction) LoginFunc {
	if newcomers, ok := h.config.Login.(SignUp); ok && slices.Contains(in.Prompt, "create") {
		return newcomers.ServeSignUp
	}
	return h.config.Login.ServeLogin
}

// samePerson sets an interaction back to its beginning when who signed in is not
// there any more, or the client changed what was to be shown.
func (h *Handlers) samePerson(r *http.Request, in *Interaction) (bool, *engine.Error) {
	p, err := h.consenting(r.Context(), r, in.record)
	if err != nil {
		return false, storeFailed(err)
	}
	if in.record.meant(p, in.a) {
		return true, nil
	}
	err = h.store.Do(r.Context(), func(ctx context.Context) error {
		fresh, err := h.stored(ctx, in.record.Key)
		if err != nil || fresh.Step != in.record.Step {
			return err
		}
		fresh.startOver()
		return h.records.Put(ctx, fresh)
	})
	if err != nil {
		return false, storeFailed(err)
	}
	return false, nil
}

// consenting returns who is at the consent page or at a step of an interaction.
func (h *Handlers) consenting(ctx context.Context, r *http.Request, rec *record) (present, error) {
	if rec.Pending {
		return h.held(ctx, rec)
	}
	p, err := h.current(ctx, r)
	if err == nil && h.source == nil && p.SessionID != rec.Subject.SessionID {
		// The cookie of a sign-in is lost when its answer was not waited for.
		return h.session(ctx, string(rec.SessionKey))
	}
	return p, err
}

// restart begins the same request anew.
func (h *Handlers) restart(w http.ResponseWriter, r *http.Request, rec *record) *engine.Error {
	a, e := h.recheck(r.Context(), rec)
	if e != nil {
		return h.refuseClient(w, r, a, e)
	}
	return h.decide(w, r, a, nil)
}

// formField returns one field of a form that was read already.
func formField(r *http.Request, body []byte, name string) string {
	if r.PostForm != nil { // what a script sent
		return r.PostForm.Get(name)
	}
	if formType(r) != nil {
		return ""
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get(name)
}

// expired shows that an interaction is over, and offers to begin again while it
// is still known what was asked.
func (h *Handlers) expired(w http.ResponseWriter, r *http.Request, at *resumed, reason string) {
	l := h.words(r)
	page := pages.Expired{Title: l.Say("expired.title"), RequestID: exchangeOf(r.Context()).id}
	e := &engine.Error{Code: "invalid_request", Reason: reason, Status: http.StatusGone, Description: "This sign-in link has expired."}
	switch reason {
	case "interaction_used":
		page.Title, page.Message = l.Say("expired.used.title"), l.Say("expired.used")
		e.Description = "This sign-in link has already been used."
	case "interaction_expired":
		page.Message = l.Say("expired.old")
	default:
		page.Message = l.Say("expired.unknown")
	}
	if at.record != nil {
		page.Action = h.path("interaction/" + at.id)
	}
	if exchangeOf(r.Context()).script {
		h.refuse(w, r, e)
		return
	}
	h.record(r.Context(), e)
	h.show(w, r, e.Status, page)
}

// foreign shows that the interaction belongs to another browser. A link that is
// sent to somebody else must not let them act in it, or sign them in there.
func (h *Handlers) foreign(w http.ResponseWriter, r *http.Request) {
	e := &engine.Error{
		Code: "access_denied", Reason: "foreign_browser", Status: http.StatusForbidden,
		Description: "This sign-in was started in another browser.",
	}
	if opened, right, ok := h.hosts(r); !ok {
		e.Detail, e.Setting = otherHost(opened, right), "Config.Issuer"
	}
	h.refuse(w, r, e)
}
