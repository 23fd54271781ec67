package engine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/doorward/doorward/storage"
)

// ClaimsRequest is filled by the Claims hook.
type ClaimsRequest struct {
	Subject, ClientID, Grant, Org string
	GrantType                     string // empty at userinfo
	Scopes, Audience              []string
	Asked                         storage.AskedClaims // one by one; what is in User of them is released

	User                           map[string]any // released by scope, OpenID Connect Core §5.4
	IDToken, UserInfo, AccessToken map[string]any // put there whatever the scopes
}

// Denied is returned by a Claims hook, wrapped or not, to refuse: invalid_grant at the token endpoint.
type Denied struct{ Reason string }

// Error returns the reason.
func (d *Denied) Error() string { return d.Reason }

// claims are what is told of a person, in maps that the hook holds no more.
type claims struct {
	idToken, userInfo, accessToken map[string]any
}

// claimsKey names the hook's result in the memo of a unit of work.
type claimsKey struct{ grant string }

// claims runs the hook, once for each request however often the unit of work is
// run, and outside of it: what the hook writes is its own.
func (e *Engine) claims(ctx context.Context, r *ClaimsRequest) (claims, error) {
	if e.config.Claims == nil {
		return claims{}, nil
	}
	return storage.Memo(ctx, e.store, claimsKey{r.Grant}, func() (claims, error) {
		r.Scopes, r.Audience = slices.Clone(r.Scopes), slices.Clone(r.Audience)
		r.User, r.IDToken = map[string]any{}, map[string]any{}
		r.UserInfo, r.AccessToken = map[string]any{}, map[string]any{}
		scopes, asked := slices.Clone(r.Scopes), r.Asked // the hook may write to its own
		r.Asked = asked.Clone()
		err := e.guarded(ctx, "claims hook", func() error {
			within, cancel := e.hookTime(e.store.Apart(ctx))
			defer cancel()
			if err := e.config.Claims(within, r); err != nil {
				return err
			}
			return tooLate(within)
		})
		if err != nil {
			return claims{}, hookFailure("claims_failed", err)
		}
		if err := reserved(r.User, r.IDToken, r.UserInfo, r.AccessToken); err != nil {
			return claims{}, err
		}
		released := releasedBy(scopes, r.User)
		told := claims{idToken: maps.Clone(released), userInfo: released, accessToken: maps.Clone(r.AccessToken)}
		maps.Copy(told.idToken, askedOf(asked.IDToken, r.User))
		maps.Copy(told.userInfo, askedOf(asked.UserInfo, r.User))
		maps.Copy(told.idToken, r.IDToken)
		maps.Copy(told.userInfo, r.UserInfo)
		return told, nil
	})
}

// reserved refuses claims whose names the protocol owns: a hook that could set sub or
// aud could make a token for somebody else, and one that believes it did would rely on
// what no client is told.
func reserved(given ...map[string]any) error {
	var names []string
	for _, claims := range given {
		for name := range claims {
			if isProtected(name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return broken("claims_reserved", nil).detail("the Claims hook set names that the protocol owns: %q", slices.Compact(names)).setting("Claims")
}

// isProtected says that no hook may set a claim of this name, nor one that differs in
// case alone: there are parsers that take it for the same.
func isProtected(name string) bool {
	return slices.ContainsFunc(protected(), func(p string) bool { return strings.EqualFold(p, name) })
}

// protected are the names of claims that the protocol owns. RFC 7519 §4.1, RFC 7662
// §2.2, OpenID Connect Core §2
func protected() []string {
	return []string{
		"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "auth_time", "acr", "amr", "azp", "at_hash", "c_hash",
		"s_hash", "sid", "sub_id", "client_id", "scope", "active", "token_type", "username", "cnf", "act", "may_act", "authorization_details", "events", "typ",
		claimGrant, claimIncarnation,
	}
}

// releasedBy returns the claims that the scopes ask for, and those that no scope is
// for. OpenID Connect Core §5.4
func releasedBy(scopes []string, user map[string]any) map[string]any {
	released := make(map[string]any, len(user))
	for name, value := range user {
		if scope := scopeOf(name); scope == "" || slices.Contains(scopes, scope) {
			released[name] = value
		}
	}
	return released
}

// scopeOf returns the scope that releases a standard claim.
func scopeOf(claim string) string {
	for _, scope := range []string{"profile", "email", "address", "phone"} {
		if slices.Contains(ClaimsOf(scope), claim) {
			return scope
		}
	}
	return ""
}

// ClaimsOf returns the standard claims that a scope releases. OpenID Connect Core §5.4
func ClaimsOf(scope string) []string {
	switch scope {
	case "profile":
		return []string{
			"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
			"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
		}
	case "email":
		return []string{"email", "email_verified"}
	case "address":
		return []string{"address"}
	case "phone":
		return []string{"phone_number", "phone_number_verified"}
	}
	return nil
}
