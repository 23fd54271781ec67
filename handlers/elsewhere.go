package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/doorward/doorward/internal/opaque"
)

// ErrNoInteraction means that a request belongs to no interaction that waits for
// somebody in this browser.
var ErrNoInteraction = errors.New("handlers: no sign-in is waiting in this browser")

// Interaction finds the interaction that a request to the host's own handler
// belongs to: the query parameter interaction is its ID or its URL. A login that
// ends elsewhere (at another provider, by a passkey, by a link in a mail) completes
// it with Accept, a step with Done, a consent with Allow or Deny; its Step says which is
// due. Where something else is due by then, as after a double click, the browser gets the
// same answer again or is sent to look where things stand.
//
// The error is ErrNoInteraction also when another browser began it, and for a form that
// was sent from another site. Others are the store's or the host's session's.
func (h *Handlers) Interaction(r *http.Request) (*Interaction, error) {
	id := r.URL.Query().Get("interaction")
	if id == "" {
		return nil, fmt.Errorf("%w: the query has no parameter interaction", ErrNoInteraction)
	}
	id = id[strings.LastIndexByte(id, '/')+1:] // its URL is as good
	if _, ok := opaque.TokenKey(interactionPrefix, id); !ok {
		return nil, ErrNoInteraction
	}
	if err := h.csrf.Check(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoInteraction, err)
	}
	rec, e := h.load(r.Context(), id)
	if e != nil {
		return nil, e
	}
	secret := h.cookies.read(r, interactionCookie(id))
	if rec == nil || !rec.boundTo(secret) || rec.ended(h.now()) {
		return nil, ErrNoInteraction
	}
	decision := h.store.MAC("interaction decision", []byte("elsewhere"), []byte(r.URL.RequestURI()))
	_, repeated := rec.again(h.now(), decision, secret)
	if !rec.waits() && !(rec.Step == stepDone && repeated) {
		return nil, ErrNoInteraction
	}
	a, e := h.recheck(r.Context(), rec)
	if e != nil {
		return nil, e
	}
	in := h.view(a, rec, id, secret)
	in.decision, in.elsewhere = decision, true
	if rec.Step == stepLogin || rec.Step == stepDone {
		return in, nil
	}
	same, e := h.samePerson(r, in)
	switch {
	case e != nil:
		return nil, e
	case !same:
		return nil, ErrNoInteraction
	}
	if in.Granted, e = h.granted(r.Context(), a, in.Subject.ID); e != nil {
		return nil, e
	}
	return in, nil
}

// waits says whether an interaction waits for somebody to do what a hook judges.
func (v *record) waits() bool {
	_, extra := v.Step.extra()
	return extra || v.Step == stepLogin || v.Step == stepConsent
}

// misplaced answers a completion that is not the one that is due. In a hook it is a
// mistake of the host's. Elsewhere it may be a double click.
func (in *Interaction) misplaced(w http.ResponseWriter, r *http.Request, cause error) {
	if !in.elsewhere {
		in.fail(w, r, failed("wrong_step", cause))
		return
	}
	o, ok := in.record.again(in.h.now(), in.decision, in.secret)
	if !ok {
		o = outcome{Place: in.h.path("interaction/" + in.ID)}
	}
	in.answer(w, r, o, nil)
}
