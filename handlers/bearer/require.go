package bearer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
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

	// NonceSecret wants a nonce of this API in each proof, so that proofs can't be made
	// beforehand: 32 random bytes or more, the same in all replicas, from which the
	// nonces are made. A client gets one by being refused once, with use_dpop_nonce and
	// the header DPoP-Nonce, and the next ones with answers. Nil: none is wanted.
	// RFC 9449 §9
	NonceSecret []byte

	// ACRValues are the ways of signing in that are strong enough: the acr of a token
	// must be one of them. Empty: any. MaxAge is how long ago the person may have signed
	// in, in whole seconds, by the auth_time of the token. 0: any time. Others are told
	// to sign the person in again, with acr_values and max_age. To ask more of single
	// handlers, Require of a copy of the API. RFC 9470 §3
	ACRValues []string
	MaxAge    time.Duration

	// Clock tells the time, by which proofs and MaxAge are judged. Nil: time.Now.
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
//   - 401 and insufficient_user_authentication, when the sign-in was not what ACRValues
//     and MaxAge want
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
	g := &gate{api: a, scopes: scopes, resource: a.resource(), log: a.Logger, now: clockOr(a.Clock), nonces: noncesOf(a.NonceSecret)}
	if a.Metadata != nil {
		g.metadata = a.Metadata.URL()
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, refused := g.admit(w.Header(), r)
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
	nonces             *dpop.Nonces // nil: none are wanted
}

// admit judges a request. The header is that of the answer.
func (g *gate) admit(header http.Header, r *http.Request) (*Token, *refusal) {
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
	refused = g.possess(header, r, scheme, credentials, token)
	if refused == nil {
		refused = g.enough(token)
	}
	if refused != nil {
		if refused.scheme == "" && scheme == dpop.Scheme {
			refused.scheme = scheme // what the client speaks; RFC 9449 §7.1
		}
		return nil, refused
	}
	return token, nil
}

// enough refuses a token that is valid and does not suffice. Whether the sign-in does
// comes first: a client that asks for a better one can ask for the scopes in the same
// breath, since the challenge names them.
func (g *gate) enough(t *Token) *refusal {
	acr, _ := t.Claims["acr"].(string)
	if len(g.api.ACRValues) > 0 && !slices.Contains(g.api.ACRValues, acr) {
		return g.weak(t, "The person did not sign in in one of the ways that this request needs.", fmt.Errorf("bearer: the acr is %.100q", acr))
	}
	if g.api.MaxAge > 0 {
		// A token that does not tell may be of any age.
		at, told := t.authTime()
		if age := g.now().Sub(at); !told || age > g.api.MaxAge {
			return g.weak(t, "The person signed in too long ago for this request.", fmt.Errorf("bearer: auth_time told: %v, %s ago", told, age.Round(time.Second)))
		}
	}
	for _, scope := range g.scopes {
		if !t.Allows(scope) {
			return insufficient(t.Scopes)
		}
	}
	return nil
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
