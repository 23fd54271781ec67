package handlers

import (
	"bytes"
	"net/http"
	"time"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

// reasonsLife is how long a browser may keep the page of errors.
const reasonsLife = time.Hour

// errorsPage serves a page that is the same for everybody. It is by far the longest one:
// made for each who asks, it would keep the processors busy for anybody who asks often.
func (h *Handlers) errorsPage(w http.ResponseWriter, r *http.Request) *engine.Error {
	page, err := h.reasons()
	if err != nil {
		return failed("internal", err)
	}
	w.Header().Set("Content-Security-Policy", pages.Policy)
	w.Header().Set("Content-Language", h.pages.Language(nil, "").Tag())
	page.write(w, r)
	return nil
}

// renderReasons makes the page of errors, for developers and so in English.
func (h *Handlers) renderReasons() (*prepared, error) {
	list := make([]pages.Reason, 0, len(reasons))
	for _, known := range reasons {
		list = append(list, pages.Reason{Anchor: known.Anchor, Code: known.Code, What: known.What, Change: known.Change})
	}
	var page bytes.Buffer
	if err := h.pages.Render(&page, h.pages.Language(nil, ""), h.path("assets"), pages.Reasons{List: list}); err != nil {
		return nil, err
	}
	return prepare("text/html; charset=utf-8", page.Bytes(), reasonsLife), nil
}

// reason is one row of the table that the page of errors is made from.
type reason struct {
	Anchor string // Error.Reason, or a code
	Code   string // Error.Code
	What   string // what happened
	Change string // what to change
}
