package server

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// sweepBudget is how long one sweep holds the writer, sweepPause how long
	// it leaves it to others before the next.
	sweepBudget = 5 * time.Millisecond
	sweepPause  = 50 * time.Millisecond

	// sweepEvery is the time between two looks for expired records.
	sweepEvery = time.Minute

	// keysEvery bounds the time between two looks at the keys, so that a clock
	// that is set, or another replica, is noticed.
	keysEvery = 10 * time.Minute
	keysRetry = 10 * time.Second

	// dataKeysEvery bounds the time between two looks at the data keys, so that what a
	// command began on another replica, or in another process, goes on soon.
	dataKeysEvery = time.Minute

	// runGrace is how long a server may answer before somebody is told that
	// Run was not called.
	runGrace = time.Minute
)

// ErrRunning means that Run was called while it runs already.
var ErrRunning = errors.New("server: Run runs already")

// Run does what is due in the background: it deletes expired records, five
// milliseconds at a time, rotates the signing keys and those that seal what is stored,
// and tells clients of sessions that have ended, eight at a time. It returns nil when ctx has ended and the goroutines that
// it started have. A step that fails is logged and tried again. With several replicas
// each runs it, and they share the work.
func (s *Server) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer s.running.Store(false)
	s.ran.Store(true)
	var deliveries sync.WaitGroup
	defer deliveries.Wait()
	deliveries.Go(func() { s.outbox.Run(ctx) })
	var sweep, keys, data time.Duration // until the next one
	for {
		wait := min(sweep, keys, data)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		sweep, keys, data = sweep-wait, keys-wait, data-wait
		if keys <= 0 {
			keys = s.runKeys(ctx)
		}
		if sweep <= 0 {
			sweep = s.runSweep(ctx)
		}
		if data <= 0 {
			data = s.runDataKeys(ctx)
		}
	}
}

// runSweep sweeps once and returns when to sweep again.
func (s *Server) runSweep(ctx context.Context) time.Duration {
	n, err := s.store.Sweep(ctx, sweepBudget)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.log.WarnContext(ctx, "expired records could not be deleted; the next try is in a minute", "err", err)
	case n > 0:
		return sweepPause
	}
	return sweepEvery
}

// runKeys does what is due to the keys and returns when to look again.
func (s *Server) runKeys(ctx context.Context) time.Duration {
	next, err := s.keys.Maintain(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.log.WarnContext(ctx, "the signing keys could not be maintained; the next try is soon", "err", err)
		return keysRetry
	case !next.IsZero():
		return min(max(next.Sub(s.store.Now()), time.Second), keysEvery)
	}
	return keysEvery
}

// runDataKeys does a step of what is due to the data keys and returns when to do the next.
func (s *Server) runDataKeys(ctx context.Context) time.Duration {
	next, err := s.store.MaintainDataKeys(ctx, s.config.Keys.DataRotation)
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "the data keys could not be maintained; the next try is in a minute", "err", err)
		return time.Minute
	}
	return min(next, dataKeysEvery)
}

// Maintain does once, and to the end, what Run does over and over: for hosts that
// have a schedule of their own, and for tests that move the clock.
func (s *Server) Maintain(ctx context.Context) error {
	s.ran.Store(true)
	_, keys := s.keys.Maintain(ctx)
	told := s.outbox.Flush(ctx)
	for {
		n, err := s.store.Sweep(ctx, sweepBudget)
		if err != nil || n == 0 {
			return errors.Join(keys, told, err, s.maintainDataKeys(ctx))
		}
	}
}

func (s *Server) maintainDataKeys(ctx context.Context) error {
	for {
		next, err := s.store.MaintainDataKeys(ctx, s.config.Keys.DataRotation)
		if err != nil || next > sweepPause {
			return err
		}
	}
}

// RotateDataKey makes a new key that seals what is stored from now on, as when the one
// before may have leaked. Run seals older records anew, some hundreds in a second, and
// drops the older keys an hour later, when nothing needs them; Store().DataKeys tells how
// far it is.
func (s *Server) RotateDataKey(ctx context.Context) error {
	return s.store.RotateDataKey(ctx)
}

// RotateKeys makes the next signing keys sign at once, as after a key may have
// leaked. What the keys before signed stays verifiable until it ends.
func (s *Server) RotateKeys(ctx context.Context) error { return s.keys.Rotate(ctx) }

// remindOfRun says once that nothing runs in the background.
func (s *Server) remindOfRun(ctx context.Context) {
	if s.ran.Load() || s.store.Now().Sub(s.started) < runGrace || s.ran.Swap(true) {
		return
	}
	s.log.WarnContext(ctx, "Server.Run was not called: expired records stay, keys are not rotated, clients are not told of sign-outs; write: go idp.Run(ctx)") //nolint:sloglint // a name
}

// Ready says whether the server can serve: its store answers and its keys can be
// read. It is what a /readyz endpoint asks.
func (s *Server) Ready(ctx context.Context) error {
	if err := s.store.Ping(ctx); err != nil {
		return err
	}
	_, _, err := s.keys.JWKS(ctx)
	return err
}
