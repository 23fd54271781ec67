package postgres_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
)

// inParallel shares b.N calls among callers.
func inParallel(b *testing.B, callers int, call func() error) {
	var next atomic.Int64
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkApply writes records of 1 KB under keys in the order of time, as those of tokens
// are, with the syncs of the server.
func BenchmarkApply(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			store := open(b, server.Database(b), postgres.Options{MaxConns: 32})
			start := time.Now()
			inParallel(b, callers, func() error {
				id := binary.BigEndian.AppendUint64(nil, uint64(time.Since(start).Milliseconds()))
				for range 4 {
					id = binary.BigEndian.AppendUint64(id, rand.Uint64())
				}
				op := put(string(id), storage.Absent(), "")
				op.Value, op.Expiry = make([]byte, 1000), now.Add(time.Hour)
				return apply(b.Context(), store, op)
			})
		})
	}
}

// BenchmarkGet reads three records at once, as a refresh does.
func BenchmarkGet(b *testing.B) {
	store := open(b, server.Database(b), postgres.Options{MaxConns: 32})
	const records = 10_000
	fill(b, store, records)
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			inParallel(b, callers, func() error {
				found, err := store.Get(b.Context(), key(name(rand.IntN(records))), key(name(rand.IntN(records))), key(name(rand.IntN(records))))
				if err == nil && found[0].Revision == 0 {
					err = fmt.Errorf("a record is missing")
				}
				return err
			})
		})
	}
}

func name(i int) string { return fmt.Sprintf("%06d", i) }

// fill writes records of 1 KB, a tenth of which are listed under one index value.
func fill(t testing.TB, store storage.Backend, records int) {
	t.Helper()
	for i := 0; i < records; i += 50 {
		var ops []storage.Op
		for n := i; n < i+50; n++ {
			op := put(name(n), storage.Absent(), "", storage.Index{Name: "x", Value: fmt.Sprint(n % 10)})
			op.Value = make([]byte, 1000)
			if n%2 == 0 {
				op.Expiry = now.Add(time.Duration(n+1) * time.Second)
			}
			ops = append(ops, op)
		}
		if err := apply(t.Context(), store, ops...); err != nil {
			t.Fatal(err)
		}
	}
}
