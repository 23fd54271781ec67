package storage

import "time"

// Origin says how a client that nobody entered became known.
type Origin string

const (
	// OriginRegistration is a client that registered itself. RFC 7591
	OriginRegistration Origin = "registration"
	// OriginDocument is a client whose ID is the URL of its metadata. What is kept is
	// how its document was when it was used last. OAuth Client ID Metadata Document
	OriginDocument Origin = "document"
)

// Registered is what the server keeps of a client that nobody entered. It is managed by
// the server.
type Registered struct {
	Origin Origin `json:"origin"`

	// Token is the keyed hash of the registration access token, empty for a client that
	// can't be changed by who registered it. RFC 7592 §3
	Token string `json:"token,omitempty"`

	// By is the ID of the initial access token that it was registered with, Statement the
	// issuer of its software statement. RFC 7591 §1.2
	By        string `json:"by,omitempty"`
	Statement string `json:"statement,omitempty"`

	// FetchedAt is when the document was fetched last.
	FetchedAt time.Time `json:"fetched_at,omitzero"`
}

// InitialToken lets somebody register clients. RFC 7591 §1.2
type InitialToken struct {
	ID   string `json:"id"`
	Note string `json:"note,omitempty"` // what it is for, in the host's words

	// Uses is how many clients may be registered with it. 0: any number.
	Uses int `json:"uses,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never

	// Hash is the keyed hash of the token. It is managed by the server.
	Hash string `json:"hash,omitempty"`
}

// InitialTokens is the collection of initial access tokens, listed by ID.
func InitialTokens(s *Store) *Collection[InitialToken] {
	return Collect(s, "initial-token", 1, func(t *InitialToken) Meta {
		return Meta{ID: t.ID, Expiry: t.ExpiresAt}
	})
}

// FromDocument says whether the client is known by a document at its ID alone.
func (c *Client) FromDocument() bool {
	return c.Registered != nil && c.Registered.Origin == OriginDocument
}
