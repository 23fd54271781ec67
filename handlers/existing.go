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
	// otherwise, and a login_hint where the client sent one. Required.
	LoginURL string

	// ReturnParam names that query parameter. Empty: return_to.
	ReturnParam string

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
	redirect(w, s.page(in))
}

// satisfied says whether a person needs no further sign-in.
func (in *Interaction) satisfied(s Subject) bool {
	return in.record != nil && !asksForPage(in.Prompt) && unmet(in.a, s, in.record.CreatedAt, in.h.now()) == nil
}

// page is the URL of the login page for an interaction.
func (s ExistingSession) page(in *Interaction) string {
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
	separator := "?"
	if strings.Contains(s.LoginURL, "?") {
		separator = "&"
	}
	return s.LoginURL + separator + query.Encode()
}
