package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ExistingSession is the Login of a product that has its own session and login
// page: its session is the truth, and Doorward keeps none.
type ExistingSession struct {
	// CurrentUser returns who is signed in, the zero Subject for nobody. An error
	// is answered with 503. It should set AuthTime: without it a request with
	// max_age or prompt=login can't be answered. Required.
	CurrentUser func(*http.Request) (Subject, error)

	// LoginURL is the login page, a path or a URL. It is given in the query where
	// to come back to, as a path when it stands on the issuer's origin and as a URL
	// otherwise, and what the client sent of login_hint, ui_locales and acr_values. For
	// somebody who is signed in already it also has prompt=login when they must prove it
	// again, and prompt=select_account when they may be somebody else. Required.
	LoginURL string

	// ReturnParam names that query parameter. Empty: return_to.
	ReturnParam string

	// SignUpURL is the page where people open an account, given the same query.
	// Empty: prompt=create is refused. Initiating User Registration §4
	SignUpURL string

	// SignOut ends the host's session, by taking its cookie away from w. What
	// else it writes is discarded. nil: there is no sign-out endpoint.
	SignOut func(w http.ResponseWriter, r *http.Request) error
}

// fromLogin marks the URL that a person comes back to, so that a login page which
// sends them back unchanged is not asked again and again.
const fromLogin = "from=login"

// CurrentSubject calls CurrentUser.
func (s ExistingSession) CurrentSubject(r *http.Request) (Subject, error) { return s.CurrentUser(r) }

// EndSession calls SignOut.
func (s ExistingSession) EndSession(w http.ResponseWriter, r *http.Request) error {
	if s.SignOut == nil {
		return errors.New("handlers: ExistingSession.SignOut is nil")
	}
	return s.SignOut(w, r)
}

// ServeLogin sends the person to the login page, and goes on when they are back.
func (s ExistingSession) ServeLogin(w http.ResponseWriter, r *http.Request, in *Interaction) {
	person, err := s.CurrentUser(r)
	if err != nil {
		in.Fail(w, r, err)
		return
	}
	back := slices.Contains(strings.Split(r.URL.RawQuery, "&"), fromLogin)
	if person.ID != "" && (back || in.satisfied(person)) {
		in.accept(w, r, person)
		return
	}
	if !in.Interactive() {
		return
	}
	in.done = true
	redirect(w, s.page(in, person))
}

// ServeSignUp sends the person to the page where accounts are opened, and goes on when
// they are back.
func (s ExistingSession) ServeSignUp(w http.ResponseWriter, r *http.Request, in *Interaction) {
	s.LoginURL = s.SignUpURL
	s.ServeLogin(w, r, in)
}

// satisfied says whether a person needs no further sign-in.
func (in *Interaction) satisfied(s Subject) bool {
	return in.record != nil && !asksForPage(in.Prompt) && in.h.unmet(in.a, s, in.record.CreatedAt, in.h.now()) == nil
}

// page is the URL of the login page for an interaction of somebody who may be signed in.
func (s ExistingSession) page(in *Interaction, person Subject) string {
	param := s.ReturnParam
	if param == "" {
		param = "return_to"
	}
	// A path is what a host's check against open redirects accepts most easily; a
	// login page elsewhere needs the whole URL.
	back := in.h.path("interaction/"+in.ID) + "?" + fromLogin
	if u, err := url.Parse(s.LoginURL); err == nil && u.Host != "" && u.Scheme+"://"+u.Host != in.h.origin {
		back = in.h.origin + back
	}
	query := url.Values{param: {back}}
	if in.LoginHint != "" {
		query.Set("login_hint", in.LoginHint)
	}
	if len(in.UILocales) > 0 {
		query.Set("ui_locales", strings.Join(in.UILocales, " "))
	}
	if wanted := slices.Concat(in.EssentialACR, in.ACRValues); len(wanted) > 0 {
		query.Set("acr_values", strings.Join(wanted, " "))
	}
	switch {
	case slices.Contains(in.Prompt, "create"):
	case slices.Contains(in.Prompt, "select_account"):
		query.Set("prompt", "select_account")
	case person.ID != "": // or they would be back at once, as they are
		query.Set("prompt", "login")
	}
	separator := "?"
	if strings.Contains(s.LoginURL, "?") {
		separator = "&"
	}
	return s.LoginURL + separator + query.Encode()
}
