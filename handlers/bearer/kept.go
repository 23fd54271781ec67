package bearer

import (
	"context"
	"sync"
	"time"
)

const (
	pause      = retryAfter * time.Second // after a fetch that failed
	forcePause = time.Minute              // between fetches of what is still fresh
	grace      = time.Hour                // beyond its life, while no new one can be had
)

// kept is something that is fetched when it is wanted, and kept for a while. One
// caller fetches and the others wait for it. The zero value needs a fetch.
type kept[T any] struct {
	fetch func(context.Context) (value T, life time.Duration, err error)

	mu      sync.Mutex
	has     bool
	value   T
	until   time.Time     // the value is fresh
	forced  time.Time     // a fresh value was fetched again
	failed  time.Time     // the last fetch, if err is not nil
	err     error         // of the last fetch
	running chan struct{} // closed when the running fetch ends; nil when there is none
}

// get returns a value, fetched anew at most once: when it has ended its life, or when
// it is not enough, which strangers may cause and which is therefore done once a
// minute. The caller must look whether the value is enough. The error is
// ErrUnavailable.
func (k *kept[T]) get(ctx context.Context, clock func() time.Time, enough func(T) bool) (T, error) {
	k.mu.Lock()
	now := clock()
	fresh := k.has && now.Before(k.until)
	if fresh && enough(k.value) || k.running == nil && k.rests(now, fresh) {
		defer k.mu.Unlock()
		return k.answer(now, enough)
	}
	running := k.running
	if running == nil {
		k.running = make(chan struct{})
		k.mu.Unlock()
		k.run(ctx, clock, fresh)
	} else {
		k.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			var none T
			return none, unavailablef("wait for a fetch: %w", ctx.Err())
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.answer(clock(), enough)
}

// rests says whether it is too early to fetch again.
func (k *kept[T]) rests(now time.Time, fresh bool) bool {
	return k.err != nil && now.Sub(k.failed) < pause ||
		fresh && !k.forced.IsZero() && now.Sub(k.forced) < forcePause
}

// run fetches. Whatever happens, those who wait are released.
func (k *kept[T]) run(ctx context.Context, clock func() time.Time, fresh bool) {
	var (
		value T
		life  time.Duration
		err   = unavailablef("the fetch ended early")
	)
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		close(k.running)
		k.running, k.err = nil, err
		now := clock()
		if err != nil {
			k.failed = now
			return
		}
		k.has, k.value, k.until = true, value, now.Add(life)
		if fresh {
			k.forced = now
		}
	}()
	value, life, err = k.fetch(ctx)
}

// answer is what there is. While fetches fail a value that is not enough says
// nothing: the missing key may be in the set that could not be read.
func (k *kept[T]) answer(now time.Time, enough func(T) bool) (T, error) {
	if k.has && now.Before(k.until.Add(grace)) && (k.err == nil || enough(k.value)) {
		return k.value, nil
	}
	var none T
	if k.err == nil {
		return none, unavailablef("what is known is out of date")
	}
	return none, unavailablef("%w", k.err)
}
