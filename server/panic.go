package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/doorward/doorward/internal/engine"
)

// errPanic is the error of a hook that panicked.
var errPanic = errors.New("server: a hook panicked")

// guarded runs a hook, named by its field of Config. One that panics is an error, of that
// request alone: it may run where net/http would not catch it.
func (c *Clients) guarded(ctx context.Context, hook string, run func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			c.log.ErrorContext(ctx, "a hook panicked", "hook", hook, "err", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: a panic of type %T", errPanic, cause)
		}
	}()
	return run()
}

func panicked(hook string, cause error) *engine.Error {
	return &engine.Error{
		Code: "server_error", Reason: "panic", Status: http.StatusInternalServerError,
		Description: "Something went wrong in the server. Its log has the details.", Cause: cause, Setting: hook,
	}
}

// takes says whether documents of a host are taken.
func (c *Clients) takes(ctx context.Context, host string) (taken bool, err error) {
	if c.registration.DocumentHost == nil {
		return true, nil
	}
	err = c.guarded(ctx, "Registration.DocumentHost", func() error {
		taken = c.registration.DocumentHost(host)
		return nil
	})
	return taken, err
}
