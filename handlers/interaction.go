package handlers

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/engine"
)

// Interaction is an authorize request while a person is busy with it. A Login or
// Consent reads its fields, and completes it by exactly one of Accept, Allow and
// Deny, or writes a page. It belongs to one HTTP request and is not for concurrent
// use; to come back to it later, send the browser to URL.
type Interaction struct {
	ID       string
	Client   ClientView
	Scopes   []ScopeView // what is asked for
	Audience []string

	// What the client asked of the sign-in. Prompt, MaxAge and Hint are checked
	// when it is completed. OpenID Connect Core §3.1.2.1
	Prompt    []string
	MaxAge    *time.Duration // nil: not asked; 0: now
	ACRValues []string       // a wish; what was met is told by Subject.ACR
	LoginHint string
	UILocales []string
	Display   string
	Hint      *HintView // of id_token_hint, nil without one

	// Device is where the request of a device came from, nil for an authorize
	// request. Nothing goes back to the client then, and the consent page is the
	// built-in one. RFC 8628
	Device *DeviceView

	Subject Subject // who signed in, at consent; at login, who is signed in already
	Action  string  // URL that a form of this step posts to
	Error   error   // for a page: why the last try failed

	h           *Handlers
	a           *engine.Authorization
	record      *record // nil: prompt=none, nothing is stored
	secret      string
	decision    []byte
	interactive bool
	done        bool
	silent      *outcome      // what Accept led to with prompt=none
	silentError *engine.Error // or why it did not
}

// ClientView is what a person should know of the client. Its texts come from
// whoever registered the client; control characters and those that change the
// direction of text are taken out and the length is bounded.
type ClientView struct {
	ID         string // empty: nobody asks but the person, for the pages of their own account
	Name       string
	URI        string
	LogoURI    string
	Host       string // where the answer goes: a host, "this device (scheme)", "another device"
	Scheme     string // private-use, where the answer goes by one
	Local      bool   // the answer goes to a program on the person's device
	FirstParty bool
}

// ScopeView is a scope with its words for the consent page.
type ScopeView struct {
	Name        string
	Description string // empty: the name is shown
}

// HintView is who the client thinks is signed in.
type HintView struct {
	Subject   string
	SessionID string
}

// Interactive says whether a page may be shown. With prompt=none it may not.
func (in *Interaction) Interactive() bool { return in.interactive }

// URL is the absolute URL of the interaction, by which a login that ends elsewhere
// comes back. It works only in the browser that began it.
func (in *Interaction) URL() string { return in.h.origin + in.h.path("interaction/"+in.ID) }

// Accept completes the login with who the person is. It checks what the client
// asked for (prompt, max_age, id_token_hint) and refuses when it is not met,
// creates the session where the host keeps none, and sends the browser on: to the
// consent page or to the client. All of it is one commit. A second Accept of the
// same form gets the same answer.
func (in *Interaction) Accept(w http.ResponseWriter, r *http.Request, s Subject) {
	if s.AuthTime.IsZero() {
		s.AuthTime = in.h.now()
	}
	in.accept(w, r, s)
}

func (in *Interaction) accept(w http.ResponseWriter, r *http.Request, s Subject) {
	r, ok := in.enter(w, r)
	if !ok {
		return
	}
	if in.record == nil {
		in.silent, in.silentError = in.h.acceptSilently(r, in, s)
		return
	}
	if in.record.Step != stepLogin {
		in.fail(w, r, failed("wrong_step", errWrongStep))
		return
	}
	o, e := in.h.acceptLogin(r, in, s)
	in.answer(w, r, o, e)
}

// Allow completes the consent. With scopes, only these are granted; each must
// have been asked for. openid stays granted, it is not for a person to choose.
func (in *Interaction) Allow(w http.ResponseWriter, r *http.Request, scopes ...string) {
	r, ok := in.enter(w, r)
	if !ok {
		return
	}
	if in.record == nil || in.record.Step != stepConsent {
		in.fail(w, r, failed("wrong_step", errWrongStep))
		return
	}
	granted := in.a.Scopes
	if len(scopes) > 0 {
		granted = nil
		for _, s := range scopes {
			if !slices.Contains(in.a.Scopes, s) {
				in.fail(w, r, failed("scope_not_asked", errScopeNotAsked))
				return
			}
		}
		for _, s := range in.a.Scopes {
			if s == "openid" || slices.Contains(scopes, s) {
				granted = append(granted, s)
			}
		}
	}
	o, e := in.h.allow(r, in, granted)
	in.answer(w, r, o, e)
}

// Deny ends the interaction: the client is told access_denied. RFC 6749 §4.1.2.1
func (in *Interaction) Deny(w http.ResponseWriter, r *http.Request) {
	r, ok := in.enter(w, r)
	if !ok {
		return
	}
	denied := &engine.Error{Code: "access_denied", Reason: "access_denied", Description: "The person declined the request."}
	if in.record == nil {
		in.silentError = denied
		return
	}
	o, e := in.h.close(r, in, denied)
	in.answer(w, r, o, e)
}

// Fail answers that the login can't be judged at the moment, with 503. The error
// goes to the log; the interaction goes on.
func (in *Interaction) Fail(w http.ResponseWriter, r *http.Request, err error) {
	r, ok := in.enter(w, r)
	if !ok {
		return
	}
	if in.record == nil {
		in.silentError = loginUnavailable(err)
		return
	}
	in.fail(w, r, loginUnavailable(err))
}

func loginUnavailable(err error) *engine.Error {
	return &engine.Error{
		Code: "temporarily_unavailable", Reason: "login_unavailable", Status: http.StatusServiceUnavailable,
		Description: "The sign-in can not be checked at the moment. Try again shortly.",
		RetryAfter:  2 * time.Second, Cause: err,
	}
}

// enter begins the completion, once. A request that did not come through one of
// our endpoints, because a host finishes the login in a handler of its own, gets
// what they give.
func (in *Interaction) enter(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	x := exchangeOf(r.Context())
	if x.id == "" {
		x = &exchange{id: requestID(r.Context()), rule: rule{name: "interaction", page: true}, locales: in.UILocales}
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		in.h.baseHeaders(w.Header(), x, 0)
	}
	x.clientID = in.a.Client.ID
	if in.done {
		in.h.log.ErrorContext(r.Context(), "an interaction was completed twice in one request", "request_id", x.id, "client_id", x.clientID)
		return r, false
	}
	in.done = true
	return r, true
}

func (in *Interaction) answer(w http.ResponseWriter, r *http.Request, o outcome, e *engine.Error) {
	if e != nil {
		in.fail(w, r, e)
		return
	}
	if in.record != nil && o.Answer != nil {
		// A browser may keep the page in memory though it must not be stored, and
		// would show it again to who goes back. It lets go of it when a cookie of
		// the page changes.
		in.h.cookies.setInteraction(w, r, in.ID, in.secret, restartLife)
	}
	if e := in.h.deliver(w, r, o, in.a.Client.ID); e != nil {
		in.fail(w, r, e)
	}
}

func (in *Interaction) fail(w http.ResponseWriter, r *http.Request, e *engine.Error) {
	in.h.refuse(w, r, e)
}

// view fills an Interaction from a checked request.
func (h *Handlers) view(a *engine.Authorization, rec *record, id, secret string) *Interaction {
	in := &Interaction{
		ID: id, Client: viewClient(a.Client, a.RedirectURI), Scopes: h.viewScopes(a.Scopes), Audience: a.Audience,
		Prompt: a.Prompt, MaxAge: a.MaxAge, ACRValues: a.ACRValues, LoginHint: a.LoginHint,
		UILocales: a.UILocales, Display: a.Display,
		h: h, a: a, record: rec, secret: secret, interactive: rec != nil,
	}
	if a.Hint != nil {
		in.Hint = &HintView{Subject: a.Hint.Subject, SessionID: a.Hint.SessionID}
	}
	if a.Device != nil {
		in.Device = &DeviceView{Address: a.Device.Address, UserAgent: a.Device.Agent}
		in.Client.Host, in.Client.Local = "another device", false
	}
	if rec != nil && rec.Account != "" {
		in.Client.Host, in.Client.Local = strings.TrimPrefix(strings.TrimPrefix(h.origin, "https://"), "http://"), false
	}
	if rec != nil {
		in.Subject = rec.Subject
		in.Action = h.path("interaction/"+id) + "?step=" + string(rec.Step)
	}
	return in
}
