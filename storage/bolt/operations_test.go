package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/allocation"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(t), *update) }

// operations are what a Store asks of the file for one request.
func operations(tb testing.TB) []allocation.Operation {
	b := open(tb, filepath.Join(tb.TempDir(), "test.db"))
	ctx := tb.Context()
	value := make([]byte, 400)
	fresh := func() storage.Op {
		return storage.Op{Action: storage.ActionPut, Key: key(opaque.NewID(now)), If: storage.Absent(), Value: value, Expiry: now.Add(time.Hour)}
	}
	apply(tb, b, put("a", value), put("b", value), put("c", value))
	return []allocation.Operation{
		{Name: "get one", Run: func() error {
			_, err := b.Get(ctx, key("a"))
			return err
		}},
		{Name: "get five, two of them absent", Run: func() error {
			_, err := b.Get(ctx, key("a"), key("b"), key("c"), key("d"), key("e"))
			return err
		}},
		{Name: "apply one insert", Run: func() error {
			return b.Apply(ctx, storage.Batch{Now: now, Ops: []storage.Op{fresh()}})
		}},
		{Name: "apply a change and an insert", Run: func() error {
			return b.Apply(ctx, storage.Batch{Now: now, Ops: []storage.Op{put("a", value), fresh()}})
		}},
	}
}
