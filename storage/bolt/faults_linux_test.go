package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/doorward/doorward/storage"
)

var faultsNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func quietOpen(t *testing.T, path string) *Backend {
	t.Helper()
	b, err := OpenWith(path, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, b *Backend, id string, size int) error {
	return b.Apply(t.Context(), storage.Batch{Now: faultsNow, Ops: []storage.Op{{
		Action: storage.ActionPut, Key: storage.Key{Namespace: "n", Kind: "k", ID: id}, If: storage.Absent(), Value: make([]byte, size),
	}}})
}

// has says whether a record is there; a failing read fails the test.
func has(t *testing.T, b *Backend, id string) bool {
	t.Helper()
	found, err := b.Get(t.Context(), storage.Key{Namespace: "n", Kind: "k", ID: id})
	if err != nil {
		t.Fatalf("a read failed: %v", err)
	}
	return found[0].Revision != 0
}

// outcome names what Apply returned.
func outcome(err error) string {
	switch {
	case err == nil:
		return "stored"
	case errors.Is(err, storage.ErrUnknown) && errors.Is(err, storage.ErrUnavailable):
		return "unknown"
	case errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrUnknown):
		return "unavailable"
	default:
		return err.Error()
	}
}

func TestAcknowledgedAfterSyncs(t *testing.T) {
	w := inChild(t)
	if w == nil {
		return
	}
	b := quietOpen(t, filepath.Join(t.TempDir(), "test.db"))
	if err := write(t, b, "first", 10); err != nil {
		t.Fatal(err)
	}
	before, stats := w.count("sync"), b.Stats()
	const callers, rounds = 32, 10
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := range rounds {
				start := w.count("sync")
				if err := write(t, b, fmt.Sprint(i, "/", n), 100); err != nil {
					t.Error(err)
				}
				if syncs := w.count("sync") - start; syncs < 2 {
					t.Errorf("acknowledged after %d syncs, want one for the data and one for what makes it count", syncs)
				}
			}
		})
	}
	all.Wait()
	after := b.Stats()
	if n := after.Batches - stats.Batches; n != callers*rounds {
		t.Errorf("Stats counts %d batches, want %d", n, callers*rounds)
	}
	if n := after.Commits - stats.Commits; n > callers*rounds/2 {
		t.Errorf("%d callers needed %d commits for %d batches: they share none", callers, n, callers*rounds)
	}
	if seen, said := w.count("sync")-before, after.Syncs-stats.Syncs; seen != said {
		t.Errorf("Stats counts %d syncs, the kernel saw %d", said, seen)
	}
	w.calls()
	if err := write(t, b, "last", 10); err != nil {
		t.Fatal(err)
	}
	if calls := w.calls(); !regexp.MustCompile(`^\d+ write, 1 sync, 1 write, 1 sync$`).MatchString(calls) {
		t.Errorf("a commit is: %s; want data, sync, meta page, sync", calls)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestFailedSyncEndsWriting(t *testing.T) {
	w := inChild(t)
	if w == nil {
		return
	}
	for _, c := range []struct {
		what  string
		nth   int
		errno syscall.Errno
	}{
		{"sync", 1, unix.EIO}, {"sync", 2, unix.EIO}, {"write", 1, unix.EIO},
		{"sync", 2, unix.ENOSPC}, // the meta page is in the file already: this is not just a full disk
	} {
		name := fmt.Sprintf("%s %d %v", c.what, c.nth, c.errno)
		path := filepath.Join(t.TempDir(), "test.db")
		b := quietOpen(t, path)
		if err := write(t, b, "before", 10); err != nil {
			t.Fatal(err)
		}
		w.from(c.what, c.nth, c.errno, false)
		if got := outcome(write(t, b, "lost", 10)); got != "unknown" {
			t.Errorf("%s: the batch is %s, want unknown", name, got)
		}
		w.calls()
		for range 3 {
			if got := outcome(write(t, b, "after", 10)); got != "unavailable" {
				t.Errorf("%s: the next batch is %s, want unavailable", name, got)
			}
		}
		if _, err := b.Sweep(t.Context(), faultsNow, time.Second); outcome(err) != "unavailable" {
			t.Errorf("%s: a sweep returned %v", name, err)
		}
		if !has(t, b, "before") {
			t.Errorf("%s: a record written before can't be read", name)
		}
		if err := b.Close(); err != nil {
			t.Errorf("%s: Close returned %v", name, err)
		}
		if calls := w.calls(); calls != "" {
			t.Errorf("%s: something was written after the failure: %s", name, calls)
		}
		b = quietOpen(t, path)
		if !has(t, b, "before") || has(t, b, "after") {
			t.Errorf("%s: after opening anew the store is not what was acknowledged", name)
		}
		if got := outcome(write(t, b, "after", 10)); got != "stored" {
			t.Errorf("%s: after opening anew a batch is %s", name, got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFullDiskRecovers(t *testing.T) {
	w := inChild(t)
	if w == nil {
		return
	}
	for _, c := range []struct {
		what  string
		errno syscall.Errno
	}{
		{"write", unix.ENOSPC}, {"write", unix.EDQUOT}, {"grow", unix.ENOSPC}, {"sync", unix.ENOSPC},
	} {
		name := fmt.Sprint(c.what, " ", c.errno)
		path := filepath.Join(t.TempDir(), "test.db")
		b := quietOpen(t, path)
		b.probeInterval = time.Hour
		if c.what != "grow" { // the file is small at first and grows with the first larger write
			if err := write(t, b, "before", 100_000); err != nil {
				t.Fatal(err)
			}
		}
		w.from(c.what, 1, c.errno, true)
		if got := outcome(write(t, b, "full", 200_000)); got != "unavailable" {
			t.Errorf("%s: a batch is %s, want unavailable", name, got)
		}
		w.calls()
		for range 10 {
			if got := outcome(write(t, b, "full", 200_000)); got != "unavailable" {
				t.Errorf("%s: the next batch is %s, want unavailable", name, got)
			}
		}
		if calls := w.calls(); calls != "" {
			t.Errorf("%s: within the interval it was tried again: %s", name, calls)
		}
		if has(t, b, "full") {
			t.Errorf("%s: a batch that was unavailable is there", name)
		}
		b.fullUntil = time.Now() // the hour is over
		if got := outcome(write(t, b, "full", 200_000)); got != "unavailable" {
			t.Errorf("%s: a batch is %s, want unavailable", name, got)
		}
		if w.calls() == "" {
			t.Errorf("%s: after the interval it was not tried again", name)
		}
		w.from("none", 0, 0, false)
		b.fullUntil = time.Now()
		if got := outcome(write(t, b, "room", 200_000)); got != "stored" {
			t.Errorf("%s: with room again a batch is %s", name, got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		b = quietOpen(t, path)
		if !has(t, b, "room") || has(t, b, "full") || c.what != "grow" && !has(t, b, "before") {
			t.Errorf("%s: after opening anew the store is not what was acknowledged", name)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file system that is really full, as far as this user may make one.
func TestFullFileSystem(t *testing.T) {
	folder := t.TempDir()
	if err := unix.Mount("none", folder, "tmpfs", 0, "size=2m"); err != nil {
		missing(t, fmt.Errorf("a small file system can't be mounted: %w", err))
	}
	defer func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	b := quietOpen(t, filepath.Join(folder, "test.db"))
	b.probeInterval = 10 * time.Millisecond
	stored := 0
	var err error
	for ; err == nil && stored < 100; stored++ {
		err = write(t, b, fmt.Sprint(stored), 50_000)
	}
	stored--
	if got := outcome(err); got != "unavailable" || stored == 0 {
		t.Fatalf("after %d batches one is %s, want unavailable", stored, got)
	}
	for i := range stored {
		if !has(t, b, fmt.Sprint(i)) {
			t.Fatalf("record %d can't be read on a full disk", i)
		}
	}
	if err := unix.Mount("none", folder, "tmpfs", unix.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(b.probeInterval)
	if err := write(t, b, "room", 50_000); err != nil {
		t.Errorf("with room again a batch is %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	folder := t.TempDir()
	if err := unix.Mount("none", folder, "tmpfs", 0, "size=2m"); err != nil {
		missing(t, fmt.Errorf("a small file system can't be mounted: %w", err))
	}
	defer func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(folder, "test.db")
	if err := quietOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", folder, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, path + ".new"} {
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), path+" can't be") || !errors.Is(err, unix.EROFS) {
			t.Errorf("on a read-only file system Open returned %v", err)
		}
	}
}
