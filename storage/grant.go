package storage

import (
	"time"
)

// Grant is what a person allowed a client to do, and everything that follows
// from it: the authorization code that is still to be redeemed, the chain of
// refresh tokens, and whether it was revoked. One record, so that each step is
// one compare-and-set and revoking is one write.
type Grant struct {
	ID       string `json:"id"` // opaque.NewID
	ClientID string `json:"client_id"`
	Subject  string `json:"sub"`

	// Scopes and Audience are what was granted; a token may carry less.
	Scopes   []string `json:"scopes,omitempty"`
	Audience []string `json:"aud,omitempty"`

	// What the person's sign-in was, for ID tokens. OpenID Connect Core §2
	SessionID string    `json:"sid,omitempty"`
	AuthTime  time.Time `json:"auth_time,omitzero"`
	ACR       string    `json:"acr,omitempty"`
	AMR       []string  `json:"amr,omitempty"`
	Org       string    `json:"org,omitempty"`
	Nonce     string    `json:"nonce,omitempty"`

	// Asked are the claims that were asked for one by one. OpenID Connect Core §5.5
	Asked AskedClaims `json:"asked,omitzero"`

	// PairwiseSubject is the subject as the client is told it, empty when that is
	// Subject. It stays the same for the grant's life. OpenID Connect Core §8.1
	PairwiseSubject string `json:"pairwise_sub,omitempty"`

	// Stamp is what the grant depends on, as it was when the grant was made.
	Stamp Stamp `json:"stamp,omitzero"`

	Code    *Code    `json:"code,omitempty"`    // nil: the grant did not begin with a code
	Refresh *Refresh `json:"refresh,omitempty"` // nil: no refresh token

	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is when the last thing that hangs on the grant has ended.
	ExpiresAt time.Time `json:"expires_at"`

	RevokedAt     time.Time `json:"revoked_at,omitzero"`
	RevokedReason string    `json:"revoked_reason,omitempty"`
}

// Stamp holds the epochs and the client's incarnation that a grant or token was
// made under. It is valid only while all of them are still the same, which makes
// revoking everything of a person, of an app or of a session one write, and lets
// nothing that was inserted late survive.
type Stamp struct {
	Subject     uint64 `json:"subject,omitempty"`
	App         uint64 `json:"app,omitempty"`     // subject and client together
	Session     uint64 `json:"session,omitempty"` // ignored for a grant that outlives the session
	Incarnation string `json:"incarnation,omitempty"`
}

// Code is the authorization code of a grant. RFC 6749 §4.1.2, RFC 7636
type Code struct {
	Hash        []byte    `json:"hash"`
	ExpiresAt   time.Time `json:"expires_at"`
	RedirectURI string    `json:"redirect_uri"`          // where the answer was sent
	URISent     bool      `json:"uri_sent,omitempty"`    // the request named it
	Challenge   string    `json:"challenge,omitempty"`   // S256; empty only for an exempt client
	WrongTries  int       `json:"wrong_tries,omitempty"` // wrong verifiers so far
	UsedAt      time.Time `json:"used_at,omitzero"`      // zero: not redeemed yet
	Killed      bool      `json:"killed,omitempty"`      // after too many wrong verifiers
	JKT         string    `json:"dpop_jkt,omitempty"`    // only who proves to hold this key may redeem it. RFC 9449 §10
}

// Refresh is the chain of refresh tokens of a grant: the newest token, the head,
// and what must be known of its predecessor.
type Refresh struct {
	Generation uint32 `json:"generation"` // of the head; the first is 1
	Head       []byte `json:"head"`       // SHA-256 of the head's secret
	Previous   []byte `json:"previous,omitempty"`
	// Salt derives the head's secret from its predecessor's, so that the same
	// answer can be given again.
	Salt      []byte    `json:"salt,omitempty"`
	RotatedAt time.Time `json:"rotated_at,omitzero"` // when the head was made from its predecessor
	// RotatedBefore is when that predecessor was made from its own.
	RotatedBefore time.Time `json:"rotated_before,omitzero"`
	IssuedAt      time.Time `json:"issued_at"`
	IdleEnd       time.Time `json:"idle_end"`
	End           time.Time `json:"end"` // absolute
	// Offline says that the grant outlives the session. OpenID Connect Core §11
	Offline bool `json:"offline,omitempty"`
	// Bound is the key that every use must show, zero when none.
	Bound Confirmation `json:"cnf,omitzero"`
}

// Confirmation names the key of a client that a token is bound to, so that whoever
// finds the token alone can do nothing with it. The zero value binds to nothing.
// RFC 7800 §3.1
type Confirmation struct {
	JKT string `json:"jkt,omitempty"`      // thumbprint of the key of its DPoP proofs, RFC 9449 §6
	X5T string `json:"x5t#S256,omitempty"` // SHA-256 of its certificate in base64url, RFC 8705 §3.1
}

// Told returns the subject as the client is told it.
func (g *Grant) Told() string {
	if g.PairwiseSubject != "" {
		return g.PairwiseSubject
	}
	return g.Subject
}

// Revoked says whether the grant was revoked.
func (g *Grant) Revoked() bool { return !g.RevokedAt.IsZero() }

// Indexes of grants.
const (
	IndexSubject = "sub" // value: SubjectKey
	IndexClient  = "client"
)

// SubjectKey is the form of a subject in keys and indexes.
func (s *Store) SubjectKey(subject string) string { return s.Lookup("subject", subject) }

// Grants is the collection of grants, listed by subject and by client.
func Grants(s *Store) *Collection[Grant] {
	return Collect(s, "grant", 1, func(g *Grant) Meta {
		m := Meta{ID: g.ID, Expiry: g.ExpiresAt, Index: []Index{{IndexClient, g.ClientID}}}
		if g.Subject != "" {
			m.Index = append(m.Index, Index{IndexSubject, s.SubjectKey(g.Subject)})
		}
		return m
	})
}

// AccessToken is an opaque access token. It is valid only while its grant is, or
// when it has none, while its client is. RFC 6749 §1.4
type AccessToken struct {
	Key      string `json:"-"`               // opaque.TokenKey; the token is not stored
	Grant    string `json:"grant,omitempty"` // empty: client credentials
	ClientID string `json:"client_id"`
	Subject  string `json:"sub"`
	Session  string `json:"sid,omitempty"`

	Scopes   []string       `json:"scopes,omitempty"`
	Audience []string       `json:"aud,omitempty"`
	Claims   map[string]any `json:"claims,omitempty"` // from the Claims hook, shown by introspection

	Confirmation Confirmation `json:"cnf,omitzero"` // what the token is bound to

	Incarnation string    `json:"incarnation,omitempty"`
	IssuedAt    time.Time `json:"iat"`
	ExpiresAt   time.Time `json:"exp"`
}

// SetKey implements Keyed.
func (t *AccessToken) SetKey(id string) { t.Key = id }

// AccessTokens is the collection of access tokens; nothing enumerates them.
func AccessTokens(s *Store) *Collection[AccessToken] {
	return Collect(s, "access", 1, func(t *AccessToken) Meta {
		return Meta{ID: t.Key, Expiry: t.ExpiresAt}
	})
}
