package engine

import (
	"context"
	"errors"

	"github.com/doorward/doorward/storage"
)

// Revoke ends a token of the client, RFC 7009: an access token alone, with a
// refresh token the whole grant. Unknown tokens and those of others are no error,
// and nothing happens to them. nil means that the end is durable; who verifies a JWT
// by its signature alone learns of it when the token expires.
func (e *Engine) Revoke(ctx context.Context, c Credentials, token string) *Error {
	return failure(e.guarded(ctx, "revoke", func() error {
		return e.store.Do(ctx, func(ctx context.Context) error {
			client, err := e.authenticate(ctx, c)
			if err != nil {
				return err
			}
			if token == "" {
				return missing("token")
			}
			if t, ok := e.parseRefresh(token); ok {
				return e.revokeRefresh(ctx, client, t)
			}
			if key, ok := accessKey(token); ok {
				return e.revokeAccess(ctx, client, key)
			}
			if isJWT(token) {
				return e.revokeJWT(ctx, client, token)
			}
			return nil
		})
	}))
}

// revokeRefresh takes any authentic token of the chain: who sends an old one means
// the same.
func (e *Engine) revokeRefresh(ctx context.Context, c *storage.Client, t refreshToken) error {
	g, err := e.grants.Get(ctx, t.grant)
	if errors.Is(err, storage.ErrNotFound) || err == nil && (g.ClientID != c.ID || g.Stamp.Incarnation != c.Incarnation) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.revoke(ctx, g, "revoked_by_client")
}

func (e *Engine) revokeAccess(ctx context.Context, c *storage.Client, key string) error {
	t, err := e.tokens.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) || err == nil && (t.ClientID != c.ID || t.Incarnation != c.Incarnation) {
		return nil
	}
	if err != nil {
		return err
	}
	e.emit(ctx, Event{Type: EventTokenRevoked, ClientID: c.ID, Subject: t.Subject, Grant: t.Grant})
	return e.tokens.Delete(ctx, key)
}
