package handlers

import (
	"net/http"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

func (h *Handlers) errorsPage(w http.ResponseWriter, r *http.Request) *engine.Error {
	list := make([]pages.Reason, 0, len(reasons))
	for _, known := range reasons {
		list = append(list, pages.Reason(known))
	}
	h.show(w, r, http.StatusOK, pages.Reasons{List: list})
	w.Header().Set("Cache-Control", "public, max-age=3600")
	return nil
}

// errorURI leads to what is said about an error: by its reason, or by its code
// where the reason is not in the table.
func (h *Handlers) errorURI(e *engine.Error) string {
	anchor := ""
	for _, known := range reasons {
		if known.Anchor == e.Reason {
			return h.config.Issuer + "/errors#" + known.Anchor
		}
		if known.Anchor == e.Code {
			anchor = "#" + known.Anchor
		}
	}
	return h.config.Issuer + "/errors" + anchor
}

// reason is one row of the table that the page of errors is made from.
type reason struct {
	Anchor string // Error.Reason
	Code   string // Error.Code
	What   string // what happened
	Change string // what to change
}

var reasons = []reason{
	{"invalid_request", "invalid_request", "The request lacks a parameter, repeats one or has one that is malformed.", "Read the error_description, which names it."},
	{"method_not_allowed", "invalid_request", "The endpoint does not take this HTTP method.", "Use one that the Allow header lists."},
}
