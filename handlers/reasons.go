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
	h.showIn(w, r, http.StatusOK, h.pages.Language(nil, ""), pages.Reasons{List: list}) // for developers, in English
	w.Header().Set("Cache-Control", "public, max-age=3600")
	return nil
}

// reason is one row of the table that the page of errors is made from.
type reason struct {
	Anchor string // Error.Reason, or a code
	Code   string // Error.Code
	What   string // what happened
	Change string // what to change
}
