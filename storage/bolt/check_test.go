package bolt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

// The buckets of the records that put makes.
const (
	recordsName  = "rhttps://op.example\x00token"
	indexName    = "xhttps://op.example\x00token"
	expiriesName = "ehttps://op.example\x00token"
)

// Whatever of the three buckets disagrees is found, by Check and by Verify.
func TestCheckFindsWhatDisagrees(t *testing.T) {
	whole := fill(t)
	id := []byte(fmt.Sprintf("%06d", 7)) // a record of fill
	indexed := append([]byte("\x07subject\x01"), id[:1]...)
	for _, c := range []struct {
		name, words string
		harm        func(tx *bbolt.Tx) error
	}{
		{"nothing", "", func(*bbolt.Tx) error { return nil }},
		{"a missing index entry", "is missing in its index", func(tx *bbolt.Tx) error {
			return remove(tx, indexName, append(indexed, firstID(tx)...))
		}},
		{"an index entry of nothing", "has an entry for", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(indexName)).Put(append(indexed, "nobody"...), nil)
		}},
		{"another entry of a record", "has an entry for", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(indexName)).Put(append([]byte("\x07subject\x01z"), firstID(tx)...), nil)
		}},
		{"a missing expiry", "would never be swept", func(tx *bbolt.Tx) error {
			key, _ := tx.Bucket([]byte(expiriesName)).Cursor().First()
			return remove(tx, expiriesName, key)
		}},
		{"an expiry of nothing", "order of expiries", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(expiriesName)).Put([]byte("12345678nobody"), nil)
		}},
		{"an expiry without ID", "an expiry of token records can't be decoded", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(expiriesName)).Put([]byte("1234"), nil)
		}},
		{"a record of junk", "can't be decoded", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(recordsName)).Put(firstID(tx), []byte{0xff})
		}},
		{"a revision to come", "which is still to come", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(recordsName)).Put([]byte("later"), binary.AppendUvarint([]byte{0}, 1<<40))
		}},
		{"a stranger's bucket", "not Doorward's", func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("zebra\x00x"))
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(c.harm), db.Close()); err != nil {
				t.Fatal(err)
			}
			verified, err := bolt.Verify(t.Context(), path)
			b := open(t, path)
			checked, checkErr := b.Check(t.Context())
			if verified != checked || checked < filled {
				t.Errorf("Verify saw %d records, Check %d", verified, checked)
			}
			for _, err := range []error{err, checkErr} {
				switch {
				case c.words == "" && err != nil:
					t.Error(err)
				case c.words != "" && (!errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), c.words)):
					t.Errorf("%v does not say %q", err, c.words)
				}
			}
		})
	}
}

func firstID(tx *bbolt.Tx) []byte {
	id, _ := tx.Bucket([]byte(recordsName)).Cursor().First()
	return id
}

// remove deletes a key that has to be there.
func remove(tx *bbolt.Tx, bucket string, key []byte) error {
	found, _ := tx.Bucket([]byte(bucket)).Cursor().Seek(key)
	if string(found) != string(key) {
		return fmt.Errorf("%q is not there, but %q", key, found)
	}
	return tx.Bucket([]byte(bucket)).Delete(key)
}

// A page that was overwritten while the file was open is found, though nobody asked
// for what stood on it.
func TestCheckFindsOverwrittenPages(t *testing.T) {
	whole := fill(t)
	found := 0
	const rounds = 30
	pages := len(whole)/os.Getpagesize() - 4
	for i := range rounds {
		path := filepath.Join(t.TempDir(), "test.db")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := bolt.OpenWith(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(make([]byte, 64), int64(4+i*pages/rounds)*int64(os.Getpagesize()))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Check(t.Context()); err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("Check: %v", err)
			}
			found++
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The others were free pages, whose contents mean nothing.
	if found < rounds/2 {
		t.Errorf("%d of %d overwritten pages were found", found, rounds)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "test.db"))
	apply(t, b, put("a", nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Check: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Check of a closed database: %v", err)
	}
}

func TestVerifyWhatIsNoDatabase(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "test.db")
	if _, err := bolt.Verify(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	b := open(t, path)
	if _, err := bolt.Verify(t.Context(), path); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("a file in use: %v", err)
	}
	apply(t, b, put("a", nil))
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 2 {
		t.Errorf("Verify left %q: %v", left, err)
	}
}

func TestCountAndStats(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "test.db"))
	var ops []storage.Op
	for i := range 10 {
		ops = append(ops, put(fmt.Sprint(i), make([]byte, 1000)))
	}
	ops = append(ops, storage.Op{Action: storage.ActionPut, Key: storage.Key{Namespace: "a", Kind: "key", ID: "k"}, If: storage.Any()})
	apply(t, b, ops...)
	apply(t, b, storage.Op{Action: storage.ActionPut, Key: storage.Key{Namespace: "b", Kind: "gone", ID: "k"}, If: storage.Any()})
	apply(t, b, storage.Op{Action: storage.ActionDelete, Key: storage.Key{Namespace: "b", Kind: "gone", ID: "k"}, If: storage.Any()})
	for _, c := range []struct {
		at            time.Time
		live, expired int
	}{{now, 10, 0}, {now.Add(time.Hour), 0, 10}} {
		got, err := b.Count(t.Context(), c.at)
		if err != nil || len(got) != 2 {
			t.Fatalf("Count: %v, %v", got, err)
		}
		if got[1].Bytes < 10_000 || got[1].Bytes > 11_000 {
			t.Errorf("ten records of 1000 bytes take %d", got[1].Bytes)
		}
		got[0].Bytes, got[1].Bytes = 0, 0
		want := []storage.Tally{{Namespace: "a", Kind: "key", Live: 1}, {Namespace: "https://op.example", Kind: "token", Live: c.live, Expired: c.expired}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Count (-want +got):\n%s", diff)
		}
	}
	s := b.Stats()
	if s.PageBytes != os.Getpagesize() || s.AverageBatch() != 1 || s.FileBytes == 0 {
		t.Errorf("Stats: %+v", s)
	}
	if (bolt.Stats{}).AverageBatch() != 0 || (bolt.Stats{Commits: 2, Batches: 5}).AverageBatch() != 2.5 {
		t.Error("the average batch is wrong")
	}
}
