package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/doorward/doorward/storage"
)

// Login signs a person in. ServeLogin is called for GET (show a page) and POST
// (judge what was sent) of an interaction and completes it with
// Interaction.Accept or Interaction.Deny, or writes a page. It runs outside of any
// commit.
//
// With prompt=none it is called once with Interaction.Interactive false: it may
// call Accept for a person it knows already; what it writes is discarded.
//
// A Login that is also a SessionSource lets the host's session be the truth.
type Login interface {
	ServeLogin(w http.ResponseWriter, r *http.Request, in *Interaction)
}

// SignUp is implemented by a Login that takes in new people too. The server then
// accepts prompt=create and announces it, and calls ServeSignUp in place of ServeLogin
// for a request that has it; all else is as there. Whoever has an account already may
// be let in all the same. Initiating User Registration §4
type SignUp interface {
	ServeSignUp(w http.ResponseWriter, r *http.Request, in *Interaction)
}

// TakesSignUps says whether a Login is a SignUp that works.
func TakesSignUps(login Login) bool {
	if s, ok := login.(ExistingSession); ok {
		return s.SignUpURL != ""
	}
	_, ok := login.(SignUp)
	return ok
}

// LoginFunc is a function that is a Login.
type LoginFunc func(w http.ResponseWriter, r *http.Request, in *Interaction)

// ServeLogin calls f.
func (f LoginFunc) ServeLogin(w http.ResponseWriter, r *http.Request, in *Interaction) { f(w, r, in) }

// SessionSource is implemented by a Login whose host keeps the session. The server
// then keeps none of its own.
type SessionSource interface {
	// CurrentSubject returns who is signed in, the zero Subject for nobody. An
	// error is answered with 503.
	CurrentSubject(r *http.Request) (Subject, error)
	// EndSession signs the person out of the host's session.
	EndSession(w http.ResponseWriter, r *http.Request) error
}

// Consent asks a person what a client may do. ServeConsent is called as ServeLogin
// is and completes the interaction with Interaction.Allow or Interaction.Deny. A device
// without a browser is asked for by the built-in page, which an overlay may replace.
type Consent interface {
	ServeConsent(w http.ResponseWriter, r *http.Request, in *Interaction)
}

// ConsentFunc is a function that is a Consent.
type ConsentFunc func(w http.ResponseWriter, r *http.Request, in *Interaction)

// ServeConsent calls f.
func (f ConsentFunc) ServeConsent(w http.ResponseWriter, r *http.Request, in *Interaction) {
	f(w, r, in)
}

// Claims says what tokens and userinfo tell about a person, and may veto. It is
// called at code exchange, at every refresh and at userinfo, so that a disabled
// person's access ends within one access token's life. Return Refuse to refuse;
// any other error is a failure of the server.
type Claims func(ctx context.Context, c *ClaimsRequest) error

// ClaimsRequest is what a Claims hook reads and fills. The maps are never nil.
// A hook that sets a name which the protocol owns (iss, sub, aud, exp, nonce, acr ...)
// fails the request with server_error, and the log names it.
type ClaimsRequest struct {
	Subject   string
	ClientID  string
	Grant     string // empty for client credentials
	Org       string
	GrantType string // empty at userinfo
	Scopes    []string
	Audience  []string

	// Asked are the claims that the client asked for one by one and that the person
	// was shown. Each that is found in User is told where it was asked for, whatever
	// the scopes; one that is asked for with a value, only when it has that. No other
	// answer is owed: also an essential claim may be left out. OpenID Connect Core §5.5
	Asked storage.AskedClaims

	// User takes what is known of the person. The standard claims are released
	// where the granted scopes ask for them (OpenID Connect Core §5.4), other
	// names always; to the ID token and to userinfo.
	User map[string]any

	// What is put here is told whatever the scopes.
	IDToken     map[string]any
	UserInfo    map[string]any
	AccessToken map[string]any // shown by introspection, and inside a JWT to all who see it
}

// Event is something that happened and is durable.
type Event struct {
	Type     EventType
	Time     time.Time
	ClientID string
	Subject  string
	Grant    string
	Reason   string
	Age      time.Duration // of what was used, where that tells something
}

// EventType names what happened.
type EventType string

// Types of events.
const (
	EventCodeIssued           EventType = "code_issued"
	EventTokenIssued          EventType = "token_issued"
	EventTokenRefreshed       EventType = "token_refreshed"
	EventRefreshReuse         EventType = "refresh_reuse" // a refresh token was used again: somebody may have stolen it
	EventCodeReplay           EventType = "code_replay"   // a code was used again
	EventGrantRevoked         EventType = "grant_revoked"
	EventTokenRevoked         EventType = "token_revoked"
	EventAuthenticationFailed EventType = "client_authentication_failed"
	EventSubjectRevoked       EventType = "subject_revoked"
	EventAppRevoked           EventType = "app_revoked"
	EventSessionRevoked       EventType = "session_revoked"
	EventLogoutTold           EventType = "logout_told"     // a client was told that a session has ended
	EventLogoutGivenUp        EventType = "logout_given_up" // a client could not be told for days; Reason says why
)
