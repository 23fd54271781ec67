package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/doorward/doorward/internal/engine"
)

// timed bounds how long a hook may take by the context of its request. A hook that
// does not look at it can't be stopped: then what it completes afterwards is refused,
// with whatever request it does that. in is what the hook may complete, nil for nothing.
func (h *Handlers) timed(r *http.Request, in *Interaction) (*http.Request, context.CancelFunc) {
	if h.config.HookTime <= 0 {
		return r, func() {}
	}
	// A browser that hangs up ends the context as well, and early: whether the time is over
	// is told by one that goes on.
	alone, end := context.WithTimeout(context.WithoutCancel(r.Context()), h.config.HookTime)
	ctx, cancel := context.WithCancel(alone)
	stop := context.AfterFunc(r.Context(), cancel)
	if in != nil {
		in.late = func() bool { return errors.Is(alone.Err(), context.DeadlineExceeded) }
	}
	return r.WithContext(ctx), func() { stop(); cancel(); end() }
}

// calls notes which hook runs, so that the log can name one that panics. before is what
// is to be noted again when it has returned.
func (x *exchange) calls(hook string) (before string) {
	before, x.hook = x.hook, hook
	return before
}

// tooLate is the refusal of what a hook says after its deadline; nil while there is time.
func tooLate(ctx context.Context) *engine.Error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return hookLate()
}

func hookLate() *engine.Error {
	e := storeFailed(context.DeadlineExceeded)
	e.Reason, e.Setting = "hook_deadline", "Limits.Hooks"
	return e
}

// inTime says whether the hook that holds the interaction still may complete it.
func (in *Interaction) inTime() bool { return in.late == nil || !in.late() }

// refuseLate answers what comes after the deadline: nothing of it is taken.
func (in *Interaction) refuseLate(w http.ResponseWriter, r *http.Request) {
	if in.record == nil {
		in.silentError = hookLate()
		return
	}
	in.fail(w, r, hookLate())
}
