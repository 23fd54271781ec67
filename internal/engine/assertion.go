package engine

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

const (
	typeAssertion = "client-authentication+jwt"
	assertionLife = 10 * time.Minute // at most, so that what is remembered of them is bounded
	maxJTI        = 255              // bytes
)

// AssertionMethod is the method of client authentication that an assertion is of: who
// signs by HS256 uses its secret. RFC 7523 §2.2, OpenID Connect Core §9
func AssertionMethod(assertion storage.Secret) string {
	if header, _, err := jws.Peek(string(assertion)); err == nil && header.Algorithm == jws.HS256 {
		return storage.AuthMethodSecretJWT
	}
	return storage.AuthMethodPrivateKey
}

// AssertedClient returns the client that an assertion speaks of, of which nothing is
// proven; empty when it can't be read. RFC 7521 §4.2
func AssertedClient(assertion storage.Secret) string {
	_, claims, err := jws.Peek(string(assertion))
	if err != nil {
		return ""
	}
	sub, _ := text(claims["sub"])
	return sub
}

// signedAssertion is the client that signs with a key of its own, or with its secret.
// RFC 7523 §2.2, §3, OpenID Connect Core §9
type signedAssertion struct {
	engine *Engine
	method string
}

// authenticate tells a stranger nothing. What is wrong with an assertion is told once
// its signature is right, and only one of which nothing is wrong is used up.
func (s signedAssertion) authenticate(ctx context.Context, c *storage.Client, by Credentials) error {
	switch {
	case c == nil:
		return unproven("client_unknown")
	case c.TokenEndpointAuthMethod != s.method:
		return unproven("assertion_unexpected").detail("%s and sent an assertion of %s", registration(c), s.method)
	}
	header, payload, err := s.verify(ctx, c, string(by.Assertion))
	if err != nil {
		return err
	}
	claims, err := jws.Members(payload)
	if err != nil {
		return unproven("assertion_malformed").cause(err)
	}
	if refusal := s.judgeHeader(c, header); refusal != nil {
		return refusal
	}
	if refusal := s.judgeNames(c, claims); refusal != nil {
		return refusal
	}
	end, refusal := judgeTimes(claims, s.engine.store.Now())
	if refusal != nil {
		return refusal
	}
	jti, ok := text(claims["jti"])
	if !ok || jti == "" || len(jti) > maxJTI {
		return refuse(codeInvalidClient, "assertion_jti", "The client assertion needs a jti, a string of 1 to 255 bytes.")
	}
	if c.Disabled {
		return nil // refused by who called
	}
	return s.once(ctx, c, jti, end)
}

// verify checks the signature. A stranger learns nothing of what is wrong with it.
func (s signedAssertion) verify(ctx context.Context, c *storage.Client, token string) (jws.Header, []byte, error) {
	var header jws.Header
	var payload []byte
	var err error
	if s.method == storage.AuthMethodSecretJWT {
		header, payload, err = jws.VerifySecret(token, c.LiveSecrets(s.engine.store.Now())...)
	} else {
		header, payload, err = s.engine.verifyBy(ctx, c, token)
	}
	var unusable *unusableKeys
	switch {
	case err == nil:
		return header, payload, nil
	case errors.As(err, &unusable):
		return header, nil, unproven("assertion_keys_unusable").detail("%s", unusable.detail).cause(unusable.cause).setting(unusable.setting)
	case errors.Is(err, jws.ErrUnknownKey):
		return header, nil, unproven("assertion_key_unknown").cause(err).setting("jwks")
	case errors.Is(err, jws.ErrSignature):
		return header, nil, unproven("assertion_signature").detail("kid %s", quote(header.KeyID))
	case errors.Is(err, jws.ErrForm), errors.Is(err, jws.ErrAlgorithm), errors.Is(err, jws.ErrKey):
		return header, nil, unproven("assertion_malformed").cause(err)
	default:
		return header, nil, err
	}
}

// judgeHeader refuses a token of another kind, which somebody else may have got from
// the client for another purpose. RFC 8725 §3.11
func (s signedAssertion) judgeHeader(c *storage.Client, h jws.Header) *Error {
	if h.Type != "" && !h.HasType("JWT") && !h.HasType(typeAssertion) {
		return refuse(codeInvalidClient, "assertion_type",
			"The typ of the client assertion is "+quote(h.Type)+": leave it out, or send JWT or "+typeAssertion+".")
	}
	if alg := c.TokenEndpointAuthSigningAlg; alg != "" && jws.Canonical(alg) != h.Algorithm {
		return refuse(codeInvalidClient, "assertion_algorithm", "The client assertion is signed by "+clean(h.Algorithm, 40)+
			" but the client is registered for "+clean(alg, 40)+".").setting("token_endpoint_auth_signing_alg")
	}
	return nil
}

// judgeNames checks who made the assertion, about whom and for whom. An audience that
// names more than this server, or names it otherwise than all others do, could be
// meant for a server that passes it on. RFC 7523 §3, OpenID Connect Core §9
func (s signedAssertion) judgeNames(c *storage.Client, claims map[string]json.RawMessage) *Error {
	iss, _ := text(claims["iss"])
	sub, _ := text(claims["sub"])
	if iss != c.ID || sub != c.ID {
		return refuse(codeInvalidClient, "assertion_subject", "iss and sub of the client assertion must both be the client_id.").
			detail("iss %s, sub %s, client_id %s", quote(iss), quote(sub), quote(c.ID))
	}
	aud, ok := text(claims["aud"])
	switch {
	case ok && aud == s.engine.config.Issuer:
		return nil
	case ok && aud == s.engine.config.TokenURL && c.Insecure.AssertionForTokenEndpoint:
		return nil
	}
	refusal := refuse(codeInvalidClient, "assertion_audience",
		"The aud of the client assertion must be the issuer "+quote(s.engine.config.Issuer)+" as a single string.").
		detail("it is %s", clean(string(claims["aud"]), 200))
	if s.engine.config.NoExceptions {
		return refusal
	}
	return refusal.setting("insecure.assertion_for_token_endpoint")
}

// judgeTimes checks when the assertion counts and returns when it ends. Clocks may
// differ by a minute. RFC 7519 §4.1
func judgeTimes(claims map[string]json.RawMessage, now time.Time) (end time.Time, refusal *Error) {
	wrong := func(reason, description string) (time.Time, *Error) {
		return time.Time{}, refuse(codeInvalidClient, reason, description).
			detail("exp %s, iat %s, nbf %s; here it is %d", clean(string(claims["exp"]), 40), clean(string(claims["iat"]), 40), clean(string(claims["nbf"]), 40), now.Unix())
	}
	const life, leeway = float64(assertionLife / time.Second), float64(clockLeeway / time.Second)
	is := float64(now.Unix())
	exp, ok := seconds(claims["exp"])
	switch {
	case !ok || claims["exp"] == nil:
		return wrong("assertion_expiry", "The client assertion needs an exp, in seconds since 1970.")
	case exp+leeway <= is:
		return wrong("assertion_expired", "The client assertion has expired; compare the clocks.")
	case exp > is+life+leeway:
		return wrong("assertion_life", "The client assertion is good for more than 10 minutes: make a new one for each request.")
	}
	for _, name := range []string{"iat", "nbf"} {
		at, ok := seconds(claims[name])
		switch {
		case !ok:
			return wrong("assertion_expiry", "The "+name+" of the client assertion is not a number of seconds since 1970.")
		case at > is+leeway:
			return wrong("assertion_early", "The "+name+" of the client assertion is in the future; compare the clocks.")
		case name == "iat" && claims[name] != nil && exp-at > life+leeway:
			return wrong("assertion_life", "The client assertion is good for more than 10 minutes: make a new one for each request.")
		}
	}
	return time.Unix(int64(math.Ceil(exp)), 0).UTC(), nil
}

// once notes that the assertion was used, though the request be refused, and refuses
// the second one. Of two at the same time one finds the record when it is run again.
// RFC 7523 §3
func (s signedAssertion) once(ctx context.Context, c *storage.Client, jti string, end time.Time) error {
	used := &mark{ID: s.engine.assertionID(c.ID, jti), EndAt: end.Add(clockLeeway)}
	switch _, err := s.engine.assertions.Get(ctx, used.ID); {
	case err == nil:
		return refuse(codeInvalidClient, "assertion_replayed", "The client assertion was used before: make a new one for each request.").
			detail("jti %s", quote(jti))
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	return s.engine.assertions.Put(storage.Surviving(ctx), used)
}

func (e *Engine) assertionID(client, jti string) string { return e.store.Lookup("jti", client, jti) }

// assertionRef names the record that an assertion will be looked for under, so that it
// is read together with others. Nothing is believed of it.
func (e *Engine) assertionRef(by Credentials) storage.Ref {
	if by.Assertion == "" {
		return e.assertions.Ref("")
	}
	_, claims, err := jws.Peek(string(by.Assertion))
	jti, ok := text(claims["jti"])
	if err != nil || !ok || jti == "" || len(jti) > maxJTI {
		return e.assertions.Ref("")
	}
	return e.assertions.Ref(e.assertionID(by.ClientID, jti))
}

// text returns a claim that is a string.
func text(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// seconds returns a claim that is a NumericDate; one that is absent counts as 0. What
// is no number, or none that a clock can show, is not ok. RFC 7519 §2
func seconds(raw json.RawMessage) (float64, bool) {
	if raw == nil {
		return 0, true
	}
	var n float64
	if len(raw) == 0 || !slices.Contains([]byte("-0123456789"), raw[0]) || json.Unmarshal(raw, &n) != nil {
		return 0, false
	}
	return n, n >= 0 && n < 1<<40 && !math.IsNaN(n)
}

// unproven is the refusal of a client that did not prove who it is. Which of the
// reasons it is only the log says.
func unproven(reason string) *Error {
	return refuse(codeInvalidClient, reason, unauthenticatedText).secret()
}
