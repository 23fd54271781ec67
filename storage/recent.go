package storage

import (
	"context"
	"sync"
	"time"
)

// RecentAge is how old what Collection.Recent returns may be: so long may it take until a
// change that another replica made is seen.
const RecentAge = 5 * time.Second

// largeRecent is from how many bytes on a record is not worth the memory.
const largeRecent = 4 << 10

// Recent is Get for what is read often and changes seldom, and where an answer that is up
// to RecentAge old does: it costs no round trip when this Store has read the record
// shortly before. What this Store has written it shows at once. In the second run of a
// unit of work, and where the unit has read the record already, it is Get. A value that is
// put after it was read so is compared like any other: when it has changed meanwhile, the
// unit of work is run again. What must end at once, as tokens and grants, is not for it.
func (c *Collection[T]) Recent(ctx context.Context, id string) (*T, error) {
	return c.read(ctx, id, (*unit).recent)
}

// RecentRef is Ref for a record that is read by Recent afterwards: Load makes no round
// trip for its sake alone when it was read shortly before. Beside others it is read too,
// which costs nothing more.
func (c *Collection[T]) RecentRef(id string) Ref {
	return Ref{kind: c.kind, id: id, recent: true}
}

// Reread makes the unit of work in ctx read anew what Recent has given it, and says whether
// there was any: for a request that would be refused because of a record which may have
// changed since.
func (s *Store) Reread(ctx context.Context) bool {
	u := s.unit(ctx)
	if u == nil || u.anew {
		return false
	}
	u.anew = true
	found := false
	for _, e := range u.entries {
		found = found || e.recent
		e.recent = false
	}
	return found
}

// recents are records that were read shortly before, as they were opened. What is not
// there is kept too, but for Load alone: a record that is new is found at once.
type recents struct {
	kept generations[Key, recent]

	mu     sync.Mutex
	kinds  map[string]struct{} // that somebody reads so
	writes uint64              // of these kinds, so that a read that began before is not kept
}

type recent struct {
	at       time.Time // before it was read
	revision Revision  // 0: not there
	expiry   time.Time
	schema   int
	plain    []byte
	sight    *sight
}

// begin is called before a record is read that is to be kept.
func (r *recents) begin(kind string) (writes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kinds == nil {
		r.kinds = map[string]struct{}{}
	}
	r.kinds[kind] = struct{}{}
	return r.writes
}

// keep keeps what was read since begin.
func (r *recents) keep(k Key, found recent, writes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writes == writes && len(found.plain) <= largeRecent {
		r.kept.put(k, found)
	}
}

func (r *recents) get(k Key, now time.Time) (recent, bool) {
	found, ok := r.kept.get(k)
	return found, ok && found.fresh(now)
}

// forget is called after a batch was handed to the backend, whatever came of it.
func (r *recents) forget(ops []Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range ops {
		if _, ok := r.kinds[ops[i].Key.Kind]; ok {
			r.writes++
			r.kept.remove(ops[i].Key)
		}
	}
}

func (r recent) fresh(now time.Time) bool {
	return !now.Before(r.at) && now.Sub(r.at) < RecentAge && (r.expiry.IsZero() || now.Before(r.expiry))
}

// recent returns the unit's view of a record, which may be RecentAge old.
func (u *unit) recent(ctx context.Context, k Key) (*entry, error) {
	if e := u.find(k); e != nil && (e.read || e.recent || e.pending != nil) {
		return u.held(ctx, k)
	}
	if found, ok := u.known(k); ok && found.revision != 0 {
		e := u.at(k)
		e.recent, e.revision, e.schema, e.plain, e.sight = true, found.revision, found.schema, found.plain, found.sight
		return e, nil
	}
	if err := u.loadRecent(ctx, []Key{k}, k); err != nil {
		return nil, err
	}
	return u.find(k), nil
}

// held is entry for what is to be written: a record that was read as a recent one keeps
// the revision which its value was read at, so that a change since is a conflict.
func (u *unit) held(ctx context.Context, k Key) (*entry, error) {
	if e := u.find(k); e != nil && e.recent {
		return e, nil
	}
	return u.entry(ctx, k)
}

// known returns a record that was read shortly before. A unit that is run again has lost
// to a change, perhaps to one that is not known here.
func (u *unit) known(k Key) (recent, bool) {
	if u.try > 0 || u.anew {
		return recent{}, false
	}
	return u.store.recents.get(k, u.store.Now())
}

// loadRecent is load, after which those of keep that it read are kept.
func (u *unit) loadRecent(ctx context.Context, keys []Key, keep ...Key) error {
	type beginning struct {
		key    Key
		writes uint64
	}
	begun := make([]beginning, 0, len(keep))
	for _, k := range keep {
		if e := u.find(k); e == nil || !e.read {
			begun = append(begun, beginning{k, u.store.recents.begin(k.Kind)})
		}
	}
	at := u.store.Now()
	if err := u.load(ctx, keys...); err != nil {
		return err
	}
	for _, b := range begun {
		e := u.find(b.key)
		u.store.recents.keep(b.key, recent{at: at, revision: e.revision, expiry: e.expiry, schema: e.schema, plain: e.plain, sight: e.sight}, b.writes)
	}
	return nil
}
