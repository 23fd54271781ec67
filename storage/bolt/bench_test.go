package bolt_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// BenchmarkApply writes records of 1 KB with real syncs. Keys in the order of time
// are those of tokens.
func BenchmarkApply(b *testing.B) {
	for _, ordered := range []bool{false, true} {
		for _, callers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("ordered=%t/callers=%d", ordered, callers), func(b *testing.B) {
				store := open(b, filepath.Join(b.TempDir(), "bench.db"))
				start := time.Now()
				var next atomic.Int64
				var all sync.WaitGroup
				before := store.Stats()
				b.ReportAllocs()
				b.ResetTimer()
				for range callers {
					all.Go(func() {
						value := make([]byte, 1000)
						for next.Add(1) <= int64(b.N) {
							id := make([]byte, 0, 38)
							if ordered {
								id = binary.BigEndian.AppendUint64(id, uint64(time.Since(start).Milliseconds()))
							}
							for range 4 {
								id = binary.BigEndian.AppendUint64(id, rand.Uint64())
							}
							op := storage.Op{Action: storage.ActionPut, Key: key(string(id)), If: storage.Absent(), Value: value, Expiry: now.Add(time.Hour)}
							if err := store.Apply(b.Context(), storage.Batch{Now: now, Ops: []storage.Op{op}}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.StopTimer()
				after := store.Stats()
				b.ReportMetric(float64(after.Commits-before.Commits)/float64(b.N), "commits/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	store := open(b, filepath.Join(b.TempDir(), "bench.db"))
	const records = 10_000
	for i := 0; i < records; i += 50 {
		var ops []storage.Op
		for n := range 50 {
			ops = append(ops, put(fmt.Sprintf("%06d", i+n), make([]byte, 1000)))
		}
		apply(b, store, ops...)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			found, err := store.Get(b.Context(), key(fmt.Sprintf("%06d", rand.IntN(records))))
			if err != nil || found[0].Revision == 0 {
				b.Errorf("a record is missing: %v", err)
			}
		}
	})
}
