package handlers

import (
	"net/http"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

func (h *Handlers) errorsPage(w http.ResponseWriter, r *http.Request) *engine.Error {
	list := make([]pages.Reason, 0, len(reasons))
	for _, known := range reasons {
		list = append(list, pages.Reason{Anchor: known.Anchor, Code: known.Code, What: known.What, Change: known.Change})
	}
	h.show(w, r, http.StatusOK, pages.Reasons{List: list})
	w.Header().Set("Cache-Control", "public, max-age=3600")
	return nil
}

// errorURI leads to what is said about an error. Where the client is told no more
// than the code, because the finer reason would help somebody who guesses, so does
// the link. RFC 6749 §5.2
func (h *Handlers) errorURI(e *engine.Error) string {
	anchor := ""
	for _, known := range reasons {
		if known.Anchor == e.Reason && !known.logged {
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
	Anchor string // Error.Reason, or a code
	Code   string // Error.Code
	What   string // what happened
	Change string // what to change
	logged bool   // which of these it is, only the log says
}
