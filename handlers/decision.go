package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

var (
	errWrongStep     = errors.New("handlers: a login completes with Accept, a consent with Allow")
	errScopeNotAsked = errors.New("handlers: Allow was called with a scope that was not asked for")
)

// unmet says what a signed-in person lacks for a request; nil when nothing is
// lacking. A proof counts as new from since on: the beginning of the interaction,
// or a time to come where there was none yet. OpenID Connect Core §3.1.2.1, §3.1.2.6
func (h *Handlers) unmet(a *engine.Authorization, s Subject, since, now time.Time) *engine.Error {
	proved := !s.AuthTime.IsZero() && !s.AuthTime.Before(since.Truncate(time.Second)) // hosts keep seconds
	missing := func(code, reason, description string) *engine.Error {
		return &engine.Error{Code: code, Reason: reason, Description: description}
	}
	switch {
	case s.ID == "":
		return missing("login_required", "login_required", "Nobody is signed in.")
	case a.Hint != nil && a.Hint.Subject != h.engine.SubjectFor(a.Client, s.ID):
		return missing("login_required", "hint_mismatch", "Another person is signed in than the one in id_token_hint.")
	case !a.Asked.IDToken["sub"].Takes(h.engine.SubjectFor(a.Client, s.ID)): // OpenID Connect Core §3.1.2.2
		return missing("login_required", "sub_mismatch", "Another person is signed in than the sub that the parameter claims asks for.")
	case slices.Contains(a.Prompt, "login") && !proved:
		e := missing("login_required", "reauthentication_missing", "The request asks for a new sign-in, and none took place.")
		e.Setting, e.Detail = "Subject.AuthTime", s.toldAuthTime()
		return e
	case a.MaxAge != nil && !proved && (*a.MaxAge == 0 || s.AuthTime.IsZero() || now.Sub(s.AuthTime) > *a.MaxAge):
		e := missing(unmetCode(a), "max_age_exceeded", "The sign-in is older than the max_age of the request.")
		e.Setting, e.Detail = "Subject.AuthTime", s.toldAuthTime()
		return e
	case len(a.EssentialACR) > 0 && !slices.Contains(a.EssentialACR, s.ACR): // OpenID Connect Core §5.5.1.1
		e := missing(unmetCode(a), "acr_unmet", "The sign-in does not have the acr that the request can not do without.")
		e.Setting, e.Detail = "Subject.ACR", fmt.Sprintf("asked for one of %q, the login said %q", a.EssentialACR, s.ACR)
		return e
	}
	return nil
}

// unmetCode tells a sign-in that is not good enough: with prompt=none a page would
// mend it.
func unmetCode(a *engine.Authorization) string {
	if slices.Contains(a.Prompt, "none") {
		return "login_required"
	}
	return "unmet_authentication_requirements"
}

// toldAuthTime is, for the log, what the login said of the time.
func (s Subject) toldAuthTime() string {
	if s.AuthTime.IsZero() {
		return "the login did not say when the person signed in"
	}
	return "the person signed in at " + s.AuthTime.UTC().Format(time.RFC3339)
}

// yet is the since of a request that has only just come: whatever proof there is,
// it is older.
func yet(now time.Time) time.Time { return now.Add(time.Second) }

// asksForPage says whether the request wants the sign-in page though somebody may
// be signed in.
func asksForPage(prompt []string) bool {
	return slices.Contains(prompt, "select_account") || slices.Contains(prompt, "create")
}

// move changes an interaction in the unit of work of ctx, if it still stands at
// the step it was read at. Else another request was faster: the same decision
// gets its outcome, any other is sent to look where things stand.
func (h *Handlers) move(ctx context.Context, in *Interaction, to func(rec *record) (outcome, error)) (outcome, error) {
	rec, err := h.stored(ctx, in.record.Key)
	if err != nil {
		return outcome{}, err
	}
	if rec.Step != in.record.Step {
		if o, ok := rec.again(h.now(), in.decision, in.secret); ok {
			return o, nil
		}
		return outcome{Place: h.path("interaction/" + in.ID)}, nil
	}
	o, err := to(rec)
	if err != nil {
		return outcome{}, err
	}
	if err := rec.decided(h.now(), in.decision, in.secret, o); err != nil {
		return outcome{}, err
	}
	if rec.Step == stepDone {
		h.finished(ctx)
	}
	return o, h.records.Put(ctx, rec)
}

// acceptLogin completes the login step: session, interaction and, when nothing is
// left to ask, the grant are one commit.
func (h *Handlers) acceptLogin(r *http.Request, in *Interaction, s Subject) (outcome, *engine.Error) {
	now := h.now()
	if err := s.judge(now); err != nil {
		e := failed("subject_invalid", err)
		e.Setting = "Login"
		return h.close(r, in, e)
	}
	next, e := h.due(r.Context(), in, s, nil)
	if e != nil {
		return outcome{}, e
	}
	// A step may raise the acr, so it counts when the last one is taken.
	if e := h.unmet(in.a, s, in.record.CreatedAt, now); e != nil && (next == "" || e.Reason != "acr_unmet") {
		return h.close(r, in, e)
	}
	return h.moved(r, in, h.engine.GrantRefs(s.ID, in.a.Client.ID, ""), func(ctx context.Context, rec *record) (outcome, error) {
		rec.Brief = in.Brief
		rec.Subject, rec.LoggedIn = s, !s.AuthTime.Before(rec.CreatedAt.Truncate(time.Second))
		if next != "" {
			return h.hold(ctx, in, rec, next)
		}
		if h.source != nil {
			return h.settle(ctx, in, rec, outcome{})
		}
		before, err := h.replaced(ctx, r)
		if err != nil {
			return outcome{}, err
		}
		return h.enterSession(ctx, r, in, rec, before)
	})
}

// moved is move in a unit of work of its own, in which the records of refs are read
// together with the interaction.
func (h *Handlers) moved(r *http.Request, in *Interaction, refs []storage.Ref, to func(ctx context.Context, rec *record) (outcome, error)) (outcome, *engine.Error) {
	var result outcome
	err := h.store.Do(r.Context(), func(ctx context.Context) (err error) {
		if err := h.store.Load(ctx, append(refs, h.records.Ref(in.record.Key))...); err != nil {
			return err
		}
		result, err = h.move(ctx, in, func(rec *record) (outcome, error) { return to(ctx, rec) })
		return err
	})
	if err != nil {
		return outcome{}, storeFailed(err)
	}
	return result, nil
}

// enterSession makes the session of who has signed in, and goes on.
func (h *Handlers) enterSession(ctx context.Context, r *http.Request, in *Interaction, rec *record, before present) (outcome, error) {
	person, session, o, err := h.signIn(ctx, r, rec.Subject, before, rec.Brief)
	if err != nil {
		return outcome{}, err
	}
	rec.Subject, rec.SessionKey, rec.Pending, rec.Raised = person, []byte(session.Key), false, false
	return h.settle(ctx, in, rec, o)
}

// settle leads on from the login and its steps, in the unit of work of ctx: to the page of
// the account, to the consent or to the client.
func (h *Handlers) settle(ctx context.Context, in *Interaction, rec *record, o outcome) (outcome, error) {
	if rec.Account != "" {
		rec.Step, o.Place = stepDone, h.path(rec.Account)
		return o, nil
	}
	ask, scopes, err := h.mustAsk(ctx, in.a, rec.Subject, rec.LoggedIn)
	if err != nil {
		return o, err
	}
	if ask {
		rec.Step, rec.Shown = stepConsent, shown(in.a)
		o.Place = h.path("interaction/" + in.ID)
		return o, nil
	}
	rec.Step = stepDone
	o.Answer, err = h.approve(ctx, in.a, rec.Subject, scopes)
	return o, err
}

// acceptSilently is acceptLogin with prompt=none: nothing is asked and no
// interaction is stored.
func (h *Handlers) acceptSilently(r *http.Request, in *Interaction, s Subject) (*outcome, *engine.Error) {
	now := h.now()
	if err := s.judge(now); err != nil {
		return nil, failed("subject_invalid", err)
	}
	if e := h.unmet(in.a, s, yet(now), now); e != nil {
		return nil, e
	}
	if next, e := h.due(r.Context(), in, s, nil); e != nil || next != "" {
		if e == nil {
			e = stepRequired()
		}
		return nil, e
	}
	var o outcome
	err := h.store.Do(r.Context(), func(ctx context.Context) error {
		o = outcome{}
		ask, scopes, err := h.mustAsk(ctx, in.a, s, false)
		if err != nil {
			return err
		}
		if ask {
			return consentRequired()
		}
		person := s
		if h.source == nil {
			before, err := h.replaced(ctx, r)
			if err != nil {
				return err
			}
			if person, _, o, err = h.signIn(ctx, r, s, before, in.Brief); err != nil {
				return err
			}
		}
		o.Answer, err = h.approve(ctx, in.a, person, scopes)
		return err
	})
	if err != nil {
		return nil, storeFailed(err)
	}
	return &o, nil
}

func consentRequired() *engine.Error {
	return &engine.Error{Code: "consent_required", Reason: "consent_required", Description: "The person has to be asked, and the request has prompt=none."}
}

func selectionRequired() *engine.Error {
	return &engine.Error{Code: "account_selection_required", Reason: "account_selection_required", Description: "Several people are signed in, one of them has to be chosen, and the request has prompt=none."}
}

func stepRequired() *engine.Error {
	return &engine.Error{Code: "interaction_required", Reason: "interaction_required", Description: "The person has to do something first, and the request has prompt=none."}
}

// allow completes the consent step and remembers the decision.
func (h *Handlers) allow(r *http.Request, in *Interaction, scopes []string) (outcome, *engine.Error) {
	var result outcome
	err := h.store.Do(r.Context(), func(ctx context.Context) error {
		var err error
		result, err = h.move(ctx, in, func(rec *record) (outcome, error) {
			// Who was revoked or signed out a moment ago consents to nothing: the grant
			// would be made under the new epochs and outlive the revocation. A host's
			// session was asked before, it is not a thing to ask in a unit of work.
			if h.source == nil {
				p, err := h.consenting(ctx, r, rec)
				if err != nil {
					return outcome{}, err
				}
				if !rec.meant(p, in.a) {
					rec.startOver()
					return outcome{Place: h.path("interaction/" + in.ID)}, nil
				}
			}
			if in.a.Device != nil {
				return h.approveDevice(ctx, in, rec, scopes)
			}
			if err := h.remember(ctx, in.a, rec.Subject.ID, scopes); err != nil {
				return outcome{}, err
			}
			rec.Step = stepDone
			answer, err := h.approve(ctx, in.a, rec.Subject, scopes)
			return outcome{Answer: answer}, err
		})
		return err
	})
	if err != nil {
		return outcome{}, storeFailed(err)
	}
	return result, nil
}

// close ends an interaction with an error for the client.
func (h *Handlers) close(r *http.Request, in *Interaction, e *engine.Error) (outcome, *engine.Error) {
	var result outcome
	err := h.store.Do(r.Context(), func(ctx context.Context) error {
		var err error
		result, err = h.move(ctx, in, func(rec *record) (outcome, error) {
			if in.a.Device != nil {
				return h.denyDevice(ctx, in, rec, e)
			}
			rec.Step = stepDone
			if rec.Account != "" {
				return outcome{Place: h.path(rec.Account) + "?" + declined}, nil
			}
			return outcome{Answer: h.engine.Refuse(in.a, e)}, h.engine.EndPushed(ctx, in.a)
		})
		return err
	})
	if err != nil {
		return outcome{}, storeFailed(err)
	}
	h.record(r.Context(), e)
	return result, nil
}

func approvalOf(a *engine.Authorization, s Subject, scopes []string) engine.Approval {
	return engine.Approval{
		Subject: s.ID, SessionID: s.SessionID, AuthTime: s.AuthTime, ACR: s.ACR, AMR: s.AMR, Org: s.Org,
		Scopes: scopes, Audience: a.Audience,
	}
}

// approve writes the grant in the unit of work of ctx.
func (h *Handlers) approve(ctx context.Context, a *engine.Authorization, s Subject, scopes []string) (*engine.Answer, error) {
	if err := h.mayGrant(ctx, s.ID, a.Client.ID); err != nil {
		return nil, err
	}
	answer, e := h.engine.Approve(ctx, a, approvalOf(a, s, scopes))
	if e != nil {
		return nil, e
	}
	if answer == nil {
		return nil, errors.New("handlers: the engine gave no answer")
	}
	return answer, nil
}
