package engine

import (
	"context"
	"errors"
	"time"
)

// Event is something that happened and is durable.
type Event struct {
	Type     string // one of the Event constants
	Time     time.Time
	ClientID string
	Subject  string
	Grant    string
	Reason   string
	Age      time.Duration // of what was used, where that tells something
}

// Types of events.
const (
	EventCodeIssued    = "code_issued"
	EventTokenIssued   = "token_issued"
	EventTokenRefresh  = "token_refreshed"
	EventRefreshReuse  = "refresh_reuse"
	EventCodeReplay    = "code_replay"
	EventGrantRevoked  = "grant_revoked"
	EventTokenRevoked  = "token_revoked"
	EventAuthFailed    = "client_authentication_failed"
	EventSubjectRevoke = "subject_revoked"
	EventAppRevoke     = "app_revoked"
	EventSessionRevoke = "session_revoked"
	EventLogoutTold    = "logout_told"
	EventLogoutUntold  = "logout_given_up"
)

// hookTime bounds how long a hook may take. What one says that did not look at its
// context is refused by tooLate.
func (e *Engine) hookTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if e.config.HookTime <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, e.config.HookTime)
}

// tooLate is the error of a hook whose time is over, nil while it is not.
func tooLate(within context.Context) error {
	if err := within.Err(); errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// emit tells the host what happened, once it is durable. A hook that panics then
// changes nothing of it.
func (e *Engine) emit(ctx context.Context, ev Event) {
	if e.config.Emit == nil {
		return
	}
	ev.Time = e.store.Now()
	apart := e.store.Apart(ctx)
	e.store.AfterCommit(ctx, func() {
		_ = e.guarded(apart, "event hook", func() error { // logged there
			within, cancel := e.hookTime(apart)
			defer cancel()
			e.config.Emit(within, ev)
			return nil
		})
	})
}
