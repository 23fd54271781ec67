package engine

import (
	"context"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/dpop"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	accessPrefix = "dwa_"
	tokenType    = "Bearer"
)

// issuance is what a token request was found to be entitled to.
type issuance struct {
	client    *storage.Client
	grantType string
	grant     *storage.Grant // nil: client credentials
	scopes    []string       // of the access token
	audience  []string
	refresh   string // the refresh token to answer with, if any
	nonce     string // of the ID token
	extra     map[string]any
	event     string
	bound     storage.Confirmation // what the access token is bound to

	// keep writes what changed of the grant; nil when nothing did.
	keep func(ctx context.Context) error
}

// issue makes the access token and the answer. The Claims hook may still
// veto, in which case nothing was written.
func (e *Engine) issue(ctx context.Context, i *issuance) (*TokenResponse, error) {
	signed, life, refusal := e.accessForm(i.client, i.audience)
	if refusal != nil {
		return nil, refusal
	}
	var told claims
	if i.grant != nil {
		var err error
		if told, err = e.claims(ctx, i.claimsRequest()); err != nil {
			return nil, err
		}
	}
	if i.keep != nil {
		if err := i.keep(ctx); err != nil {
			return nil, err
		}
	}
	if err := e.used(ctx, i.client); err != nil {
		return nil, err
	}
	token, err := e.makeAccess(ctx, i, told.accessToken, signed, life)
	if err != nil {
		return nil, err
	}
	response := &TokenResponse{
		AccessToken: token, TokenType: tokenTypeOf(i.bound), ExpiresIn: life,
		RefreshToken: i.refresh, Scopes: i.scopes, Extra: i.extra,
	}
	if i.grant != nil && slices.Contains(i.scopes, scopeOpenID) {
		if response.IDToken, err = e.idToken(ctx, i, told, token); err != nil {
			return nil, err
		}
	}
	e.emit(ctx, Event{Type: i.event, ClientID: i.client.ID, Subject: i.subject(), Grant: i.grantID(), Reason: i.grantType})
	return response, nil
}

func (e *Engine) used(ctx context.Context, c *storage.Client) error {
	if e.config.Used == nil {
		return nil
	}
	return e.config.Used(ctx, c)
}

// makeAccess makes an access token: a JWT, or one that is written. Its record is new,
// so it never conflicts; whether it is valid is judged by its grant at every use.
func (e *Engine) makeAccess(ctx context.Context, i *issuance, shown map[string]any, signed bool, life time.Duration) (string, error) {
	now := e.store.Now()
	record := &storage.AccessToken{
		Grant: i.grantID(), ClientID: i.client.ID, Subject: i.subject(),
		Scopes: i.scopes, Audience: i.audience, Claims: shown,
		Confirmation: i.bound, Incarnation: i.client.Incarnation, IssuedAt: now, ExpiresAt: now.Add(life),
	}
	if signed {
		return e.signAccess(ctx, record, i.grant)
	}
	token := opaque.NewToken(accessPrefix, now)
	key, ok := opaque.TokenKey(accessPrefix, token)
	if !ok {
		return "", broken("internal", nil).detail("a new access token has no key")
	}
	record.Key = key
	if i.grant != nil {
		record.Session = i.grant.SessionID
	}
	return token, e.tokens.Insert(ctx, record)
}

// tokenTypeOf is the token_type of a token that is bound to this. RFC 9449 §5
func tokenTypeOf(bound storage.Confirmation) string {
	if bound.JKT != "" {
		return dpop.Scheme
	}
	return tokenType
}

func (i *issuance) grantID() string {
	if i.grant == nil {
		return ""
	}
	return i.grant.ID
}

// subject is the person, or the client when it acts for itself. RFC 9068 §2.2
func (i *issuance) subject() string {
	if i.grant == nil {
		return i.client.ID
	}
	return i.grant.Subject
}

func (i *issuance) claimsRequest() *ClaimsRequest {
	return &ClaimsRequest{
		Subject: i.grant.Subject, ClientID: i.client.ID, Grant: i.grant.ID, Org: i.grant.Org,
		GrantType: i.grantType, Scopes: i.scopes, Audience: i.audience, Asked: i.grant.Asked,
	}
}

// endOfGrant returns how long a grant is kept whose last token can be issued until end.
func (e *Engine) endOfGrant(end time.Time) time.Time {
	return end.Add(e.longestAccess() + grantMargin)
}

// grantMargin is how much longer a grant is kept than anything of it lives, so that
// what comes late is told why it is refused.
const grantMargin = 10 * time.Minute

// stamp reads what a new grant depends on, in one round trip.
func (e *Engine) stamp(ctx context.Context, subject, sessionID string, c *storage.Client) (storage.Stamp, error) {
	s := storage.Stamp{Incarnation: c.Incarnation}
	of := []struct {
		holder storage.Holder
		epoch  *uint64
	}{
		{e.epochs.OfSubject(subject), &s.Subject},
		{e.epochs.OfApp(subject, c.ID), &s.App},
		{e.epochs.OfSession(sessionID), &s.Session},
	}
	err := e.store.Load(ctx, e.epochs.Ref(of[0].holder), e.epochs.Ref(of[1].holder), e.epochs.Ref(of[2].holder))
	for _, o := range of {
		if err == nil {
			*o.epoch, err = e.epochs.At(ctx, o.holder)
		}
	}
	return s, err
}
