package bearer

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/jws"
)

// verifyJWT judges a JWT access token. The type comes first: an ID token of the same
// issuer, signed with the same key, must not pass. RFC 9068 §4, RFC 8725 §3.11
func (v *RemoteVerifier) verifyJWT(ctx context.Context, token string) (*Token, error) {
	h, err := jws.ReadHeader(token)
	if err != nil {
		return nil, invalidf("%w", err)
	}
	if !h.HasType(typeAccess) {
		return nil, invalidf("the typ is %.80q, not %s", h.Type, typeAccess)
	}
	keys, err := v.keys.get(ctx, v.now, func(keys map[string]jws.Key) bool {
		_, ok := keys[h.KeyID]
		return ok
	})
	if err != nil {
		return nil, err
	}
	_, payload, err := jws.Verify(token, func(kid string) (string, crypto.PublicKey, bool) {
		k, ok := keys[kid]
		return k.Algorithm, k.Public, ok
	})
	if err != nil {
		return nil, invalidf("%w", err)
	}
	c, err := readClaims(payload)
	if err != nil {
		return nil, invalidf("%w", err)
	}
	// RFC 9068 §2.2; jti is not asked for, as nothing here depends on it.
	t, err := v.judge(c, "iss", "exp", "aud", "sub", "client_id", "iat")
	if err != nil {
		return nil, invalidf("%w", err)
	}
	return t, nil
}

// judge makes a Token of claims that the issuer vouches for.
func (v *RemoteVerifier) judge(c claims, required ...string) (*Token, error) {
	for _, name := range required {
		if !c.has(name) {
			return nil, fmt.Errorf("%s is missing", name)
		}
	}
	r := reader{claims: c}
	issuer := r.text("iss")
	t := &Token{
		Subject: r.text("sub"), ClientID: r.text("client_id"), Scopes: strings.Fields(r.text("scope")),
		Audience: r.list("aud"), IssuedAt: r.time("iat"), ExpiresAt: r.time("exp"), Claims: c.rest(),
	}
	notBefore, now := r.time("nbf"), v.now()
	switch {
	case r.err != nil:
		return nil, r.err
	case issuer != v.issuer && c.has("iss"):
		return nil, fmt.Errorf("the issuer is %.200q, not %q", issuer, v.issuer)
	case !t.MeantFor(v.resource):
		return nil, &audienceError{t.Audience, v.resource}
	case t.Subject == "" && t.ClientID == "":
		return nil, fmt.Errorf("it names neither a subject nor a client")
	case c.has("exp") && !now.Before(t.ExpiresAt.Add(leeway)):
		return nil, fmt.Errorf("it has expired")
	case t.IssuedAt.After(now.Add(leeway)) || notBefore.After(now.Add(leeway)):
		return nil, fmt.Errorf("it is not valid yet; are the clocks right?")
	}
	return t, nil
}

// claims is a JSON object, whose names are compared exactly.
type claims map[string]json.RawMessage

func readClaims(body []byte) (claims, error) {
	var c claims
	if err := json.Unmarshal(body, &c); err != nil || c == nil {
		return nil, fmt.Errorf("the claims are no JSON object")
	}
	// null is nothing. RFC 7662 §2.2 has members that are optional
	maps.DeleteFunc(c, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	return c, nil
}

func (c claims) has(name string) bool { return c[name] != nil }

// rest is what a Token has no field for.
func (c claims) rest() map[string]any {
	rest := map[string]any{}
	for name, raw := range c {
		switch name {
		case "iss", "sub", "client_id", "scope", "aud", "iat", "exp", "nbf", "active", "token_type":
			continue
		}
		var value any
		if json.Unmarshal(raw, &value) == nil {
			rest[name] = value
		}
	}
	return rest
}

// reader reads claims of a known kind, and keeps the first error.
type reader struct {
	claims claims
	err    error
}

func (r *reader) read(name string, into any) {
	if raw := r.claims[name]; raw != nil && json.Unmarshal(raw, into) != nil && r.err == nil {
		r.err = fmt.Errorf("%s has the wrong form", name)
	}
}

func (r *reader) text(name string) (s string) {
	r.read(name, &s)
	return s
}

// list reads one string or several. RFC 7519 §4.1.3
func (r *reader) list(name string) (list []string) {
	if raw := r.claims[name]; raw != nil && raw[0] == '"' {
		return []string{r.text(name)}
	}
	r.read(name, &list)
	return list
}

// time reads a NumericDate. RFC 7519 §2
func (r *reader) time(name string) time.Time {
	const farthest = 253402300800 // the year 10000
	var seconds float64
	r.read(name, &seconds)
	if (seconds < 0 || seconds >= farthest) && r.err == nil {
		r.err = fmt.Errorf("%s is no time", name)
	}
	if r.err != nil || !r.claims.has(name) {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
