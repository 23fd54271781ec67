package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

const (
	maxStatement    = 8 << 10
	statementLeeway = time.Minute
)

// claimsOfStatement are the members of a software statement that are about itself.
var claimsOfStatement = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// overlay lays what a software statement says over what the client says, and returns the
// statement, "" when there is none. RFC 7591 §2.3, §3.1.1
func (r registrations) overlay(ctx context.Context, members map[string]json.RawMessage, kept *storage.Registered) (string, error) {
	var statement string
	raw := members["software_statement"]
	if len(raw) > 0 && string(raw) != "null" && (json.Unmarshal(raw, &statement) != nil || statement == "" || len(statement) > maxStatement) {
		return "", badStatement("it is no text of a signed JWT", nil)
	}
	if statement == "" {
		if r.registration.RequireStatement || kept.Statement != "" {
			return "", badStatement("none came, and this client needs one", nil)
		}
		return "", nil
	}
	_, claims, err := jws.Peek(statement)
	if err != nil {
		return "", badStatement("it is no signed JWT in compact form that is accepted here", err)
	}
	var issuer string
	_ = json.Unmarshal(claims["iss"], &issuer) // nobody's name is ""
	at := slices.IndexFunc(r.registration.Statements, func(s StatementIssuer) bool { return s.Issuer == issuer })
	if at < 0 || issuer == "" || kept.Statement != "" && kept.Statement != issuer {
		e := badMetadata("unapproved_software_statement", "unapproved_software_statement", "Software statements of this issuer are not approved here.")
		e.Detail, e.Setting = "iss "+quoted(issuer), "Registration.Statements"
		return "", e
	}
	if claims, err = r.verifyStatement(ctx, &r.registration.Statements[at], statement); err != nil {
		return "", err
	}
	for name, value := range claims {
		if !slices.Contains(claimsOfStatement, name) {
			members[name] = value
		}
	}
	kept.Statement = issuer
	return statement, nil
}

func (r registrations) verifyStatement(ctx context.Context, by *StatementIssuer, statement string) (map[string]json.RawMessage, error) {
	payload, err := r.readStatement(ctx, by, statement, r.statementKeys.Get)
	if errors.Is(err, jws.ErrUnknownKey) && by.JWKSURI != "" { // its issuer may have a new one
		payload, err = r.readStatement(ctx, by, statement, r.statementKeys.Refresh)
	}
	switch {
	case errors.Is(err, errNoKeys):
		return nil, err
	case err != nil:
		return nil, badStatement("its signature is not one of its issuer's", err)
	}
	claims, err := jws.Members(payload)
	if err != nil {
		return nil, badStatement("its payload is no JSON object", err)
	}
	if !r.meant(claims["aud"]) {
		return nil, badStatement("its aud is not "+r.issuer+", which is this server", nil)
	}
	now := r.store.Now()
	for _, c := range []struct {
		name  string
		wrong func(at time.Time) bool
	}{
		{"exp", func(at time.Time) bool { return now.After(at.Add(statementLeeway)) }},
		{"nbf", func(at time.Time) bool { return now.Add(statementLeeway).Before(at) }},
		{"iat", func(at time.Time) bool { return now.Add(statementLeeway).Before(at) }},
	} {
		var at float64
		if len(claims[c.name]) == 0 {
			continue
		}
		if json.Unmarshal(claims[c.name], &at) != nil || at < 0 || at > 1e11 || c.wrong(time.Unix(int64(at), 0)) {
			return nil, badStatement("it is not valid now: look at "+c.name, nil)
		}
	}
	return claims, nil
}

// errNoKeys says that a statement can't be judged now.
var errNoKeys = errors.New("server: no keys of software statements")

func (r registrations) readStatement(ctx context.Context, by *StatementIssuer, statement string, fetch func(context.Context, string) ([]byte, error)) (payload []byte, err error) {
	raw := []byte(by.JWKS)
	if by.JWKSURI != "" {
		if raw, err = fetch(ctx, by.JWKSURI); err != nil {
			return nil, fmt.Errorf("%w: fetch those of %q: %w: %s", errNoKeys, by.Issuer, storage.ErrUnavailable, outbound.Detail(err))
		}
	}
	keys, err := jws.ParseKeys(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: those of %q: %w", errNoKeys, by.Issuer, err)
	}
	_, payload, err = keys.Verify(statement)
	return payload, err
}

// meant says whether a statement is for this server: one without an audience is for all.
// RFC 7519 §4.1.3
func (r registrations) meant(raw json.RawMessage) bool {
	if len(raw) == 0 {
		return true
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one == r.issuer
	}
	var several []string
	return json.Unmarshal(raw, &several) == nil && slices.Contains(several, r.issuer)
}

func badStatement(what string, cause error) *engine.Error {
	e := badMetadata("invalid_software_statement", "invalid_software_statement", "The software_statement is not accepted: "+what+".")
	e.Cause = cause
	return e
}
