package main

import (
	_ "embed"
	"net/http"

	"golang.org/x/crypto/bcrypt"

	"github.com/doorward/doorward/handlers"
)

// account is a person that may sign in. Yours come from your own tables.
type account struct {
	name, email string
	password    []byte // bcrypt
}

func newAccounts() (map[string]account, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte("wonderland"), bcrypt.DefaultCost)
	if err != nil {
		return nil, err
	}
	return map[string]account{
		"alice": {name: "Alice Liddell", email: "alice@example.com", password: hash},
		"bob":   {name: "Bob", email: "bob@example.com", password: hash},
	}, nil
}

// login is the sign-in by password. Its page is a script's: it asks the interaction's own
// URL for JSON, and posts JSON to it.
type login struct{ accounts map[string]account }

// told is an error in the words that people read.
type told string

func (t told) Error() string { return string(t) }

// A wrong name and a wrong password look the same, or the page would tell strangers
// who has an account.
const errPassword told = "This name and password do not belong together. Please try again."

// serve is the whole login: GET shows the page, POST judges what it sent. What a script
// GETs (the client's name, the scopes, where to post to) the server answers by itself; so
// it does with the redirect of in.Accept, which a script gets as {"redirect_to": ...}.
// Nothing is to be done against forged requests: the interaction has its own cookie, and
// the server refuses what another site sent.
func (l *login) serve(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	if !in.Interactive() {
		return // prompt=none: nobody may be shown a page, and we know nobody without one
	}
	if r.Method != http.MethodPost {
		servePage(w, loginPage)
		return
	}
	// The members of a JSON object are read as the fields of a form are.
	name := r.PostFormValue("name")
	if !l.right(name, r.PostFormValue("password")) {
		in.Error = errPassword
		in.WriteJSON(w, r, http.StatusUnprocessableEntity)
		return
	}
	// AMR says how the person proved who they are; clients find it in the ID token.
	// The second factor adds to it. RFC 8176
	in.Accept(w, r, handlers.Subject{ID: name, AMR: []string{"pwd"}})
}

// right judges a password. A login for the open Web also slows down who tries many
// passwords, as handlers.PasswordLogin does.
func (l *login) right(name, password string) bool {
	person, known := l.accounts[name]
	if !known {
		person = l.accounts["alice"] // any: an unknown name must take as long as a known one
	}
	return bcrypt.CompareHashAndPassword(person.password, []byte(password)) == nil && known
}

var (
	//go:embed login.html
	loginPage []byte
	//go:embed login.js
	loginScript []byte
)

// pagePolicy: the pages are ours, so their policy is: all that they may load comes from
// here. It names no form-action, since browsers apply that to the way back as well.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"

func servePage(w http.ResponseWriter, page []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	_, _ = w.Write(page) // the browser is gone
}
