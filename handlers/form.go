package handlers

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/doorward/doorward/internal/arrival"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// maxClientID is how much of a client_id goes to the log.
const maxClientID = 255

// repeatable are the parameters that may come more than once. RFC 8707 §2
var repeatable = []string{"resource"}

const formMedia = "application/x-www-form-urlencoded"

// mostSent is what the bodies of nearly all requests stay below.
const mostSent = 4 << 10

// submitted reads the form of a POST to an endpoint for programs: one media type,
// nothing in the query, nothing twice, nothing that is not text. What fosite and
// net/http would accept beside that is how requests are confused.
func submitted(r *http.Request) (url.Values, *engine.Error) {
	if e := formType(r); e != nil {
		return nil, e
	}
	if r.URL.RawQuery != "" {
		names, _ := url.ParseQuery(r.URL.RawQuery)
		return nil, badRequest("query_parameters", fmt.Sprintf("Parameters of a POST belong in the body; the query held %s.", keysOf(names)))
	}
	body, e := readBody(r)
	if e != nil {
		return nil, e
	}
	return parseForm(string(body))
}

// formType checks the media type before anything of the body is read, so that a
// multipart body never reaches a disk.
func formType(r *http.Request) *engine.Error {
	types := r.Header.Values("Content-Type")
	if len(types) == 1 && types[0] == formMedia { // as nearly all write it
		return nil
	}
	if len(types) == 1 {
		media, params, err := mime.ParseMediaType(types[0])
		charset := params["charset"]
		if err == nil && media == formMedia && (charset == "" || strings.EqualFold(charset, "utf-8")) {
			return nil
		}
	}
	return &engine.Error{
		Code: "invalid_request", Reason: "content_type", Status: http.StatusUnsupportedMediaType,
		Description: fmt.Sprintf("The body must be application/x-www-form-urlencoded; Content-Type was '%s'.", safeWord(strings.Join(types, ", "))),
	}
}

func readBody(r *http.Request) ([]byte, *engine.Error) {
	// Room for what most send. For more it grows with what comes: who promises a large body
	// on many connections, and sends none, must not take memory for it.
	body := bytes.NewBuffer(make([]byte, 0, min(max(0, r.ContentLength), mostSent)+bytes.MinRead))
	_, err := body.ReadFrom(r.Body)
	if err == nil {
		return body.Bytes(), nil
	}
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, tooLarge()
	}
	if arrival.Late(err) {
		return nil, &engine.Error{
			Code: "invalid_request", Reason: "body_late", Status: http.StatusRequestTimeout,
			Description: "The body did not arrive in time.", Cause: err,
		}
	}
	e := badRequest("body_unreadable", "The body could not be read to its end.")
	e.Cause = err
	return nil, e
}

func parseForm(encoded string) (url.Values, *engine.Error) {
	form, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, badRequest("malformed_parameters", "The parameters are not well-formed; encode them as application/x-www-form-urlencoded.")
	}
	if name, ok := unreadable(form); ok {
		return nil, controlCharacters(name)
	}
	if name, ok := repeated(form); ok {
		return nil, repeatedParameter(name)
	}
	// Parameters without a value count as left out. RFC 6749 §3.1, §3.2
	maps.DeleteFunc(form, func(_ string, values []string) bool {
		return !slices.ContainsFunc(values, func(v string) bool { return v != "" })
	})
	return form, nil
}

// unreadable names a parameter that is not text.
func unreadable(form url.Values) (string, bool) {
	return first(form, func(name string, values []string) bool {
		return !legible(name) || slices.ContainsFunc(values, func(v string) bool { return !legible(v) })
	})
}

// legible says whether s is text without control characters.
func legible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// first names the first parameter, by name, of which is holds.
func first(form url.Values, is func(name string, values []string) bool) (name string, ok bool) {
	for n, values := range form {
		if (!ok || n < name) && is(n, values) {
			name, ok = n, true
		}
	}
	return name, ok
}

func controlCharacters(name string) *engine.Error {
	return badRequest("control_characters", fmt.Sprintf("The parameter %s holds control characters or is not UTF-8.", safeWord(name)))
}

// repeated names a parameter that came twice. RFC 6749 §3.1, §3.2
func repeated(form url.Values) (string, bool) {
	return first(form, func(name string, values []string) bool {
		return len(values) > 1 && !slices.Contains(repeatable, name)
	})
}

func repeatedParameter(name string) *engine.Error {
	return badRequest("parameter_repeated", fmt.Sprintf("The parameter %s was sent more than once.", safeWord(name)))
}

func sortedKeys(form url.Values) []string {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func keysOf(form url.Values) string {
	names := sortedKeys(form)
	for i := range names {
		names[i] = safeWord(names[i])
	}
	if len(names) > 5 {
		names = append(names[:5], "more")
	}
	return strings.Join(names, ", ")
}

func badRequest(reason, description string) *engine.Error {
	return &engine.Error{Code: "invalid_request", Reason: reason, Status: http.StatusBadRequest, Description: description}
}

// authenticated is the function authenticated with the certificates that the client has
// shown in TLS, which prove something of some clients. RFC 8705 §2
func (h *Handlers) authenticated(r *http.Request) (engine.Credentials, url.Values, *engine.Error) {
	c, form, e := authenticated(r)
	if e == nil {
		c.Certificates, e = h.certificates(r)
	}
	return c, form, e
}

// authenticated reads a form with the credentials of a client and takes these out
// of it. They come in the header or in the body, in one form only, and name one
// client. RFC 6749 §2.3
func authenticated(r *http.Request) (engine.Credentials, url.Values, *engine.Error) {
	form, e := submitted(r)
	if e != nil {
		return engine.Credentials{}, nil, e
	}
	c, e := credentials(r.Header.Values("Authorization"), form)
	if e != nil {
		return c, nil, e
	}
	form.Del("client_id")
	form.Del("client_secret")
	form.Del("client_assertion")
	form.Del("client_assertion_type")
	exchangeOf(r.Context()).clientID = clipped(c.ClientID, maxClientID)
	return c, form, nil
}

func credentials(header []string, form url.Values) (engine.Credentials, *engine.Error) {
	inBody, asserted := form.Has("client_secret"), form.Has("client_assertion") || form.Has("client_assertion_type")
	id := form.Get("client_id")
	switch {
	case len(header) > 1:
		return engine.Credentials{}, badRequest("several_credentials", "The Authorization header was sent more than once.")
	case len(header) == 1 && (inBody || asserted):
		return engine.Credentials{}, badRequest("several_credentials", "The client authenticated in the Authorization header and in the body; use one of them.")
	case inBody && asserted:
		return engine.Credentials{}, badRequest("several_credentials", "The client sent a client_secret and a client_assertion; use one of them.")
	case len(header) == 1:
		c, e := basic(header[0])
		if e == nil && form.Has("client_id") && id != c.ClientID {
			e = badRequest("mixed_client", "The client_id of the body is another one than that of the Authorization header.")
			e.Detail = fmt.Sprintf("header %s, body %s", safeWord(c.ClientID), safeWord(id))
		}
		return c, e
	case asserted:
		return assertion(form)
	case id == "":
		return engine.Credentials{}, unauthenticated("client_missing", "The request names no client: send client_id, or the Authorization header with scheme Basic.")
	case inBody:
		return engine.Credentials{ClientID: id, Secret: storage.Secret(form.Get("client_secret")), Method: "client_secret_post"}, nil
	default:
		return engine.Credentials{ClientID: id, Method: storage.AuthMethodNone}, nil
	}
}

// typeAssertion is the one client_assertion_type there is. RFC 7523 §2.2
const typeAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertion reads the credentials of a client that signs. It need not send its
// client_id beside. RFC 7521 §4.2
func assertion(form url.Values) (engine.Credentials, *engine.Error) {
	token := storage.Secret(form.Get("client_assertion"))
	switch sent := form.Get("client_assertion_type"); {
	case token == "":
		return engine.Credentials{}, badRequest("parameter_missing", "The parameter client_assertion is missing.")
	case sent == "":
		return engine.Credentials{}, badRequest("parameter_missing", "The parameter client_assertion_type is missing.")
	case sent != typeAssertion:
		return engine.Credentials{}, badRequest("assertion_type_unknown", "The client_assertion_type must be "+typeAssertion+".")
	}
	id := form.Get("client_id")
	if id == "" {
		id = engine.AssertedClient(token)
	}
	if id == "" {
		return engine.Credentials{}, unauthenticated("client_missing", "The request names no client: send client_id, or an assertion whose sub is the client.")
	}
	return engine.Credentials{ClientID: id, Assertion: token, Method: engine.AssertionMethod(token)}, nil
}

func unauthenticated(reason, description string) *engine.Error {
	return &engine.Error{
		Code: "invalid_client", Reason: reason, Status: http.StatusUnauthorized,
		Description: description, Challenge: "Basic",
	}
}

// basic decodes a Basic header, whose two parts are form-encoded before they are
// joined. RFC 6749 §2.3.1
func basic(header string) (engine.Credentials, *engine.Error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return engine.Credentials{}, unauthenticated("authorization_scheme", fmt.Sprintf("Clients authenticate with the scheme Basic here, not %s.", safeWord(scheme)))
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return engine.Credentials{}, basicMalformed()
	}
	left, right, found := strings.Cut(string(raw), ":")
	if !found {
		return engine.Credentials{}, basicMalformed()
	}
	id, err1 := url.QueryUnescape(left)
	secret, err2 := url.QueryUnescape(right)
	if err1 != nil || err2 != nil || id == "" {
		return engine.Credentials{}, basicMalformed()
	}
	if !legible(id) || !legible(secret) {
		return engine.Credentials{}, basicMalformed()
	}
	return engine.Credentials{ClientID: id, Secret: storage.Secret(secret), Method: "client_secret_basic"}, nil
}

func basicMalformed() *engine.Error {
	return unauthenticated("basic_malformed", "The Authorization header does not decode: base64 of client_id:client_secret is wanted, both form-encoded.")
}
