package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/doorward/doorward/handlers"
)

const (
	codeLife  = 5 * time.Minute
	codeTries = 5
	codeSends = 3 // codes an account is sent within codeLife
)

// factor is the second step of the sign-in: a code that the person is sent. It remembers
// the code for each interaction. An interaction belongs to one browser, which the server
// sees to, so its ID is a safe key. It lives in memory: after a restart another code is
// sent, while the server still knows that the password was right.
type factor struct {
	send func(user, code string)
	now  func() time.Time

	mu      sync.Mutex
	pending map[string]*pendingCode // by Interaction.ID
	sent    map[string][]time.Time  // by user
}

type pendingCode struct {
	code  string
	until time.Time
	wrong int
}

func newFactor(send func(user, code string)) *factor {
	return &factor{send: send, now: time.Now, pending: map[string]*pendingCode{}, sent: map[string][]time.Time{}}
}

const (
	errCode  told = "This is not the code that was sent. Please try again."
	errStale told = "The code is too old, or was wrong too often. Please have another one sent."
	errMany  told = "Several codes were sent already. Please wait some minutes."
)

// step is what the server is told of it. Until it is done there is no session, and no URL
// leads past it. Who has a session has done it, for what a step learns is kept with it.
func (f *factor) step() handlers.Step {
	return handlers.Step{
		Name: "factor",
		Needed: func(_ context.Context, in *handlers.Interaction) (bool, error) {
			return !slices.Contains(in.Subject.AMR, "otp"), nil
		},
		Serve: f.serve,
	}
}

func (f *factor) serve(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	if r.Method == http.MethodPost {
		in.Error = f.check(in.ID, r.PostFormValue("code"))
		if in.Error == nil {
			s := in.Subject
			s.AMR = append(slices.Clone(s.AMR), "otp", "mfa")
			in.Done(w, r, s)
			return
		}
	} else {
		in.Error = f.begin(in.ID, in.Subject.ID)
	}
	var page bytes.Buffer
	if err := factorPage.Execute(&page, in); err != nil {
		in.Fail(w, r, err)
		return
	}
	servePage(w, page.Bytes())
}

// begin sends a code unless one is waited for. An account is sent a few only, or who
// knows the password could begin again and again until a guess is right.
func (f *factor) begin(interaction, user string) error {
	number, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	maps.DeleteFunc(f.pending, func(_ string, old *pendingCode) bool { return now.After(old.until) })
	if f.pending[interaction] != nil {
		return nil
	}
	f.sent[user] = slices.DeleteFunc(f.sent[user], func(at time.Time) bool { return now.Sub(at) > codeLife })
	if len(f.sent[user]) >= codeSends {
		return errMany
	}
	f.sent[user] = append(f.sent[user], now)
	p := &pendingCode{code: fmt.Sprintf("%06d", number), until: now.Add(codeLife)}
	f.pending[interaction] = p
	f.send(user, p.code)
	return nil
}

// check judges a code. It works once, for some minutes, and for a few tries: six digits
// can be guessed by who may try for ever.
func (f *factor) check(interaction, code string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pending[interaction]
	if p == nil || f.now().After(p.until) {
		delete(f.pending, interaction)
		return errStale
	}
	if subtle.ConstantTimeCompare([]byte(code), []byte(p.code)) == 1 {
		delete(f.pending, interaction)
		return nil
	}
	if p.wrong++; p.wrong >= codeTries {
		delete(f.pending, interaction)
		return errStale
	}
	return errCode
}

//go:embed factor.html
var factorText string

var factorPage = template.Must(template.New("factor").Parse(factorText))
