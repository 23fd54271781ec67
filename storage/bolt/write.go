package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

// orderedFill is how full bbolt leaves the pages of a bucket that grows at its
// end. Its default of one half is right for keys in random order and would leave
// half of the file empty here.
const orderedFill = 0.9

// writer carries out batches in one transaction.
type writer struct {
	tx       *bbolt.Tx
	revision storage.Revision
	kinds    map[kindName]*kind
	batches  int  // carried out
	dirty    bool // something was written
	clock    time.Time
}

type kindName struct{ namespace, kind string }

// kind is the three buckets of one kind.
type kind struct {
	records, index, expiry tree
}

// tree is a bucket that is made when something is first put into it.
type tree struct {
	name   []byte
	bucket *bbolt.Bucket // nil: not made yet

	last     []byte // the last key when the first was inserted
	removed  bool   // a key, in this transaction
	inserted int
	appended int // of those inserted, behind last
}

func newWriter(tx *bbolt.Tx, base uint64) *writer {
	return &writer{
		tx:       tx,
		revision: storage.Revision(base + uint64(tx.ID())),
		kinds:    map[kindName]*kind{},
	}
}

// apply carries out one batch whole or not at all. refused is the answer to its
// caller and says that nothing of it was written; broken ends the transaction.
func (w *writer) apply(b *storage.Batch) (refused, broken error) {
	found, sums, refused, broken := w.judge(b)
	if refused != nil || broken != nil {
		return refused, broken
	}
	for i := range b.Ops {
		if err := w.carryOut(&b.Ops[i], &found[i], sums[i], b.Now); err != nil {
			return nil, err
		}
	}
	w.batches++
	if b.Now.After(w.clock) {
		w.clock = b.Now
	}
	return nil, nil
}

// judge holds every condition and ceiling of a batch against what the batches
// before it in this transaction have left. It returns the record of each operation
// as found, and the new value of each counter. Nothing is written before all hold,
// so a batch that fails has nothing to undo and takes no neighbour with it.
func (w *writer) judge(b *storage.Batch) (found []storage.Record, sums []int64, refused, broken error) {
	found = make([]storage.Record, len(b.Ops))
	sums = make([]int64, len(b.Ops))
	for i := range b.Ops {
		op := &b.Ops[i]
		r, err := w.kind(op.Key.Namespace, op.Key.Kind).find(op.Key)
		if err != nil {
			return nil, nil, nil, err
		}
		if op.Action != storage.ActionAdd {
			if !op.If.Holds(r, b.Now) {
				return nil, nil, fmt.Errorf("%w: a %s record", storage.ErrConflict, op.Key.Kind), nil
			}
		} else {
			var stands int64
			if !r.Expired(b.Now) {
				stands = storage.Counter(r)
			}
			if overflows(stands, op.Delta) || op.Ceiling != 0 && stands+op.Delta > op.Ceiling {
				return nil, nil, fmt.Errorf("%w: a %s record", storage.ErrLimit, op.Key.Kind), nil
			}
			sums[i] = stands + op.Delta
		}
		r.Value = nil // bbolt's memory, which the first write may move
		found[i] = r
	}
	return found, sums, nil, nil
}

func overflows(a, b int64) bool {
	return b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b
}

func (w *writer) carryOut(op *storage.Op, found *storage.Record, sum int64, now time.Time) error {
	k := w.kind(op.Key.Namespace, op.Key.Kind)
	switch op.Action {
	case storage.ActionPut:
		w.dirty = true
		return k.put(w.tx, found, &storage.Record{
			Key: op.Key, Revision: w.revision, Expiry: op.Expiry, Index: op.Index, Value: op.Value,
		})
	case storage.ActionDelete:
		if found.Revision == 0 {
			return nil
		}
		w.dirty = true
		return k.remove(found)
	case storage.ActionAdd:
		w.dirty = true
		r := storage.Record{Key: op.Key, Revision: w.revision, Expiry: op.Expiry, Value: storage.CounterValue(sum)}
		if found.Revision != 0 && !found.Expired(now) {
			r.Expiry, r.Index = found.Expiry, found.Index
		}
		return k.put(w.tx, found, &r)
	default:
		return nil
	}
}

func (w *writer) kind(namespace, name string) *kind {
	k, ok := w.kinds[kindName{namespace, name}]
	if !ok {
		open := func(what byte) tree {
			n := bucketName(what, namespace, name)
			return tree{name: n, bucket: w.tx.Bucket(n)}
		}
		k = &kind{records: open(recordBucket), index: open(indexBucket), expiry: open(expiryBucket)}
		w.kinds[kindName{namespace, name}] = k
	}
	return k
}

// finish writes the clock and tells bbolt which buckets grew at their end. The
// clock stands in the meta bucket, which is small enough to live inside the root
// page, and that page is written by every commit anyway.
func (w *writer) finish() error {
	for _, k := range w.kinds {
		for _, t := range []*tree{&k.records, &k.index, &k.expiry} {
			if t.bucket != nil && t.inserted > 0 && 2*t.appended >= t.inserted {
				t.bucket.FillPercent = orderedFill
			}
		}
	}
	if w.clock.IsZero() {
		return nil
	}
	meta := w.tx.Bucket([]byte(metaBucket))
	if meta == nil {
		return errRecord
	}
	before, known := readClock(meta)
	if known && w.clock.UnixMilli() <= before {
		return nil
	}
	return meta.Put([]byte(metaClock), binary.BigEndian.AppendUint64(nil, uint64(w.clock.UnixMilli())))
}

// find returns the record of key, the zero Record if there is none. Its Value is
// bbolt's.
func (k *kind) find(key storage.Key) (storage.Record, error) {
	if k.records.bucket == nil {
		return storage.Record{}, nil
	}
	raw := k.records.bucket.Get([]byte(key.ID))
	if raw == nil {
		return storage.Record{}, nil
	}
	return decodeRecord(key, raw)
}

// put writes r over found, which may be the zero Record. Entries that stay as they
// were cost nothing: most writes change a value only, and each entry touched is a
// page of another tree.
func (k *kind) put(tx *bbolt.Tx, found, r *storage.Record) error {
	for _, x := range found.Index {
		if !slices.Contains(r.Index, x) {
			if err := k.index.remove(indexKey(x, r.ID)); err != nil {
				return err
			}
		}
	}
	for _, x := range r.Index {
		if !slices.Contains(found.Index, x) {
			if err := k.index.put(tx, indexKey(x, r.ID), nil, true); err != nil {
				return err
			}
		}
	}
	if !sameExpiry(found.Expiry, r.Expiry) {
		if err := k.unschedule(found); err != nil {
			return err
		}
		if !r.Expiry.IsZero() {
			if err := k.expiry.put(tx, expiryKey(milliseconds(r.Expiry), r.ID), nil, true); err != nil {
				return err
			}
		}
	}
	return k.records.put(tx, []byte(r.ID), encodeRecord(r), found.Revision == 0)
}

// remove deletes a record that was found, with its entries.
func (k *kind) remove(found *storage.Record) error {
	for _, x := range found.Index {
		if err := k.index.remove(indexKey(x, found.ID)); err != nil {
			return err
		}
	}
	if err := k.unschedule(found); err != nil {
		return err
	}
	return k.records.remove([]byte(found.ID))
}

func (k *kind) unschedule(found *storage.Record) error {
	if found.Expiry.IsZero() {
		return nil
	}
	return k.expiry.remove(expiryKey(milliseconds(found.Expiry), found.ID))
}

func sameExpiry(a, b time.Time) bool {
	if a.IsZero() || b.IsZero() {
		return a.IsZero() && b.IsZero()
	}
	return milliseconds(a) == milliseconds(b)
}

// put sets a key; fresh says that it was not there.
func (t *tree) put(tx *bbolt.Tx, key, value []byte, fresh bool) error {
	if t.bucket == nil {
		bucket, err := tx.CreateBucketIfNotExists(t.name)
		if err != nil {
			return err
		}
		t.bucket = bucket
	}
	if fresh {
		if t.inserted == 0 {
			t.last = t.lastKey()
		}
		t.inserted++
		if bytes.Compare(key, t.last) > 0 {
			t.appended++
		}
	}
	return t.bucket.Put(key, value)
}

// lastKey returns a copy of the last key, nil when there is none. It asks for the first one
// before when something was removed: Cursor.Last goes round for ever in a tree of several
// pages whose every key was removed in the same transaction, and no commit would end again.
func (t *tree) lastKey() []byte {
	cursor := t.bucket.Cursor()
	if t.removed {
		if first, _ := cursor.First(); first == nil {
			return nil
		}
	}
	last, _ := cursor.Last()
	return bytes.Clone(last)
}

func (t *tree) remove(key []byte) error {
	if t.bucket == nil {
		return nil
	}
	t.removed = true
	return t.bucket.Delete(key)
}
