package memory

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

// table holds the records and the three ways to find them: by key, in the order
// of IDs within a kind or index entry, and by expiry. A stored record is replaced,
// never changed, so a reader may copy it at leisure under the read lock.
type table struct {
	records map[storage.Key]*storage.Record
	lists   map[list]*sorted[string]
	expiry  sorted[*storage.Record]
}

// list names one ordered set of IDs: all of a kind, or those with an index entry.
// The zero Index, which no entry can have, stands for all.
type list struct {
	namespace string
	kind      string
	index     storage.Index
}

func newTable() table {
	return table{
		records: map[storage.Key]*storage.Record{},
		lists:   map[list]*sorted[string]{},
		expiry:  sorted[*storage.Record]{compare: compareExpiry},
	}
}

func compareExpiry(a, b *storage.Record) int {
	return cmp.Or(
		a.Expiry.Compare(b.Expiry),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.ID, b.ID),
	)
}

// judge holds every condition and ceiling of a batch against the table, which it
// leaves as it is. It returns the new value of each counter, by operation.
func (t *table) judge(batch storage.Batch) (sums []int64, err error) {
	sums = make([]int64, len(batch.Ops))
	for i := range batch.Ops {
		op := &batch.Ops[i]
		var found storage.Record
		if r, ok := t.records[op.Key]; ok {
			found = *r
		}
		if op.Action != storage.ActionAdd {
			if !op.If.Holds(found, batch.Now) {
				return nil, fmt.Errorf("%w: a %s record", storage.ErrConflict, op.Key.Kind)
			}
			continue
		}
		var stands int64
		if !found.Expired(batch.Now) {
			stands = storage.Counter(found)
		}
		if overflows(stands, op.Delta) || op.Ceiling != 0 && stands+op.Delta > op.Ceiling {
			return nil, fmt.Errorf("%w: a %s record", storage.ErrLimit, op.Key.Kind)
		}
		sums[i] = stands + op.Delta
	}
	return sums, nil
}

func overflows(a, b int64) bool {
	return b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b
}

// carryOut writes one operation that judge let pass.
func (t *table) carryOut(op storage.Op, sum int64, now time.Time, at storage.Revision) {
	switch op.Action {
	case storage.ActionPut:
		t.put(&storage.Record{
			Key:      op.Key,
			Revision: at,
			Expiry:   toMillisecond(op.Expiry),
			Index:    slices.Clone(op.Index),
			Value:    slices.Clone(op.Value),
		})
	case storage.ActionDelete:
		t.remove(op.Key)
	case storage.ActionAdd:
		r := storage.Record{Key: op.Key, Expiry: toMillisecond(op.Expiry)}
		if live, ok := t.records[op.Key]; ok && !live.Expired(now) {
			r = *live
		}
		r.Revision, r.Value = at, storage.CounterValue(sum)
		t.put(&r)
	}
}

func (t *table) put(r *storage.Record) {
	t.remove(r.Key)
	t.records[r.Key] = r
	if !r.Expiry.IsZero() {
		t.expiry.insert(r)
	}
	for l := range listsOf(r) {
		s, ok := t.lists[l]
		if !ok {
			s = &sorted[string]{compare: strings.Compare}
			t.lists[l] = s
		}
		s.insert(r.ID)
	}
}

func (t *table) remove(key storage.Key) {
	r, ok := t.records[key]
	if !ok {
		return
	}
	delete(t.records, key)
	if !r.Expiry.IsZero() {
		t.expiry.remove(r)
	}
	for l := range listsOf(r) {
		s, ok := t.lists[l]
		if !ok {
			continue // the record has the same entry twice
		}
		if s.remove(r.ID); s.empty() {
			delete(t.lists, l)
		}
	}
}

// removeExpired deletes the record that expired first, if one had at now.
func (t *table) removeExpired(now time.Time) bool {
	r, ok := t.expiry.first()
	if !ok || !r.Expired(now) {
		return false
	}
	t.remove(r.Key)
	return true
}

func (t *table) page(q storage.Query) []storage.Record {
	l := list{namespace: q.Namespace, kind: q.Kind}
	if q.Index != "" {
		l.index = storage.Index{Name: q.Index, Value: q.Value}
	}
	s, ok := t.lists[l]
	if !ok {
		return nil
	}
	var bound *string
	if q.After != "" {
		bound = &q.After
	}
	ids := s.after
	if q.Descending {
		ids = s.before
	}
	var page []storage.Record
	for id := range ids(bound) {
		r := t.records[storage.Key{Namespace: q.Namespace, Kind: q.Kind, ID: id}]
		if !q.Now.IsZero() && r.Expired(q.Now) {
			continue
		}
		if page = append(page, copyRecord(r)); len(page) == q.Limit {
			break
		}
	}
	return page
}

// listsOf yields the lists that a record stands in.
func listsOf(r *storage.Record) iter.Seq[list] {
	return func(yield func(list) bool) {
		l := list{namespace: r.Namespace, kind: r.Kind}
		if !yield(l) {
			return
		}
		for _, l.index = range r.Index {
			if !yield(l) {
				return
			}
		}
	}
}

func copyRecord(r *storage.Record) storage.Record {
	c := *r
	c.Index, c.Value = slices.Clone(r.Index), slices.Clone(r.Value)
	return c
}

func toMillisecond(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}
