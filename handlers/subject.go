package handlers

import "time"

// Subject is a signed-in person. The zero Subject is nobody.
type Subject struct {
	// ID becomes the sub claim: stable, never given to somebody else, at most
	// 255 bytes of visible ASCII. OpenID Connect Core §2
	ID string

	// Name is how pages call the account, such as a mail address; the ID is shown
	// when it is empty. Clients are not told.
	Name string

	// SessionID names the session the person is in; it becomes the sid claim, of
	// which clients with pairwise subjects are told one for each sector instead,
	// and ending the session ends what was granted in it. With a login page of
	// Doorward's own it is made by the server.
	SessionID string

	// AuthTime is when the person proved who they are. Zero: a login that is
	// being completed counts as now; of a host's session it is unknown, and a
	// request with max_age or prompt=login asks for a new sign-in.
	AuthTime time.Time

	ACR string   // authentication context class reference, empty when unknown
	AMR []string // authentication methods: "pwd", "otp" ... RFC 8176
	Org string   // the organisation acted for, handed on to the Claims hook
}
