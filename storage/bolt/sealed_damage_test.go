package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

// note is what a store keeps in a file that is going to be damaged.
type note struct {
	ID, Text string
	Ends     time.Time
}

func notes(s *storage.Store) *storage.Collection[note] {
	return storage.Collect(s, "note", 1, func(n *note) storage.Meta {
		return storage.Meta{ID: n.ID, Expiry: n.Ends, Index: []storage.Index{{Name: "subject", Value: n.ID[:1]}}}
	})
}

func noteText(i int) string {
	return string(bytes.Repeat([]byte(fmt.Sprintf("text of %03d. ", i)), 40))
}

func openStore(t *testing.T, b *bolt.Backend, secret []byte) (*storage.Store, error) {
	t.Helper()
	return storage.Open(t.Context(), b, storage.Options{Namespace: "https://op.example", Secrets: [][]byte{secret}, Clock: func() time.Time { return now }})
}

// fillStore makes a database of sealed records and returns its bytes.
func fillStore(t *testing.T, secret []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sealed.db")
	b, err := bolt.OpenWith(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStore(t, b, secret)
	if err != nil {
		t.Fatal(err)
	}
	for i := range filled {
		if err := notes(s).Put(t.Context(), &note{ID: fmt.Sprintf("%03d", i), Text: noteText(i), Ends: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	return raw[:(len(bytes.TrimRight(raw, "\x00"))+page-1)/page*page]
}

// readings counts what a damaged database was answered by.
type readings struct{ refused, right, failed, missing int }

// read opens a damaged file and reads all of it through a store.
func (r *readings) read(t *testing.T, raw, secret []byte, open func(string, bolt.Options) (*bolt.Backend, error)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := open(path, quiet)
	if err != nil {
		r.refused++
		return
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close returned %v", err)
		}
		os.Remove(path) // thousands of them
	}()
	s, err := openStore(t, b, secret)
	if err != nil {
		// Sealed keys of which a byte is another look as if another secret had sealed them.
		keys := errors.Is(err, storage.ErrInvalid) && strings.Contains(err.Error(), "none of the 1 secrets opens the data keys")
		if !keys && !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("the store was refused by %v", err)
		}
		r.refused++
		return
	}
	for i := range filled {
		switch got, err := notes(s).Get(t.Context(), fmt.Sprintf("%03d", i)); {
		case err == nil && (got.Text != noteText(i) || !got.Ends.Equal(now.Add(time.Hour))):
			t.Errorf("record %d was read and is not what was written: %q until %v", i, got.Text, got.Ends)
		case err == nil:
			r.right++
		case errors.Is(err, storage.ErrNotFound):
			r.missing++
		case errors.Is(err, storage.ErrUnavailable), errors.Is(err, storage.ErrDamaged):
			r.failed++
		default:
			t.Errorf("reading record %d: %v", i, err)
		}
	}
}

// A file is damaged a thousand times, in its pages and in single bytes. What is read
// from it through a store is what was written, or an error, and never something else.
func TestDamageUnderSeals(t *testing.T) {
	secret := []byte("q8mZx1Lr5Yv0Tn3Wc7Kd2Hb9Pf6Js4Ga")
	whole := fillStore(t, secret)
	var sound, looked, unlooked readings
	if sound.read(t, whole, secret, bolt.OpenWith); sound.right != filled {
		t.Fatalf("a whole file: %+v", sound)
	}
	rounds := 1000
	switch {
	case testing.Short():
		rounds = 50
	case raced: // nothing happens at once here, so the thousand run without the detector
		rounds = 100
	}
	page := os.Getpagesize()
	pages := len(whole) / page
	random := rand.New(rand.NewPCG(5, 6))
	source := rand.NewChaCha8([32]byte{3})
	for round := range rounds {
		raw := bytes.Clone(whole)
		at := (2 + random.IntN(pages-2)) * page
		switch round % 4 {
		case 0: // junk
			_, _ = source.Read(raw[at : at+page]) // never fails
		case 1: // another page
			other := (2 + random.IntN(pages-2)) * page
			copy(raw[at:at+page], whole[other:other+page])
		case 2: // single bytes, anywhere in it
			for range 1 + random.IntN(4) {
				raw[at+random.IntN(page)] ^= byte(1 + random.IntN(255))
			}
		case 3: // its end
			half := at + random.IntN(page)
			_, _ = source.Read(raw[half : at+page]) // never fails
		}
		looked.read(t, raw, secret, bolt.OpenWith)
		unlooked.read(t, raw, secret, bolt.OpenUnwalked)
	}
	t.Logf("%d damaged files, looked at as a whole: %+v; as large ones: %+v", rounds, looked, unlooked)
	if looked.refused == 0 || looked.right == 0 || looked.failed == 0 {
		t.Error("the damage met nothing of a kind; the test proves nothing about it")
	}
	// A changed byte of a key shows in no page and under no seal, since that record is
	// not asked for any more. A check finds it by its entries in the indexes.
	if most := rounds / 4; looked.missing > most {
		t.Errorf("%d records were silently gone, in %d files", looked.missing, rounds)
	}
}
