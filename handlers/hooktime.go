package handlers

import (
	"context"
	"net/http"
)

// timed bounds how long a hook may take by the context of its request. A hook that
// does not look at it can't be stopped: then what it completes afterwards is refused,
// since the commit looks.
func (h *Handlers) timed(r *http.Request) (*http.Request, context.CancelFunc) {
	if h.config.HookTime <= 0 {
		return r, func() {}
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.config.HookTime)
	return r.WithContext(ctx), cancel
}
