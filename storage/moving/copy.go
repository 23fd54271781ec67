package moving

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/doorward/doorward/storage"
)

const (
	pageSize  = 500 // records read at once
	batchRoom = storage.MaxBatchBytes - 8<<10
)

// gather learns what kinds there are on either side.
func (m *move) gather(ctx context.Context) error {
	for _, b := range []storage.Backend{m.to, m.from} {
		tallies, err := m.count(ctx, b)
		if err != nil {
			return err
		}
		m.total = 0
		for _, t := range tallies {
			m.kinds[kind{t.Namespace, t.Kind}] = struct{}{}
			m.total += t.Live + t.Expired
		}
	}
	return nil
}

func (m *move) sortedKinds() []kind {
	return slices.SortedFunc(maps.Keys(m.kinds), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
}

// everything makes the destination equal to the store, as it is read meanwhile, and returns
// how many records differed. Copying, going on after a crash, and comparing are the same.
func (m *move) everything(ctx context.Context, phase Phase) (differed int, err error) {
	w := &writer{to: m.to, now: m.now}
	seen := 0
	for _, k := range m.sortedKinds() {
		mine, copied := &reader{b: m.from, kind: k}, &reader{b: m.to, kind: k}
		err := merge(ctx, mine, copied, func(want, have *storage.Record) error {
			if want != nil {
				seen++
			}
			m.tell(phase, seen)
			if want != nil && have != nil && same(want, have) {
				return nil
			}
			differed++
			return m.correct(ctx, w, want, have)
		})
		if err != nil {
			return differed, err
		}
	}
	m.report.Records = seen
	return differed, w.flush(ctx)
}

func (m *move) tell(phase Phase, records int) {
	if time.Since(m.told) < 250*time.Millisecond && records > 1 {
		return
	}
	m.told = time.Now()
	m.o.Progress(Progress{Phase: phase, Records: records, Total: m.total})
}

// correct puts a record as it is in the store, or deletes it.
func (m *move) correct(ctx context.Context, w *writer, want, have *storage.Record) error {
	if want == nil {
		m.report.Deleted++
		return w.add(ctx, storage.Op{Action: storage.ActionDelete, Key: have.Key, If: storage.Any()})
	}
	m.report.Copied++
	return w.add(ctx, storage.Op{
		Action: storage.ActionPut, Key: want.Key, If: storage.Any(), Value: want.Value, Index: want.Index, Expiry: want.Expiry,
	})
}

// follow copies what was written meanwhile, until there is little of it. Only a store that
// is written faster than it can be copied needs many rounds.
func (m *move) follow(ctx context.Context) error {
	for round := 0; ; round++ {
		keys := m.changes.take()
		if err := m.these(ctx, keys); err != nil {
			return err
		}
		m.tell(Following, len(keys))
		settled := m.changes.settled()
		if len(keys) <= few && settled {
			return nil
		}
		if round == mostRounds {
			return fmt.Errorf("%w: moving: %s is written faster than it can be copied to %s: move when there is less to do", storage.ErrUnavailable, m.o.From, m.o.To)
		}
		if !settled { // a batch may still be on its way
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(settling / mostRounds * 2):
			}
		}
	}
}

// these makes the records of some keys equal, and looks at them again afterwards.
func (m *move) these(ctx context.Context, keys []storage.Key) error {
	const most = 100 // keys read at once
	for some := range slices.Chunk(keys, most) {
		want, err := m.from.Get(ctx, some...)
		if err != nil {
			return err
		}
		have, err := m.to.Get(ctx, some...)
		if err != nil {
			return err
		}
		w := &writer{to: m.to, now: m.now}
		for i, key := range some {
			m.kinds[kind{key.Namespace, key.Kind}] = struct{}{}
			switch {
			case want[i].Revision == 0 && have[i].Revision == 0:
			case want[i].Revision == 0:
				err = m.correct(ctx, w, nil, &have[i])
			case have[i].Revision == 0 || !same(&want[i], &have[i]):
				err = m.correct(ctx, w, &want[i], nil)
			}
			if err != nil {
				return err
			}
		}
		if err := w.flush(ctx); err != nil {
			return err
		}
		if have, err = m.to.Get(ctx, some...); err != nil {
			return err
		}
		for i := range some {
			if (want[i].Revision == 0) != (have[i].Revision == 0) || want[i].Revision != 0 && !same(&want[i], &have[i]) {
				return fmt.Errorf("%w: a %s record was written to %s and reads back otherwise", ErrDiffers, some[i].Kind, m.o.To)
			}
		}
	}
	return nil
}

// same says whether two records of one key are equal in all but their revisions.
func same(a, b *storage.Record) bool {
	return bytes.Equal(a.Value, b.Value) && a.Expiry.Equal(b.Expiry) && slices.Equal(a.Index, b.Index)
}

// writer gathers operations into batches. They are unconditional: nobody else writes there.
type writer struct {
	to   storage.Backend
	now  time.Time
	ops  []storage.Op
	size int
}

func (w *writer) add(ctx context.Context, op storage.Op) error {
	size := len(op.Key.Namespace) + len(op.Key.Kind) + len(op.Key.ID) + len(op.Value)
	for _, x := range op.Index {
		size += len(x.Name) + len(x.Value)
	}
	if len(w.ops) == storage.MaxOps || len(w.ops) > 0 && w.size+size > batchRoom {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.ops, w.size = append(w.ops, op), w.size+size
	return nil
}

// flush writes the batch, and again when its outcome is not known: it says what the records
// are, not what to add to them.
func (w *writer) flush(ctx context.Context) error {
	if len(w.ops) == 0 {
		return nil
	}
	const tries = 3
	var err error
	for range tries {
		err = w.to.Apply(ctx, storage.Batch{Now: w.now, Ops: w.ops})
		if !errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrUnavailable) {
			break
		}
	}
	w.ops, w.size = nil, 0
	if err != nil {
		return fmt.Errorf("moving: write the copy: %w", err)
	}
	return nil
}

// reader goes through the records of one kind in the order of their IDs, page by page.
type reader struct {
	b    storage.Backend
	kind kind

	page  []storage.Record
	at    int
	after string
	ended bool
}

// next returns the next record, nil behind the last.
func (r *reader) next(ctx context.Context) (*storage.Record, error) {
	if r.at == len(r.page) && !r.ended {
		page, err := r.b.List(ctx, storage.Query{Namespace: r.kind.namespace, Kind: r.kind.name, After: r.after, Limit: pageSize})
		if err != nil {
			return nil, err
		}
		r.page, r.at, r.ended = page, 0, len(page) < pageSize
		if len(page) > 0 {
			r.after = page[len(page)-1].ID
		}
	}
	if r.at == len(r.page) {
		return nil, nil
	}
	r.at++
	return &r.page[r.at-1], nil
}

// merge gives each every record of either side with its twin on the other, in order. What
// each writes to the copy lies behind the record that is read next there, so it is never
// met again.
func merge(ctx context.Context, mine, copied *reader, each func(want, have *storage.Record) error) error {
	want, err := mine.next(ctx)
	if err != nil {
		return err
	}
	have, err := copied.next(ctx)
	for err == nil && (want != nil || have != nil) {
		switch {
		case have == nil || want != nil && want.ID < have.ID:
			if err = each(want, nil); err == nil {
				want, err = mine.next(ctx)
			}
		case want == nil || have.ID < want.ID:
			if err = each(nil, have); err == nil {
				have, err = copied.next(ctx)
			}
		default:
			if err = each(want, have); err != nil {
				return err
			}
			if want, err = mine.next(ctx); err == nil {
				have, err = copied.next(ctx)
			}
		}
	}
	return err
}
