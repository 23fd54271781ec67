package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/doorward/doorward/storage"
)

// NewToken asks for an initial access token.
type NewToken struct {
	Note    string `json:"note,omitempty"`
	Uses    int    `json:"uses,omitempty"`    // 0: any number
	Seconds int64  `json:"seconds,omitempty"` // that it is good; 0: for ever
}

// MadeToken is an initial access token, shown this once.
type MadeToken struct {
	storage.InitialToken
	Token storage.Secret `json:"token"`
}

// AddToken makes an initial access token.
func (l *Local) AddToken(ctx context.Context, n NewToken) (MadeToken, error) {
	t := storage.InitialToken{Note: n.Note, Uses: n.Uses}
	if n.Seconds > 0 {
		t.ExpiresAt = l.Server.Store().Now().Add(time.Duration(n.Seconds) * time.Second)
	}
	made, token, err := l.Server.Clients().IssueInitialToken(ctx, t)
	return MadeToken{made, token}, err
}

// Tokens returns the initial access tokens that have not expired, by age.
func (l *Local) Tokens(ctx context.Context) ([]storage.InitialToken, error) {
	var all []storage.InitialToken
	for page := (storage.Page{Limit: storage.MaxPage}); ; {
		tokens, next, err := l.Server.Clients().InitialTokens(ctx, page)
		if err != nil {
			return nil, err
		}
		all = append(all, tokens...)
		if next == "" {
			return all, nil
		}
		page.After = next
	}
}

// RevokeToken ends an initial access token.
func (l *Local) RevokeToken(ctx context.Context, id string) error {
	err := l.Server.Clients().RevokeInitialToken(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return &farError{fmt.Sprintf("admin: there is no token %q; `idp registration-token list` shows all", id), storage.ErrNotFound}
	}
	return err
}

// AddToken makes an initial access token.
func (c *Remote) AddToken(ctx context.Context, n NewToken) (m MadeToken, err error) {
	err = c.call(ctx, http.MethodPost, "/tokens", n, &m)
	return m, err
}

// Tokens returns the initial access tokens that have not expired, by age.
func (c *Remote) Tokens(ctx context.Context) (all []storage.InitialToken, err error) {
	err = c.call(ctx, http.MethodGet, "/tokens", nil, &all)
	return all, err
}

// RevokeToken ends an initial access token.
func (c *Remote) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, under("/tokens/", id, nil), nil, &struct{}{})
}
