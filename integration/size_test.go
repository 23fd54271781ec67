package integration

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/doorward/doorward/storage/bolt"
)

// BenchmarkLoginSize tells what a login takes in a bolt file: a new browser signs in
// at a first-party client, which redeems the code for an access, an ID and a refresh
// token, and refreshes twice. docs/operate.md has its figures:
//
//	go test -run '^$' -bench LoginSize -benchtime 2000x ./integration
//
// B/login is what the records hold, file-B/login what a compacted file grows by, and
// later-B/login that again after ten days, when access tokens and interactions have
// been swept and grant and session live on.
func BenchmarkLoginSize(b *testing.B) {
	w := start(b, plan{backend: "bolt"})
	store := w.backend.(*bolt.Backend)
	empty := held(b, w, store)
	emptyFile := compacted(b, store)
	commits := store.Stats().Commits
	for b.Loop() {
		oneLogin(b, w)
	}
	n := float64(b.N)
	b.ReportMetric(float64(store.Stats().Commits-commits)/n, "commits/login")
	b.ReportMetric(float64(held(b, w, store)-empty)/n, "B/login")
	b.ReportMetric(float64(compacted(b, store)-emptyFile)/n, "file-B/login")
	w.advance(10 * 24 * time.Hour)
	for swept := 1; swept > 0; {
		var err error
		if swept, err = w.server.Store().Sweep(b.Context(), time.Second); err != nil {
			b.Fatal(err)
		}
	}
	held(b, w, store)
	b.ReportMetric(float64(compacted(b, store)-emptyFile)/n, "later-B/login")
	b.ReportMetric(0, "ns/op") // a person's browser and the parsing of its pages, not the server
}

func oneLogin(b *testing.B, w *world) {
	b.Helper()
	code, verifier, err := w.code(w.person(), "own", "alice", nil)
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := w.exchange("own", code, verifier, nil)
	for range 2 {
		if err != nil || tokens.text("refresh_token") == "" {
			b.Fatalf("no tokens: %v %s", err, tokens)
		}
		tokens, err = w.refresh("own", tokens.text("refresh_token"), nil)
	}
}

// held is what the records take.
func held(b *testing.B, w *world, store *bolt.Backend) (all int64) {
	b.Helper()
	kinds, err := store.Count(b.Context(), w.now())
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range kinds {
		all += k.Bytes
		if testing.Verbose() && b.N > 1 {
			b.Logf("%-12s %7d %9d B", k.Kind, k.Live+k.Expired, k.Bytes)
		}
	}
	return all
}

// compacted is the size of the file without its free pages.
func compacted(b *testing.B, store *bolt.Backend) int64 {
	b.Helper()
	folder := b.TempDir()
	copied, small := filepath.Join(folder, "copied.db"), filepath.Join(folder, "small.db")
	if _, err := store.BackupFile(b.Context(), copied); err != nil {
		b.Fatal(err)
	}
	if err := bolt.Compact(b.Context(), copied, small); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(small)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
