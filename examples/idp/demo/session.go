package demo

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

const (
	cookieName = "doorward_demo"
	flowLife   = time.Hour
	maxFlows   = 8 // tabs that sign in at the same time
	sessionMax = 1000
)

// session is what the application knows of one browser. It lives in memory: after
// a restart the browser signs in again, without a page when the provider still
// knows it.
type session struct {
	mu      sync.Mutex // held for a request
	flows   map[string]flow
	account *account          // nil: not signed in
	leaving map[string]string // refresh tokens of a sign-out under way, by its state
	result  *result           // to be shown once
	used    time.Time
}

// flow is one sign-in under way, by its state.
type flow struct {
	nonce, verifier string
	began           time.Time
}

// account is somebody who is signed in.
type account struct {
	token   *oauth2.Token
	idToken string
	claims  map[string]any // verified
}

// result tells what came of something that was tried.
type result struct {
	Title, Text string
	Lines       []string
	Bad         bool
}

// sessions are all browsers.
type sessions struct {
	mu  sync.Mutex
	all map[string]*session
}

// of returns the session of a request, nil when it has none.
func (s *sessions) of(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[cookie.Value]
	if found != nil {
		found.used = time.Now()
	}
	return found
}

// begin makes a session and returns the value of its cookie.
func (s *sessions) begin() (*session, string) {
	made := &session{flows: map[string]flow{}, leaving: map[string]string{}, used: time.Now()}
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	makeRoom(s.all, sessionMax, func(one *session) time.Time { return one.used })
	s.all[id] = made
	return made, id
}

// renew gives a session a new cookie, as at sign-in: somebody may have put the one
// before into the browser.
func (s *sessions) renew(r *http.Request, one *session) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if cookie, err := r.Cookie(cookieName); err == nil {
		delete(s.all, cookie.Value)
	}
	s.all[id] = one
	return id
}

// start notes a sign-in under way, in place of the oldest when there are many.
func (s *session) start(state string, f flow) {
	makeRoom(s.flows, maxFlows, func(one flow) time.Time { return one.began })
	s.flows[state] = f
}

// finish returns the sign-in that an answer belongs to, once.
func (s *session) finish(state string) (flow, bool) {
	f, ok := s.flows[state]
	delete(s.flows, state)
	return f, ok && time.Since(f.began) < flowLife
}

// makeRoom deletes the oldest until one more fits.
func makeRoom[T any](all map[string]T, most int, at func(T) time.Time) {
	for len(all) >= most {
		oldest := ""
		for id, one := range all {
			if oldest == "" || at(one).Before(at(all[oldest])) {
				oldest = id
			}
		}
		delete(all, oldest)
	}
}
