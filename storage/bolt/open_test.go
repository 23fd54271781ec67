package bolt_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

// refused expects Open to fail with one sentence that holds all of words.
func refused(t *testing.T, path string, words ...string) {
	t.Helper()
	b, err := bolt.OpenWith(path, quiet)
	if err == nil {
		_ = b.Close() // the test has failed
		t.Errorf("Open of %s succeeded, want an error with %q", path, words)
		return
	}
	for _, word := range words {
		if text := err.Error(); !strings.Contains(text, word) || strings.Contains(text, "\n") {
			t.Errorf("Open returned %q, want one sentence with %q", err, word)
		}
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestNewDatabase(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "new.db")
	b := open(t, path)
	if _, err := b.Secret(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", ".key", ".lock"} {
		if m := mode(t, path+suffix); m != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %04o, want 0600", filepath.Base(path+suffix), m)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{path, path + ".key"}; fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("after Close the folder holds %q, want %q", names, want)
	}
}

func TestNewDatabaseInMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "new.db")
	refused(t, path, path, "can't be created")
}

// Whoever comes second must wait for the first, not replace its database.
func TestTwoCreateOneDatabase(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "new.db")
		var starters sync.WaitGroup
		for i := range 4 {
			starters.Go(func() {
				b, err := bolt.OpenWith(path, quiet)
				if err != nil {
					t.Errorf("one of several that start at once was refused: %v", err)
					return
				}
				apply(t, b, put(fmt.Sprint(i), nil))
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		starters.Wait()
		b := open(t, path)
		for i := range 4 {
			if found, err := b.Get(t.Context(), key(fmt.Sprint(i))); err != nil || found[0].Revision == 0 {
				t.Errorf("what starter %d wrote is lost: %v", i, err)
			}
		}
	}
}

func TestLooseModesAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	b := open(t, path)
	if _, err := b.Secret(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, path + ".key"} {
		for _, m := range []fs.FileMode{0o640, 0o604, 0o620, 0o666} {
			if err := os.Chmod(file, m); err != nil {
				t.Fatal(err)
			}
			refused(t, path, file+" is open to other users", "chmod 600", file)
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b = open(t, path)
	if err := os.Chmod(path+".key", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Secret(t.Context(), true); err == nil {
		t.Error("a secret that others can read was used")
	}
}

func TestSecretWithoutDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	b := open(t, path)
	if _, err := b.Secret(t.Context(), false); err == nil || !strings.Contains(err.Error(), path+".key") {
		t.Errorf("a missing secret: %v, want an error that says where it was expected", err)
	}
	if _, err := b.Secret(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path+" is missing", path+".key")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a new database was created under an old secret")
	}
}

// A second issuer in a database whose secret is lost is no reason to make another
// one: the first issuer's keys would open with neither.
func TestLostSecretIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doorward.db")
	b := open(t, path)
	if _, err := storage.Open(t.Context(), b, storage.Options{Namespace: "https://one.example"}); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Open(t.Context(), b, storage.Options{Namespace: "https://two.example"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".key"); err != nil {
		t.Fatal(err)
	}
	_, err := storage.Open(t.Context(), b, storage.Options{Namespace: "https://three.example"})
	if err == nil || !strings.Contains(err.Error(), path+".key") {
		t.Errorf("the lost secret was replaced, error %v", err)
	}
}

func TestSpoiltSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	b := open(t, path)
	for _, text := range []string{"", "\n", "00", strings.Repeat("g", 64), strings.Repeat("0", 66)} {
		if err := os.WriteFile(path+".key", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Secret(t.Context(), true); err == nil || !strings.Contains(err.Error(), path+".key") {
			t.Errorf("a secret file with %q: %v", text, err)
		}
	}
}

func TestWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	refused(t, folder, "not a regular file")
	empty := filepath.Join(folder, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, empty, empty+" is empty", "backup")
	if info, err := os.Stat(empty); err != nil || info.Size() != 0 {
		t.Error("an empty file was made into a database")
	}
	dangling := filepath.Join(folder, "dangling.db")
	if err := os.Symlink(filepath.Join(folder, "nowhere"), dangling); err != nil {
		t.Skip(err)
	}
	refused(t, dangling, dangling)
}

func TestNewerLayoutIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), binary.BigEndian.AppendUint32(nil, 2))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "newer release", "layout 2")
}

func TestDatabaseInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	b := open(t, path)
	start := time.Now()
	refused(t, path, path+" is in use by process", fmt.Sprintf("process %d on host", os.Getpid()), "since 20", "stop that process")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v to say that the database is in use", took)
	}
	apply(t, b, put("a", nil)) // the holder is not harmed
	if err := os.WriteFile(path+".lock", []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path+" is in use by another process")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
}

// childPath, in the environment, makes this test binary a process that opens the
// database there and writes to it until it is killed.
const childPath = "BOLT_TEST_WRITE_TO"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		writeForEver(path)
	}
	os.Exit(m.Run())
}

// writeForEver tells each record on standard output when it was acknowledged.
func writeForEver(path string) {
	b, err := bolt.OpenWith(path, bolt.Options{Logger: quiet.Logger, CompactAbove: 1})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	var out sync.Mutex
	for i := range 8 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d/%d/%d", os.Getpid(), i, n)
				batch := storage.Batch{Now: now, Ops: []storage.Op{put(id, make([]byte, 200)), put("pair/"+id, nil)}}
				if err := b.Apply(context.Background(), batch); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		}()
	}
	select {}
}

// startWriter starts a child and waits until it has the database open.
func startWriter(t *testing.T, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childPath+"="+path)
	child.Stderr = os.Stderr
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the child says %q", lines.Text())
	}
	return child, lines
}

// A killed process loses nothing that it acknowledged, leaves no half batch, and
// does not keep the next one out. Each start but the first compacts.
func TestKilledWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	for round := range 5 {
		child, lines := startWriter(t, path)
		if round == 0 {
			refused(t, path, fmt.Sprintf("in use by process %d on host", child.Process.Pid))
		}
		var acknowledged []string
		for lines.Scan() {
			acknowledged = append(acknowledged, lines.Text())
			if len(acknowledged) == 1 {
				kill := time.AfterFunc(time.Duration(20+round*30)*time.Millisecond, func() { _ = child.Process.Kill() })
				defer kill.Stop()
			}
		}
		_ = child.Wait() // killed
		if len(acknowledged) == 0 {
			t.Fatal("the child acknowledged nothing")
		}
		b := open(t, path)
		for _, id := range acknowledged {
			found, err := b.Get(t.Context(), key(id), key("pair/"+id))
			if err != nil {
				t.Fatal(err)
			}
			if found[0].Revision == 0 || found[1].Revision == 0 {
				t.Fatalf("round %d: %s was acknowledged and is lost", round, id)
			}
		}
		halves := map[string]int{}
		for after := ""; ; {
			page, err := b.List(t.Context(), storage.Query{Namespace: key("").Namespace, Kind: "token", After: after, Limit: storage.MaxPage})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				halves[strings.TrimPrefix(r.ID, "pair/")]++
			}
			after = page[len(page)-1].ID
		}
		for id, n := range halves {
			if n != 2 {
				t.Errorf("round %d: half of the batch %s is there", round, id)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileThatCantBeWritten(t *testing.T) {
	if os.Getuid() <= 0 {
		t.Skip("root may write every file, and Windows has no modes")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path+" can't be written by this user")
}
