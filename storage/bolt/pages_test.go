package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

var pagesNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func openAt(t testing.TB, path string) *Backend {
	t.Helper()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func record(id string, size int) storage.Op {
	return storage.Op{
		Action: storage.ActionPut, Key: storage.Key{Namespace: "https://op.example", Kind: "token", ID: id}, If: storage.Absent(),
		Expiry: pagesNow.Add(time.Hour), Value: make([]byte, size),
	}
}

func mustApply(t testing.TB, b *Backend, ops ...storage.Op) {
	t.Helper()
	if err := b.Apply(context.Background(), storage.Batch{Now: pagesNow, Ops: ops}); err != nil {
		t.Fatal(err)
	}
}

// used is the size of the file up to the last page that was ever used.
func used(t *testing.T, b *Backend) int64 {
	t.Helper()
	var size int64
	err := b.view(t.Context(), func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func TestOrderedRecordsFillTheirPages(t *testing.T) {
	const records, size = 8000, 200
	fill := func(id func(i int) string) float64 {
		b := openAt(t, filepath.Join(t.TempDir(), "test.db"))
		var ops []storage.Op
		for i := range records {
			if ops = append(ops, record(id(i), size)); len(ops) == storage.MaxOps {
				mustApply(t, b, ops...)
				ops = nil
			}
		}
		free := b.Stats()
		return float64(used(t, b)-int64((free.FreePages+free.PendingPages)*os.Getpagesize())) / (records * size)
	}
	random := rand.New(rand.NewPCG(1, 2))
	ordered := fill(func(i int) string { return fmt.Sprintf("%08d%08x", i, random.Uint32()) })
	scattered := fill(func(int) string { return fmt.Sprintf("%016x", random.Uint64()) })
	t.Logf("bytes in use for each byte of value: %.2f in order, %.2f at random", ordered, scattered)
	if ordered > 1.75 {
		t.Errorf("records in the order of time take %.2f times their size: half of each page is left empty", ordered)
	}
	if scattered < ordered || scattered > 2.6 {
		t.Errorf("records in random order take %.2f times their size", scattered)
	}
}

// listed looks into the file for the list of free pages.
func listed(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	found, err := inspect(f, info.Size(), walkLimit)
	if err != nil {
		t.Fatal(err)
	}
	return found.listed
}

func TestLongListOfFreePagesIsWrittenAtClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	b := openAt(t, path)
	mustApply(t, b, record("small", 10))
	if !listed(t, path) {
		t.Error("a short list was not written: a start after a crash would have to look at the whole file")
	}
	for i := range 30 {
		mustApply(t, b, record(fmt.Sprintf("large %d", i), 240_000))
	}
	for {
		n, err := b.Sweep(t.Context(), pagesNow.Add(2*time.Hour), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	mustApply(t, b, record("after", 10))
	mustApply(t, b, record("last", 10))
	if n := b.Stats().FreePages; n <= maxListedPages {
		t.Fatalf("the sweep left %d free pages only", n)
	}
	if listed(t, path) {
		t.Error("a long list is written by every commit")
	}
	// What a crash at this moment leaves.
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "crashed.db")
	if err := os.WriteFile(crashed, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if !listed(t, path) {
		t.Error("the list was not written at Close")
	}
	for _, file := range []string{path, crashed} {
		again := openAt(t, file)
		if n := again.Stats().FreePages; n <= maxListedPages {
			t.Errorf("after opening anew %d pages are free", n)
		}
		found, err := again.Get(t.Context(), record("last", 0).Key, record("large 1", 0).Key)
		if err != nil || found[0].Revision == 0 || found[1].Revision != 0 {
			t.Errorf("after opening anew the store is not what it was: %v", err)
		}
		mustApply(t, again, record("new", 10))
	}
	// Damage where the list is missing is found before bbolt looks for free pages.
	page := os.Getpagesize()
	for at := 2 * page; at < len(raw); at += page {
		copy(raw[at:], bytes.Repeat([]byte{0xa5}, 64))
	}
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(damaged, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := OpenUnwalked(damaged, Options{}); err == nil {
		_ = b.Close() // the test has failed
		t.Error("a damaged file without a list of free pages was opened")
	}
}

// A commit that breaks off in bbolt must not take the process, the neighbours or the
// readers with it.
func TestPanicInCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	b := openAt(t, path)
	mustApply(t, b, record("before", 10))
	b.commitTx = func(*bbolt.Tx) error { panic("page 7: multiple references") }
	for range 2 {
		err := b.Apply(t.Context(), storage.Batch{Now: pagesNow, Ops: []storage.Op{record("lost", 10)}})
		if outcome := fmt.Sprint(errors.Is(err, storage.ErrUnavailable), errors.Is(err, storage.ErrUnknown)); outcome != "true false" {
			t.Errorf("Apply returned %v", err)
		}
	}
	found, err := b.Get(t.Context(), record("before", 0).Key, record("lost", 0).Key)
	if err != nil || found[0].Revision == 0 || found[1].Revision != 0 {
		t.Errorf("reads after a commit that broke off: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	mustApply(t, openAt(t, path), record("after", 10))
}

func TestSweepStopsAtItsBudget(t *testing.T) {
	b := openAt(t, filepath.Join(t.TempDir(), "test.db"))
	const records = 6400
	for i := 0; i < records; i += storage.MaxOps {
		var ops []storage.Op
		for n := range storage.MaxOps {
			ops = append(ops, record(fmt.Sprintf("%08d", i+n), 100))
		}
		mustApply(t, b, ops...)
	}
	const budget = 5 * time.Millisecond
	total, runs := 0, 0
	for {
		n, err := b.Sweep(t.Context(), pagesNow.Add(2*time.Hour), budget)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		total += n
		runs++
	}
	if total != records || runs < 2 {
		t.Errorf("%d runs of %v swept %d of %d records", runs, budget, total, records)
	}
	stats := b.Stats()
	if stats.Sweeps != runs || stats.Swept != records || stats.LongestSweep <= 0 || stats.SweepTime < stats.LongestSweep {
		t.Errorf("%d runs that swept %d records are counted as %+v", runs, records, stats)
	}
}

// Who measured the file before it grew must not take what another measured after that
// for a sign that it was cut off: nothing would be written any more.
func TestGrowingFileIsNotTakenForCutOff(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := &Backend{file: file}
	var grown atomic.Bool
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for !grown.Load() {
				if err := b.measure(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for size := range int64(20_000) {
		if err := file.Truncate(size); err != nil {
			t.Error(err)
		}
	}
	grown.Store(true)
	readers.Wait()
}

// All that a kind has can go in the transaction in which the next of it comes: the pages
// without a key stay in the tree until the commit.
func TestPutWhereEverythingWasRemoved(t *testing.T) {
	b := openAt(t, filepath.Join(t.TempDir(), "test.db"))
	var puts, ops []storage.Op
	for i := range 60 {
		put := record(fmt.Sprintf("old-%03d", i), 1000)
		puts = append(puts, put)
		ops = append(ops, storage.Op{Action: storage.ActionDelete, Key: put.Key, If: storage.Any()})
	}
	mustApply(t, b, puts...)
	ops = append(ops, record("new", 400))
	done := make(chan error, 1)
	go func() { done <- b.Apply(context.Background(), storage.Batch{Now: pagesNow, Ops: ops}) }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the commit does not end")
	}
	page, err := b.List(t.Context(), storage.Query{Namespace: "https://op.example", Kind: "token", Now: pagesNow, Limit: 10})
	if err != nil || len(page) != 1 || page[0].Key.ID != "new" {
		t.Fatalf("there are %d records, of %v; want the new one alone", len(page), err)
	}
}
