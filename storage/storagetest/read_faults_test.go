package storagetest

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

func readFaults() []fault {
	return []fault{
		{"a value ends at its first zero byte", []string{"get/whole record", "limits/large"}, "a record came back changed", func(m *memory.Backend) *faulty {
			return rereading(m, func(r *storage.Record) {
				if len(r.Value) == 8 {
					return // a counter
				}
				before, _, _ := strings.Cut(string(r.Value), "\x00")
				r.Value = []byte(before)
			})
		}},
		{"Get answers in the order of the keys' IDs", []string{"get/order"}, "not in the order of the keys", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, get: func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
				keys = slices.SortedFunc(slices.Values(keys), func(a, b storage.Key) int { return cmp.Compare(a.ID, b.ID) })
				return m.Get(ctx, keys...)
			}}
		}},
		{"Get reads key by key", []string{"get/snapshot"}, "Get saw half a batch", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, get: func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
				var found []storage.Record
				for _, k := range keys {
					one, err := m.Get(ctx, k)
					if err != nil {
						return nil, err
					}
					found = append(found, one...)
					runtime.Gosched()
				}
				return found, nil
			}}
		}},
		{"List reads half a page at a time", []string{"concurrency/list snapshot"}, "List saw half a batch", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: tornList(m)}
		}},
		{"List ignores Descending", []string{"list/kind", "paging/after a missing record"}, "descending: true", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
				q.Descending = false
				return m.List(ctx, q)
			}}
		}},
		{"List skips a record at each page", []string{"paging/complete"}, "List skipped record", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
				found, err := m.List(ctx, q)
				if q.After != "" && len(found) == q.Limit {
					if next := q; err == nil {
						next.After = found[0].ID
						return m.List(ctx, next)
					}
				}
				return found, err
			}}
		}},
		{"List counts places instead of comparing IDs", []string{"paging/while others write"}, "record", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: offsetList(m)}
		}},
		{"List begins anew after a record that is gone", []string{"paging/after a missing record"}, "List (index", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
				if q.After != "" {
					found, err := m.Get(ctx, storage.Key{Namespace: q.Namespace, Kind: q.Kind, ID: q.After})
					if err != nil {
						return nil, err
					}
					if found[0].Revision == 0 {
						q.After = ""
					}
				}
				return m.List(ctx, q)
			}}
		}},
		{"List leaves counters out", []string{"list/counter"}, "a kind with a counter", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
				found, err := m.List(ctx, q)
				return slices.DeleteFunc(found, func(r storage.Record) bool { return len(r.Value) == 8 }), err
			}}
		}},
		{"List drops the expired from a page already cut", []string{"list/now"}, "the expired records took places", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
				all := q
				all.Now = time.Time{}
				found, err := m.List(ctx, all)
				return slices.DeleteFunc(found, func(r storage.Record) bool { return !q.Now.IsZero() && r.Expired(q.Now) }), err
			}}
		}},
		{"an index entry is not told from its neighbour", []string{"list/index"}, `index "k"`, func(m *memory.Backend) *faulty {
			return joinedIndex(m)
		}},
		{"an index entry outlives its removal", []string{"list/index follows writes", "expiry/recreate"}, "an index entry did not follow its record", func(m *memory.Backend) *faulty {
			return keptIndex(m)
		}},
	}
}

func tornList(m *memory.Backend) func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	return func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
		first := q
		first.Limit = max(q.Limit/4, 1)
		found, err := m.List(ctx, first)
		if err != nil || len(found) < first.Limit || q.Limit == 1 {
			return found, err
		}
		runtime.Gosched()
		second := q
		second.After, second.Limit = found[len(found)-1].ID, q.Limit-first.Limit
		rest, err := m.List(ctx, second)
		return append(found, rest...), err
	}
}

// offsetList remembers for each last record of a page at which place it stood.
func offsetList(m *memory.Backend) func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	var mu sync.Mutex
	places := map[storage.Query]int{}
	return func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
		runtime.Gosched() // others write between two pages, on one processor too
		all, err := listAll(ctx, m, q)
		if q.Descending {
			slices.Reverse(all)
		}
		mu.Lock()
		defer mu.Unlock()
		from := min(places[q], len(all))
		page := all[from:min(from+q.Limit, len(all))]
		if len(page) > 0 {
			q.After = page[len(page)-1].ID
			places[q] = from + len(page)
		}
		return page, err
	}
}

// joinedIndex stores the name and value of an entry without what parts them.
func joinedIndex(m *memory.Backend) *faulty {
	return &faulty{
		Backend: m,
		apply: rewriting(m, func(op *storage.Op) {
			op.Index = slices.Clone(op.Index)
			for i, e := range op.Index {
				op.Index[i] = entry("joined", e.Name+e.Value)
			}
		}),
		list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
			if q.Index != "" {
				q.Index, q.Value = "joined", q.Index+q.Value
			}
			return m.List(ctx, q)
		},
	}
}

// keptIndex lists a record under every entry it ever had.
func keptIndex(m *memory.Backend) *faulty {
	var mu sync.Mutex
	had := map[storage.Key][]storage.Index{}
	remember := rewriting(m, func(op *storage.Op) {
		mu.Lock()
		defer mu.Unlock()
		had[op.Key] = append(had[op.Key], op.Index...)
	})
	return &faulty{Backend: m, apply: remember, list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
		if q.Index == "" {
			return m.List(ctx, q)
		}
		kind := q
		kind.Index = ""
		found, err := m.List(ctx, kind)
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(found, func(r storage.Record) bool {
			return !slices.Contains(had[r.Key], entry(q.Index, q.Value))
		}), err
	}}
}
