package storage_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/doorward/doorward/storage"
)

// fakeService is a key service in this process.
type fakeService struct {
	id      string
	refuses error
	asked   int
}

func (f *fakeService) ID() string { return f.id }

func (f *fakeService) Wrap(_ context.Context, plain []byte) ([]byte, error) { return f.turn(plain) }

func (f *fakeService) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	return f.turn(wrapped)
}

func (f *fakeService) turn(b []byte) ([]byte, error) {
	f.asked++
	if f.refuses != nil {
		return nil, f.refuses
	}
	key, out := secret(f.id), bytes.Clone(b)
	for i := range out {
		out[i] ^= key[i%len(key)]
	}
	return out, nil
}

func TestKeyService(t *testing.T) {
	w := newWorld(t)
	one, two := &fakeService{id: "kms:one"}, &fakeService{id: "kms:two"}
	first := secret("first")
	s, err := w.tryOpen(t, storage.Options{Secrets: [][]byte{first}})
	check(t, err)
	check(t, notesOf(s).Put(t.Context(), &note{ID: "a", Text: "kept"}))
	for i, step := range []storage.Options{
		{Secrets: [][]byte{first}, KeyWrapper: one}, // from secrets to a service
		{KeyWrapper: one},
		{KeyWrapper: two, FormerKeyWrapper: one}, // to another
		{KeyWrapper: two},
		{Secrets: [][]byte{first}, FormerKeyWrapper: two}, // and back
		{Secrets: [][]byte{first}},
	} {
		s, err := w.tryOpen(t, step)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		check(t, s.RotateDataKey(t.Context()))
		if got := text(t, notesOf(s), "a"); got != "kept" {
			t.Errorf("step %d: a is %q", i, got)
		}
		if step.KeyWrapper == nil {
			continue
		}
		asked := one.asked + two.asked
		check(t, s.RotateDataKey(t.Context()))
		if one.asked+two.asked != asked {
			t.Errorf("step %d: the service was asked after the start", i)
		}
		check(t, storage.CheckSecrets(t.Context(), w.backend, nil, step.KeyWrapper))
		wantErr(t, storage.CheckSecrets(t.Context(), w.backend, [][]byte{first}), storage.ErrInvalid)
	}
}

func TestKeyServiceThatRefuses(t *testing.T) {
	w := newWorld(t)
	kms := &fakeService{id: "kms:one", refuses: errors.New("access denied")}
	_, err := w.tryOpen(t, storage.Options{KeyWrapper: kms})
	wantErr(t, err, storage.ErrUnavailable)
	wantText(t, err, `the key service "kms:one" did not wrap`, "access denied")
	kms.refuses = nil
	_, err = w.tryOpen(t, storage.Options{KeyWrapper: kms})
	check(t, err)
	kms.refuses = context.DeadlineExceeded
	_, err = w.tryOpen(t, storage.Options{KeyWrapper: kms})
	wantErr(t, err, storage.ErrUnavailable)
	wantText(t, err, "did not unwrap")
	_, err = w.tryOpen(t, storage.Options{Secrets: [][]byte{secret("first")}})
	wantErr(t, err, storage.ErrInvalid)
	wantText(t, err, "kms:one", "KeyWrapper")
}

func TestWeakSecrets(t *testing.T) {
	for _, weak := range []string{
		strings.Repeat("x", 48), strings.Repeat("aB3$xY7!qW9z", 4), strings.Repeat("0123456789abcdef", 4),
		"correct horse battery staple is what I use", "CorrectHorseBatteryStapleTrombone", "openssl rand -base64 48 >key-2026 now",
		"put at least 32 random bytes there, as from", "Geheimes Passwort meines Servers 2026!", "the-quick-brown-fox-jumps-over-the-lazy-dog",
		"TestRestartWhileTheClockCatchesUp", "ALLTHEKINGSHORSESANDALLTHEKINGSMEN2",
	} {
		if why := storage.WeakSecret([]byte(weak)); why == "" {
			t.Errorf("%q is accepted", weak)
		}
	}
	random := rand.NewChaCha8([32]byte{}) // the same each time: a few in a million are refused
	for range 20_000 {
		raw := make([]byte, 48)
		_, _ = random.Read(raw)
		for _, good := range []string{
			string(raw), string(raw[:32]), hex.EncodeToString(raw[:32]), base64.StdEncoding.EncodeToString(raw),
			base64.StdEncoding.EncodeToString(raw[:32]), base64.RawURLEncoding.EncodeToString(raw[:32]), base32.StdEncoding.EncodeToString(raw[:32]),
		} {
			if why := storage.WeakSecret([]byte(good)); why != "" {
				t.Errorf("%q is refused as %s", good, why)
			}
		}
	}
}
