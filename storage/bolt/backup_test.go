package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

// sound expects a database that Check finds nothing wrong with.
func sound(t *testing.T, b *bolt.Backend) (records int) {
	t.Helper()
	records, err := b.Check(t.Context())
	if err != nil {
		t.Errorf("Check: %v", err)
	}
	return records
}

// A backup taken under load has every batch whole, and all that was acknowledged
// before it began.
func TestBackupUnderLoad(t *testing.T) {
	folder := t.TempDir()
	b := open(t, filepath.Join(folder, "test.db"))
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var acknowledged [4]atomic.Int64
	for i := range acknowledged {
		writers.Go(func() {
			for n := range int64(1 << 30) {
				id := fmt.Sprintf("%d/%06d", i, n)
				err := b.Apply(ctx, storage.Batch{Now: now, Ops: []storage.Op{put(id, make([]byte, 500)), put("pair/"+id, nil)}})
				if errors.Is(err, context.Canceled) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged[i].Store(n + 1)
			}
		})
	}
	for round := range 5 {
		time.Sleep(30 * time.Millisecond)
		var before [4]int64
		for i := range before {
			before[i] = acknowledged[i].Load()
		}
		path := filepath.Join(folder, fmt.Sprintf("backup-%d.db", round))
		n, err := b.BackupFile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != n || n == 0 {
			t.Errorf("the backup has %v bytes, BackupFile said %d: %v", info.Size(), n, err)
		}
		if m := mode(t, path); m != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("the backup has mode %04o, want 0600", m)
		}
		copied := open(t, path)
		if records := sound(t, copied); records%2 != 0 {
			t.Errorf("half of a batch is in the backup: it has %d records", records)
		}
		for i, n := range before {
			if n == 0 {
				continue
			}
			if found, err := copied.Get(t.Context(), key(fmt.Sprintf("%d/%06d", i, n-1))); err != nil || found[0].Revision == 0 {
				t.Errorf("round %d: what writer %d was told before the backup began is not in it: %v", round, i, err)
			}
		}
	}
	sound(t, b) // while they write
	stop()
	writers.Wait()
}

// stalled is a receiver that takes its time.
type stalled struct {
	started, goOn chan struct{}
	once          sync.Once
}

func (s *stalled) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.started) })
	<-s.goOn
	return len(p), nil
}

func TestBackupHoldsUpNobody(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "test.db"))
	apply(t, b, put("before", nil))
	w := &stalled{started: make(chan struct{}), goOn: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := b.Backup(ctx, w)
		ended <- err
	}()
	<-w.started
	start := time.Now()
	for i := range 20 {
		apply(t, b, put(fmt.Sprint(i), make([]byte, 10_000)))
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("20 writes took %v while a backup stalled", took)
	}
	cancel()
	close(w.goOn)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled backup ended with %v", err)
	}
}

func TestBackupOverwritesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "test.db")
	b := open(t, path)
	apply(t, b, put("a", nil))
	there := filepath.Join(folder, "there")
	if err := os.WriteFile(there, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{there, path} {
		if _, err := b.BackupFile(t.Context(), target); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), target) {
			t.Errorf("a backup over %s: %v", target, err)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "precious" {
		t.Errorf("the file that was there is %q: %v", text, err)
	}
	sound(t, b)
}

// Whatever goes wrong on the way, nothing appears under the name of the backup.
func TestSpoiltBackupDoesNotAppear(t *testing.T) {
	folder := t.TempDir()
	b := open(t, filepath.Join(folder, "test.db"))
	for i := range 50 {
		apply(t, b, put(fmt.Sprint(i), make([]byte, 1000)))
	}
	var whole bytes.Buffer
	if _, err := b.Backup(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	errLost := errors.New("connection lost")
	overwritten := bytes.Clone(whole.Bytes())
	for i := len(overwritten) / 2; i < len(overwritten)/2+8192; i++ {
		overwritten[i] = 0xff
	}
	for name, write := range map[string]func(io.Writer) (int64, error){
		"cut off":     func(w io.Writer) (int64, error) { return io.Copy(w, bytes.NewReader(whole.Bytes()[:whole.Len()/2])) },
		"overwritten": func(w io.Writer) (int64, error) { return io.Copy(w, bytes.NewReader(overwritten)) },
		"empty":       func(io.Writer) (int64, error) { return 0, nil },
		"failed":      func(io.Writer) (int64, error) { return 0, errLost },
	} {
		path := filepath.Join(folder, name)
		_, err := bolt.SaveBackup(t.Context(), path, write)
		if err == nil || !strings.Contains(err.Error(), path) || name == "failed" && !errors.Is(err, errLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) != 2 {
		t.Errorf("there is %q beside the database and its sidecar: %v", left, err)
	}
	if n, err := bolt.SaveBackup(t.Context(), filepath.Join(folder, "whole"), func(w io.Writer) (int64, error) {
		return io.Copy(w, &whole)
	}); err != nil || n == 0 {
		t.Errorf("the whole one: %d bytes, %v", n, err)
	}
}

// A restore is both files put back.
func TestRestoreOpensWithItsSecretOnly(t *testing.T) {
	folder := t.TempDir()
	path, backup := filepath.Join(folder, "test.db"), filepath.Join(folder, "backup.db")
	b := open(t, path)
	store := sealed(t, b)
	if err := letters(store).Insert(t.Context(), &letter{ID: "a", Text: "dear"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.BackupFile(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(backup + ".key"); err == nil {
		t.Error("the secret was copied unasked")
	}
	alone, err := bolt.OpenWith(backup, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Open(t.Context(), alone, storage.Options{Namespace: "n"}); err == nil || !strings.Contains(err.Error(), backup+".key") {
		t.Errorf("without its secret the backup opens, or does not say what is missing: %v", err)
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	if err := bolt.BackupKey(path, backup); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, backup+".key"); m != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the copy of the secret has mode %04o", m)
	}
	if err := bolt.BackupKey(path, backup); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second copy of the secret: %v", err)
	}
	restored := sealed(t, open(t, backup))
	if got, err := letters(restored).Get(t.Context(), "a"); err != nil || got.Text != "dear" {
		t.Errorf("the restored record is %v: %v", got, err)
	}
	if n, err := restored.Check(t.Context()); err != nil || n != 1 {
		t.Errorf("the seals of the restored database: %d, %v", n, err)
	}
	if err := bolt.BackupKey(filepath.Join(folder, "none.db"), filepath.Join(folder, "other.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy of no secret: %v", err)
	}
}
