package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

const (
	typeRequest       = "oauth-authz-req+jwt" // RFC 9101 §4
	requestObjectLife = time.Hour             // at most, from now to its exp
)

// open returns the parameters that a request object holds, which are the only ones that
// count: what else the browser brings was signed by nobody. They also become the Params of
// a, with a mark of the object in its place, so that it is verified once, however long the
// person is busy. RFC 9101 §6.3
func (e *Engine) open(ctx context.Context, a *Authorization, form url.Values) (url.Values, error) {
	token := form.Get("request")
	header, payload, err := e.verifyBy(ctx, a.Client, token)
	if err != nil {
		return nil, e.unopened(header, err)
	}
	claims, err := jws.Members(payload)
	if err != nil {
		return nil, badObject("malformed", "The payload of the request object is not a JSON object with unique names.").cause(err)
	}
	for _, check := range []func() *Error{
		func() *Error { return judgeObjectHeader(a.Client, header) },
		func() *Error { return e.judgeObjectNames(a.Client, claims) },
		func() *Error { return judgeObjectTimes(claims, e.store.Now()) },
	} {
		if refusal := check(); refusal != nil {
			return nil, refusal
		}
	}
	params, refusal := contents(claims)
	if refusal != nil {
		return nil, refusal
	}
	id, refusal := e.objectID(a.Client, claims, token)
	if refusal != nil {
		return nil, refusal
	}
	params.Set("request", id)
	a.Params = params
	opened, _ := parameters(params)
	return opened, nil
}

// badObject is the refusal of a request object. RFC 9101 §7
func badObject(reason, description string) *Error {
	return refuse(codeInvalidRequestObject, "request_object_"+reason, description)
}

// unopened says why the signature of a request object proves nothing.
func (e *Engine) unopened(h jws.Header, err error) error {
	var unusable *unusableKeys
	switch {
	case errors.As(err, &unusable):
		return badObject("keys", "The keys of the client, by which the request object would be verified, can not be used.").
			detail("%s", unusable.detail).cause(unusable.cause).setting(unusable.setting)
	case errors.Is(err, jws.ErrUnknownKey):
		return badObject("key_unknown", "The request object is signed by a key that is not registered for the client.").cause(err).setting("jwks")
	case errors.Is(err, jws.ErrSignature):
		return badObject("signature", "The signature of the request object is wrong.").detail("kid %s", quote(h.KeyID))
	case errors.Is(err, jws.ErrForm), errors.Is(err, jws.ErrAlgorithm), errors.Is(err, jws.ErrKey):
		return badObject("malformed", "The parameter request must be a JWT that is signed by "+strings.Join(e.config.Signatures, ", ")+".").cause(err)
	default:
		return err
	}
}

func judgeObjectHeader(c *storage.Client, h jws.Header) *Error {
	if h.Type != "" && !h.HasType("JWT") && !h.HasType(typeRequest) {
		return badObject("type", "The typ of the request object is "+quote(h.Type)+": send "+typeRequest+".")
	}
	if alg := c.RequestObjectSigningAlg; alg != "" && jws.Canonical(alg) != h.Algorithm {
		return badObject("algorithm", "The request object is signed by "+clean(h.Algorithm, 40)+" but the client is registered for "+clean(alg, 40)+".").
			setting("request_object_signing_alg")
	}
	return nil
}

// judgeObjectNames checks who made the object and for whom. With a sub it would pass for an
// assertion that authenticates the client. RFC 9101 §4, §10.8
func (e *Engine) judgeObjectNames(c *storage.Client, claims map[string]json.RawMessage) *Error {
	iss, _ := text(claims["iss"])
	id, _ := text(claims["client_id"])
	aud, single := text(claims["aud"])
	if !single {
		var list []string
		if json.Unmarshal(claims["aud"], &list) == nil && len(list) == 1 {
			aud = list[0]
		}
	}
	switch {
	case iss != c.ID || id != c.ID:
		return badObject("client", "iss and client_id of the request object must both be the client_id.").
			detail("iss %s, client_id %s, of the client %s", quote(iss), quote(id), quote(c.ID))
	case aud != e.config.Issuer:
		return badObject("audience", "The aud of the request object must be the issuer "+quote(e.config.Issuer)+".").
			detail("it is %s", clean(string(claims["aud"]), 200))
	case claims["sub"] != nil:
		return badObject("subject", "A request object has no sub: leave it out.")
	}
	return nil
}

// judgeObjectTimes bounds how long somebody who gets hold of an object can begin with it.
// RFC 7519 §4.1.4, §4.1.5, §4.1.6
func judgeObjectTimes(claims map[string]json.RawMessage, now time.Time) *Error {
	wrong := func(reason, description string) *Error {
		return badObject(reason, description).detail("exp %s, iat %s, nbf %s; here it is %d",
			clean(string(claims["exp"]), 40), clean(string(claims["iat"]), 40), clean(string(claims["nbf"]), 40), now.Unix())
	}
	leeway, is := clockLeeway.Seconds(), float64(now.Unix())
	exp, ok := seconds(claims["exp"])
	switch {
	case !ok || claims["exp"] == nil:
		return wrong("expiry", "The request object needs an exp, in seconds since 1970.")
	case exp+leeway <= is:
		return wrong("expired", "The request object has expired. Go back to the application and try again.")
	case exp > is+requestObjectLife.Seconds()+leeway:
		return wrong("life", "The request object is good for more than an hour: make a new one for each sign-in.")
	}
	for _, name := range []string{"iat", "nbf"} {
		switch at, ok := seconds(claims[name]); {
		case !ok:
			return wrong("expiry", "The "+name+" of the request object is not a number of seconds since 1970.")
		case at > is+leeway:
			return wrong("early", "The "+name+" of the request object is in the future; compare the clocks.")
		}
	}
	return nil
}

// tokenClaims are the members of a request object that are no parameters.
var tokenClaims = []string{"iss", "aud", "exp", "iat", "nbf", "jti"}

// contents makes parameters of the members of a request object: a string is the value, a
// number or a truth value is written as JSON does, an object is its JSON text, a list of
// strings is the values of a parameter that may come more than once. RFC 9101 §4
func contents(claims map[string]json.RawMessage) (url.Values, *Error) {
	params := url.Values{}
	for name, raw := range claims {
		if slices.Contains(tokenClaims, name) {
			continue
		}
		if name == "request" || name == "request_uri" {
			return nil, badObject("nested", "A request object can not hold "+name+".")
		}
		values, ok := memberValues(name, raw)
		if !ok {
			return nil, badObject("member", "The request object holds "+quote(name)+" in a form that no parameter has.")
		}
		if len(values) > 0 {
			params[name] = values
		}
	}
	return params, nil
}

func memberValues(name string, raw json.RawMessage) ([]string, bool) {
	switch raw[0] {
	case '"':
		s, ok := text(raw)
		return []string{s}, ok
	case 'n': // null
		return nil, true
	case '[':
		var list []string
		if name == "resource" && json.Unmarshal(raw, &list) == nil {
			return list, true
		}
		return nil, false
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return nil, false
	}
	return []string{compact.String()}, true
}

// objectID names a request object: by the jti that its client chose, or by all of it.
func (e *Engine) objectID(c *storage.Client, claims map[string]json.RawMessage, token string) (string, *Error) {
	if claims["jti"] == nil {
		return e.store.Lookup("request object", c.ID, "", token), nil
	}
	jti, ok := text(claims["jti"])
	if !ok || jti == "" || len(jti) > maxJTI {
		return "", badObject("jti", "The jti of the request object must be a string of 1 to 255 bytes.")
	}
	return e.store.Lookup("request object", c.ID, "jti", jti), nil
}

// takeObject moves the mark of an opened request object from the parameters to a, and
// refuses one that led to an answer before. RFC 9101 §10.2
func (e *Engine) takeObject(ctx context.Context, a *Authorization, form url.Values) error {
	id := form.Get("request")
	if id == "" {
		return nil
	}
	form.Del("request")
	switch used, err := e.assertions.Get(ctx, id); {
	case err == nil:
		return badObject("used", "This request was answered before. Go back to the application and try again.").
			detail("it is known as used until %s", used.EndAt.Format(time.RFC3339))
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	a.Object = id
	return nil
}

// useObject ends the request object that an authorization came from, in the unit of work
// that answers it.
func (e *Engine) useObject(ctx context.Context, a *Authorization) error {
	if a.Object == "" {
		return nil
	}
	return e.assertions.Put(ctx, &mark{ID: a.Object, EndAt: e.store.Now().Add(usedLife)})
}

// mustSign refuses a request that was not signed where it should have been.
// RFC 9101 §10.5
func (e *Engine) mustSign(a *Authorization) *Error {
	if a.Object != "" || !e.config.RequireSigned && !a.Client.RequireSignedRequestObject {
		return nil
	}
	return refuse(codeInvalidRequest, "request_object_required", "The request must be signed: send it as a request object in the parameter request.").
		setting("require_signed_request_object")
}
