package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/doorward/doorward/storage"
)

var silent = slog.New(slog.DiscardHandler)

// kept and swept are how many records loose makes and how many of them it deletes.
const (
	kept  = 40
	swept = 400
)

// loose makes a database most of whose pages are free and returns the highest
// revision that it gave.
func loose(t *testing.T, path string) storage.Revision {
	t.Helper()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var ops []storage.Op
	for i := range kept {
		op := record(fmt.Sprintf("kept %03d", i), 300)
		op.Index = []storage.Index{{Name: "parity", Value: fmt.Sprint(i % 2)}}
		op.Expiry = pagesNow.AddDate(1, 0, 0)
		ops = append(ops, op)
	}
	mustApply(t, b, ops...)
	for i := 0; i < swept; i += 40 {
		ops = nil
		for n := range 40 {
			ops = append(ops, record(fmt.Sprintf("swept %03d", i+n), 5000))
		}
		mustApply(t, b, ops...)
	}
	for n := 1; n > 0; {
		if n, err = b.Sweep(t.Context(), pagesNow.Add(2*time.Hour), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	mustApply(t, b, record("last", 10))
	found, err := b.Get(t.Context(), record("last", 0).Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return found[0].Revision
}

// whole expects a database in which nothing of loose is missing, whose revisions go
// on growing, and which can be written, closed and opened again.
func whole(t *testing.T, path string, highest storage.Revision) {
	t.Helper()
	never := Options{Logger: silent, CompactAbove: -1}
	b, err := OpenWith(path, never)
	if err != nil {
		t.Errorf("it can't be opened: %v", err)
		return
	}
	if n, err := b.Check(t.Context()); err != nil || n != kept+1 {
		t.Errorf("it has %d records, want %d: %v", n, kept+1, err)
	}
	found, err := b.List(t.Context(), storage.Query{Namespace: "https://op.example", Kind: "token", Index: "parity", Value: "1", Limit: storage.MaxPage})
	if err != nil || len(found) != kept/2 || len(found[0].Value) != 300 || !found[0].Expiry.Equal(pagesNow.AddDate(1, 0, 0)) {
		t.Errorf("the index lists %d records, want %d: %v", len(found), kept/2, err)
	}
	if at, err := b.LastCommit(t.Context()); err != nil || !at.Equal(pagesNow) {
		t.Errorf("the last commit was at %v: %v", at, err)
	}
	mustApply(t, b, record("new", 10))
	got, err := b.Get(t.Context(), record("new", 0).Key)
	if err != nil || got[0].Revision <= highest {
		t.Errorf("a new record has revision %d, the one before had %d: %v", got[0].Revision, highest, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Verify(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// image copies a folder as a crash at this moment would leave it, with the locks gone.
func image(t *testing.T, folder string) string {
	t.Helper()
	to := t.TempDir()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, f.Name()), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

var steps = []string{"created", "copied", "synced", "renamed", "durable"}

func TestCrashWhileCompacting(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is compacted at start on Windows")
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "test.db")
	highest := loose(t, path)
	before := size(t, path)
	images := map[string]string{}
	var seen []string
	b, err := opening{Options: Options{Logger: silent, CompactAbove: 1}, step: func(name string) error {
		seen = append(seen, name)
		images[name] = image(t, folder)
		return nil
	}}.open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(seen) != fmt.Sprint(steps) {
		t.Fatalf("the steps were %v", seen)
	}
	if after := size(t, path); after > before/4 {
		t.Errorf("%d bytes became %d", before, after)
	}
	whole(t, path, highest)
	for name, folder := range images {
		t.Run(name, func(t *testing.T) {
			whole(t, filepath.Join(folder, "test.db"), highest)
			if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) != 1 {
				t.Errorf("the next start left %q: %v", left, err)
			}
		})
	}
}

// tiring is a context that ends when it was asked often enough.
type tiring struct {
	context.Context
	left int
}

func (c *tiring) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A copy that was broken off, wherever, does not pass for a database.
func TestBrokenOffCopyIsRefused(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "test.db")
	highest := loose(t, path)
	b := openAt(t, path)
	for left := 0; ; left++ {
		half := filepath.Join(folder, fmt.Sprintf("half-%d.db", left))
		err := b.view(t.Context(), func(tx *bbolt.Tx) error {
			return copyTo(&tiring{t.Context(), left}, half, tx, b.base, 1000)
		})
		if err == nil {
			if left < 10 {
				t.Errorf("the copy was done in %d transactions", left)
			}
			whole(t, half, highest)
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), half); err == nil || !strings.Contains(err.Error(), half) {
			t.Errorf("broken off after %d transactions: %v", left, err)
		}
		if b, err := OpenWith(half, Options{Logger: silent}); err == nil {
			t.Errorf("broken off after %d transactions it opens", left)
			_ = b.Close() // the test has failed
		}
	}
}

func TestFailureWhileCompacting(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is compacted at start on Windows")
	}
	errStep := errors.New("no room")
	for _, at := range steps {
		t.Run(at, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			highest := loose(t, path)
			var log bytes.Buffer
			b, err := opening{Options: Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), CompactAbove: 1}, step: func(name string) error {
				if name == at {
					return errStep
				}
				return nil
			}}.open(t.Context(), path)
			late := at == "renamed" || at == "durable"
			switch {
			case late && !errors.Is(err, errStep):
				t.Errorf("it opened a file whose name may not be durable: %v", err)
			case !late && (err != nil || !strings.Contains(log.String(), "could not be compacted")):
				t.Errorf("a start that can't compact: %v, log %s", err, &log)
			}
			if b != nil {
				mustApply(t, b, record("meanwhile", 10))
				if err := b.Apply(t.Context(), storage.Batch{Now: pagesNow, Ops: []storage.Op{{Action: storage.ActionDelete, Key: record("meanwhile", 0).Key, If: storage.Any()}}}); err != nil {
					t.Error(err)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
			whole(t, path, highest)
			if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
				t.Errorf("there is %q: %v", left, err)
			}
		})
	}
}

// Not every start compacts.
func TestCompactingAtStartIsForLargeFreeFiles(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		above, size, used int64
		want              bool
	}{
		{0, 64 * mb, mb, false}, {0, 65 * mb, 20 * mb, true}, {0, 100 * mb, 50 * mb, false}, {0, 100 * mb, 49 * mb, true},
		{-1, 1000 * mb, mb, false}, {mb, 2 * mb, mb / 2, true}, {mb, 2 * mb, mb, false},
	} {
		if got := worthwhile(c.above, c.size, c.used); got != c.want && runtime.GOOS != "windows" {
			t.Errorf("above %d, %d bytes of which %d are used: %t", c.above, c.size, c.used, got)
		}
	}
}

func TestCompactByCommand(t *testing.T) {
	folder := t.TempDir()
	path, other := filepath.Join(folder, "test.db"), filepath.Join(folder, "other.db")
	highest := loose(t, path)
	before := size(t, path)
	if err := Compact(t.Context(), path, other); err != nil {
		t.Fatal(err)
	}
	if size(t, path) != before || size(t, other) > before/4 {
		t.Errorf("%d bytes became %d, the copy has %d", before, size(t, path), size(t, other))
	}
	whole(t, other, highest)
	if err := Compact(t.Context(), path, other); err == nil || !strings.Contains(err.Error(), other+" is there already") {
		t.Errorf("compacting over a file: %v", err)
	}
	for range 3 { // the second time there is nothing to gain, and revisions still grow
		if err := Compact(t.Context(), path, path); err != nil {
			t.Fatal(err)
		}
	}
	if size(t, path) > before/4 {
		t.Errorf("%d bytes became %d", before, size(t, path))
	}
	b := openAt(t, path)
	for _, dst := range []string{path, filepath.Join(folder, "third.db")} {
		if err := Compact(t.Context(), path, dst); err == nil || !strings.Contains(err.Error(), "in use by process") {
			t.Errorf("compacting a file in use into %s: %v", dst, err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	whole(t, path, highest)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, dst := range []string{path, filepath.Join(folder, "third.db")} {
		if err := Compact(cancelled, path, dst); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled Compact into %s: %v", dst, err)
		}
		if err := Compact(t.Context(), filepath.Join(folder, "none.db"), dst); err == nil || !strings.Contains(err.Error(), "none.db") {
			t.Errorf("no database: %v", err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) != 2 {
		t.Errorf("there is %q: %v", left, err)
	}
}

// A process that waits for the lock while the file is compacted must not end up with
// the file that was replaced: what it writes there would be lost.
func TestWaitingWhileCompacting(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is compacted at start on Windows")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	highest := loose(t, path)
	var waiting sync.WaitGroup
	b, err := opening{Options: Options{Logger: silent, CompactAbove: 1}, step: func(name string) error {
		if name == "synced" {
			for range 3 {
				waiting.Go(func() {
					db, file, err := openFile(path, false)
					for errors.Is(err, bbolterrors.ErrTimeout) { // compacting took longer than anybody waits
						db, file, err = openFile(path, false)
					}
					if err != nil {
						t.Errorf("one that waited: %v", err)
						return
					}
					locked, err := file.Stat()
					if err != nil {
						t.Error(err)
					}
					if named, err := os.Stat(path); err != nil || !os.SameFile(locked, named) {
						t.Errorf("it has the file that was replaced: %v", err)
					}
					if err := db.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			time.Sleep(100 * time.Millisecond) // they have the old file open and wait for its lock
		}
		return nil
	}}.open(t.Context(), path)
	if err != nil {
		t.Error(err)
	} else if err := b.Close(); err != nil {
		t.Error(err)
	}
	waiting.Wait()
	whole(t, path, highest)
}
