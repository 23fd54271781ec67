// Package keyring keeps the signing keys of a server: made on first start, kept
// sealed in one record, published before they sign, rotated by schedule, and kept
// for verification until the last token they signed has ended.
//
// Each algorithm has a chain of keys. A key is next, then active, then retired:
//
//	next     published, so that every client knows it before it signs
//	active   signs; there is exactly one
//	retired  its private part is deleted; published until the last token it
//	         signed has ended, then kept for the id_token_hint of old sessions
//
// All replicas share the record and change it by compare-and-set, so Maintain may
// run on each of them.
package keyring

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

// Options are the settings of a Ring. All but Logger are required.
type Options struct {
	Algorithms []string      // RS256, ES256, EdDSA; one key chain each
	Rotation   time.Duration // how long a key signs
	CacheTime  time.Duration // how long a client may cache the JWKS
	TokenLife  time.Duration // longest life of a token signed
	Logger     *slog.Logger  // nil: nothing is logged
}

func (o Options) validate() error {
	var problems []error
	if len(o.Algorithms) == 0 {
		problems = append(problems, errors.New("keyring: Algorithms is empty"))
	}
	for i, alg := range o.Algorithms {
		if !slices.Contains(jws.Algorithms(), alg) {
			problems = append(problems, fmt.Errorf("keyring: algorithm %q is none of %v", alg, jws.Algorithms()))
		}
		if slices.Contains(o.Algorithms[:i], alg) {
			problems = append(problems, fmt.Errorf("keyring: algorithm %s is given twice", alg))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Rotation", o.Rotation}, {"CacheTime", o.CacheTime}, {"TokenLife", o.TokenLife}} {
		if d.value <= 0 {
			problems = append(problems, fmt.Errorf("keyring: %s is %v and must be positive", d.name, d.value))
		}
	}
	return errors.Join(problems...)
}

// ErrUnknownKey means that a token names a key that the ring does not have: it
// was never ours, or was removed long after the last token it signed had ended.
var ErrUnknownKey = jws.ErrUnknownKey

// ErrTooManyKeys means that Rotate was called so often that the published key set
// would become too large.
var ErrTooManyKeys = errors.New("keyring: too many published keys")

// maxPublished bounds the retired keys of one algorithm in the JWKS that Rotate
// still adds to.
const maxPublished = 20

// Ring is the set of signing keys. It is safe for concurrent use. No method
// joins the unit of work that its context may carry: keys are committed on their
// own and outlive a request that is refused.
type Ring struct {
	store   *storage.Store
	sets    *storage.Collection[keyset]
	options Options
	log     *slog.Logger
	cache   *cache
}

// Open returns the ring of a store and does what is due, so that every algorithm
// has keys. Keys of algorithms that are no longer given are retired in time.
func Open(ctx context.Context, s *storage.Store, o Options) (*Ring, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.Algorithms = slices.Clone(o.Algorithms)
	r := &Ring{store: s, sets: keysets(s), options: o, log: o.Logger, cache: newCache()}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if _, err := r.Maintain(ctx); err != nil {
		return nil, err
	}
	if _, err := r.current(ctx); err != nil { // keys that can't be read must stop a start
		return nil, err
	}
	return r, nil
}

// Algorithms returns the algorithms that the ring can sign with, the default first.
func (r *Ring) Algorithms() []string { return slices.Clone(r.options.Algorithms) }

// Sign makes a compact JWS of the JSON form of claims with the active key of alg.
// Its header holds alg, kid and typ, which may be empty. RFC 7515 §7.1
func (r *Ring) Sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	v, err := r.current(ctx)
	if err != nil {
		return "", err
	}
	signer, ok := v.signers[alg]
	if !ok || !slices.Contains(r.options.Algorithms, alg) {
		return "", fmt.Errorf("keyring: no key signs with %q; the algorithms are %v", alg, r.options.Algorithms)
	}
	return jws.Sign(signer, typ, claims)
}

// Verify checks a compact JWS of ours against every key that is kept, retired
// ones too, and returns what was signed. It judges neither times nor claims. The
// error is ErrUnknownKey, storage.ErrUnavailable, or one of package jws.
// RFC 7515 §5.2
func (r *Ring) Verify(ctx context.Context, token string) (typ string, payload []byte, err error) {
	var unfound error
	header, payload, err := jws.Verify(token, func(kid string) (string, crypto.PublicKey, bool) {
		k, err := r.find(ctx, kid)
		unfound = err
		return k.Algorithm, k.Public, err == nil
	})
	if unfound != nil { // it says more than err
		return "", nil, unfound
	}
	if err != nil {
		return "", nil, err
	}
	return header.Type, payload, nil
}

func (r *Ring) find(ctx context.Context, kid string) (jws.Key, error) {
	v, err := r.current(ctx)
	if err != nil {
		return jws.Key{}, err
	}
	if k, ok := v.verifiers[kid]; ok {
		return k, nil
	}
	if v, err = r.reload(ctx); err != nil { // another replica may have made it
		return jws.Key{}, err
	}
	if k, ok := v.verifiers[kid]; ok {
		return k, nil
	}
	return jws.Key{}, v.unknown(kid)
}

// JWKS returns the published key set and how long it may be cached. While the
// store is unavailable it returns the set it knew last. RFC 7517 §5
func (r *Ring) JWKS(ctx context.Context) (body []byte, cache time.Duration, err error) {
	v, err := r.current(ctx)
	if err != nil {
		if v = r.cache.view.Load(); v == nil || !errors.Is(err, storage.ErrUnavailable) {
			return nil, 0, err
		}
	}
	return slices.Clone(v.jwks), r.options.CacheTime, nil
}

// Ready is JWKS where the store need not be asked; ok is false where it must be. The body
// is that which all others get, and not to be changed.
func (r *Ring) Ready() (body []byte, cache time.Duration, ok bool) {
	v := r.cache.fresh(r.store.Now())
	if v == nil {
		return nil, 0, false
	}
	return v.jwks, r.options.CacheTime, true
}

// Rotate makes the next keys the active ones at once and publishes new next ones,
// for an operator who has a reason not to wait. When a next key was published for
// less than CacheTime, clients that cached an older key set refuse its tokens
// until they fetch the set again.
func (r *Ring) Rotate(ctx context.Context) error {
	_, err := r.advance(ctx, true)
	return err
}

// Maintain does what is due: makes next keys, activates, retires, drops. It
// returns when it wants to be called again. Calling it more often, or on several
// replicas at once, does no harm.
func (r *Ring) Maintain(ctx context.Context) (next time.Time, err error) {
	return r.advance(ctx, false)
}

// pairKey names a key pair in the memo of a unit of work: making one takes long,
// so a rerun uses those of the run before.
type pairKey struct {
	alg string
	n   int
}

func (r *Ring) advance(ctx context.Context, force bool) (next time.Time, err error) {
	ctx = r.store.Apart(ctx)
	started := r.store.Now()
	err = r.store.Do(ctx, func(ctx context.Context) error {
		set, err := r.sets.Get(ctx, keysetID)
		if errors.Is(err, storage.ErrNotFound) {
			set, err = &keyset{ID: keysetID}, nil
		}
		if err != nil {
			return err
		}
		made := map[string]int{}
		p := &plan{Options: r.options, now: r.store.Now(), force: force, make: func(alg string) (key, error) {
			made[alg]++
			return storage.Memo(ctx, r.store, pairKey{alg, made[alg]}, func() (key, error) { return generate(alg) })
		}}
		if r.store.Try(ctx) > 0 { // who lost a race to another rotation got what it wanted
			p.rotated = started
		}
		if force && set.crowded(p.now) {
			return fmt.Errorf("%w: wait until the tokens of the retired keys have ended", ErrTooManyKeys)
		}
		changed, err := p.run(set)
		if err != nil {
			return err
		}
		next = p.nextStep(set)
		if !changed {
			return nil
		}
		r.store.AfterCommit(ctx, func() {
			r.cache.stale.Store(true)
			for _, e := range p.events {
				r.log.InfoContext(ctx, "signing key "+e.what, //nolint:sloglint // of few words
					"kid", e.kid, "alg", e.alg)
			}
		})
		return r.sets.Put(ctx, set)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("keyring: keep the signing keys: %w", err)
	}
	return next, nil
}
