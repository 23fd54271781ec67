package storage

import "time"

// Session is a person's session at the provider, when Doorward does the login
// itself. With a host's own session there is none.
type Session struct {
	Key      string    `json:"-"`   // opaque.TokenKey of the cookie's value
	ID       string    `json:"sid"` // public: the sid claim, or what it is made of
	Subject  string    `json:"sub"`
	Name     string    `json:"name,omitempty"` // how pages call the account
	AuthTime time.Time `json:"auth_time"`
	ACR      string    `json:"acr,omitempty"`
	AMR      []string  `json:"amr,omitempty"`
	Org      string    `json:"org,omitempty"`
	Brief    bool      `json:"brief,omitempty"` // it ends with the browser, and earlier without use

	// Where the person signed in, in the few words that they know it by again.
	Browser string `json:"browser,omitempty"` // "Firefox"
	System  string `json:"system,omitempty"`  // "Windows"
	Address string `json:"address,omitempty"` // of the network

	// Stamp holds the epochs of the person and of the session that it was made
	// under; it is valid only while both are still the same.
	Stamp     Stamp     `json:"stamp,omitzero"`
	SeenAt    time.Time `json:"seen_at"`    // hourly
	ExpiresAt time.Time `json:"expires_at"` // the nearer of idle and absolute end
	EndsAt    time.Time `json:"ends_at"`    // absolute end
}

// SetKey implements Keyed.
func (s *Session) SetKey(id string) { s.Key = id }

// Sessions is the collection of sessions, listed by subject.
func Sessions(s *Store) *Collection[Session] {
	return Collect(s, "session", 1, func(v *Session) Meta {
		return Meta{ID: v.Key, Expiry: v.ExpiresAt, Index: []Index{{IndexSubject, s.SubjectKey(v.Subject)}}}
	})
}

// Consent is what a person allowed one client, remembered so that they are not
// asked again for the same.
type Consent struct {
	Subject  string   `json:"sub"`
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
	// Asked is what was asked for last, when the person allowed only a part of it: the
	// same question is not asked again.
	Asked    []string `json:"asked,omitempty"`
	Audience []string `json:"aud,omitempty"`
	Claims   []string `json:"claims,omitempty"` // asked for one by one, OpenID Connect Core §5.5
	// Shown is a digest of the name and redirect hosts that the person saw:
	// when the client changes them, they are asked again.
	Shown     string    `json:"shown"`
	Epoch     uint64    `json:"epoch,omitempty"` // of the app when it was given
	GivenAt   time.Time `json:"given_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// ConsentKey is the ID of the consent of a person for a client.
func (s *Store) ConsentKey(subject, clientID string) string {
	return s.Lookup("consent", subject, clientID)
}

// Consents is the collection of remembered consents, listed by subject.
func Consents(s *Store) *Collection[Consent] {
	return Collect(s, "consent", 1, func(c *Consent) Meta {
		return Meta{
			ID: s.ConsentKey(c.Subject, c.ClientID), Expiry: c.ExpiresAt,
			Index: []Index{{IndexSubject, s.SubjectKey(c.Subject)}, {IndexClient, c.ClientID}},
		}
	})
}
