package handlers

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// Interaction is an authorize request while a person is busy with it. A Login or
// Consent reads its fields, and completes it by exactly one of Accept, Done,
// Allow and Deny, or writes a page. It belongs to one HTTP request and is not for concurrent
// use; to come back to it later, send the browser to URL.
type Interaction struct {
	ID       string
	Step     string // login, consent, or the Name of a Step
	Client   ClientView
	Scopes   []ScopeView // what is asked for
	Audience []string

	// What the client asked of the sign-in. Prompt, MaxAge, EssentialACR, Hint and a
	// sub in Claims are checked when it is completed. OpenID Connect Core §3.1.2.1
	Prompt       []string       // none, login, consent, select_account, create
	MaxAge       *time.Duration // nil: not asked; 0: now
	ACRValues    []string       // a wish, the most wanted first; what was met is told by Subject.ACR
	EssentialACR []string       // Subject.ACR must be one of these; empty: any. OpenID Connect Core §5.5.1.1
	LoginHint    string
	UILocales    []string
	Display      string
	Hint         *HintView           // of id_token_hint, nil without one
	Claims       storage.AskedClaims // by the parameter claims. OpenID Connect Core §5.5

	// Granted is what the person allowed the client before and what still stands, at
	// consent; nil when there is nothing. What is asked for beyond it is new to them.
	Granted *GrantedView

	// Device is where the request of a device came from, nil for an authorize
	// request. Nothing goes back to the client then, and the consent page is the
	// built-in one. RFC 8628
	Device *DeviceView

	Subject Subject // who signed in, at consent; at login, who is signed in already
	Action  string  // URL that a form of this step posts to
	Error   error   // for a page: why the last try failed

	// Brief, set before Accept, makes a session that ends with the browser, and earlier
	// without use (Lifetimes.SessionBrief), where the server keeps it: the person did not
	// want to stay signed in.
	Brief bool

	h           *Handlers
	a           *engine.Authorization
	record      *record // nil: prompt=none, nothing is stored
	secret      string
	decision    []byte
	interactive bool
	elsewhere   bool // it was found by a handler of the host's
	accounts    []present
	done        bool
	late        func() bool   // the hook's time is over; nil: it has no end
	silent      *outcome      // what Accept led to with prompt=none
	silentError *engine.Error // or why it did not
}

// ClientView is what a person should know of the client. Its texts come from
// whoever registered the client; control characters and those that change the
// direction of text are taken out and the length is bounded.
type ClientView struct {
	ID         string // empty: nobody asks but the person, for the pages of their own account
	Name       string
	URI        string // these four are the client's own words: see docs/clients.md before a page shows them
	LogoURI    string
	PolicyURI  string
	TOSURI     string
	Host       string // where the answer goes: a host, "this device (scheme)", "another device"
	Scheme     string // private-use, where the answer goes by one
	Home       string // host of the client's ID when that is the URL of its metadata, "" otherwise
	Origin     string // the same for a program: "https://app.example.com"; empty where it is no web page
	Local      bool   // the answer goes to a program on the person's device
	Entered    bool   // the host entered it; all others are what they say of themselves
	FirstParty bool
}

// ScopeView is a scope with its words for the consent page.
type ScopeView struct {
	Name        string
	Description string // empty: the name is shown
	Optional    bool   // the person may leave it out
}

// HintView is who the client thinks is signed in.
type HintView struct {
	Subject   string // as the client was told it; of a client with pairwise subjects, no Subject.ID
	SessionID string // likewise; of such a client, no Subject.SessionID

	names func(subjectID string) bool
}

// Names says whether the hint is about this person, by Subject.ID.
func (v *HintView) Names(subjectID string) bool { return v.names(subjectID) }

// GrantedView is what a person allowed a client before.
type GrantedView struct {
	Scopes   []string
	Audience []string
	Claims   []string // asked for one by one
	At       time.Time
}

// Requirement is what an interaction can't end without, as the client is told it.
type Requirement string

// Requirements. OpenID Connect Core §3.1.2.6, OpenID Connect Core Error Code
// unmet_authentication_requirements 1.0
const (
	LoginRequired            Requirement = "login_required"
	InteractionRequired      Requirement = "interaction_required"
	ConsentRequired          Requirement = "consent_required"
	AccountSelectionRequired Requirement = "account_selection_required"
	// UnmetAuthentication says that the person can't sign in as strongly as was asked.
	UnmetAuthentication Requirement = "unmet_authentication_requirements"
)

// Require ends the interaction because something is needed that can't be had here: the
// client is told what. With prompt=none it is how a Login says that a page would help;
// without, that no page does. Any other value is told as interaction_required.
func (in *Interaction) Require(w http.ResponseWriter, r *http.Request, what Requirement) {
	r, ok := in.enter(w, r)
	if !ok {
		return
	}
	switch what {
	case LoginRequired, ConsentRequired, AccountSelectionRequired, UnmetAuthentication:
	default:
		what = InteractionRequired
	}
	e := &engine.Error{Code: string(what), Reason: string(what), Description: "The sign-in needs something that this request does not allow or that can not be had."}
	if in.record == nil {
		in.silentError = e
		return
	}
	o, failed := in.h.close(r, in, e)
	in.answer(w, r, o, failed)
}

// Interactive says whether a page may be shown. With prompt=none it may not.
func (in *Interaction) Interactive() bool { return in.interactive }

// URL is the absolute URL of the interaction, by which a login that ends elsewhere
// comes back. It works only in the browser that began it.
func (in *Interaction) URL() string { return in.h.origin + in.h.path("interaction/"+in.ID) }

// Accept completes the login with who the person is. It checks what the client asked
// for (prompt, max_age, acr, id_token_hint, sub) and refuses when it is not met,
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
		in.misplaced(w, r, errWrongStep)
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
		in.misplaced(w, r, errWrongStep)
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
	r, ok := in.once(w, r)
	if !ok {
		return
	}
	e := loginUnavailable(err)
	if !in.inTime() {
		e = hookLate()
		e.Cause = err
	}
	if in.record == nil {
		in.silentError = e
		return
	}
	in.fail(w, r, e)
}

func loginUnavailable(err error) *engine.Error {
	return &engine.Error{
		Code: "temporarily_unavailable", Reason: "login_unavailable", Status: http.StatusServiceUnavailable,
		Description: "The sign-in can not be checked at the moment. Try again shortly.",
		RetryAfter:  2 * time.Second, Cause: err,
	}
}

// enter begins the completion, once and in time.
func (in *Interaction) enter(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	r, ok := in.once(w, r)
	if ok && !in.inTime() {
		in.refuseLate(w, r)
		return r, false
	}
	return r, ok
}

// once begins the completion, once. A request that did not come through one of
// our endpoints, because a host finishes the login in a handler of its own, gets
// what they give.
func (in *Interaction) once(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	x := exchangeOf(r.Context())
	if x.id == "" {
		x = &exchange{Context: r.Context(), id: requestID(r.Context()), rule: rule{name: "interaction", page: true}, locales: in.UILocales, script: WantsJSON(r)}
		r = r.WithContext(x)
		baseHeaders(w.Header(), x.id, noReferrer)
	}
	x.clientID, x.at = in.a.Client.ID, in.ID
	if in.done {
		in.h.log.ErrorContext(r.Context(), "an interaction was completed twice in one request", "request_id", x.id, "client_id", x.clientID)
		return r, false
	}
	in.done = true
	return r, true
}

func (in *Interaction) answer(w http.ResponseWriter, r *http.Request, o outcome, e *engine.Error) {
	if in.elsewhere && exchangeOf(r.Context()).script {
		out := newResponse()
		defer func(w http.ResponseWriter) {
			in.h.asJSON(out)
			out.send(w, r)
		}(w)
		w = out
	}
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
	// A hook may change what it gets: the grant is made of what was asked for.
	in := &Interaction{
		ID: id, Client: viewClient(a.Client, a.RedirectURI), Scopes: h.viewScopes(a.Scopes), Audience: slices.Clone(a.Audience),
		Prompt: slices.Clone(a.Prompt), ACRValues: slices.Clone(a.ACRValues), LoginHint: a.LoginHint,
		UILocales: slices.Clone(a.UILocales), Display: a.Display, EssentialACR: slices.Clone(a.EssentialACR), Claims: a.Asked.Clone(),
		h: h, a: a, record: rec, secret: secret, interactive: rec != nil,
	}
	if a.MaxAge != nil {
		age := *a.MaxAge
		in.MaxAge = &age
	}
	if a.Hint != nil {
		in.Hint = &HintView{Subject: a.Hint.Subject, SessionID: a.Hint.SessionID, names: func(id string) bool {
			return h.engine.SubjectFor(a.Client, id) == a.Hint.Subject
		}}
	}
	if a.Device != nil {
		in.Device = &DeviceView{Address: a.Device.Address, UserAgent: a.Device.Agent}
		in.Client.Host, in.Client.Origin, in.Client.Local = "another device", "", false
	}
	if rec != nil && rec.Account != "" {
		in.Client.Host, in.Client.Local = strings.TrimPrefix(strings.TrimPrefix(h.origin, "https://"), "http://"), false
	}
	if rec != nil {
		in.Subject, in.Step = rec.Subject, rec.Step.public()
		in.Action = h.path("interaction/"+id) + "?step=" + string(rec.Step)
	}
	return in
}
