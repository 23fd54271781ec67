package storagetest

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// What a backend reads and then acts upon as if nobody else were there.
func raceFaults() []fault {
	return []fault{
		{"conditions are judged before the transaction", []string{"single use/create", "single use/put", "single use/delete", "single use/mixed"}, "under 64 parallel", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: judgedEarly(m, func(storage.Op) bool { return true })}
		}},
		{"Check is judged before the transaction", []string{"concurrency/crossed checks", "concurrency/check against change"}, "though the one its batch checked had changed", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: judgedEarly(m, func(op storage.Op) bool { return op.Action == storage.ActionCheck })}
		}},
		{"ceilings are judged before the transaction", []string{"counter/ceiling under load"}, "passed a ceiling of", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				if len(b.Ops) != 1 || b.Ops[0].Ceiling == 0 {
					return m.Apply(ctx, b)
				}
				op := b.Ops[0]
				found, err := m.Get(ctx, op.Key)
				if err != nil {
					return err
				}
				if storage.Counter(found[0])+op.Delta > op.Ceiling {
					return storage.ErrLimit
				}
				runtime.Gosched()
				op.Ceiling = 0
				return m.Apply(ctx, storage.Batch{Now: b.Now, Ops: []storage.Op{op}})
			}}
		}},
		{"Add compares and sets without a second try", []string{"counter/never conflicts", "counter/ceiling under load"}, "an Add without ceiling failed under load", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: optimisticAdd(m)}
		}},
		{"one writer at a time, the others conflict", []string{"concurrency/disjoint", "counter/never conflicts"}, "a batch that shares no record with another failed", func(m *memory.Backend) *faulty {
			var writer sync.Mutex
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				if !writer.TryLock() {
					return storage.ErrConflict
				}
				defer writer.Unlock()
				runtime.Gosched()
				return m.Apply(ctx, b)
			}}
		}},
	}
}

// judgedEarly reads the records of some operations, judges their conditions, and
// then applies the batch without these.
func judgedEarly(m *memory.Backend, early func(op storage.Op) bool) applyFunc {
	return func(ctx context.Context, b storage.Batch) error {
		var rest []storage.Op
		for _, op := range b.Ops {
			if op.Action == storage.ActionAdd || !early(op) {
				rest = append(rest, op)
				continue
			}
			found, err := m.Get(ctx, op.Key)
			if err != nil {
				return err
			}
			if !op.If.Holds(found[0], b.Now) {
				return storage.ErrConflict
			}
			op.If = storage.Any()
			rest = append(rest, op)
		}
		runtime.Gosched()
		return m.Apply(ctx, storage.Batch{Now: b.Now, Ops: rest})
	}
}

func optimisticAdd(m *memory.Backend) applyFunc {
	return func(ctx context.Context, b storage.Batch) error {
		b.Ops = slices.Clone(b.Ops)
		for i := range b.Ops {
			op := &b.Ops[i]
			if op.Action != storage.ActionAdd {
				continue
			}
			found, err := m.Get(ctx, op.Key)
			if err != nil {
				return err
			}
			sum := storage.Counter(found[0]) + op.Delta
			if op.Ceiling != 0 && sum > op.Ceiling {
				return storage.ErrLimit
			}
			op.Action, op.Value, op.If = storage.ActionPut, storage.CounterValue(sum), storage.At(found[0].Revision)
		}
		runtime.Gosched()
		return m.Apply(ctx, b)
	}
}
