package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func key(id string) storage.Key {
	return storage.Key{Namespace: "https://op.example", Kind: "token", ID: id}
}

func put(id string, value []byte) storage.Op {
	return storage.Op{
		Action: storage.ActionPut, Key: key(id), If: storage.Any(), Value: value,
		Expiry: now.Add(time.Hour), Index: []storage.Index{{Name: "subject", Value: id[:1]}},
	}
}

func apply(t testing.TB, b *bolt.Backend, ops ...storage.Op) {
	t.Helper()
	if err := b.Apply(t.Context(), storage.Batch{Now: now, Ops: ops}); err != nil {
		t.Fatal(err)
	}
}

const filled = 300 // records of a filled database

// fill makes a database of some hundred pages and returns its bytes up to the last
// page in use.
func fill(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "whole.db")
	b, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < filled; i += 50 {
		var ops []storage.Op
		for n := range 50 {
			ops = append(ops, put(fmt.Sprintf("%03d", i+n), bytes.Repeat([]byte{byte(i)}, 1000)))
		}
		apply(t, b, ops...)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(raw, "\x00"))
	page := os.Getpagesize()
	return raw[:(used+page-1)/page*page]
}

var quiet = bolt.Options{Logger: slog.New(slog.DiscardHandler)}

// survive opens a damaged file and uses it if that is possible. Everything but a
// crash and a silently empty database is fine.
func survive(t *testing.T, raw []byte) (opened bool) {
	t.Helper()
	return surviveWith(t, raw, bolt.OpenWith)
}

func surviveWith(t *testing.T, raw []byte, open func(string, bolt.Options) (*bolt.Backend, error)) (opened bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := open(path, quiet)
	if err != nil {
		if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, path) {
			t.Errorf("not one sentence that names the file: %q", text)
		}
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(after, raw) {
			t.Errorf("a file that was refused was changed, or is gone: %v", err)
		}
		return false
	}
	failed, missing := 0, 0
	for i := range filled {
		found, err := b.Get(t.Context(), key(fmt.Sprintf("%03d", i)))
		switch {
		case err != nil && !errors.Is(err, storage.ErrUnavailable):
			t.Errorf("Get returned %v", err)
		case err != nil:
			failed++
		case found[0].Revision == 0:
			missing++
		}
	}
	if failed == 0 && missing == filled {
		t.Error("a damaged database was opened as an empty one")
	}
	for _, q := range []storage.Query{{}, {Index: "subject", Value: "1"}} {
		q.Namespace, q.Kind, q.Limit = "https://op.example", "token", storage.MaxPage
		for _, q.Descending = range []bool{false, true} {
			if _, err := b.List(t.Context(), q); err != nil && !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("List returned %v", err)
			}
		}
	}
	for i := range 4 {
		err := b.Apply(t.Context(), storage.Batch{Now: now, Ops: []storage.Op{put(fmt.Sprintf("%03d", i*75), nil)}})
		if err != nil && !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("Apply returned %v", err)
		}
	}
	if _, err := b.Sweep(t.Context(), now.Add(2*time.Hour), time.Second); err != nil && !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Sweep returned %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close returned %v", err)
	}
	return true
}

func TestTruncatedFile(t *testing.T) {
	whole := fill(t)
	if !survive(t, whole) {
		t.Fatal("a whole file was refused")
	}
	cut := filepath.Join(t.TempDir(), "cut.db")
	if err := os.WriteFile(cut, whole[:len(whole)-os.Getpagesize()], 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, cut, cut+" is cut off", "restore it from a backup")
	random := rand.New(rand.NewPCG(1, 2))
	offsets := []int{0, 1, 15, 16, 80, 4095, 4096, 8191, 8192, 16384, len(whole) / 2, len(whole) - 1}
	for range 100 {
		offsets = append(offsets, random.IntN(len(whole)))
	}
	for _, n := range offsets {
		if survive(t, whole[:n]) {
			t.Errorf("a file of %d bytes was opened after it was cut to %d", len(whole), n)
		}
		if surviveWith(t, whole[:n], bolt.OpenUnwalked) {
			t.Errorf("as a large file, one of %d bytes was opened after it was cut to %d", len(whole), n)
		}
	}
}

func TestJunkFile(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{1, 100, 4096, 8192, 1 << 20} {
		junk := make([]byte, size)
		if survive(t, junk) {
			t.Errorf("%d zeros were opened", size)
		}
		_, _ = random.Read(junk) // never fails
		if survive(t, junk) {
			t.Errorf("%d random bytes were opened", size)
		}
	}
	if survive(t, []byte("SQLite format 3\x00"+strings.Repeat("page", 5000))) {
		t.Error("a file of another program was opened")
	}
}

func TestOverwrittenMetaPages(t *testing.T) {
	whole := fill(t)
	page := os.Getpagesize()
	for name, at := range map[string][]int{"first": {0}, "second": {1}, "both": {0, 1}} {
		raw := bytes.Clone(whole)
		for _, i := range at {
			copy(raw[i*page:(i+1)*page], bytes.Repeat([]byte{0xa5}, page))
		}
		if survive(t, raw) {
			t.Errorf("opened with the %s meta page overwritten: it may have held an acknowledged commit", name)
		}
	}
	// A write that the power cut short: the other page counts.
	raw := bytes.Clone(whole)
	raw[16+56]++
	if !survive(t, raw) {
		t.Error("a file with one torn meta page was refused")
	}
	raw[page+16+56]++
	if survive(t, raw) {
		t.Error("a file with two torn meta pages was opened")
	}
}

func TestOverwrittenPages(t *testing.T) {
	whole := fill(t)
	page := os.Getpagesize()
	pages := len(whole) / page
	random := rand.New(rand.NewPCG(3, 4))
	source := rand.NewChaCha8([32]byte{2})
	rounds := 1000
	switch {
	case testing.Short():
		rounds = 50
	case raced: // nothing happens at once here, so the thousand run without the detector
		rounds = 100
	}
	refused, late := 0, 0
	for range rounds {
		raw := bytes.Clone(whole)
		at := (2 + random.IntN(pages-2)) * page
		switch random.IntN(4) {
		case 0: // junk
			_, _ = source.Read(raw[at : at+page]) // never fails
		case 1: // zeros
			clear(raw[at : at+page])
		case 2: // another page
			other := random.IntN(pages) * page
			copy(raw[at:at+page], whole[other:other+page])
		case 3: // some bytes of its head
			for range 4 {
				raw[at+random.IntN(256)] = byte(random.Uint32())
			}
		}
		if !survive(t, raw) {
			refused++
		}
		if surviveWith(t, raw, bolt.OpenUnwalked) {
			late++
		}
	}
	if refused < rounds/2 || late < rounds/2 {
		t.Errorf("of %d damaged files %d were refused, and %d were opened when only their ends were looked at", rounds, refused, late)
	}
}

// A page may be damaged after the file was looked at: the memory map shows it.
func TestDamageWhileOpen(t *testing.T) {
	for name, harm := range map[string]func(f *os.File, size int64) error{
		"overwritten": func(f *os.File, size int64) error {
			for at := int64(2 * os.Getpagesize()); at < size; at += int64(os.Getpagesize()) {
				if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 64), at); err != nil {
					return err
				}
			}
			return nil
		},
		"truncated to nothing": func(f *os.File, _ int64) error { return f.Truncate(0) },
		"truncated":            func(f *os.File, _ int64) error { return f.Truncate(int64(3 * os.Getpagesize())) },
	} {
		t.Run(name, func(t *testing.T) {
			raw := fill(t)
			path := filepath.Join(t.TempDir(), "test.db")
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := bolt.OpenWith(path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := harm(f, int64(len(raw))); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Get(t.Context(), key("000")); !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("Get returned %v", err)
			}
			if err := b.Apply(t.Context(), storage.Batch{Now: now, Ops: []storage.Op{put("000", nil)}}); !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("Apply returned %v", err)
			}
			if err := b.Close(); err != nil {
				t.Errorf("Close returned %v", err)
			}
		})
	}
}

func TestForeignDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("tables"))
		if err != nil {
			return err
		}
		return b.Put([]byte("a"), []byte("b"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("Open returned %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the database of another program was changed: %v", err)
	}
}
