package handlers

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/seal"
	"github.com/doorward/doorward/storage"
)

const (
	interactionPrefix = "dwi_"

	// restartLife is how long an interaction that ended can be started again, and
	// strangerLife the same when nobody signed in: those cost their maker nothing.
	restartLife  = 24 * time.Hour
	strangerLife = 2 * time.Hour
	// repeatLife is how long the same decision gets the same answer again.
	repeatLife = time.Minute
)

// step is where a person is in an interaction.
type step string

const (
	stepStart   step = "start" // came by POST: the session was not looked at yet
	stepLogin   step = "login"
	stepConsent step = "consent"
	stepSelect  step = "select" // among the accounts of this browser
	stepLogout  step = "logout"
	stepDone    step = "done"
)

// record is a stored interaction: the request as it came, and what the person did
// so far. The request is checked anew at every step, so a client that changed in
// the meantime gets nothing that it could not ask for today.
type record struct {
	Key        string    `json:"-"` // opaque.TokenKey of the ID, which is not stored
	Params     string    `json:"params"`
	ClientID   string    `json:"client_id,omitempty"`
	Locales    []string  `json:"locales,omitempty"` // that the client named for the person
	Logout     bool      `json:"logout,omitempty"`  // the request is one to sign out
	Step       step      `json:"step"`
	SecretHash []byte    `json:"secret_hash"` // of the browser's cookie
	CreatedAt  time.Time `json:"created_at"`
	EndsAt     time.Time `json:"ends_at"` // of the interaction; the record stays longer

	Device *deviceClaim `json:"device,omitempty"` // the request is that of a device, and Params are empty

	// Account is the page of the person's own account that the sign-in is for, and
	// Params are empty.
	Account string `json:"account,omitempty"`

	// Who signed in, from the consent step on.
	Subject    Subject `json:"subject,omitzero"`
	SessionKey []byte  `json:"session_key,omitempty"` // of our own session
	LoggedIn   bool    `json:"logged_in,omitempty"`   // in this interaction
	Shown      string  `json:"shown,omitempty"`       // digest of what the consent page shows

	// The steps of the host that were taken. While a login is pending there is no session
	// yet; Epoch is that of the person when they gave the first proof. Raised says that a
	// step has learned something that the session is not told yet.
	Passed  []string `json:"passed,omitempty"`
	Pending bool     `json:"pending,omitempty"`
	Epoch   uint64   `json:"epoch,omitempty"`
	Raised  bool     `json:"raised,omitempty"`

	Brief  bool `json:"brief,omitempty"`  // the session to come ends with the browser
	Chosen bool `json:"chosen,omitempty"` // an account was chosen, which has to sign in again

	// The last decision, so that it can be given again to a double click.
	Decision  []byte    `json:"decision,omitempty"` // MAC of the request that decided
	Sealed    []byte    `json:"sealed,omitempty"`   // an outcome under the cookie's secret
	DecidedAt time.Time `json:"decided_at,omitzero"`
}

func interactions(s *storage.Store) *storage.Collection[record] {
	return storage.Collect(s, "interaction", 1, func(v *record) storage.Meta {
		life := strangerLife
		if v.Subject.ID != "" {
			life = restartLife
		}
		return storage.Meta{ID: v.Key, Expiry: v.EndsAt.Add(life)}
	}).Few()
}

// outcome is what a decision led to.
type outcome struct {
	Answer  *engine.Answer `json:"answer,omitempty"`  // to the client
	Place   string         `json:"place,omitempty"`   // else: a place of ours, or the URI after logout
	Session string         `json:"session,omitempty"` // the value of our session's cookie
	Life    time.Duration  `json:"life,omitempty"`    // of that cookie; 0: until the browser is closed
	Cookies []cookieChange `json:"cookies,omitempty"` // of accounts
	Goodbye *goodbye       `json:"goodbye,omitempty"` // of a request to sign out, instead of all of these
}

// newRecord makes an interaction that is not stored yet, with the two secrets that
// only the browser has.
func (h *Handlers) newRecord(params url.Values, clientID string, at step) (rec *record, id, secret string) {
	now := h.now()
	id, secret = opaque.NewToken(interactionPrefix, now), newSecret()
	key, _ := opaque.TokenKey(interactionPrefix, id) // just made, so it has the form
	return &record{
		Key: key, Params: params.Encode(), ClientID: clientID, Step: at,
		SecretHash: secretHash(secret), CreatedAt: now, EndsAt: now.Add(h.config.Lifetimes.Interaction),
	}, id, secret
}

// begin stores an interaction and sends the browser to its page.
func (h *Handlers) begin(w http.ResponseWriter, r *http.Request, rec *record, id, secret string) *engine.Error {
	if e := h.mayBegin(r); e != nil {
		return e
	}
	if err := h.records.Insert(r.Context(), rec); err != nil {
		return storeFailed(err)
	}
	h.cookies.setInteraction(w, r, id, secret, h.config.Lifetimes.Interaction+restartLife)
	redirect(w, h.path("interaction/"+id))
	return nil
}

// load returns the interaction of an ID; nil when there is none.
func (h *Handlers) load(ctx context.Context, id string) (*record, *engine.Error) {
	key, ok := opaque.TokenKey(interactionPrefix, id)
	if !ok {
		return nil, nil
	}
	rec, err := h.stored(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, storeFailed(err)
	}
	return rec, nil
}

// stored returns the interaction under a key as it stands now, the caller's own to change.
// It is opened and decoded once for the page and the form that follows.
func (h *Handlers) stored(ctx context.Context, key string) (*record, error) {
	seen, err := h.records.View(ctx, key)
	if err != nil {
		return nil, err
	}
	own := *seen
	// What is replaced as a whole may be shared until then. The rest is not: a hook gets
	// the Subject, and what a device was told is noted in place.
	own.Subject.AMR, own.Locales = slices.Clone(seen.Subject.AMR), slices.Clone(seen.Locales)
	if seen.Device != nil {
		claim := *seen.Device
		own.Device = &claim
	}
	return &own, nil
}

// SetKey implements storage.Keyed.
func (v *record) SetKey(id string) { v.Key = id }

func (v *record) boundTo(secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare(v.SecretHash, secretHash(secret)) == 1
}

func (v *record) params() url.Values {
	params, err := url.ParseQuery(v.Params)
	if err != nil {
		return url.Values{} // written by Encode, so not reached
	}
	return params
}

// meant says whether the consent page was for this person and this request. The
// session counts, not its token: another tab may have signed in anew meanwhile.
func (v *record) meant(p present, a *engine.Authorization) bool {
	return v.Shown == shown(a) && p.ID == v.Subject.ID && p.SessionID == v.Subject.SessionID
}

// startOver forgets who signed in.
func (v *record) startOver() {
	v.Step, v.Subject, v.SessionKey, v.LoggedIn, v.Shown = stepStart, Subject{}, nil, false, ""
	v.Passed, v.Pending, v.Epoch, v.Raised = nil, false, 0, false
	v.Brief, v.Chosen = false, false
}

// ended says whether the time of the interaction is over.
func (v *record) ended(now time.Time) bool { return !now.Before(v.EndsAt) }

// decided notes the outcome, readable only with the browser's secret.
func (v *record) decided(now time.Time, decision []byte, secret string, o outcome) error {
	plain, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("handlers: encode an outcome: %w", err)
	}
	sealed, err := seal.Wrap([]byte(secret), plain, []byte(v.Key))
	if err != nil {
		return fmt.Errorf("handlers: seal an outcome: %w", err)
	}
	v.Decision, v.Sealed, v.DecidedAt = decision, sealed, now
	return nil
}

// again returns the outcome of the last decision when this is the same one.
func (v *record) again(now time.Time, decision []byte, secret string) (outcome, bool) {
	if len(v.Decision) == 0 || subtle.ConstantTimeCompare(v.Decision, decision) != 1 {
		return outcome{}, false
	}
	return v.last(now, secret)
}

// last returns the outcome of the last decision, for as long as it may be given again.
func (v *record) last(now time.Time, secret string) (o outcome, ok bool) {
	if len(v.Sealed) == 0 || !now.Before(v.DecidedAt.Add(repeatLife)) {
		return o, false
	}
	plain, err := seal.Unwrap([]byte(secret), v.Sealed, []byte(v.Key))
	if err != nil || json.Unmarshal(plain, &o) != nil {
		return outcome{}, false
	}
	return o, true
}

// redirect sends a browser on, always by GET. RFC 9110 §15.4.4
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}
