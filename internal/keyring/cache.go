package keyring

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

const (
	maxAge      = 5 * time.Second // how old the key set in use may be: other replicas rotate too
	reloadEvery = time.Second     // how often made-up kids can make us read it
)

// view is a key set made ready for use. It is not changed once it is made.
type view struct {
	loaded    time.Time
	signers   map[string]jws.Key // the active keys, by algorithm
	verifiers map[string]jws.Key // all keys, by kid
	removed   []removal
	jwks      []byte
}

// cache holds the view in use. Whoever finds it too old reads the store while the
// others wait.
type cache struct {
	view     atomic.Pointer[view]
	stale    atomic.Bool   // this process changed the set
	reading  chan struct{} // holds a value while somebody reads
	reloaded time.Time     // the last reload; belongs to who reads
}

func newCache() *cache { return &cache{reading: make(chan struct{}, 1)} }

// fresh returns the view in use when it is not too old, else nil.
func (c *cache) fresh(now time.Time) *view {
	v := c.view.Load()
	if v == nil || c.stale.Load() || now.Before(v.loaded) || now.Sub(v.loaded) >= maxAge {
		return nil
	}
	return v
}

// current returns a view that is not too old.
func (r *Ring) current(ctx context.Context) (*view, error) {
	if v := r.cache.fresh(r.store.Now()); v != nil {
		return v, nil
	}
	return r.read(ctx, false)
}

// reload returns a view read now, or the current one when the last reload was
// just before.
func (r *Ring) reload(ctx context.Context) (*view, error) { return r.read(ctx, true) }

func (r *Ring) read(ctx context.Context, again bool) (*view, error) {
	select {
	case r.cache.reading <- struct{}{}:
		defer func() { <-r.cache.reading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: keyring: wait for the signing keys: %w", storage.ErrUnavailable, ctx.Err())
	}
	now := r.store.Now()
	v := r.cache.fresh(now) // who was here before may have read it
	if again && now.Sub(r.cache.reloaded).Abs() >= reloadEvery {
		r.cache.reloaded, v = now, nil
	}
	if v != nil {
		return v, nil
	}
	r.cache.stale.Store(false) // before the read, so that a change after it is not missed
	set, err := r.sets.Get(r.store.Apart(ctx), keysetID)
	if err != nil {
		r.cache.stale.Store(true)
		return nil, fmt.Errorf("keyring: read the signing keys: %w", err)
	}
	v, err = r.prepare(set, now, r.cache.view.Load())
	if err != nil {
		r.cache.stale.Store(true)
		return nil, err
	}
	r.cache.view.Store(v)
	return v, nil
}

// prepare parses the keys of a set, taking over those that the view before has
// parsed.
func (r *Ring) prepare(set *keyset, now time.Time, before *view) (*view, error) {
	v := &view{
		loaded: now, removed: set.Removed,
		signers: map[string]jws.Key{}, verifiers: map[string]jws.Key{},
	}
	if before == nil {
		before = &view{}
	}
	for i := range set.Keys {
		k := &set.Keys[i]
		public, known := before.verifiers[k.ID]
		if !known {
			var err error
			if public, err = k.parsePublic(); err != nil {
				return nil, err
			}
		}
		v.verifiers[k.ID] = public
		if k.state() != stateActive {
			continue
		}
		signer := before.signers[k.Algorithm]
		if signer.ID != k.ID {
			var err error
			if signer, err = k.parsePrivate(); err != nil {
				return nil, err
			}
		}
		v.signers[k.Algorithm] = signer
	}
	var err error
	v.jwks, err = r.publish(set, now, v)
	return v, err
}

// publish encodes the published keys, those of the default algorithm and the
// active ones first, since some clients take the first that fits.
func (r *Ring) publish(set *keyset, now time.Time, v *view) ([]byte, error) {
	keys := slices.Clone(set.Keys)
	rank := func(k *key) int {
		alg := slices.Index(r.options.Algorithms, k.Algorithm)
		if alg < 0 {
			alg = len(r.options.Algorithms)
		}
		return alg*3 + map[state]int{stateActive: 0, stateNext: 1, stateRetired: 2}[k.state()]
	}
	slices.SortStableFunc(keys, func(a, b key) int { return rank(&a) - rank(&b) })
	body := struct {
		Keys []json.RawMessage `json:"keys"`
	}{}
	for i := range keys {
		if !keys[i].published(now) {
			continue
		}
		jwk, err := jws.PublicJWK(v.verifiers[keys[i].ID])
		if err != nil {
			return nil, fmt.Errorf("keyring: key %s: %w", keys[i].ID, err)
		}
		body.Keys = append(body.Keys, jwk)
	}
	return json.Marshal(body)
}

// unknown says what is known of a key that is not there.
func (v *view) unknown(kid string) error {
	for _, gone := range v.removed {
		if gone.ID == kid {
			return fmt.Errorf("%w: %.80q was removed at %s", ErrUnknownKey, kid, gone.At.Format(time.RFC3339))
		}
	}
	return fmt.Errorf("%w: %.80q", ErrUnknownKey, kid)
}
