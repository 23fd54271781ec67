package engine

import (
	"net/url"
	"slices"
	"strings"

	"github.com/doorward/doorward/storage"
)

// Scopes with a meaning of their own. OpenID Connect Core §3.1.2.1, §11
const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

// splitScope reads a scope parameter: words of the characters that RFC 6749 §3.3
// allows, compared byte for byte; a word that comes twice counts once.
func splitScope(s string) ([]string, *Error) {
	var scopes []string
	for _, word := range strings.Split(s, " ") {
		for i := range len(word) {
			if c := word[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
				return nil, refuse(codeInvalidScope, "scope_malformed",
					"The scope "+quote(word)+" has characters that a scope can not have; scopes are separated by single spaces.")
			}
		}
		if word != "" && !slices.Contains(scopes, word) {
			scopes = append(scopes, word)
		}
	}
	return scopes, nil
}

// grantable returns the scopes that a request asks for, or the client's defaults,
// once they were found to be known and allowed.
func (e *Engine) grantable(c *storage.Client, requested string) ([]string, *Error) {
	scopes, err := splitScope(requested)
	if err != nil {
		return nil, err
	}
	if !c.MayUse(storage.GrantRefreshToken) { // it would mean nothing. OpenID Connect Core §11
		scopes = without(scopes, scopeOffline)
	}
	for _, s := range scopes {
		if err := e.checkScope(c, s); err != nil {
			return nil, err
		}
	}
	if len(scopes) > 0 {
		return scopes, nil
	}
	defaults := c.DefaultScopes()
	if len(defaults) == 0 {
		return nil, refuse(codeInvalidScope, "scope_missing",
			"The request names no scope, and the client has no default_scope. Send scope, or give the client a default_scope.").setting("default_scope")
	}
	if !c.MayUse(storage.GrantRefreshToken) {
		defaults = without(defaults, scopeOffline)
	}
	return defaults, nil
}

// asked returns the scopes and the audience that a request without an authorization asks
// for.
func (e *Engine) asked(c *storage.Client, form url.Values) (scopes, audience []string, refusal *Error) {
	if scopes, refusal = e.grantable(c, form.Get("scope")); refusal != nil {
		return nil, nil, refusal
	}
	audience, refusal = e.target(form, e.audiences(c))
	return scopes, audience, refusal
}

func (e *Engine) checkScope(c *storage.Client, s string) *Error {
	switch {
	case !slices.Contains(e.config.Scopes, s):
		return refuse(codeInvalidScope, "scope_unknown", "The scope "+quote(s)+" is not known to this server.").
			detail("the server knows %v", e.config.Scopes).setting("Config.Scopes")
	case !slices.Contains(c.Scopes(), s):
		return refuse(codeInvalidScope, "scope_not_allowed", "The client is not registered for the scope "+quote(s)+".").
			detail("the client is registered for %v", c.Scopes()).setting("scope")
	}
	return nil
}

// without returns list less one word.
func without(list []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == word })
}

// subset returns the first of some that is not in all.
func subset(some, all []string) (odd string, ok bool) {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return s, false
		}
	}
	return "", true
}

// both returns what is in a and in b, in the order of a.
func both(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}
