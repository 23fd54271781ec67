package storagetest

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

func writeFaults() []fault {
	return []fault{
		{"conditions are forgotten", []string{"condition/table", "batch/conflict", "single use/create", "single use/put", "single use/delete", "single use/mixed", "concurrency/crossed checks", "concurrency/check against change"}, "a record was created 64 times under 64 parallel creates", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: rewriting(m, forgetCondition)}
		}},
		{"Delete of an absent record fails", []string{"condition/delete"}, "a Delete, repeated failed", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				if len(b.Ops) == 1 && b.Ops[0].Action == storage.ActionDelete {
					found, err := m.Get(ctx, b.Ops[0].Key)
					if err != nil {
						return err
					}
					if found[0].Revision == 0 {
						return storage.ErrConflict
					}
				}
				return m.Apply(ctx, b)
			}}
		}},
		{"Check writes its record anew", []string{"condition/check"}, "a Check changed its record", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: rewriting(m, func(op *storage.Op) {
				if op.Action != storage.ActionCheck {
					return
				}
				if found, err := m.Get(context.Background(), op.Key); err == nil && found[0].Revision != 0 {
					op.Action, op.Value, op.Expiry, op.Index = storage.ActionPut, found[0].Value, found[0].Expiry, found[0].Index
				}
			})}
		}},
		{"a batch is carried out one by one", []string{"batch/conflict", "batch/limit", "get/snapshot"}, "a failed batch left a write behind", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				if err := b.Validate(); err != nil {
					return err
				}
				for _, op := range b.Ops {
					if err := m.Apply(ctx, storage.Batch{Now: b.Now, Ops: []storage.Op{op}}); err != nil {
						return err
					}
					runtime.Gosched()
				}
				return nil
			}}
		}},
		{"a batch is cut at 50 operations", []string{"batch/all", "limits/large"}, "was not carried out whole", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				if err := b.Validate(); err != nil {
					return err
				}
				b.Ops = b.Ops[:min(len(b.Ops), 50)]
				return m.Apply(ctx, b)
			}}
		}},
		{"revisions count the states of one record", []string{"revision/never reused", "revision/grows", "revision/under load"}, "a revision was used again", localRevisions},
		{"Put keeps the expiry when it brings none", []string{"get/replaced", "sweep/renewed"}, "something of the old record was left after a Put", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: rewriting(m, func(op *storage.Op) {
				if op.Action != storage.ActionPut || !op.Expiry.IsZero() {
					return
				}
				if found, err := m.Get(context.Background(), op.Key); err == nil {
					op.Expiry = found[0].Expiry
				}
			})}
		}},
		{"Add has no ceiling", []string{"counter/ceiling", "batch/limit", "counter/ceiling under load"}, "passed a ceiling of", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: rewriting(m, func(op *storage.Op) { op.Ceiling = 0 })}
		}},
		{"Add only counts up", []string{"counter/sums", "counter/ceiling"}, "after some Adds", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: rewriting(m, func(op *storage.Op) { op.Delta = max(op.Delta, 0) })}
		}},
		{"namespace and kind run into each other", []string{"isolation"}, "in each other's way", func(m *memory.Backend) *faulty {
			join := func(k storage.Key) storage.Key {
				return storage.Key{Namespace: "joined", Kind: k.Namespace + k.Kind, ID: k.ID}
			}
			return &faulty{
				Backend: m,
				apply:   rewriting(m, func(op *storage.Op) { op.Key = join(op.Key) }),
				get: func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
					joined := slices.Clone(keys)
					for i, k := range keys {
						joined[i] = join(k)
					}
					return m.Get(ctx, joined...)
				},
			}
		}},
		{"the caller's value is kept", []string{"copies/in", "copies/out"}, sharedStory, sharedValues},
		{"a batch is not validated", []string{"limits/batch"}, "a malformed batch is ErrInvalid", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				for chunk := range slices.Chunk(b.Ops, 1) {
					if err := m.Apply(ctx, storage.Batch{Now: b.Now, Ops: chunk}); err != nil {
						return err
					}
				}
				return nil
			}}
		}},
	}
}

// localRevisions numbers the states of each record from 1, so that a record
// written anew meets the revisions of the one before.
func localRevisions(m *memory.Backend) *faulty {
	var mu sync.Mutex
	states := map[storage.Key]storage.Revision{}
	f := rereading(m, func(r *storage.Record) { r.Revision = min(r.Revision, states[r.Key]) })
	inner := f.get
	f.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
		mu.Lock()
		defer mu.Unlock()
		return inner(ctx, keys)
	}
	f.apply = func(ctx context.Context, b storage.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		b.Ops = slices.Clone(b.Ops)
		for i, op := range b.Ops {
			if at, ok := op.If.Required(); ok && at != 0 {
				found, err := m.Get(ctx, op.Key)
				if err != nil {
					return err
				}
				if states[op.Key] != at {
					return storage.ErrConflict
				}
				b.Ops[i].If = storage.At(found[0].Revision)
			}
		}
		if err := m.Apply(ctx, b); err != nil {
			return err
		}
		for _, op := range b.Ops {
			switch op.Action {
			case storage.ActionPut, storage.ActionAdd:
				states[op.Key]++
			case storage.ActionDelete:
				delete(states, op.Key)
			}
		}
		return nil
	}
	return f
}

// sharedValues hands the slice that was put to everybody who asks.
func sharedValues(m *memory.Backend) *faulty {
	var mu sync.Mutex
	values := map[storage.Key][]byte{}
	f := rereading(m, func(r *storage.Record) {
		mu.Lock()
		defer mu.Unlock()
		if value, ok := values[r.Key]; ok {
			r.Value = value
		}
	})
	f.apply = rewriting(m, func(op *storage.Op) {
		mu.Lock()
		defer mu.Unlock()
		if delete(values, op.Key); op.Action == storage.ActionPut {
			values[op.Key] = op.Value
		}
	})
	return f
}
