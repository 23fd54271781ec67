package servertest

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/doorward/doorward/handlers"
)

// people is who may sign in, and who does next.
type people struct {
	mu       sync.Mutex
	next     string // empty: nobody
	since    time.Time
	denies   bool
	claims   map[string]map[string]any
	disabled map[string]bool
}

// SignIn chooses the person who is signed in from here on, in every browser, and
// what the provider tells about them. claims are released by scope, as OpenID
// Connect Core §5.4 has it: email needs the scope email. nil keeps what was said
// of the person before.
func (p *Provider) SignIn(subject string, claims map[string]any) {
	now := p.Now()
	p.people.mu.Lock()
	defer p.people.mu.Unlock()
	p.people.next, p.people.since = subject, now
	if claims != nil {
		p.people.claims[subject] = maps.Clone(claims)
	}
}

// SignOut leaves nobody signed in: prompt=none answers login_required, and other
// requests stop at a page that says so.
func (p *Provider) SignOut() {
	p.people.mu.Lock()
	defer p.people.mu.Unlock()
	p.people.next = ""
}

// Deny makes people refuse consent, so that clients see access_denied, until it is
// called with false.
func (p *Provider) Deny(denies bool) {
	p.people.mu.Lock()
	defer p.people.mu.Unlock()
	p.people.denies = denies
}

// Disable closes the account of a person: code exchange and refresh are refused
// with invalid_grant from here on.
func (p *Provider) Disable(subject string) {
	p.people.mu.Lock()
	defer p.people.mu.Unlock()
	p.people.disabled[subject] = true
}

// shape is the Claims hook.
func (p *Provider) shape(_ context.Context, c *handlers.ClaimsRequest) error {
	p.people.mu.Lock()
	defer p.people.mu.Unlock()
	if p.people.disabled[c.Subject] {
		return handlers.Refuse("the account was closed by Disable")
	}
	maps.Copy(c.User, p.people.claims[c.Subject])
	return nil
}

// person is the Login, the session and the Consent of the provider.
type person struct{ p *Provider }

// CurrentSubject implements handlers.SessionSource.
func (h *person) CurrentSubject(*http.Request) (handlers.Subject, error) {
	h.p.people.mu.Lock()
	defer h.p.people.mu.Unlock()
	if h.p.people.next == "" {
		return handlers.Subject{}, nil
	}
	return handlers.Subject{
		ID: h.p.people.next, SessionID: "session-of-" + h.p.people.next, AuthTime: h.p.people.since, AMR: []string{"pwd"},
	}, nil
}

// EndSession implements handlers.SessionSource.
func (h *person) EndSession(http.ResponseWriter, *http.Request) error {
	h.p.SignOut()
	return nil
}

// ServeLogin implements handlers.Login: it is asked when nobody is signed in, or
// when the client wants the sign-in to be done anew.
func (h *person) ServeLogin(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	subject, err := h.CurrentSubject(r)
	if err != nil || subject.ID == "" {
		http.Error(w, "servertest: nobody is signed in; call SignIn", http.StatusForbidden)
		return
	}
	subject.AuthTime = time.Time{} // it happens at this moment
	in.Accept(w, r, subject)
}

// ServeConsent implements handlers.Consent.
func (h *person) ServeConsent(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	h.p.people.mu.Lock()
	denies := h.p.people.denies
	h.p.people.mu.Unlock()
	if denies {
		in.Deny(w, r)
		return
	}
	in.Allow(w, r)
}
