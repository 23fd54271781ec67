package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxTries is how often a unit of work is run before its conflicts are the
// caller's problem: once, and three times again.
const maxTries = 4

// unit gathers what one request reads and writes. It lives in the request's
// context and is used by one goroutine.
type unit struct {
	store   *Store
	try     int
	anew    bool        // Recent is Get from now on
	memo    map[any]any // made when it is first needed, kept over reruns
	entries []*entry    // few, so that to look through them is faster than a map
	spare   []entry     // made together, for entries to come
	order   []*entry    // in the order of first writes, so that batches are reproducible
	after   []hook
	done    bool // what is written from now on would be lost, so nothing joins it
}

type entry struct {
	key      Key
	read     bool
	recent   bool     // not read, but kept from a read shortly before
	revision Revision // 0: absent or expired when read
	outdated Revision // that Recent has shown and that is not the one which was read then; 0: none
	schema   int
	expiry   time.Time
	plain    []byte // as read, opened
	sight    *sight // of a kind that is looked at, else nil

	pending   *write // goes when the request succeeds
	surviving *write // goes also when it is refused
}

type write struct {
	op     Op
	schema int
	plain  []byte
}

type hook struct {
	survive bool
	run     func()
}

type unitKey struct{ store *Store }
type survivingKey struct{}

func (s *Store) unit(ctx context.Context) *unit {
	u, _ := ctx.Value(unitKey{s}).(*unit)
	if u == nil || u.done {
		return nil
	}
	return u
}

// Apart returns ctx without the unit of work it carries, if any: what is read
// under it comes from the store, and what is written is committed on its own.
func (s *Store) Apart(ctx context.Context) context.Context {
	if s.unit(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, unitKey{s}, nil)
}

// Do runs fn as one unit of work. What fn reads is remembered with its revision
// and shows fn's own writes; what it writes is collected and applied in one
// batch after fn returned nil. When fn returns an error its writes are dropped,
// except those made under Surviving, and the error is returned.
//
// When a record that is to be written has changed since it was read, nothing is
// written and fn is run again from the top, at most three times; Try tells it so. fn
// must therefore keep its effects to the store, to AfterCommit and to Memo. A record
// that was only read may have changed: what must not outlive such a change names the
// state that it was made under, as a Stamp does.
//
// The error is fn's own, or ErrUnavailable when the writes could not be stored
// for sure, or ErrLimit when a counter stood at its ceiling. A Do inside a Do
// joins it.
func (s *Store) Do(ctx context.Context, fn func(ctx context.Context) error) error {
	if s.unit(ctx) != nil {
		return fn(ctx)
	}
	var memo map[any]any
	for try := range maxTries {
		u := &unit{store: s, try: try, memo: memo}
		err := fn(context.WithValue(ctx, unitKey{s}, u))
		again, applied := u.finish(ctx, err)
		if again {
			memo = u.memo
			continue
		}
		if applied != nil {
			if err != nil {
				return fmt.Errorf("%w (after: %w)", applied, err)
			}
			return applied
		}
		return err
	}
	s.exhausted.Add(1)
	s.log.ErrorContext(ctx, "a unit of work lost every try to others", "tries", maxTries)
	return fmt.Errorf("%w: lost %d tries to concurrent requests", ErrUnavailable, maxTries)
}

// finish applies what is to be written and runs the hooks. again means that a
// precondition failed and the unit is to be run anew.
func (u *unit) finish(ctx context.Context, err error) (again bool, applied error) {
	u.done = true
	ops := u.ops(err != nil)
	if len(ops) > 0 {
		if err != nil {
			// A client that hung up must not save a stolen token from being revoked.
			ctx = context.WithoutCancel(ctx)
		}
		applyErr := u.store.apply(ctx, ops)
		u.store.recents.forget(ops)
		switch {
		case errors.Is(applyErr, ErrConflict):
			return true, nil
		case errors.Is(applyErr, ErrLimit):
			return false, applyErr
		case applyErr != nil:
			return false, unavailable(applyErr)
		}
	}
	for _, h := range u.after {
		if err == nil || h.survive {
			h.run()
		}
	}
	return false, nil
}

func (u *unit) ops(refused bool) []Op {
	ops := make([]Op, 0, len(u.order))
	for _, e := range u.order {
		switch {
		case !refused && e.pending != nil:
			ops = append(ops, e.pending.op)
		case e.surviving != nil:
			ops = append(ops, e.surviving.op)
		}
	}
	return ops
}

// apply hands a batch to the backend and settles an unknown outcome by reading
// back: a sealed value holds a random nonce, so finding it proves the batch.
func (s *Store) apply(ctx context.Context, ops []Op) error {
	if err := s.sealedNow(ctx, ops); err != nil {
		return err
	}
	err := s.backend.Apply(ctx, Batch{Now: s.Now(), Ops: ops})
	if !errors.Is(err, ErrUnknown) || errors.Is(err, ErrUnavailable) {
		return err
	}
	for i := range ops {
		if ops[i].Action != ActionPut {
			continue
		}
		found, getErr := s.backend.Get(ctx, ops[i].Key)
		if getErr == nil && bytes.Equal(found[0].Value, ops[i].Value) {
			return nil
		}
		break
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Surviving returns a context under which writes are kept though the unit of
// work is refused: revocations after reuse, used JTIs, counts of failures.
func Surviving(ctx context.Context) context.Context {
	return context.WithValue(ctx, survivingKey{}, true)
}

func survives(ctx context.Context) bool {
	yes, _ := ctx.Value(survivingKey{}).(bool)
	return yes
}

// Try returns how often the unit of work in ctx was run before: 0 in the first
// run and outside of any unit. In a later run the request lost a race: what it
// finds used was used while it was on its way, not before.
func (s *Store) Try(ctx context.Context) int {
	if u := s.unit(ctx); u != nil {
		return u.try
	}
	return 0
}

// AfterCommit runs fn once the writes of the unit of work are durable; at once
// when ctx carries none. Under Surviving it also runs when the request is refused.
func (s *Store) AfterCommit(ctx context.Context, fn func()) {
	if u := s.unit(ctx); u != nil {
		u.after = append(u.after, hook{survives(ctx), fn})
		return
	}
	fn()
}

// Memo returns what fn returned when it was first called for key in this unit of
// work, over its reruns too: for password checks, fetches and hooks, which must
// not run twice for one request. An error is remembered as well. key should be of
// a type of the caller's own.
func Memo[T any](ctx context.Context, s *Store, key any, fn func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	u := s.unit(ctx)
	if u == nil {
		return fn()
	}
	if r, ok := u.memo[key].(result); ok {
		return r.value, r.err
	}
	value, err := fn()
	if u.memo == nil {
		u.memo = map[any]any{}
	}
	u.memo[key] = result{value, err}
	return value, err
}

// entry returns the unit's view of a record, reading it if it was not read.
func (u *unit) entry(ctx context.Context, k Key) (*entry, error) {
	if e := u.find(k); e != nil && e.read {
		return e, nil
	}
	if err := u.load(ctx, k); err != nil {
		return nil, err
	}
	return u.find(k), nil
}

// load reads the given records in one round trip, leaving out those that were
// read before.
func (u *unit) load(ctx context.Context, keys ...Key) error {
	missing := make([]Key, 0, len(keys))
	for _, k := range keys {
		if e := u.find(k); e == nil || !e.read {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	found, err := u.store.backend.Get(ctx, missing...)
	if err != nil {
		return unavailable(err)
	}
	u.makeRoom(len(missing))
	now := u.store.Now()
	for i, k := range missing {
		e := u.at(k)
		shown := e.revision
		if !e.recent {
			shown = 0
		}
		e.recent, e.revision, e.schema, e.plain, e.sight = false, 0, 0, nil, nil
		if found[i].Revision != 0 && !found[i].Expired(now) {
			if e.schema, e.plain, e.sight, err = u.store.look(ctx, &found[i]); err != nil {
				return err
			}
			e.revision, e.expiry = found[i].Revision, found[i].Expiry
		}
		if shown != e.revision {
			e.outdated = shown
		}
		e.read = true
	}
	return nil
}

// find returns the entry of a record, nil when there is none yet.
func (u *unit) find(k Key) *entry {
	for _, e := range u.entries {
		if e.key == k {
			return e
		}
	}
	return nil
}

// at returns the entry of a record, which is made when there is none.
func (u *unit) at(k Key) *entry {
	e := u.find(k)
	if e == nil {
		u.makeRoom(1)
		e, u.spare = &u.spare[0], u.spare[1:]
		e.key = k
		u.entries = append(u.entries, e)
	}
	return e
}

// makeRoom makes sure that n entries can be added.
func (u *unit) makeRoom(n int) {
	if len(u.spare) < n {
		u.spare = make([]entry, n)
		u.entries = slices.Grow(u.entries, n)
	}
}

// write records what is to be done to a record; the condition follows from what
// was read of it. A record that was not read is expected to be absent.
func (u *unit) write(ctx context.Context, k Key, w write) {
	e := u.at(k)
	if e.pending == nil && e.surviving == nil {
		u.order = append(u.order, e)
	}
	if w.op.Action != ActionAdd {
		w.op.If = At(e.revision)
		if e.outdated != 0 { // what is put may be made of it: a conflict
			w.op.If = At(e.outdated)
		}
	}
	w.op.Key = k
	e.pending = &w
	if survives(ctx) {
		e.surviving = &w
	}
}

// current returns the value as the unit sees it: its own write, or what it read.
func (e *entry) current() (schema int, plain []byte, exists bool) {
	if e.pending != nil {
		return e.pending.schema, e.pending.plain, e.pending.op.Action == ActionPut
	}
	return e.schema, e.plain, e.revision != 0
}

// Count adds delta to a counter and never conflicts with others doing the same.
// The unit of work fails with ErrLimit when the sum would pass ceiling; 0 means
// that there is none. A counter that is absent or expired starts at 0 and lives
// for life.
func (s *Store) Count(ctx context.Context, kind, id string, delta, ceiling int64, life time.Duration) error {
	return s.Do(ctx, func(ctx context.Context) error {
		u, key := s.unit(ctx), s.key(kind, id)
		e := u.at(key)
		surviving := delta + e.surviving.delta() // before write replaces it
		u.write(ctx, key, write{op: Op{
			Action: ActionAdd, Delta: delta + e.pending.delta(), Ceiling: ceiling, Expiry: s.Now().Add(life),
		}})
		if survives(ctx) {
			kept := *e.pending
			kept.op.Delta = surviving
			e.surviving = &kept
		}
		return nil
	})
}

// delta returns what the write adds to a counter.
func (w *write) delta() int64 {
	if w == nil || w.op.Action != ActionAdd {
		return 0
	}
	return w.op.Delta
}

// Counted returns what a counter stands at in the store, without the writes of a
// unit of work under way.
func (s *Store) Counted(ctx context.Context, kind, id string) (int64, error) {
	found, err := s.backend.Get(ctx, s.key(kind, id))
	if err != nil {
		return 0, unavailable(err)
	}
	if found[0].Expired(s.Now()) {
		return 0, nil
	}
	return Counter(found[0]), nil
}
