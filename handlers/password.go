package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/doorward/doorward/handlers/pages"
)

// ErrWrongPassword is what PasswordLogin.Verify returns, wrapped or not, when the
// name is unknown or the password is wrong. The person is told the same for both.
var ErrWrongPassword = errors.New("handlers: wrong name or password")

// PasswordLogin is the Login with the built-in page for name and password.
// Guessing is slowed down by account and by address, and by account alone when many
// addresses guess. Nobody is locked out for good, nor at all in a browser in which
// they signed in before.
type PasswordLogin struct {
	// Verify returns the person that the name and the password belong to, or
	// ErrWrongPassword. It should take equally long for a name that is unknown.
	// Any other error is answered with 503. Required.
	Verify func(ctx context.Context, username, password string) (Subject, error)

	// Account returns the one name of the account that a typed name leads to, and the
	// typed name itself when it leads to none, so that wrong passwords count together
	// for an account with several names, as a username and an e-mail address. An error
	// is answered with 503. Optional: nil counts each name by itself.
	Account func(ctx context.Context, username string) (string, error)

	// AskRemember puts a box on the page, "Stay signed in". Who does not tick it gets a
	// session that ends with the browser, and earlier without use
	// (Lifetimes.SessionBrief). false: everybody stays signed in.
	AskRemember bool
}

// ServeLogin shows the page and judges what was sent.
func (p PasswordLogin) ServeLogin(w http.ResponseWriter, r *http.Request, in *Interaction) {
	if !in.Interactive() {
		return
	}
	if r.Method != http.MethodPost {
		p.page(w, r, in, http.StatusOK, in.LoginHint)
		return
	}
	if r.PostFormValue("decision") == "deny" {
		in.Deny(w, r)
		return
	}
	username, password := strings.TrimSpace(r.PostFormValue("username")), r.PostFormValue("password")
	if username == "" || password == "" {
		in.Error = shownError(in.h.words(r).Say("login.empty"))
		p.page(w, r, in, http.StatusUnprocessableEntity, username)
		return
	}
	p.judge(w, r, in, username, password)
}

func (p PasswordLogin) judge(w http.ResponseWriter, r *http.Request, in *Interaction, username, password string) {
	account := username
	if p.Account != nil {
		var err error
		if account, err = p.Account(r.Context(), username); err != nil {
			in.Fail(w, r, err)
			return
		}
	}
	attempt, wait, err := in.h.mayTry(r, account)
	if err != nil {
		in.Fail(w, r, err)
		return
	}
	if attempt == nil {
		p.slow(w, r, in, username, wait)
		return
	}
	defer attempt.end()
	person, err := p.Verify(r.Context(), username, password)
	// A guesser who hangs up as soon as the password is being checked can still read the
	// answer: the try counts all the same.
	r = r.WithContext(context.WithoutCancel(r.Context()))
	switch {
	case !in.inTime(): // the answer is the same for right and wrong, so it is no try
		in.Fail(w, r, context.DeadlineExceeded)
	case errors.Is(err, ErrWrongPassword):
		in.h.logWrong(r, "wrong_password")
		wait, err := attempt.wrong(r)
		if err != nil {
			in.Fail(w, r, err)
			return
		}
		if wait > 0 {
			p.slow(w, r, in, username, wait)
			return
		}
		in.Error = shownError(in.h.words(r).Say("login.wrong"))
		p.page(w, r, in, http.StatusUnprocessableEntity, username)
	case err != nil:
		in.Fail(w, r, err)
	default:
		if person.Name == "" {
			person.Name = username
		}
		attempt.right(w)
		in.Brief = p.AskRemember && r.PostFormValue("remember") == ""
		in.Accept(w, r, person)
	}
}

// shownError is a sentence for people.
type shownError string

func (e shownError) Error() string { return string(e) }

func (p PasswordLogin) slow(w http.ResponseWriter, r *http.Request, in *Interaction, username string, wait time.Duration) {
	in.h.logWrong(r, "login_slowed")
	w.Header().Set("Retry-After", retryAfter(wait))
	in.Error = shownError(waitWords(in.h.words(r), "login.slow.seconds", "login.slow.minutes", wait))
	p.page(w, r, in, http.StatusTooManyRequests, username)
}

func (h *Handlers) logWrong(r *http.Request, reason string) {
	h.log.LogAttrs(r.Context(), slog.LevelInfo, "sign-in refused", append(h.logAttrs(exchangeOf(r.Context())),
		slog.String("reason", reason), slog.String("address", h.clientAddr(r).String()))...)
}

// page shows the built-in page.
func (p PasswordLogin) page(w http.ResponseWriter, r *http.Request, in *Interaction, status int, username string) {
	if exchangeOf(r.Context()).script {
		in.WriteJSON(w, r, status)
		return
	}
	chosen := in.record.Chosen && in.Subject.ID != ""
	if chosen && username == "" {
		username = in.Subject.Name
	}
	page := pages.Login{
		Form: pages.Form{Action: in.Action}, Client: in.pageClient(r),
		Username:    clipped(username, 255),
		AskRemember: p.AskRemember, Remember: r.PostFormValue("remember") != "",
		Reauth: chosen || in.Subject.ID != "" && !asksForPage(in.Prompt) && (in.Hint == nil || in.Hint.Names(in.Subject.ID)),
	}
	if in.Error != nil {
		page.Error = in.Error.Error()
	}
	in.h.show(w, r, status, page)
}

// accountKey is the one form of an account's name, whatever its case or Unicode
// form, so that spelling it differently gives no further tries.
func accountKey(username string) string {
	return strings.ToLower(norm.NFKC.String(strings.TrimSpace(username)))
}
