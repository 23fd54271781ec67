package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Hint is what an ID token given as a hint says. Subject and SessionID are as its client
// was told them; SubjectFor and SessionFor make them comparable.
type Hint struct {
	Subject, ClientID, SessionID string
	IssuedAt, ExpiresAt          time.Time
}

// ReadHint reads an ID token of ours, whatever its age and whichever of our keys
// signed it. Other tokens that our keys sign are none. OpenID Connect Core
// §3.1.2.1, OpenID Connect RP-Initiated Logout §2
func (e *Engine) ReadHint(ctx context.Context, idToken string) (*Hint, error) {
	typ, payload, err := e.config.Keys.Verify(ctx, idToken)
	if err != nil {
		return nil, fmt.Errorf("engine: the token was not signed by this server: %w", err)
	}
	var body struct {
		Issuer    string          `json:"iss"`
		Subject   string          `json:"sub"`
		Audience  string          `json:"aud"`
		SessionID string          `json:"sid"`
		IssuedAt  int64           `json:"iat"`
		ExpiresAt int64           `json:"exp"`
		Events    json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(payload, &body); err != nil {
		return nil, fmt.Errorf("engine: the token is not an ID token of this server: %w", err)
	}
	// A logout token has events, a signed answer of userinfo has no exp.
	// OpenID Connect Back-Channel Logout §2.4
	if typ != jwtType || body.Issuer != e.config.Issuer || body.Subject == "" || body.Audience == "" || body.Events != nil || body.ExpiresAt == 0 {
		return nil, fmt.Errorf("engine: the token is not an ID token of this server: typ %q, iss %q", typ, body.Issuer)
	}
	return &Hint{
		Subject: body.Subject, ClientID: body.Audience, SessionID: body.SessionID,
		IssuedAt: time.Unix(body.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(body.ExpiresAt, 0).UTC(),
	}, nil
}
