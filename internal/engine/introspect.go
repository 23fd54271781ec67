package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

// tokenTypeRefresh is how introspection tells a refresh token from an access token.
const tokenTypeRefresh = "refresh_token"

// Introspect tells about a token, RFC 7662: to the client it was issued to and to
// the resource it is meant for. Everybody else sees {"active": false}. A resource is
// a confidential client that stands itself in the token's audience, or has one of the
// audience in its Introspects. A refresh token is shown to its own client only, with the
// token_type "refresh_token". It commits nothing. No token_type_hint is needed: tokens
// say what they are.
func (e *Engine) Introspect(ctx context.Context, c Credentials, token string) (map[string]any, *Error) {
	_, answer, err := e.introspection(ctx, c, token)
	return answer, err
}

// typeIntrospection is the typ of a signed answer, and with application/ before it the
// media type by which one is asked for. RFC 9701 §4
const typeIntrospection = "token-introspection+jwt"

// IntrospectSigned is Introspect with an answer that is signed for the client that asks,
// so that it can prove later what it was told. RFC 9701 §5
func (e *Engine) IntrospectSigned(ctx context.Context, by Credentials, token string) (string, *Error) {
	c, answer, refusal := e.introspection(ctx, by, token)
	if refusal != nil {
		return "", refusal
	}
	signed, err := e.config.Keys.Sign(ctx, e.algorithm(c.IntrospectionSignedResponseAlg), typeIntrospection, map[string]any{
		"iss": e.config.Issuer, "aud": c.ID, "iat": e.store.Now().Unix(), "token_introspection": answer,
	})
	if err != nil {
		return "", broken("signature_failed", err).setting("introspection_signed_response_alg")
	}
	return signed, nil
}

func (e *Engine) introspection(ctx context.Context, by Credentials, token string) (c *storage.Client, answer map[string]any, refusal *Error) {
	err := e.guarded(ctx, "introspect", func() error {
		return e.store.Do(ctx, func(ctx context.Context) (err error) {
			c, answer, err = e.introspect(ctx, by, token)
			return err
		})
	})
	if err != nil {
		return nil, nil, failure(err)
	}
	return c, answer, nil
}

func (e *Engine) introspect(ctx context.Context, by Credentials, token string) (*storage.Client, map[string]any, error) {
	c, err := e.authenticate(ctx, by)
	if err != nil {
		return nil, nil, err
	}
	if c.Public() {
		return nil, nil, e.unauthenticated(ctx, by, refuse(codeInvalidClient, "client_public",
			"Only a client with a secret may introspect tokens.").setting("token_endpoint_auth_method"))
	}
	if token == "" {
		return nil, nil, missing("token")
	}
	var answer map[string]any
	if strings.HasPrefix(token, refreshPrefix) {
		answer, err = e.introspectRefresh(ctx, c, token)
	} else {
		answer, err = e.introspectAccess(ctx, c, token)
	}
	if err != nil {
		return nil, nil, err
	}
	if answer == nil {
		answer = map[string]any{"active": false}
	}
	return c, answer, nil
}

func (e *Engine) introspectAccess(ctx context.Context, c *storage.Client, token string) (map[string]any, error) {
	a, err := e.access(ctx, token)
	if refusal := (*Error)(nil); errors.As(err, &refusal) && refusal.Code == codeInvalidToken {
		return nil, nil
	}
	if err != nil || !meantFor(c, a.ClientID, a.Audience) {
		return nil, err
	}
	answer := make(map[string]any, len(a.Claims)+13)
	maps.Copy(answer, a.Claims) // first, so that the protocol's own come over them
	answer["active"], answer["scope"], answer["client_id"] = true, strings.Join(a.Scopes, " "), a.ClientID
	answer["sub"], answer["aud"], answer["iss"] = a.Told, a.Audience, e.config.Issuer
	answer["iat"], answer["exp"] = a.IssuedAt.Unix(), a.ExpiresAt.Unix()
	answer["token_type"] = tokenTypeOf(a.Confirmation)
	a.addSignIn(answer)
	if a.Confirmation != (storage.Confirmation{}) {
		answer["cnf"] = a.Confirmation // RFC 9449 §6.2, RFC 8705 §3.2
	}
	return answer, nil
}

// meantFor says whether a client may see a token: its own, or one that is presented
// to it as a resource. A partner that may get tokens for the same resource is none.
func meantFor(c *storage.Client, clientID string, audience []string) bool {
	return c.ID == clientID || slices.Contains(audience, c.ID) || len(both(audience, c.Introspects)) > 0
}

func (e *Engine) introspectRefresh(ctx context.Context, c *storage.Client, token string) (map[string]any, error) {
	t, ok := e.parseRefresh(token)
	if !ok {
		return nil, nil
	}
	g, err := e.grants.Get(ctx, t.grant)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case g.ClientID != c.ID || g.Refresh == nil:
		return nil, nil
	}
	reason, err := e.standing(ctx, g, c)
	if err != nil || reason != "" || e.checkChainLives(g) != nil {
		return nil, err
	}
	switch at := placeOf(g.Refresh, t); {
	case at == placeHead:
	case at == placePredecessor && e.repeatable(e.policy(c, g.Refresh, storage.Confirmation{}), g.Refresh, e.store.Now()):
	default:
		return nil, nil
	}
	answer := map[string]any{
		"active": true, "scope": strings.Join(g.Scopes, " "), "client_id": g.ClientID, "sub": g.Told(), "aud": g.Audience,
		"iss": e.config.Issuer, "iat": g.Refresh.IssuedAt.Unix(), "exp": g.Refresh.IdleEnd.Unix(), "token_type": tokenTypeRefresh,
	}
	if bound := g.Refresh.Bound; bound != (storage.Confirmation{}) {
		answer["cnf"] = bound
	}
	return answer, nil
}

// accessKey returns the storage key of what may be an access token.
func accessKey(token string) (string, bool) { return opaque.TokenKey(accessPrefix, token) }
