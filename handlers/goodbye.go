package handlers

import (
	"net/http"
	"slices"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

// goodbye is what was said to a request to sign out, kept with it so that a second click,
// for which the browser drops the first answer, gets the same page: only that one has the
// frames by which the clients sign the person out.
type goodbye struct {
	Stayed   bool          `json:"stayed,omitempty"`
	Frames   []pages.Frame `json:"frames,omitempty"`
	Sessions []string      `json:"sessions,omitempty"` // which ended
}

func (g goodbye) page() pages.SignedOut { return pages.SignedOut{Stayed: g.Stayed, Frames: g.Frames} }

func sessionIDs(list []present) (ids []string) {
	for _, p := range list {
		if p.SessionID != "" {
			ids = append(ids, p.SessionID)
		}
	}
	return ids
}

// goodbyeAgain answers a click as the one before it was answered. Nothing is ended that
// began since, but the browser may have lost the cookies of the first answer too.
func (h *Handlers) goodbyeAgain(w http.ResponseWriter, r *http.Request, at *resumed, said goodbye) *engine.Error {
	f, e := h.checkLogout(r, at.record.params())
	if e != nil {
		return e
	}
	if said.Stayed {
		h.farewell(w, r, f, said.page())
		return nil
	}
	p, err := h.current(r.Context(), r)
	switch {
	case err != nil:
		return storeFailed(err)
	case p.nobody():
		h.dropSession(w, r, p)
	case h.source != nil && slices.Contains(said.Sessions, p.SessionID):
		return h.endLogout(w, r, at, []present{p}, f, true) // the host's session may be its cookie alone
	case h.source != nil:
		return h.signOut(w, r, at.record.params(), nil)
	}
	for _, id := range said.Sessions {
		h.dropAccount(w, r, id)
	}
	h.farewell(w, r, f, said.page())
	return nil
}
