package storagetest

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

func timeFaults() []fault {
	return []fault{
		{"expiry is ignored by conditions", []string{"condition/table", "expiry/boundary", "expiry/recreate", "counter/expiry"}, "an expired record still conflicts with Absent", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: at(m, func(time.Time) time.Time { return time.Unix(1, 0) })}
		}},
		{"a record lives through its expiry", []string{"condition/table", "expiry/boundary", "counter/expiry"}, "at expiry", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: at(m, func(t time.Time) time.Time { return t.Add(-time.Millisecond) })}
		}},
		{"expiry is kept to the second", []string{"expiry/millisecond"}, "came back as", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: rewriting(m, func(op *storage.Op) { op.Expiry = op.Expiry.Truncate(time.Second) })}
		}},
		{"Get hides what has expired", []string{"expiry/get"}, "judging expiry is the caller's", func(m *memory.Backend) *faulty {
			return rereading(m, func(r *storage.Record) {
				if r.Expired(now) {
					*r = storage.Record{}
				}
			})
		}},
		{"Add renews a live counter", []string{"counter/expiry"}, "a live counter, a later expiry offered", func(m *memory.Backend) *faulty {
			var mu sync.Mutex
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				mu.Lock()
				defer mu.Unlock()
				if err := m.Apply(ctx, b); err != nil || b.Ops[0].Action != storage.ActionAdd {
					return err
				}
				found, err := m.Get(ctx, b.Ops[0].Key)
				if err != nil {
					return err
				}
				again := storage.Op{Action: storage.ActionPut, Key: b.Ops[0].Key, If: storage.Any(), Value: found[0].Value, Expiry: b.Ops[0].Expiry}
				return m.Apply(ctx, storage.Batch{Now: b.Now, Ops: []storage.Op{again}})
			}}
		}},
		{"Sweep takes what will expire soon", []string{"sweep/only expired"}, "Sweep says that", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, sweep: func(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
				return m.Sweep(ctx, now.Add(time.Minute), budget)
			}}
		}},
		{"Sweep has no budget", []string{"sweep/budget"}, "on a budget of a nanosecond", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, sweep: func(ctx context.Context, now time.Time, _ time.Duration) (int, error) {
				return m.Sweep(ctx, now, time.Hour)
			}}
		}},
		{"Sweep gives up after one call", []string{"sweep/budget"}, "Sweep returned 0 after", func(m *memory.Backend) *faulty {
			var called bool
			return &faulty{Backend: m, sweep: func(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
				if called {
					return 0, nil
				}
				called = true
				return m.Sweep(ctx, now, budget)
			}}
		}},
		{"Sweep goes by expiries noted once", []string{"sweep/renewed"}, "Sweep deleted 3 renewed records", notedExpiry},
		{"Sweep deletes what it read a while ago", []string{"sweep/renewed meanwhile"}, "Sweep deleted a record renewed meanwhile", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, sweep: lateSweep(m)}
		}},
	}
}

// at returns an Apply that judges expiry at another time.
func at(m *memory.Backend, shift func(time.Time) time.Time) applyFunc {
	return func(ctx context.Context, b storage.Batch) error {
		if !b.Now.IsZero() {
			b.Now = shift(b.Now)
		}
		return m.Apply(ctx, b)
	}
}

// notedExpiry keeps the first expiry of each key for its sweep.
func notedExpiry(m *memory.Backend) *faulty {
	var mu sync.Mutex
	noted := map[storage.Key]time.Time{}
	f := &faulty{Backend: m, apply: rewriting(m, func(op *storage.Op) {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := noted[op.Key]; !ok && !op.Expiry.IsZero() {
			noted[op.Key] = op.Expiry
		}
	})}
	f.sweep = func(ctx context.Context, now time.Time, _ time.Duration) (n int, err error) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range slices.Collect(maps.Keys(noted)) {
			if now.Before(noted[k]) {
				continue
			}
			delete(noted, k)
			if err := m.Apply(ctx, storage.Batch{Now: now, Ops: []storage.Op{{Action: storage.ActionDelete, Key: k, If: storage.Any()}}}); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	return f
}

// lateSweep reads all expired records first and then deletes them by key alone.
func lateSweep(m *memory.Backend) func(ctx context.Context, now time.Time, budget time.Duration) (int, error) {
	return func(ctx context.Context, now time.Time, _ time.Duration) (n int, err error) {
		found, err := listAll(ctx, m, storage.Query{Namespace: namespace, Kind: kind})
		if err != nil {
			return 0, err
		}
		for _, r := range found {
			if !r.Expired(now) {
				continue
			}
			runtime.Gosched()
			if err := m.Apply(ctx, storage.Batch{Now: now, Ops: []storage.Op{{Action: storage.ActionDelete, Key: r.Key, If: storage.Any()}}}); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
}
