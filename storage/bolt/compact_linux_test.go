package bolt

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Without room for a copy the file is used as it is, a backup is not made, and neither
// leaves anything behind.
func TestCompactOnAFullFileSystem(t *testing.T) {
	folder := t.TempDir()
	if err := unix.Mount("none", folder, "tmpfs", 0, "size=4m"); err != nil {
		missing(t, fmt.Errorf("a small file system can't be mounted: %w", err))
	}
	defer func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	path, filler := filepath.Join(folder, "test.db"), filepath.Join(folder, "filler")
	highest := loose(t, path)
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filler, size(t, filler)-32<<10); err != nil { // some, not enough
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), CompactAbove: 1}
	b, err := OpenWith(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "could not be compacted") || !strings.Contains(log.String(), unix.ENOSPC.Error()) {
		t.Errorf("the log says %s", &log)
	}
	if _, err := b.BackupFile(t.Context(), filepath.Join(folder, "backup.db")); err == nil || !diskFull(err) {
		t.Errorf("a backup on a full disk: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) != 2 {
		t.Errorf("there is %q: %v", left, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	before := size(t, path)
	if b, err = OpenWith(path, o); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if after := size(t, path); after > before/4 {
		t.Errorf("with room again %d bytes became %d", before, after)
	}
	whole(t, path, highest)
}

// A start that is killed at any moment of compacting loses nothing.
func TestKilledWhileCompacting(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "test.db")
	loose(t, path)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	unfinished := 0
	for range rounds {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), "BOLT_TEST_WRITE_TO="+path)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(rand.Int64N(int64(60*time.Millisecond))), func() { _ = child.Process.Kill() })
		_ = child.Wait() // killed
		kill.Stop()
		if _, err := os.Stat(path + compactSuffix); err == nil {
			unfinished++
		}
		b, err := OpenWith(path, Options{Logger: silent, CompactAbove: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Check(t.Context()); err != nil {
			t.Error(err)
		}
		for i := range kept {
			if !hasKey(t, b, fmt.Sprintf("kept %03d", i)) {
				t.Errorf("record %d is lost", i)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d of %d were killed while the copy was being made", unfinished, rounds)
}

func hasKey(t *testing.T, b *Backend, id string) bool {
	t.Helper()
	found, err := b.Get(t.Context(), record(id, 0).Key)
	if err != nil {
		t.Fatal(err)
	}
	return found[0].Revision != 0
}
