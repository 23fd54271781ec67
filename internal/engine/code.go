package engine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	codePrefix   = "dwc_"
	idSize       = 16
	secretSize   = 32
	wrongTries   = 5 // wrong verifiers that end a code
	replayReason = "code_replay"
)

// newCode makes a code that names its grant and carries 256 bits. RFC 6749 §10.10
func newCode(grant string) (string, error) {
	id, ok := opaque.IDBytes(grant)
	if !ok {
		return "", errors.New("engine: a grant without an ID")
	}
	return codePrefix + base64.RawURLEncoding.EncodeToString(append(id, opaque.Random(secretSize)...)), nil
}

// parseCode returns the grant that a code names.
func parseCode(code string) (grant string, ok bool) {
	raw, ok := decode(codePrefix, code, idSize+secretSize)
	if !ok {
		return "", false
	}
	return opaque.IDString(raw[:idSize]), true
}

// redeem judges a code. Only a request of the right client with the right redirect
// URI and verifier gets to know that a code was used, and only such a one can end
// the grant by using it again. RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9700 §2.1.1
func (e *Engine) redeem(ctx context.Context, c *storage.Client, form url.Values) (*issuance, error) {
	code := form.Get("code")
	if code == "" {
		return nil, missing("code")
	}
	g, err := e.grantOfCode(ctx, code)
	if err != nil {
		return nil, err
	}
	if g.ClientID != c.ID {
		return nil, errCode("code_other_client").detail("the code of grant %s was issued to %s", g.ID, quote(g.ClientID))
	}
	if reason, err := e.standing(ctx, g, c); err != nil || reason != "" {
		return nil, orError(err, errCode(reason).detail("grant %s, revoked for %q", g.ID, g.RevokedReason))
	}
	now := e.store.Now()
	switch used := !g.Code.UsedAt.IsZero(); {
	case g.Code.Killed:
		return nil, errCode("code_killed").detail("grant %s: %d wrong code_verifiers", g.ID, g.Code.WrongTries)
	case !used && !now.Before(g.Code.ExpiresAt):
		return nil, errCode("code_expired").detail("grant %s: the code ended at %s", g.ID, g.Code.ExpiresAt.Format(time.RFC3339))
	}
	if err := checkRedirect(g, form); err != nil {
		return nil, err
	}
	if err := e.checkVerifier(ctx, g, form.Get("code_verifier")); err != nil {
		return nil, err
	}
	if refusal := sameSender(ctx, storage.Confirmation{JKT: g.Code.JKT}, "authorization code"); refusal != nil {
		return nil, refusal // RFC 9449 §10
	}
	if err := e.checkUnused(ctx, g); err != nil {
		return nil, err
	}
	scopes, audience, refusal := e.stillAllowed(c, g)
	if refusal != nil {
		return nil, refusal
	}
	if audience, refusal = e.target(form, audience); refusal != nil {
		return nil, refusal
	}
	return e.redeemed(&issuance{client: c, grant: g, scopes: scopes, audience: audience, nonce: g.Nonce, event: EventTokenIssued}, now), nil
}

func (e *Engine) grantOfCode(ctx context.Context, code string) (*storage.Grant, error) {
	id, ok := parseCode(code)
	if !ok {
		return nil, errCode("code_unknown").detail("it does not have the form of a code of this server")
	}
	g, err := e.grants.Get(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errCode("code_unknown").detail("grant %s does not exist or ended long ago", id)
	case err != nil:
		return nil, err
	case g.Code == nil || !hmac.Equal(g.Code.Hash, []byte(codeHash(code))):
		return nil, errCode("code_unknown").detail("grant %s has another code", id)
	}
	return g, nil
}

// checkRedirect compares with the authorize request. A URI that is left out is
// accepted where PKCE proves more than it would. OAuth 2.1 §4.1.3
func checkRedirect(g *storage.Grant, form url.Values) *Error {
	switch sent := form.Get("redirect_uri"); {
	case sent == "" && g.Code.URISent && g.Code.Challenge == "":
		return refuse(codeInvalidGrant, "redirect_uri_missing",
			"The authorize request had a redirect_uri and no PKCE, so the same redirect_uri is needed here.")
	case sent != "" && sent != g.Code.RedirectURI:
		return refuse(codeInvalidGrant, "redirect_uri_mismatch",
			"The redirect_uri is not the one of the authorize request.").
			detail("grant %s: %s came, the code went to %s", g.ID, quote(sent), quote(g.Code.RedirectURI))
	}
	return nil
}

// checkVerifier refuses a verifier that is missing in every case, so that a
// challenge can't be got around. A wrong one leaves the code to its owner and
// counts; nobody may guess for as long as the code lives. Of those that come at the
// same moment one counts: counting each would have them rerun after one another, and
// a verifier is too long to be guessed by many at once.
func (e *Engine) checkVerifier(ctx context.Context, g *storage.Grant, verifier string) error {
	challenge := g.Code.Challenge
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return refuse(codeInvalidGrant, "pkce_unexpected",
			"A code_verifier came, but the authorize request had no code_challenge.").detail("grant %s", g.ID)
	case verifier == "":
		return refuse(codeInvalidGrant, "pkce_missing",
			"The authorize request had a code_challenge, so a code_verifier is needed.").detail("grant %s", g.ID)
	}
	sum := sha256.Sum256([]byte(verifier))
	if wellFormedVerifier(verifier) && hmac.Equal([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) {
		return nil
	}
	if g.Code.UsedAt.IsZero() && e.store.Try(ctx) == 0 {
		g.Code.WrongTries++
		g.Code.Killed = g.Code.WrongTries >= wrongTries
		if err := e.grants.Put(storage.Surviving(ctx), g); err != nil {
			return err
		}
	}
	return refuse(codeInvalidGrant, "pkce_mismatch", "The code_verifier does not belong to the code_challenge of the authorize request.").
		detail("grant %s: wrong verifier %d of %d", g.ID, g.Code.WrongTries, wrongTries)
}

// wellFormedVerifier checks the length and characters of RFC 7636 §4.1.
func wellFormedVerifier(v string) bool {
	if len(v) < 43 || len(v) > 128 {
		return false
	}
	for i := range len(v) {
		if !isBase64URL(v[i]) && v[i] != '.' && v[i] != '~' {
			return false
		}
	}
	return true
}

// isBase64URL says whether c is a character of base64url.
func isBase64URL(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// firstSight names in the memo of a unit of work what the request found when it
// first read the grant. Who found a token unused then and used in a rerun lost a
// race: nobody has stolen anything. Store.Try alone does not tell, because a
// replay may be rerun as well.
type firstSight struct{ grant string }

// checkUnused ends the grant when its code is redeemed for the second time: one of
// the two stole it. RFC 6749 §4.1.2
func (e *Engine) checkUnused(ctx context.Context, g *storage.Grant) error {
	used := !g.Code.UsedAt.IsZero()
	before, err := storage.Memo(ctx, e.store, firstSight{g.ID}, func() (bool, error) { return used, nil })
	if err != nil || !used {
		return err
	}
	refusal := errCode("code_used").detail("grant %s: used at %s", g.ID, g.Code.UsedAt.Format(time.RFC3339Nano))
	if !before {
		refusal.Detail += "; lost a race, nothing was revoked"
		return refusal
	}
	e.emit(storage.Surviving(ctx), Event{
		Type: EventCodeReplay, ClientID: g.ClientID, Subject: g.Subject, Grant: g.ID,
		Reason: replayReason, Age: e.store.Now().Sub(g.Code.UsedAt),
	})
	if err := e.revoke(storage.Surviving(ctx), g, replayReason); err != nil {
		return err
	}
	refusal.Detail += "; the grant was revoked"
	return refusal
}

// redeemed marks the code as used and starts the chain of refresh tokens.
func (e *Engine) redeemed(i *issuance, now time.Time) *issuance {
	g := i.grant
	g.Code.UsedAt = now
	g.ExpiresAt = e.endOfGrant(now)
	if i.client.MayUse(storage.GrantRefreshToken) {
		i.refresh = e.startChain(g, now)
	}
	i.keep = func(ctx context.Context) error { return e.grants.Put(ctx, g) }
	return i
}

// errCode is the refusal of a code; what exactly is wrong only the log is told.
func errCode(reason string) *Error {
	return refuse(codeInvalidGrant, reason,
		"The authorization code is unknown, expired, used or revoked, or belongs to another client.").secret()
}

// orError returns err if there is one, or else the refusal.
func orError(err error, refusal *Error) error {
	if err != nil {
		return err
	}
	return refusal
}

// decode reads a token of ours: the prefix and size bytes in base64url, in the one
// form that encodes them.
func decode(prefix, token string, size int) ([]byte, bool) {
	if len(token) != len(prefix)+base64.RawURLEncoding.EncodedLen(size) || token[:len(prefix)] != prefix {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token[len(prefix):])
	return raw, err == nil && len(raw) == size
}
