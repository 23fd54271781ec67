package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	typeAccess = "at+jwt"

	// Private claims, by which this server finds what a token depends on.
	claimGrant       = "gid" // the grant
	claimIncarnation = "cin" // the client's incarnation

	// maxAccessJWT is how many bytes one may have: what is longer does not fit into
	// the headers that most servers accept.
	maxAccessJWT = 7 << 10
)

// signAccess makes a JWT of an access token. There is no record of it: it is valid
// while its grant and its client are, which this server looks at and a resource that
// verifies by itself does not. RFC 9068 §2
func (e *Engine) signAccess(ctx context.Context, t *storage.AccessToken, g *storage.Grant) (string, error) {
	body := make(map[string]any, len(t.Claims)+13)
	maps.Copy(body, t.Claims)
	maps.Copy(body, map[string]any{
		"iss": e.config.Issuer, "sub": subjectIn(t, g), "aud": t.Audience[0], "client_id": t.ClientID,
		"iat": t.IssuedAt.Unix(), "exp": t.ExpiresAt.Unix(), "jti": opaque.NewID(t.IssuedAt),
	})
	optional := map[string]string{
		"scope": strings.Join(t.Scopes, " "), claimGrant: t.Grant, claimIncarnation: t.Incarnation,
	}
	if t.Confirmation != (storage.Confirmation{}) {
		body["cnf"] = t.Confirmation
	}
	if g != nil { // RFC 9068 §2.2.1
		optional["acr"] = g.ACR
		if !g.AuthTime.IsZero() {
			body["auth_time"] = g.AuthTime.Unix()
		}
		if len(g.AMR) > 0 {
			body["amr"] = g.AMR
		}
	}
	for name, value := range optional {
		if value != "" {
			body[name] = value
		}
	}
	token, err := e.config.Keys.Sign(ctx, e.accessAlgorithm(), typeAccess, body)
	switch {
	case err != nil:
		return "", broken("access_token_failed", err)
	case len(token) > maxAccessJWT:
		return "", broken("access_token_failed", nil).
			detail("the JWT has %d bytes, at most %d are useful; let the Claims hook put less into AccessToken", len(token), maxAccessJWT)
	}
	e.warnLarge(ctx, "access_token", t.ClientID, token)
	return token, nil
}

// subjectIn is who a JWT is about, as its client is told it: the client can read the
// token as well as the API. OpenID Connect Core §8.1, RFC 9068 §6
func subjectIn(t *storage.AccessToken, g *storage.Grant) string {
	if g == nil {
		return t.Subject
	}
	return g.Told()
}

// accessAlgorithm is ES256, whose signatures are short, where there are keys for it.
func (e *Engine) accessAlgorithm() string {
	algorithms := e.config.Keys.Algorithms()
	if slices.Contains(algorithms, jws.ES256) {
		return jws.ES256
	}
	return algorithms[0]
}

// isJWT says that a token has the form of a JWT, which no other token of ours has.
func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// readAccessJWT returns an access token that this server signed and that has not
// ended. Its Key is the jti. Other tokens of the same keys are told apart by their
// typ. RFC 9068 §4, RFC 8725 §3.11
func (e *Engine) readAccessJWT(ctx context.Context, token string) (*storage.AccessToken, error) {
	typ, payload, err := e.config.Keys.Verify(ctx, token)
	switch {
	case errors.Is(err, jws.ErrForm), errors.Is(err, jws.ErrAlgorithm), errors.Is(err, jws.ErrKey),
		errors.Is(err, jws.ErrUnknownKey), errors.Is(err, jws.ErrSignature):
		return nil, errAccess("token_unknown").cause(err)
	case err != nil:
		return nil, err
	case typ != typeAccess:
		return nil, errAccess("token_unknown").detail("the typ of the JWT is %s, not %s", quote(typ), typeAccess)
	}
	c, err := jws.Members(payload)
	if err != nil {
		return nil, errAccess("token_unknown").cause(err)
	}
	word := func(name string) string {
		s, _ := text(c[name])
		return s
	}
	at := func(name string) time.Time {
		n, _ := seconds(c[name])
		return time.Unix(int64(n), 0).UTC()
	}
	t := &storage.AccessToken{
		Key: word("jti"), Grant: word(claimGrant), ClientID: word("client_id"), Subject: word("sub"), Incarnation: word(claimIncarnation),
		Scopes: strings.Fields(word("scope")), Audience: []string{word("aud")}, IssuedAt: at("iat"), ExpiresAt: at("exp"),
	}
	switch {
	case word("iss") != e.config.Issuer:
		return nil, errAccess("token_unknown").detail("the JWT is of the issuer %s", quote(word("iss")))
	case t.Key == "" || t.ClientID == "" || t.Subject == "" || t.Audience[0] == "":
		return nil, errAccess("token_unknown").detail("the JWT lacks jti, client_id, sub or aud")
	case !e.store.Now().Before(t.ExpiresAt):
		return nil, errAccess("token_expired").detail("a JWT for client %s, ended at %s", quote(t.ClientID), t.ExpiresAt.Format(time.RFC3339))
	}
	if raw := c["cnf"]; raw != nil && json.Unmarshal(raw, &t.Confirmation) != nil {
		return nil, errAccess("token_unknown").detail("the cnf of the JWT can't be read")
	}
	t.Claims, err = hostClaims(c)
	return t, err
}

// hostClaims returns what the Claims hook put into an access token.
func hostClaims(c map[string]json.RawMessage) (map[string]any, error) {
	var claims map[string]any
	for name, raw := range c {
		if isProtected(name) {
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber() // or whole numbers would change above 2^53
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, broken("internal", err)
		}
		if claims == nil {
			claims = map[string]any{}
		}
		claims[name] = value
	}
	return claims, nil
}

// revokeJWT ends one access token that has no record. RFC 7009 §2.1
func (e *Engine) revokeJWT(ctx context.Context, c *storage.Client, token string) error {
	t, err := e.readAccessJWT(ctx, token)
	if refusal := (*Error)(nil); errors.As(err, &refusal) && refusal.Code == codeInvalidToken {
		return nil
	}
	if err != nil || t.ClientID != c.ID || t.Incarnation != c.Incarnation {
		return err
	}
	switch _, err := e.revoked.Get(ctx, t.Key); {
	case err == nil:
		return nil
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	subject := t.Subject
	if t.Grant != "" { // the token has what the client is told
		switch g, err := e.grants.Get(ctx, t.Grant); {
		case err == nil:
			subject = g.Subject
		case !errors.Is(err, storage.ErrNotFound):
			return err
		}
	}
	e.emit(ctx, Event{Type: EventTokenRevoked, ClientID: c.ID, Subject: subject, Grant: t.Grant})
	return e.revoked.Put(ctx, &mark{ID: t.Key, EndAt: t.ExpiresAt.Add(clockLeeway)})
}
