package bearer

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/dpop"
)

// maxToken is how long a token may be, in bytes.
const maxToken = 16 << 10

// API is a protected resource. Only Verifier is required.
type API struct {
	// Verifier tells what a token allows: the server itself, or Remote.
	Verifier Verifier

	// Resource is the audience that a token must name. Empty: that of Metadata, else
	// that of the Verifier.
	Resource string

	// Metadata is what the API tells clients about itself. When it is set, challenges
	// point to its URL; serve it at its Paths. RFC 9728 §5.1
	Metadata *Metadata

	// BaseURL is the URL by which clients reach the API, as "https://api.example.com": what
	// stands before the path of a request, which DPoP proofs name whole. A handler behind
	// http.StripPrefix adds the prefix here. Empty: scheme and host of Resource, if that is
	// a URL. The Host header is never asked. RFC 9449 §4.3
	BaseURL string

	// Certificate returns the TLS certificate of a request's client, nil for none, for
	// tokens that are bound to one. Nil: that of the connection. RFC 8705 §3
	Certificate func(*http.Request) *x509.Certificate

	// Clock tells the time, by which proofs are judged. Nil: time.Now.
	Clock func() time.Time

	// Realm is told in challenges. Empty: none.
	Realm string

	// Logger gets a line for each refusal: at level info, and error when tokens can't
	// be verified. It never sees a token. Nil: slog.Default.
	Logger *slog.Logger
}

// Require is API.Require of an API that has only a verifier.
func Require(v Verifier, scopes ...string) func(http.Handler) http.Handler {
	return API{Verifier: v}.Require(scopes...)
}

// Require returns a middleware that lets a request pass when it carries a valid
// access token for this API with all of the scopes, in the Authorization header and
// nowhere else. The handler gets the token by FromContext. All others are answered:
//
//   - 401 with a challenge, without a token or with one that is not valid
//   - 403 and insufficient_scope, with the scopes to ask for: those required, and those
//     the token has already, so that a client does not lose one by gaining another
//   - 400 for a token in the URL, two Authorization headers or a malformed one
//   - 503 and Retry-After, when the token can't be verified at the moment
//
// A token that is bound to a key of the client comes with the scheme DPoP and a proof of
// the key, good once in this process; one that is bound to a TLS certificate comes with
// it. Neither is accepted otherwise.
// RFC 6750 §2.1, §3, RFC 9728 §5.1
func (a API) Require(scopes ...string) func(http.Handler) http.Handler {
	g := &gate{api: a, scopes: scopes, resource: a.resource(), log: a.Logger, now: clockOr(a.Clock)}
	if a.Metadata != nil {
		g.metadata = a.Metadata.URL()
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, refused := g.admit(r)
			if refused != nil {
				g.refuse(w, r, refused)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, token)))
		})
	}
}

func (a API) resource() string {
	if a.Resource != "" {
		return a.Resource
	}
	if a.Metadata != nil && a.Metadata.Resource != "" {
		return a.Metadata.Resource
	}
	if v, ok := a.Verifier.(interface{ Resource() string }); ok {
		return v.Resource()
	}
	return ""
}

// gate is an API with the scopes of one of its handlers.
type gate struct {
	api                API
	scopes             []string
	resource, metadata string
	log                *slog.Logger
	now                func() time.Time
	seen               dpop.Seen
}

func (g *gate) admit(r *http.Request) (*Token, *refusal) {
	scheme, credentials, refused := fromHeader(r)
	if refused != nil {
		return nil, refused
	}
	if g.api.Verifier == nil {
		return nil, broken(errors.New("bearer: API.Verifier: found none; write the server or a Remote"))
	}
	token, err := g.api.Verifier.Verify(r.Context(), credentials)
	switch {
	case errors.Is(err, ErrInvalid):
		return nil, invalid("The access token is unknown, expired or revoked.", err)
	case errors.Is(err, ErrUnavailable):
		return nil, unavailable(err)
	case err != nil:
		return nil, broken(err)
	case token == nil:
		return nil, broken(errors.New("bearer: the verifier returned neither a token nor an error"))
	case g.resource != "" && !token.MeantFor(g.resource):
		return nil, invalid("The access token is meant for another resource.", &audienceError{token.Audience, g.resource})
	}
	if refused := g.possess(r, scheme, credentials, token); refused != nil {
		return nil, refused
	}
	for _, scope := range g.scopes {
		if !token.Allows(scope) {
			return nil, insufficient(token.Scopes)
		}
	}
	return token, nil
}

// fromHeader takes the token from the request. RFC 6750 §2.1, RFC 9110 §11.4
func fromHeader(r *http.Request) (scheme, token string, refused *refusal) {
	if r.URL.Query().Has("access_token") {
		return "", "", malformed("An access token in the URL is not accepted; send it in the Authorization header.")
	}
	header := r.Header.Values("Authorization")
	if len(header) > 1 {
		// The proxy in front may have judged the other one.
		return "", "", malformed("The Authorization header was sent more than once.")
	}
	if len(header) == 0 {
		return "", "", missing()
	}
	scheme, token, _ = strings.Cut(strings.Trim(header[0], " \t"), " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case strings.EqualFold(scheme, dpop.Scheme):
		scheme = dpop.Scheme
	case !strings.EqualFold(scheme, "Bearer"):
		return "", "", missing()
	}
	switch {
	case token == "":
		return "", "", missing()
	case len(token) > maxToken || !b64token(token):
		return "", "", malformed("The Authorization header is not the word Bearer or DPoP, a space and one access token.")
	}
	return scheme, token, nil
}

// b64token says whether a string can be an access token. RFC 6750 §2.1
func b64token(s string) bool {
	body := strings.TrimRight(s, "=")
	return body != "" && !strings.ContainsFunc(body, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	})
}
