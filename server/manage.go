package server

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// owned returns the client that a registration access token is for. Who has no right to
// know is not told whether there is one. RFC 7592 §2
func (r registrations) owned(ctx context.Context, id string, token storage.Secret) (*storage.Client, error) {
	shown := []byte(r.hashToken(token))
	c, err := r.stored.Get(ctx, id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	right := c != nil && c.Registered != nil && c.Registered.Token != "" && hmac.Equal([]byte(c.Registered.Token), shown)
	if token == "" || !right {
		return nil, unregistered("registration_token", "The registration access token is missing or wrong, or the client is unknown: send it as Authorization: Bearer.", "client_id "+quoted(id))
	}
	if c.Disabled {
		return nil, &engine.Error{
			Code: "access_denied", Reason: "registration_forbidden", Status: http.StatusForbidden, // RFC 7592 §2.1
			Description: "The operator has disabled this client.", Setting: "disabled",
		}
	}
	return c, nil
}

// Read returns what is registered of a client. RFC 7592 §2.1
func (r registrations) Read(ctx context.Context, id string, token storage.Secret) (map[string]any, error) {
	c, err := r.owned(ctx, id, token)
	if err != nil {
		return nil, err
	}
	return r.managed(c, "", token, nil)
}

// managed is the answer about a client that is managed. The token stays the same: one that
// changed with an answer which got lost would lock the owner out for ever.
func (r registrations) managed(c *storage.Client, secret, token storage.Secret, a *application) (map[string]any, error) {
	return r.answer(c, secret, token, a)
}

// Replace changes all that a client may say of itself: what is left out is taken away. A
// client that comes to need a secret gets one; tokens and consents stay, but for people
// who agreed to another name or host and are asked again. RFC 7592 §2.2
func (r registrations) Replace(ctx context.Context, id string, token storage.Secret, body []byte) (map[string]any, error) {
	was, err := r.owned(ctx, id, token)
	if err != nil {
		return nil, err
	}
	if n := r.changes.note(id, r.store.Now()); n > maxChanges {
		return nil, r.changedTooOften(n)
	}
	for range maxReplaces {
		if told, err := r.replace(ctx, was, token, body); !errors.Is(err, errMeanwhile) {
			return told, err
		}
		if was, err = r.owned(ctx, id, token); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %w", storage.ErrUnavailable, errMeanwhile)
}

// maxReplaces is how often a change is tried that others are faster than.
const maxReplaces = 3

var errMeanwhile = errors.New("server: the client was changed meanwhile")

// replace changes the client that was read. What the host changes while a policy is asked or
// a document is fetched must not be undone: then it is errMeanwhile.
func (r registrations) replace(ctx context.Context, was *storage.Client, token storage.Secret, body []byte) (map[string]any, error) {
	if err := r.judgeChange(was, body); err != nil {
		return nil, err
	}
	a, err := r.apply(ctx, body, nil, was, was.ID)
	if err != nil {
		return nil, err
	}
	var told storage.Secret
	var changed *storage.Client
	err = r.store.Do(ctx, func(ctx context.Context) error {
		told = ""
		now, err := r.owned(ctx, was.ID, token)
		if err != nil {
			return err
		}
		if !alike(now, was) {
			return errMeanwhile
		}
		changed = a.Client.Clone()
		changed.Incarnation, changed.CreatedAt, changed.ExpiresAt, changed.Disabled = now.Incarnation, now.CreatedAt, now.ExpiresAt, now.Disabled
		changed.Secrets = nil
		if changed.TakesSecret() {
			changed.Secrets = usable(changed, now.Secrets)
			if len(changed.Secrets) == 0 {
				var hash storage.ClientSecret
				told, hash = r.secrets.Generate(r.store.Now())
				changed.Secrets = []storage.ClientSecret{kept(changed, hash, told)}
			}
		}
		return r.stored.Put(ctx, changed)
	})
	if err != nil {
		return nil, err
	}
	r.log.InfoContext(ctx, "client changed itself", "client_id", was.ID)
	return r.managed(changed, told, token, a)
}

// changedTooOften asks to wait: each change is a commit, and may be a fetch. RFC 6585 §4
func (r registrations) changedTooOften(n int) *engine.Error {
	return &engine.Error{
		Code: "temporarily_unavailable", Reason: "registration_limit", Status: http.StatusTooManyRequests, RetryAfter: time.Hour,
		Description: "The client changed itself too often within this hour. Try again after the time in Retry-After.",
		Detail:      fmt.Sprintf("%d changes in an hour", n),
	}
}

// judgeChange wants the request to be about this client, and to hold nothing that only the
// server says. RFC 7592 §2.2
func (r registrations) judgeChange(was *storage.Client, body []byte) error {
	found := &problems{}
	members := readMetadata(body, found)
	if len(found.list) > 0 {
		return refusedMetadata(found)
	}
	var id, secret string
	if json.Unmarshal(members["client_id"], &id) != nil || id != was.ID {
		found.add("client_id", quoted(id), "write %s, the client that is to be changed", quoted(was.ID))
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, said := members[name]; said {
			found.add(name, "what only the server says", "leave it out")
		}
	}
	if raw, said := members["client_secret"]; said {
		right := false
		if json.Unmarshal(raw, &secret) == nil {
			hash := r.secrets.Keyed(storage.Secret(secret)).Hash
			for _, s := range was.Secrets {
				right = hmac.Equal([]byte(s.Hash), []byte(hash)) || right
			}
		}
		if !right {
			found.add("client_secret", "another than the client's", "send the one that was registered, or leave it out: a client can't choose one")
		}
	}
	if len(found.list) > 0 {
		return refusedMetadata(found)
	}
	return nil
}

// Remove ends a client with all that it holds. RFC 7592 §2.3
func (r registrations) Remove(ctx context.Context, id string, token storage.Secret) error {
	err := r.store.Do(ctx, func(ctx context.Context) error {
		if _, err := r.owned(ctx, id, token); err != nil {
			return err
		}
		return r.stored.Delete(ctx, id)
	})
	if err == nil {
		r.log.InfoContext(ctx, "client removed itself", "client_id", id)
	}
	return err
}
