package engine

import (
	"net/http"
	"time"
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
	Cause       error
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

// unavailable is the refusal when the store can't serve. RFC 9110 §15.6.4
func unavailable(cause error) *Error {
	return &Error{
		Code: "temporarily_unavailable", Reason: "store_unavailable", Status: http.StatusServiceUnavailable,
		Description: "The server can not store or read its state at the moment. Try again shortly.",
		RetryAfter:  2 * time.Second, Cause: cause,
	}
}
