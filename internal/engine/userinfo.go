package engine

import (
	"context"
	"maps"
	"slices"
)

// UserInfo returns the claims of the person behind an access token, which must
// carry the scope openid. It commits nothing. OpenID Connect Core §5.3
func (e *Engine) UserInfo(ctx context.Context, a *Access) (map[string]any, *Error) {
	if a.Grant == "" || !slices.Contains(a.Scopes, scopeOpenID) {
		return nil, refuse(codeInsufficientScope, "openid_missing", "The access token does not carry the scope 'openid'.").
			detail("a token of client %s with %v", quote(a.ClientID), a.Scopes)
	}
	told, err := e.claims(ctx, &ClaimsRequest{
		Subject: a.Subject, ClientID: a.ClientID, Grant: a.Grant, Org: a.Org, Scopes: a.Scopes, Audience: a.Audience, Asked: a.Asked,
	})
	if refusal := failure(err); refusal != nil {
		if refusal.Code == codeInvalidGrant { // there is no grant in this request that could be invalid
			refusal = errAccess(refusal.Reason).detail("%s", refusal.Detail).cause(err)
		}
		return nil, refusal
	}
	body := maps.Clone(told.userInfo)
	if body == nil {
		body = map[string]any{}
	}
	body["sub"] = a.Told
	return body, nil
}

// SignUserInfo makes a JWT of what UserInfo returned, for a client that is registered for
// that; it is empty for any other. It says who answers, and to whom. OpenID Connect Core §5.3.2
func (e *Engine) SignUserInfo(ctx context.Context, a *Access, claims map[string]any) (string, *Error) {
	c, err := e.client(ctx, a.ClientID)
	if err != nil {
		return "", failure(err)
	}
	if c.UserinfoSignedResponseAlg == "" {
		return "", nil
	}
	body := maps.Clone(claims)
	body["iss"], body["aud"] = e.config.Issuer, c.ID
	signed, err := e.config.Keys.Sign(ctx, c.UserinfoSignedResponseAlg, jwtType, body)
	if err != nil {
		return "", broken("signature_failed", err).setting("userinfo_signed_response_alg")
	}
	return signed, nil
}
