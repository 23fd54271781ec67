package server

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	initialPrefix = "dwn_"
	initialRandom = 32
	kindInitial   = "initial-token-used"
	maxNote       = 200
	maxUses       = 1_000_000
)

// IssueInitialToken makes an initial access token, with which somebody can register
// clients, and returns it, this once. Note, Uses and ExpiresAt of t are taken over, the
// rest is filled in. A token is kept as a hash. The error is ErrInvalid or the store's.
// RFC 7591 §1.2
func (c *Clients) IssueInitialToken(ctx context.Context, t storage.InitialToken) (storage.InitialToken, storage.Secret, error) {
	now := c.store.Now()
	found := &problems{}
	switch {
	case t.Uses < 0 || t.Uses > maxUses:
		found.add("uses", "a number out of bounds", "write how many clients may be registered with it, or 0 for any number")
	case !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now):
		found.add("expires_at", "a time that is over", "write a time to come, or nothing")
	case len(t.Note) > maxNote || strings.ContainsFunc(t.Note, hidden):
		found.add("note", quoted(t.Note), "write at most %d characters that people can see", maxNote)
	}
	if err := found.err(); err != nil {
		return storage.InitialToken{}, "", err
	}
	t.ID, t.CreatedAt = opaque.NewID(now), now
	id, _ := opaque.IDBytes(t.ID) // just made, so it has the form
	token := storage.Secret(initialPrefix + base64.RawURLEncoding.EncodeToString(append(id, opaque.Random(initialRandom)...)))
	t.Hash = c.hashToken(token)
	if err := storage.InitialTokens(c.store).Insert(ctx, &t); err != nil {
		return storage.InitialToken{}, "", err
	}
	c.log.InfoContext(ctx, "initial access token issued", "token_id", t.ID, "note", t.Note)
	t.Hash = ""
	return t, token, nil
}

// InitialTokens returns one page of the initial access tokens that have not expired, by
// age, and the After of the next page, empty after the last.
func (c *Clients) InitialTokens(ctx context.Context, page storage.Page) (tokens []storage.InitialToken, next string, err error) {
	found, next, err := storage.InitialTokens(c.store).List(ctx, "", "", page)
	if err != nil {
		return nil, "", err
	}
	for _, t := range found {
		t.Hash = ""
		tokens = append(tokens, *t)
	}
	return tokens, next, nil
}

// RevokeInitialToken ends an initial access token by its ID. Clients that were registered
// with it stay. The error is storage.ErrNotFound or the store's.
func (c *Clients) RevokeInitialToken(ctx context.Context, id string) error {
	tokens := storage.InitialTokens(c.store)
	err := c.store.Do(ctx, func(ctx context.Context) error {
		if _, err := tokens.Get(ctx, id); err != nil {
			return err
		}
		return tokens.Delete(ctx, id)
	})
	if err == nil {
		c.log.InfoContext(ctx, "initial access token revoked", "token_id", id)
	}
	return err
}

// hashToken is how tokens of registration are kept: they have 256 bits, so a fast hash
// under the store's own key will do.
func (c *Clients) hashToken(token storage.Secret) string {
	return base64.RawURLEncoding.EncodeToString(c.store.MAC("registration token", []byte(token)))
}

// initialToken finds the initial access token that somebody shows; nil when the endpoint
// is open and none came.
func (c *Clients) initialToken(ctx context.Context, token storage.Secret) (*storage.InitialToken, error) {
	if token == "" && c.registration.Endpoint == RegistrationOpen {
		return nil, nil //nolint:nilnil // nobody has to show one
	}
	if token == "" {
		return nil, unregistered("initial_token_missing", "This server registers clients for those who hold an initial access token: send it as Authorization: Bearer.", "")
	}
	const text = "The initial access token is unknown, expired or used up. Ask the operator for another."
	encoded, ok := strings.CutPrefix(string(token), initialPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != 16+initialRandom {
		return nil, unregistered("initial_token_invalid", text, "it does not have the form of an initial access token of this server")
	}
	id := opaque.IDString(raw[:16])
	t, err := storage.InitialTokens(c.store).Get(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, unregistered("initial_token_invalid", text, "token "+id+" does not exist, has expired or was revoked")
	case err != nil:
		return nil, err
	case !hmac.Equal([]byte(t.Hash), []byte(c.hashToken(token))):
		return nil, unregistered("initial_token_invalid", text, "token "+id+" is another")
	}
	if t.Uses > 0 {
		used, err := c.store.Counted(ctx, kindInitial, t.ID)
		if err != nil {
			return nil, err
		}
		if used >= int64(t.Uses) {
			return nil, usedUp(t)
		}
	}
	return t, nil
}

// use counts one use of a token in the unit of work of ctx. Of many that come together no
// more than Uses pass.
func (c *Clients) use(ctx context.Context, t *storage.InitialToken) error {
	if t.Uses == 0 {
		return nil
	}
	life := 10 * year
	if !t.ExpiresAt.IsZero() {
		life = t.ExpiresAt.Sub(c.store.Now()) + time.Hour
	}
	return c.store.Count(ctx, kindInitial, t.ID, 1, int64(t.Uses), life)
}

func usedUp(t *storage.InitialToken) *engine.Error {
	return unregistered("initial_token_invalid", "The initial access token is unknown, expired or used up. Ask the operator for another.", "token "+t.ID+" was used as often as it may be")
}

// unregistered refuses somebody who may not register. RFC 7591 §3, RFC 6750 §3.1
func unregistered(reason, description, detail string) *engine.Error {
	return &engine.Error{Code: "invalid_token", Reason: reason, Description: description, Detail: detail, Status: 401, Challenge: "Bearer"}
}
