package storage_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/doorward/doorward/storage"
)

func TestSecretCanBeRotated(t *testing.T) {
	w := newWorld(t)
	first, second := secret("first"), secret("second")
	withSecrets := func(secrets ...[]byte) (*storage.Store, error) {
		return w.tryOpen(t, storage.Options{Secrets: secrets})
	}
	s, err := withSecrets(first)
	check(t, err)
	check(t, notesOf(s).Put(t.Context(), &note{ID: "a", Text: "kept"}))
	before := raw(t, w, s.Namespace(), "note", "a").Value
	lookup := s.Lookup("subject", "alice")

	_, err = withSecrets(second)
	wantErr(t, err, storage.ErrInvalid)
	wantText(t, err, "none of the 1 secrets opens the data keys", "Secrets")

	applies := w.backend.applies
	for range 2 { // the second time there is nothing left to do
		if _, err = withSecrets(second, first); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.backend.applies - applies; n != 1 {
		t.Errorf("%d writes, want the keys wrapped anew once", n)
	}
	if s, err = withSecrets(second); err != nil {
		t.Fatalf("the new secret alone: %v", err)
	}
	if got := text(t, notesOf(s), "a"); got != "kept" {
		t.Errorf("a is %q", got)
	}
	if s.Lookup("subject", "alice") != lookup {
		t.Error("the lookup key changed with the secret")
	}
	if !bytes.Equal(before, raw(t, w, s.Namespace(), "note", "a").Value) {
		t.Error("a record was rewritten")
	}
	if _, err = withSecrets(first); err == nil {
		t.Error("the old secret still opens the store")
	}
}

func TestDataKeysAreNotReadable(t *testing.T) {
	w := newWorld(t)
	s, err := w.tryOpen(t, storage.Options{Secrets: [][]byte{secret("x")}})
	check(t, err)
	value := raw(t, w, s.Namespace(), "envelope", "keys").Value
	if bytes.Contains(value, []byte("lookup")) || bytes.Contains(value, []byte("data")) {
		t.Errorf("the envelope is readable: %s", value)
	}
}

func TestBadSecretsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		secret []byte
		says   string
	}{
		"empty":     {nil, "0 bytes"},
		"short":     {secret("x")[:31], "31 bytes"},
		"zeros":     {make([]byte, 32), "sample"},
		"repeated":  {[]byte(strings.Repeat("abcd", 10)), "sample"},
		"change me": {[]byte("please-Change-me-0123456789-abcdefgh"), "openssl rand"},
		"secret":    {[]byte("my-very-long-SECRET-0123456789-abcdef"), "openssl rand"},
	} {
		w := newWorld(t)
		_, err := w.tryOpen(t, storage.Options{Secrets: [][]byte{secret("good"), c.secret}})
		if !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantText(t, err, "secret 2 of 2", c.says)
		if len(c.secret) > 8 && strings.Contains(err.Error(), string(c.secret[:8])) {
			t.Errorf("%s: the error repeats the secret: %v", name, err)
		}
		if w.backend.applies != 0 {
			t.Errorf("%s: something was written", name)
		}
	}
}

func TestBackendThatKeepsNoSecretNeedsOne(t *testing.T) {
	w := newWorld(t)
	_, err := storage.Open(t.Context(), bare{w.backend.Backend}, storage.Options{Namespace: "x"})
	wantErr(t, err, storage.ErrInvalid)
	wantText(t, err, "set Secrets")
	_, err = storage.Open(t.Context(), bare{w.backend.Backend}, storage.Options{Namespace: "x", Secrets: [][]byte{secret("x")}})
	check(t, err)
	_, err = storage.Open(t.Context(), w.backend, storage.Options{})
	wantErr(t, err, storage.ErrInvalid)
	wantText(t, err, "Namespace")
}

func TestStoresOpenedAtOnceAgree(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		stores := make([]*storage.Store, 3)
		var wg sync.WaitGroup
		for i := range stores {
			wg.Go(func() {
				var err error
				stores[i], err = storage.Open(t.Context(), w.backend.Backend, storage.Options{Namespace: "x", Clock: w.clock})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		check(t, notesOf(stores[0]).Put(t.Context(), &note{ID: "a", Text: "shared"}))
		for _, s := range stores[1:] {
			if got := text(t, notesOf(s), "a"); got != "shared" || s.Lookup("p", "v") != stores[0].Lookup("p", "v") {
				t.Fatalf("the stores have different keys: %s", got)
			}
		}
	}
}

// TestLoserOfTheFirstWriteTakesTheWinnersKeys is the race above made certain.
func TestLoserOfTheFirstWriteTakesTheWinnersKeys(t *testing.T) {
	w := newWorld(t)
	var winner *storage.Store
	w.backend.onApply = func(_ storage.Batch, next func() error) error {
		w.backend.onApply = nil
		var err error
		winner, err = storage.Open(t.Context(), w.backend.Backend, storage.Options{Namespace: "https://issuer.example", Clock: w.clock})
		return errors.Join(err, next())
	}
	loser := w.open(t)
	if loser.Lookup("p", "v") != winner.Lookup("p", "v") {
		t.Error("the loser kept the keys it had made")
	}
}

func TestDamagedEnvelope(t *testing.T) {
	for value, want := range map[string]error{
		`{"version":1,`:                  storage.ErrDamaged,
		`{"version":2,"wrapped":"AAAA"}`: storage.ErrNewer,
		`{"version":1,"wrapped":"AAAA"}`: storage.ErrInvalid,
	} {
		w := newWorld(t)
		overwrite(t, w, storage.Key{Namespace: "https://issuer.example", Kind: "envelope", ID: "keys"}, []byte(value))
		_, err := w.tryOpen(t, storage.Options{})
		wantErr(t, err, want)
	}
}
