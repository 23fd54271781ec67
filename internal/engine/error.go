package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/doorward/doorward/internal/redact"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
)

// Error is the one form in which a request is refused. What the client may see
// stands apart from what only the log may.
type Error struct {
	Code        string // the RFC's error code: invalid_grant, invalid_client ...
	Reason      string // stable, finer: code_expired, redirect_uri_mismatch; the anchor of error_uri
	Description string // for the client: what came, what was expected
	Detail      string // for the log alone: identifiers, registered values
	Setting     string // which setting to change, where there is one
	Status      int    // HTTP status where the answer is not a redirect
	RetryAfter  time.Duration
	Challenge   string // scheme of the WWW-Authenticate header, empty for none
	Nonce       string // of the DPoP-Nonce header, empty for none
	Cause       error

	hidden bool // Reason is for the log alone
}

// Error returns the code, the reason and the description.
func (e *Error) Error() string {
	s := e.Code + " (" + e.Reason + "): " + e.Description
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Anchor names what the client may read about the refusal: the Reason, or the Code
// alone where telling more would tell a stranger whether a client, a code or a token
// exists.
func (e *Error) Anchor() string {
	if e.hidden || e.Reason == "" {
		return e.Code
	}
	return e.Reason
}

// Error codes, RFC 6749 §4.1.2.1, §5.2, RFC 6750 §3.1, RFC 8707 §2,
// RFC 9101 §7.
const (
	codeInvalidRequest       = "invalid_request"
	codeInvalidRequestURI    = "invalid_request_uri"
	codeInvalidRequestObject = "invalid_request_object"
	codeInvalidClient        = "invalid_client"
	codeInvalidGrant         = "invalid_grant"
	codeInvalidScope         = "invalid_scope"
	codeInvalidTarget        = "invalid_target"
	codeInvalidToken         = "invalid_token"
	codeInsufficientScope    = "insufficient_scope"
	codeUnauthorized         = "unauthorized_client"
	codeUnsupportedGrant     = "unsupported_grant_type"
	codeUnsupportedType      = "unsupported_response_type"
	codeServerError          = "server_error"
	codeUnavailable          = "temporarily_unavailable"
)

// Error codes of DPoP, RFC 9449 §5, §8.
const (
	codeInvalidProof = "invalid_dpop_proof"
	codeUseNonce     = "use_dpop_nonce"
)

// Error codes of a device that polls, RFC 8628 §3.5.
const (
	codeDenied   = "access_denied"
	codeExpired  = "expired_token"
	codePending  = "authorization_pending"
	codeSlowDown = "slow_down"
)

// refuse makes an Error with the status and challenge that its code has.
func refuse(code, reason, description string) *Error {
	e := &Error{Code: code, Reason: reason, Description: description, Status: http.StatusBadRequest}
	switch code {
	case codeInvalidClient:
		e.Status = http.StatusUnauthorized
	case codeInvalidToken:
		e.Status, e.Challenge = http.StatusUnauthorized, "Bearer"
	case codeInsufficientScope:
		e.Status, e.Challenge = http.StatusForbidden, "Bearer"
	case codeServerError:
		e.Status = http.StatusInternalServerError
	case codeUnavailable:
		e.Status, e.RetryAfter = http.StatusServiceUnavailable, 2*time.Second
	}
	return e
}

func (e *Error) detail(format string, args ...any) *Error {
	e.Detail = redact.Text(fmt.Sprintf(format, args...))
	return e
}

func (e *Error) setting(name string) *Error {
	e.Setting = name
	return e
}

// secret keeps the reason from the client.
func (e *Error) secret() *Error {
	e.hidden = true
	return e
}

func (e *Error) cause(err error) *Error {
	e.Cause = err
	return e
}

// missing is the refusal of a request that lacks a parameter.
func missing(parameter string) *Error {
	return refuse(codeInvalidRequest, "parameter_missing", "The parameter "+parameter+" is missing.")
}

// unavailable is the refusal when the store can't serve. RFC 9110 §15.6.4
func unavailable(cause error) *Error {
	return refuse(codeUnavailable, "store_unavailable",
		"The server can not store or read its state at the moment. Try again shortly.").cause(cause)
}

// broken is the refusal when the server or a hook of the host failed.
func broken(reason string, cause error) *Error {
	return refuse(codeServerError, reason, "The server failed to answer this request. The operator finds the cause in the log.").cause(cause)
}

// failure makes of any error the one that is told. A failing store comes before
// everything else: a refusal that could not be stored did not happen, and an
// unreadable client is not an unknown one.
func failure(err error) *Error {
	if err == nil {
		return nil
	}
	var told *Error
	var theirs *fosite.RFC6749Error
	switch {
	case errors.Is(err, secrethash.ErrBusy):
		return refuse(codeUnavailable, "busy", "Too many secrets are being checked at the moment. Try again shortly.").cause(err)
	case errors.Is(err, storage.ErrUnavailable):
		return unavailable(err)
	case errors.As(err, &told):
		return told
	case errors.Is(err, storage.ErrLimit):
		return errRepeats().cause(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return refuse(codeUnavailable, "deadline", "The request took too long. Try again.").cause(err)
	case errors.As(err, &theirs):
		return fromFosite(theirs)
	default:
		return broken("internal", err)
	}
}

// fromFosite makes a registered code of what fosite says, which has several that
// no specification knows.
func fromFosite(theirs *fosite.RFC6749Error) *Error {
	code := theirs.ErrorField
	switch code {
	case codeInvalidRequest, codeInvalidScope, codeUnauthorized, codeUnsupportedType, codeInvalidGrant, codeUnsupportedGrant:
	case "unsupported_response_mode", "invalid_state":
		code = codeInvalidRequest
	default:
		return broken("internal", theirs).detail("%s %s", theirs.HintField, theirs.DebugField)
	}
	return refuse(code, "request_malformed", clean(theirs.HintField, 200)).detail("%s", theirs.DebugField).cause(theirs)
}

// guarded runs fn and makes a panic in it, in fosite or in a hook, an error, so
// that it harms no other request.
func (e *Engine) guarded(ctx context.Context, doing string, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.ErrorContext(ctx, "panic", "doing", doing, "panic", redact.Text(fmt.Sprint(p)), "stack", string(debug.Stack()))
			err = broken("panic", nil).detail("panic while doing: %s", doing)
		}
	}()
	return fn()
}

// clean makes of s what may stand in an error_description: the characters of RFC
// 6749 §5.2, and no more than limit of them.
// What looks like a secret is shortened: somebody may have sent it as something else.
func clean(s string, limit int) string { return printable(redact.Text(s), limit) }

func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"', r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, s)
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return s
}

// quote shows a value that came from outside in an error_description.
func quote(s string) string { return "'" + clean(s, 80) + "'" }
