package storage

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/doorward/doorward/internal/jsonvalue"
)

// AskedClaims is what a client asked for by the parameter claims, beside what the
// scopes release. OpenID Connect Core §5.5
type AskedClaims struct {
	IDToken  map[string]AskedClaim `json:"id_token,omitempty"`
	UserInfo map[string]AskedClaim `json:"userinfo,omitempty"`
}

// AskedClaim is how one claim is asked for. The zero value is a claim that is asked for
// as a wish, whatever its value. OpenID Connect Core §5.5.1
type AskedClaim struct {
	Essential bool  `json:"essential,omitempty"` // the client can't go on well without it; never a reason to refuse
	Value     any   `json:"value,omitempty"`     // only this one is of use; nil: any
	Values    []any `json:"values,omitempty"`    // only these are of use; empty: any
}

// IsZero says that nothing was asked for.
func (a AskedClaims) IsZero() bool { return len(a.IDToken) == 0 && len(a.UserInfo) == 0 }

// Clone returns a copy that shares nothing with a.
func (a AskedClaims) Clone() AskedClaims {
	b := AskedClaims{IDToken: maps.Clone(a.IDToken), UserInfo: maps.Clone(a.UserInfo)}
	for _, part := range []map[string]AskedClaim{b.IDToken, b.UserInfo} {
		for name, c := range part {
			c.Value, c.Values = jsonvalue.Clone(c.Value), slices.Clone(c.Values)
			for i := range c.Values {
				c.Values[i] = jsonvalue.Clone(c.Values[i])
			}
			part[name] = c
		}
	}
	return b
}

// Names returns the claims that are asked for, each once, in order.
func (a AskedClaims) Names() []string {
	var names []string
	for _, part := range []map[string]AskedClaim{a.IDToken, a.UserInfo} {
		for name := range part {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Takes says whether a value is of use to who asked. A list is, when one of its
// elements is.
func (c AskedClaim) Takes(value any) bool {
	if c.Value == nil && len(c.Values) == 0 {
		return true
	}
	if list, ok := value.([]any); ok {
		return slices.ContainsFunc(list, c.Takes)
	}
	if list, ok := value.([]string); ok {
		return slices.ContainsFunc(list, func(s string) bool { return c.Takes(s) })
	}
	wanted := c.Values
	if c.Value != nil {
		wanted = append(slices.Clip(wanted), c.Value)
	}
	is, err := json.Marshal(value)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(wanted, func(w any) bool {
		asked, err := json.Marshal(w)
		return err == nil && bytes.Equal(asked, is)
	})
}

// Strings returns the values that are asked for and are texts.
func (c AskedClaim) Strings() []string {
	var texts []string
	for _, v := range append(slices.Clip(c.Values), c.Value) {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}
