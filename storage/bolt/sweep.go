package bolt

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/doorward/doorward/storage"
)

// sweepStride is how many deletions lie between two looks at the time.
const sweepStride = 64

// sweep is one run of the sweeper.
type sweep struct {
	now     time.Time
	budget  time.Duration
	removed int
}

// sweepCounts is what sweeps did. The leader alone adds to it.
type sweepCounts struct {
	count, removed, held, longest atomic.Int64
}

func (c *sweepCounts) add(removed int, held time.Duration) {
	c.count.Add(1)
	c.removed.Add(int64(removed))
	c.held.Add(int64(held))
	c.longest.Store(max(c.longest.Load(), int64(held)))
}

// Sweep implements storage.Backend. It waits for its turn among the writers and
// has a commit of its own. Half of the budget goes to deleting, because writing out
// the pages that were touched takes about as long again.
func (b *Backend) Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	s := &sweep{now: now, budget: budget}
	if err := b.lead.do(ctx, &call{sweep: s}); err != nil {
		return 0, err
	}
	return s.removed, nil
}

// run deletes what has expired, soonest first within each kind, until nothing is
// left or the time is up.
func (s *sweep) run(w *writer) error {
	start := time.Now()
	var names [][]byte
	cursor := w.tx.Cursor()
	for name, _ := cursor.Seek([]byte{expiryBucket}); len(name) > 0 && name[0] == expiryBucket; name, _ = cursor.Next() {
		names = append(names, bytes.Clone(name))
	}
	for _, name := range names {
		namespace, kindOf, ok := bytes.Cut(name[1:], []byte{0})
		if !ok {
			return errRecord
		}
		for {
			more, err := s.stride(w, string(namespace), string(kindOf))
			if err != nil {
				return err
			}
			if s.removed > 0 && time.Since(start) >= s.budget/2 {
				return nil
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// stride deletes up to sweepStride records of one kind and says whether there may
// be more. An entry goes with its record only if the record still has that expiry.
func (s *sweep) stride(w *writer, namespace, name string) (more bool, err error) {
	k := w.kind(namespace, name)
	if k.expiry.bucket == nil {
		return false, nil
	}
	var due [][]byte // read before the first deletion, which moves what a cursor stands on
	cursor := k.expiry.bucket.Cursor()
	for key, _ := cursor.First(); key != nil && len(due) < sweepStride; key, _ = cursor.Next() {
		ms, _, err := parseExpiryKey(key)
		if err != nil {
			return false, err
		}
		if s.now.Before(time.UnixMilli(ms)) {
			break
		}
		due = append(due, bytes.Clone(key))
	}
	for _, key := range due {
		ms, id, err := parseExpiryKey(key)
		if err != nil {
			return false, err
		}
		w.dirty = true
		found, err := k.find(storage.Key{Namespace: namespace, Kind: name, ID: string(id)})
		if err != nil {
			return false, err
		}
		if found.Revision == 0 || found.Expiry.IsZero() || milliseconds(found.Expiry) != ms {
			if err := k.expiry.remove(key); err != nil {
				return false, err
			}
			continue
		}
		if err := k.remove(&found); err != nil {
			return false, err
		}
		s.removed++
	}
	return len(due) == sweepStride, nil
}
