package bolt_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

var update = flag.Bool("update", false, "write the golden database of this schema anew; one that was released must never change")

// letter is what the tests keep in sealed records.
type letter struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

func letters(s *storage.Store) *storage.Collection[letter] {
	return storage.Collect(s, "letter", 1, func(l *letter) storage.Meta {
		return storage.Meta{ID: l.ID, Expiry: now.AddDate(50, 0, 0), Index: []storage.Index{{Name: "first", Value: l.Text[:1]}}}
	})
}

func sealed(t *testing.T, b *bolt.Backend) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A database that the first release wrote opens, with its secret, for ever.
func TestGoldenDatabase(t *testing.T) {
	golden := filepath.Join("testdata", "schema-1")
	path := filepath.Join(t.TempDir(), "test.db")
	if *update {
		b := open(t, path)
		for _, text := range []string{"dear", "old", "days"} {
			if err := letters(sealed(t, b)).Insert(t.Context(), &letter{ID: text, Text: text}); err != nil {
				t.Fatal(err)
			}
		}
		for _, file := range []string{golden, golden + ".key"} {
			if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		if _, err := b.BackupFile(t.Context(), golden); err != nil {
			t.Fatal(err)
		}
		if err := bolt.BackupKey(path, golden); err != nil {
			t.Fatal(err)
		}
		path += ".golden"
	}
	for _, suffix := range []string{"", ".key"} {
		raw, err := os.ReadFile(golden + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, path)
	if n := sound(t, b); n != 4 { // the envelope is one
		t.Errorf("the golden database has %d records, want 4", n)
	}
	s := sealed(t, b)
	for _, text := range []string{"dear", "old", "days"} {
		if got, err := letters(s).Get(t.Context(), text); err != nil || got.Text != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	found, _, err := letters(s).List(t.Context(), "first", "d", storage.Page{})
	if err != nil || len(found) != 2 {
		t.Errorf("the index lists %d letters with d, want 2: %v", len(found), err)
	}
	if err := letters(s).Put(t.Context(), &letter{ID: "new", Text: "new"}); err != nil {
		t.Errorf("it can't be written: %v", err)
	}
	if n, err := s.Check(t.Context()); err != nil || n != 4 {
		t.Errorf("the seals of %d records: %v", n, err)
	}
	replaceDataKey(t, b)
}

// replaceDataKey seals everything of a database anew and drops the key that it was made
// with.
func replaceDataKey(t *testing.T, b *bolt.Backend) {
	t.Helper()
	offset := time.Duration(0)
	s, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n", Clock: func() time.Time { return time.Now().Add(offset) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RotateDataKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Check(t.Context()); err != nil || n != 4 {
		t.Errorf("with two data keys the seals of %d records: %v", n, err)
	}
	for range 100 {
		next, err := s.MaintainDataKeys(t.Context(), 10_000*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		offset += next
	}
	if k, err := s.DataKeys(t.Context()); err != nil || k.Current != 2 || k.Older != 0 {
		t.Errorf("the data keys are %+v, %v", k, err)
	}
	if n, err := s.Check(t.Context()); err != nil || n != 4 {
		t.Errorf("with the new data key the seals of %d records: %v", n, err)
	}
	for _, text := range []string{"dear", "old", "days", "new"} {
		if got, err := letters(s).Get(t.Context(), text); err != nil || got.Text != text {
			t.Errorf("%s, sealed anew: %v, %v", text, got, err)
		}
	}
}
