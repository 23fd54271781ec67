package bearer

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/dpop"
	"github.com/doorward/doorward/internal/quotable"
	"github.com/doorward/doorward/internal/redact"
)

// retryAfter is what a client is told to wait while tokens can't be verified, in
// seconds. It is also the pause after a fetch that failed.
const retryAfter = 5

// refusal is a request that does not pass.
type refusal struct {
	status      int
	code        string
	description string   // for the client
	silent      bool     // the challenge does not say the code
	scheme      string   // of the challenge, "" for Bearer
	granted     []string // what the token has, which it should not lose
	acrs        []string // with insufficient_user_authentication: one of them would do
	maxAge      time.Duration
	cause       error // for the log
}

// missing is a request without a token, or with another kind of credentials: it is
// told where to get one, and not that it did anything wrong. RFC 6750 §3.1
func missing() *refusal {
	return &refusal{
		status: http.StatusUnauthorized, code: "invalid_token", silent: true,
		description: "The request has no access token: send it in the Authorization header with scheme Bearer.",
	}
}

func malformed(description string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

func invalid(description string, cause error) *refusal {
	return &refusal{status: http.StatusUnauthorized, code: "invalid_token", description: description, cause: cause}
}

func insufficient(granted []string) *refusal {
	return &refusal{
		status: http.StatusForbidden, code: "insufficient_scope", granted: granted,
		description: "The access token does not have the scopes that this request needs.",
	}
}

// weak is a token whose person should sign in once more, or better. RFC 9470 §3
func (g *gate) weak(t *Token, description string, cause error) *refusal {
	return &refusal{
		status: http.StatusUnauthorized, code: "insufficient_user_authentication", description: description, cause: cause, granted: t.Scopes,
		acrs: g.api.ACRValues, maxAge: g.api.MaxAge,
	}
}

func unavailable(cause error) *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, code: "temporarily_unavailable", cause: cause,
		description: "Access tokens can not be verified at the moment. Try again shortly.",
	}
}

func broken(cause error) *refusal {
	return &refusal{
		status: http.StatusInternalServerError, code: "server_error", cause: cause,
		description: "Something went wrong in the server. Its log has the details.",
	}
}

// audienceError says for whom a refused token is meant.
type audienceError struct {
	audience []string
	resource string
}

func (e *audienceError) Error() string {
	return fmt.Sprintf("bearer: the audience is %.200q, not %q", e.audience, e.resource)
}

// refuse is the one place where a refusal is written. RFC 6750 §3
func (g *gate) refuse(w http.ResponseWriter, r *http.Request, e *refusal) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", redact.Text(r.URL.Path)),
		slog.String("code", e.code), slog.String("description", e.description),
	}
	if e.cause != nil {
		attrs = append(attrs, slog.String("err", redact.Text(e.cause.Error())))
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	if e.status < http.StatusInternalServerError {
		header.Set("WWW-Authenticate", g.challenge(e))
		if e.silent && g.base() != "" {
			// Who has no token yet is told of both kinds. Bearer comes first, because
			// there are clients that look at one challenge only. RFC 9449 §7.1
			bound := *e
			bound.scheme = dpop.Scheme
			header.Add("WWW-Authenticate", g.challenge(&bound))
		}
	} else {
		if r.Context().Err() == nil { // nothing failed when the client has gone
			level = slog.LevelError
		}
	}
	if e.status == http.StatusServiceUnavailable {
		header.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	g.log.LogAttrs(r.Context(), level, "request refused", attrs...)
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(map[string]string{ // fails when the client has gone
		"error": e.code, "error_description": e.description,
	})
}

// challenge is the WWW-Authenticate header. RFC 6750 §3, RFC 9728 §5.1
func (g *gate) challenge(e *refusal) string {
	var params []string
	add := func(name, value string) {
		if value = quotable.Text(value); value != "" {
			params = append(params, name+`="`+value+`"`)
		}
	}
	add("realm", g.api.Realm)
	if !e.silent {
		add("error", e.code)
		add("error_description", e.description)
	}
	if e.code != "invalid_request" {
		add("scope", scopeList(g.scopes, e.granted))
	}
	add("acr_values", scopeList(e.acrs))
	if e.maxAge > 0 {
		add("max_age", strconv.FormatInt(int64(e.maxAge/time.Second), 10))
	}
	add("resource_metadata", g.metadata)
	scheme := "Bearer"
	if e.scheme != "" {
		scheme = e.scheme
		add("algs", strings.Join(dpop.Algorithms(), " ")) // RFC 9449 §7.1
	}
	if len(params) == 0 {
		return scheme
	}
	return scheme + " " + strings.Join(params, ", ")
}

// scopeList joins scopes, each once. What is no scope by the grammar would change the
// meaning of the header and is left out. RFC 6749 §3.3
func scopeList(lists ...[]string) string {
	var names []string
	for _, name := range slices.Concat(lists...) {
		if name != "" && name == quotable.Text(name) && !strings.Contains(name, " ") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}
