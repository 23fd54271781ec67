package demo

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// order is how claims are shown: the person first, then the rest by name.
var order = []string{"name", "preferred_username", "email", "email_verified", "sub", "iss", "aud", "auth_time", "iat", "exp"}

var claimHints = map[string]string{
	"sub":     "the person, for ever",
	"iss":     "who says so",
	"aud":     "whom it is said to",
	"nonce":   "ties the token to this sign-in; verified",
	"sid":     "the session at the provider",
	"at_hash": "ties the token to the access token",
	"amr":     "how the person signed in",
	"azp":     "the client that asked",
}

func claimFacts(claims map[string]any) []fact {
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		x, y := slices.Index(order, a), slices.Index(order, b)
		switch {
		case x >= 0 && y >= 0:
			return x - y
		case x >= 0:
			return -1
		case y >= 0:
			return 1
		case a < b:
			return -1
		}
		return 1
	})
	facts := make([]fact, 0, len(names))
	for _, name := range names {
		f := fact{Name: name, Value: shown(claims[name]), Hint: claimHints[name]}
		if seconds, ok := claims[name].(float64); ok && slices.Contains([]string{"exp", "iat", "auth_time", "nbf", "updated_at"}, name) {
			f.Hint = time.Unix(int64(seconds), 0).UTC().Format("2 January 2006, 15:04:05 UTC")
		}
		facts = append(facts, f)
	}
	return facts
}

// shown is a claim's value as people read it.
func shown(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		if v == float64(int64(v)) {
			return fmt.Sprint(int64(v))
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

func tokenFacts(who *account) []fact {
	t := who.token
	facts := []fact{{"Access token", part(t.AccessToken), "valid until " + t.Expiry.UTC().Format("15:04:05 UTC")}}
	if t.RefreshToken != "" {
		facts = append(facts, fact{"Refresh token", part(t.RefreshToken), "each use replaces it by a new one"})
	}
	if scope, _ := t.Extra("scope").(string); scope != "" {
		facts = append(facts, fact{"Scope", scope, "what was allowed"})
	}
	return append(facts, fact{"ID token", part(who.idToken), "what it says stands above"})
}

// part shows enough of a token to tell it from another, and too little to use it.
func part(token string) string {
	const ends = 8
	if len(token) < 4*ends {
		return "…"
	}
	return token[:ends] + "…" + token[len(token)-ends:]
}

func greeting(claims map[string]any) string {
	for _, name := range []string{"name", "preferred_username", "email", "sub"} {
		if text, _ := claims[name].(string); text != "" {
			return text
		}
	}
	return "you"
}
