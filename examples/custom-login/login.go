package main

import (
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"fmt"
	"html/template"
	"log"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/doorward/doorward/handlers"
)

const (
	codeLife  = 5 * time.Minute
	codeTries = 5
	codeSends = 3 // codes an account is sent within codeLife
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

// login is the sign-in in two steps. Between them it remembers, for each
// interaction, who gave the right password and which code was sent. An interaction
// belongs to one browser, which the server sees to, so its ID is a safe key.
type login struct {
	accounts map[string]account
	send     func(user, code string)
	now      func() time.Time

	mu      sync.Mutex
	pending map[string]*secondStep // by Interaction.ID
	sent    map[string][]time.Time // by user: when codes were sent
}

// secondStep waits for a code. It lives in memory: after a restart people begin
// again with the password.
type secondStep struct {
	user  string
	code  string
	until time.Time
	wrong int
}

func newLogin(accounts map[string]account, send func(user, code string)) *login {
	return &login{accounts: accounts, send: send, now: time.Now, pending: map[string]*secondStep{}, sent: map[string][]time.Time{}}
}

// told is an error in the words that people read.
type told string

func (t told) Error() string { return string(t) }

// A wrong name and a wrong password look the same, or the page would tell strangers
// who has an account.
const (
	errPassword told = "This name and password do not belong together. Please try again."
	errCode     told = "This is not the code that was sent. Please try again."
	errStale    told = "The code is too old, or was wrong too often. Please sign in again."
	errMany     told = "Several codes were sent already. Please wait some minutes and sign in again."
)

// serve is the whole login: GET shows the step that is due, POST judges what was
// sent. It ends with in.Accept, which checks what the client asked for (prompt,
// max_age, id_token_hint) and moves on to consent or back to the client.
func (l *login) serve(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	if !in.Interactive() {
		return // prompt=none: nobody may be shown a page, and we know nobody without one
	}
	if r.Method == http.MethodPost {
		if r.PostForm == nil && r.ParseForm() != nil {
			http.Error(w, "The form could not be read.", http.StatusBadRequest)
			return
		}
		if r.PostForm.Has("code") {
			l.serveCode(w, r, in)
			return
		}
		in.Error = l.checkPassword(in.ID, r.PostForm.Get("name"), r.PostForm.Get("password"))
	}
	l.show(w, in)
}

// checkPassword is the first step. When it succeeds the code is sent and the
// second step is due. A login for the open Web also slows down who tries many
// passwords, as handlers.PasswordLogin does.
func (l *login) checkPassword(interaction, name, password string) error {
	person, known := l.accounts[name]
	if !known {
		person = l.accounts["alice"] // any: an unknown name must take as long as a known one
	}
	if bcrypt.CompareHashAndPassword(person.password, []byte(password)) != nil || !known {
		return errPassword
	}
	return l.sendCode(interaction, name)
}

// sendCode begins the second step. An account is sent a few codes only, or who
// knows the password could begin again and again until a guess is right.
func (l *login) sendCode(interaction, user string) error {
	number, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	maps.DeleteFunc(l.pending, func(_ string, old *secondStep) bool { return now.After(old.until) })
	l.sent[user] = slices.DeleteFunc(l.sent[user], func(at time.Time) bool { return now.Sub(at) > codeLife })
	if len(l.sent[user]) >= codeSends {
		return errMany
	}
	l.sent[user] = append(l.sent[user], now)
	step := &secondStep{user: user, code: fmt.Sprintf("%06d", number), until: now.Add(codeLife)}
	l.pending[interaction] = step
	l.send(user, step.code)
	return nil
}

// serveCode is the second step.
func (l *login) serveCode(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	user, err := l.checkCode(in.ID, r.PostForm.Get("code"))
	if err != nil {
		in.Error = err
		l.show(w, in)
		return
	}
	// AMR says how the person proved who they are; clients find it in the ID token.
	// RFC 8176
	in.Accept(w, r, handlers.Subject{ID: user, AMR: []string{"pwd", "otp", "mfa"}})
}

// checkCode returns whose code it is. A code works once, for some minutes, and for
// a few tries: six digits can be guessed by who may try for ever.
func (l *login) checkCode(interaction, code string) (user string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	step := l.pending[interaction]
	if step == nil || l.now().After(step.until) {
		delete(l.pending, interaction)
		return "", errStale
	}
	if subtle.ConstantTimeCompare([]byte(code), []byte(step.code)) == 1 {
		delete(l.pending, interaction)
		return step.user, nil
	}
	if step.wrong++; step.wrong >= codeTries {
		delete(l.pending, interaction)
		return "", errStale
	}
	return "", errCode
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// show writes the page of the step that is due.
func (l *login) show(w http.ResponseWriter, in *handlers.Interaction) {
	l.mu.Lock()
	step := l.pending[in.ID]
	data := struct {
		*handlers.Interaction
		AskCode bool
	}{in, step != nil && !l.now().After(step.until)}
	l.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// The page is ours, so its policy is: all that it may load is its stylesheet. It
	// names no form-action, since browsers apply that to the way back as well.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	if err := page.Execute(w, data); err != nil {
		log.Print(err)
	}
}
