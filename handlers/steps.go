package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/doorward/doorward/internal/engine"
)

// Step is a page of the host's between the login and the consent: terms to accept, an
// organisation to choose, a profile to complete, a second factor. The steps that are
// needed are served in their order, each once in an interaction, and no URL leads past
// one: the session is made, and a code issued, when the last of them is done. What was
// done survives a restart of the server.
type Step struct {
	// Name names the step in URLs and in what is stored: small letters, digits and
	// dashes, the same after an update. Required.
	Name string

	// Needed says whether the step is due for in.Subject, who has signed in, or who is
	// signed in already when a client asks. It is called without a page, for
	// prompt=none too: true is told as interaction_required then. It only reads; an
	// error is answered with 503. Required.
	Needed func(ctx context.Context, in *Interaction) (bool, error)

	// Serve shows the page (GET) and judges what was sent (POST), as a Login does, and
	// completes the step with Interaction.Done, or ends all with Interaction.Deny or
	// Interaction.Require. Required.
	Serve func(w http.ResponseWriter, r *http.Request, in *Interaction)
}

// stepExtra begins the names of the host's steps among those of an interaction.
const stepExtra = "x-"

func (s step) extra() (name string, ok bool) { return strings.CutPrefix(string(s), stepExtra) }

// public is how hosts know a step.
func (s step) public() string {
	name, _ := s.extra()
	return name
}

var (
	errNoStep      = errors.New("handlers: Done completes a step of Config.Steps, a login completes with Accept, a consent with Allow")
	errOtherPerson = errors.New("handlers: a step may change Org, ACR, AMR, Name and AuthTime of a Subject, not its ID")
)

// Done completes a step with what it has learned: s is in.Subject, of which Org, ACR, AMR,
// Name and AuthTime may be changed. The session is told, where it is the server's, and
// the browser goes on to the next step that is needed, to the consent or to the client.
// What was asked of the sign-in (acr above all) is checked at the last of them.
func (in *Interaction) Done(w http.ResponseWriter, r *http.Request, s Subject) {
	r, ok := in.enter(w, r)
	if !ok {
		return
	}
	if in.record == nil {
		in.silentError = failed("wrong_step", errNoStep)
		return
	}
	name, ok := in.record.Step.extra()
	switch {
	case !ok:
		in.misplaced(w, r, errNoStep)
		return
	case s.ID != in.record.Subject.ID:
		e := failed("subject_invalid", fmt.Errorf("%w: %w", errSubject, errOtherPerson))
		e.Setting = "Steps"
		in.fail(w, r, e)
		return
	}
	s.SessionID = in.record.Subject.SessionID
	if s.AuthTime.IsZero() {
		s.AuthTime = in.record.Subject.AuthTime
	}
	o, e := in.h.passStep(r, in, s, name)
	in.answer(w, r, o, e)
}

// due returns the step that a person has to take next, empty when there is none.
func (h *Handlers) due(ctx context.Context, in *Interaction, s Subject, passed []string) (step, *engine.Error) {
	if len(h.config.Steps) == 0 {
		return "", nil
	}
	asked := *in // a hook that asks can't complete
	asked.Subject, asked.done = s, true
	for _, st := range h.config.Steps {
		if slices.Contains(passed, st.Name) {
			continue
		}
		asked.Step = st.Name
		x := exchangeOf(ctx)
		before := x.calls("Steps")
		needed, err := st.Needed(ctx, &asked)
		x.calls(before)
		if err != nil {
			return "", loginUnavailable(fmt.Errorf("handlers: step %s: %w", st.Name, err))
		}
		if e := tooLate(ctx); e != nil {
			return "", e
		}
		if needed {
			return stepExtra + step(st.Name), nil
		}
	}
	return "", nil
}

// dueFor is due for somebody who is signed in already when a request comes.
func (h *Handlers) dueFor(r *http.Request, a *engine.Authorization, at *resumed, s Subject) (step, *engine.Error) {
	if len(h.config.Steps) == 0 {
		return "", nil
	}
	in := h.view(a, nil, "", "")
	if at != nil {
		in = h.view(a, at.record, at.id, at.secret)
	}
	in.interactive = !slices.Contains(a.Prompt, "none")
	r, cancel := h.timed(r, nil)
	defer cancel()
	return h.due(r.Context(), in, s, nil)
}

// serveStep hands the request to the step at which the interaction stands. One that the
// host has no more is over.
func (h *Handlers) serveStep(w http.ResponseWriter, r *http.Request, in *Interaction) *engine.Error {
	name := in.record.Step.public()
	for _, st := range h.config.Steps {
		if st.Name == name {
			x := exchangeOf(r.Context())
			before := x.calls("Steps")
			st.Serve(w, r, in)
			x.calls(before)
			return nil
		}
	}
	o, e := h.passStep(r, in, in.record.Subject, name)
	if e != nil {
		return e
	}
	in.done = true
	return h.deliver(w, r, o, in.a.Client.ID)
}

// passStep completes a step, and with the last of them the login.
func (h *Handlers) passStep(r *http.Request, in *Interaction, s Subject, name string) (outcome, *engine.Error) {
	now := h.now()
	if err := s.judge(now); err != nil {
		e := failed("subject_invalid", err)
		e.Setting = "Steps"
		return h.close(r, in, e)
	}
	passed := append(slices.Clone(in.record.Passed), name)
	next, e := h.due(r.Context(), in, s, passed)
	if e != nil {
		return outcome{}, e
	}
	again := false
	if next == "" {
		e := h.unmet(in.a, s, in.record.CreatedAt, now)
		if again = e != nil && !in.record.LoggedIn; e != nil && !again {
			return h.close(r, in, e)
		}
	}
	return h.moved(r, in, nil, func(ctx context.Context, rec *record) (outcome, error) {
		p, err := h.atStep(ctx, r, rec)
		if err != nil {
			return outcome{}, err
		}
		here := outcome{Place: h.path("interaction/" + in.ID)}
		switch {
		case !rec.meant(p, in.a):
			rec.startOver()
			return here, nil
		case again: // a new sign-in may do what the steps could not
			rec.startOver()
			rec.Step = stepLogin
			return here, nil
		}
		changed := !sameProof(rec.Subject, s)
		rec.Subject, rec.Passed = s, passed
		if next != "" {
			rec.Step, rec.Raised = next, rec.Raised || changed
			return here, nil
		}
		if h.source == nil && (rec.Pending || rec.Raised || changed) {
			if rec.Pending { // it has no session yet, but the browser may have one of before
				if p, err = h.replaced(ctx, r); err != nil {
					return outcome{}, err
				}
			}
			return h.enterSession(ctx, r, in, rec, p)
		}
		return h.settle(ctx, in, rec, outcome{})
	})
}

// sameProof says whether two say the same of how somebody signed in.
func sameProof(a, b Subject) bool {
	return a.ACR == b.ACR && a.Org == b.Org && a.Name == b.Name && a.AuthTime.Equal(b.AuthTime) && slices.Equal(a.AMR, b.AMR)
}

// atStep is consenting, in a unit of work: a host's session was asked before, it is not a
// thing to ask there.
func (h *Handlers) atStep(ctx context.Context, r *http.Request, rec *record) (present, error) {
	if h.source != nil {
		return present{Subject: rec.Subject}, nil
	}
	return h.consenting(ctx, r, rec)
}

// hold keeps a login that is not complete before its steps are taken, so that there is no
// session by half of a proof. Who is revoked meanwhile does not get one.
func (h *Handlers) hold(ctx context.Context, in *Interaction, rec *record, next step) (outcome, error) {
	rec.Step, rec.Shown, rec.Passed, rec.Raised = next, shown(in.a), nil, false
	if h.source == nil {
		var err error
		rec.Pending, rec.SessionKey, rec.Subject.SessionID = true, nil, ""
		if rec.Epoch, err = h.epochs.At(ctx, h.epochs.OfSubject(rec.Subject.ID)); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Place: h.path("interaction/" + in.ID)}, nil
}

// held returns whose login is held.
func (h *Handlers) held(ctx context.Context, rec *record) (p present, err error) {
	err = h.store.Do(ctx, func(ctx context.Context) error {
		epoch, err := h.epochs.At(ctx, h.epochs.OfSubject(rec.Subject.ID))
		if p = (present{}); err == nil && epoch == rec.Epoch {
			p.Subject = rec.Subject
		}
		return err
	})
	return p, err
}
