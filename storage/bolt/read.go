package bolt

import (
	"bytes"
	"context"
	"slices"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	found := make([]storage.Record, len(keys))
	err := b.view(ctx, func(tx *bbolt.Tx) error {
		var name kindName
		var records *bbolt.Bucket
		for i, key := range keys {
			if next := (kindName{key.Namespace, key.Kind}); i == 0 || next != name {
				name, records = next, tx.Bucket(bucketName(recordBucket, key.Namespace, key.Kind))
			}
			if records == nil {
				continue
			}
			raw := records.Get([]byte(key.ID))
			if raw == nil {
				continue
			}
			r, err := decodeRecord(key, raw)
			if err != nil {
				return err
			}
			found[i] = copyRecord(r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	var page []storage.Record
	err := b.view(ctx, func(tx *bbolt.Tx) (err error) {
		page, err = list(ctx, tx, &q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// list reads one page: from the records themselves, or from the index and then the
// record of each entry.
func list(ctx context.Context, tx *bbolt.Tx, q *storage.Query) ([]storage.Record, error) {
	const stride = 256 // entries between two looks at the context
	records := tx.Bucket(bucketName(recordBucket, q.Namespace, q.Kind))
	entries, prefix := records, []byte(nil)
	if q.Index != "" {
		entries = tx.Bucket(bucketName(indexBucket, q.Namespace, q.Kind))
		prefix = indexPrefix(storage.Index{Name: q.Index, Value: q.Value}, len(q.After))
	}
	if records == nil || entries == nil {
		return nil, nil
	}
	var page []storage.Record
	w := walk{cursor: entries.Cursor(), prefix: prefix, descending: q.Descending}
	seen := 0
	for key, raw := w.first([]byte(q.After)); key != nil; key, raw = w.next() {
		if seen++; seen%stride == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		id := key[len(prefix):]
		if q.Index != "" {
			if raw = records.Get(id); raw == nil {
				return nil, errRecord
			}
		}
		r, err := decodeRecord(storage.Key{Namespace: q.Namespace, Kind: q.Kind, ID: string(id)}, raw)
		if err != nil {
			return nil, err
		}
		if !q.Now.IsZero() && r.Expired(q.Now) {
			continue
		}
		if page = append(page, copyRecord(r)); len(page) == q.Limit {
			break
		}
	}
	return page, nil
}

// walk goes through the keys that begin with prefix, in either direction.
type walk struct {
	cursor     *bbolt.Cursor
	prefix     []byte
	descending bool
}

// first returns the key behind prefix+after, or with an empty after the outermost.
func (w *walk) first(after []byte) (key, value []byte) {
	bound := slices.Concat(w.prefix, after)
	if !w.descending {
		if key, value = w.cursor.Seek(bound); len(after) > 0 && bytes.Equal(key, bound) {
			key, value = w.cursor.Next()
		}
		return w.within(key, value)
	}
	if len(after) == 0 {
		bound = successor(w.prefix)
	}
	if bound == nil {
		return w.within(w.cursor.Last())
	}
	if key, _ = w.cursor.Seek(bound); key == nil {
		return w.within(w.cursor.Last())
	}
	return w.within(w.cursor.Prev())
}

func (w *walk) next() (key, value []byte) {
	if w.descending {
		return w.within(w.cursor.Prev())
	}
	return w.within(w.cursor.Next())
}

func (w *walk) within(key, value []byte) (k, v []byte) {
	if key == nil || !bytes.HasPrefix(key, w.prefix) {
		return nil, nil
	}
	return key, value
}

// successor is the first key behind all that begin with prefix; nil if there is
// none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			next := bytes.Clone(prefix[:i+1])
			next[i]++
			return next
		}
	}
	return nil
}

// LastCommit implements storage.ClockWitness. It is kept to the millisecond.
func (b *Backend) LastCommit(ctx context.Context) (time.Time, error) {
	var at time.Time
	err := b.view(ctx, func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(metaBucket))
		if meta == nil {
			return errRecord
		}
		if ms, ok := readClock(meta); ok {
			at = time.UnixMilli(ms).UTC()
		}
		return nil
	})
	return at, err
}
