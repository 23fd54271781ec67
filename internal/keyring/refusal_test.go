package keyring_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/storage"
)

func TestVerifyRefuses(t *testing.T) {
	w := newWorld()
	r := w.ring(t, "EdDSA", "ES256")
	good := sign(t, r, "EdDSA")
	parts := strings.Split(good, ".")
	kid := kidOf(t, good)
	with := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
	}
	stranger := sign(t, newWorld().ring(t, "EdDSA"), "EdDSA")
	for name, c := range map[string]struct {
		token   string
		unknown bool
		says    string
	}{
		"empty":              {token: ""},
		"two parts":          {token: parts[0] + "." + parts[1]},
		"four parts":         {token: good + ".x"},
		"alg none":           {token: with(`{"alg":"none","kid":"` + kid + `"}`)},
		"alg none, unsigned": {token: strings.TrimSuffix(with(`{"alg":"none","kid":"`+kid+`"}`), parts[2])},
		"another algorithm":  {token: with(`{"alg":"ES256","kid":"` + kid + `"}`)},
		"HS256":              {token: with(`{"alg":"HS256","kid":"` + kid + `"}`)},
		"changed header":     {token: with(`{"alg":"EdDSA","kid":"` + kid + `","typ":"at+jwt"}`)},
		"changed payload":    {token: parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"bob"}`)) + "." + parts[2]},
		"no signature":       {token: parts[0] + "." + parts[1] + "."},
		"no kid":             {token: with(`{"alg":"EdDSA"}`)},
		"unknown kid":        {token: with(`{"alg":"EdDSA","kid":"made-up"}`), unknown: true, says: "made-up"},
		"another issuer's":   {token: stranger, unknown: true, says: kidOf(t, stranger)},
	} {
		_, payload, err := r.Verify(t.Context(), c.token)
		if err == nil || payload != nil {
			t.Errorf("%s: accepted with %s", name, payload)
			continue
		}
		if errors.Is(err, keyring.ErrUnknownKey) != c.unknown || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.Verify(t.Context(), good); err != nil {
		t.Error(err)
	}
}

// counting counts reads of the key set and can stand in the way.
type counting struct {
	storage.Backend
	gets        int
	fail        error
	beforeApply func()
}

func (c *counting) Apply(ctx context.Context, b storage.Batch) error {
	if c.beforeApply != nil {
		c.beforeApply()
	}
	return c.Backend.Apply(ctx, b)
}

func (c *counting) open(t *testing.T, w *world) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), c, storage.Options{
		Namespace: "https://issuer.example", Clock: w.clock, Secrets: [][]byte{[]byte("q8Zr1vKx5Tn0Ys7Lb3Wd9Gf2Hc6Jm4Pe-refusal")},
	})
	check(t, err)
	return s
}

func (c *counting) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	if keys[0].Kind == "keys" {
		c.gets++
		if c.fail != nil {
			return nil, c.fail
		}
	}
	return c.Backend.Get(ctx, keys...)
}

func (w *world) counted(t *testing.T) (*counting, *keyring.Ring) {
	t.Helper()
	b := &counting{Backend: w.backend}
	r, err := keyring.Open(t.Context(), b.open(t, w), keyring.Options{
		Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife,
	})
	check(t, err)
	return b, r
}

func TestKeySetIsReadSeldom(t *testing.T) {
	w := newWorld()
	b, r := w.counted(t)
	unknown := sign(t, newWorld().ring(t, "EdDSA"), "EdDSA")
	reads := func(want int, what string, do func()) {
		t.Helper()
		before := b.gets
		do()
		if got := b.gets - before; got != want {
			t.Errorf("%s: %d reads, want %d", what, got, want)
		}
	}
	signOften := func() {
		for range 10 {
			if _, _, err := r.Verify(t.Context(), sign(t, r, "EdDSA")); err != nil {
				t.Error(err)
			}
		}
	}
	guess := func() {
		for range 10 {
			if _, _, err := r.Verify(t.Context(), unknown); !errors.Is(err, keyring.ErrUnknownKey) {
				t.Error(err)
			}
		}
	}
	reads(0, "just opened", signOften)
	w.advance(5*time.Second - time.Millisecond)
	reads(0, "before five seconds", signOften)
	w.advance(time.Millisecond)
	reads(1, "after five seconds", signOften)
	reads(1, "made-up keys", guess)
	w.advance(time.Second - time.Millisecond)
	reads(0, "made-up keys within a second", guess)
	w.advance(time.Millisecond)
	reads(1, "made-up keys a second later", guess)
}

func TestUnavailableStore(t *testing.T) {
	w := newWorld()
	b, r := w.counted(t)
	token := sign(t, r, "EdDSA")
	before, _, err := r.JWKS(t.Context())
	check(t, err)

	b.fail = errors.New("down")
	w.advance(5 * time.Second)
	_, _, err = r.Verify(t.Context(), token)
	if !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Verify: %v", err)
	}
	if _, err := r.Sign(t.Context(), "EdDSA", "", claims{}); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Sign: %v", err)
	}
	if _, err := r.Maintain(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Maintain: %v", err)
	}
	body, _, err := r.JWKS(t.Context())
	if err != nil || !bytes.Equal(body, before) {
		t.Errorf("APIs can't verify while the store is away: %v", err)
	}
	b.fail = nil
	if _, _, err = r.Verify(t.Context(), token); err != nil {
		t.Errorf("after the store came back: %v", err)
	}
}

// TestRefusedRequestKeepsTheKeys calls the ring as a request does, inside of a
// unit of work that comes to nothing.
func TestRefusedRequestKeepsTheKeys(t *testing.T) {
	w := newWorld()
	s := w.store(t)
	r, err := keyring.Open(t.Context(), s, keyring.Options{
		Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife,
	})
	check(t, err)
	var next string
	w.advance(5 * time.Second)
	var token string
	refused := errors.New("refused")
	err = s.Do(t.Context(), func(ctx context.Context) error {
		if _, err := r.Sign(ctx, "EdDSA", "", claims{"alice"}); err != nil { // reads the keys
			t.Error(err)
		}
		other := w.ring(t, "EdDSA")
		check(t, other.Rotate(t.Context()))
		check(t, other.Rotate(t.Context()))
		if _, _, err := r.Verify(ctx, sign(t, other, "EdDSA")); err != nil {
			t.Errorf("the request sees the keys as they were when it began: %v", err)
		}
		next = jwks(t, r).Keys[1].KeyID
		check(t, r.Rotate(ctx))
		var err error
		token, err = r.Sign(ctx, "EdDSA", "", claims{"alice"})
		check(t, err)
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if got := kidOf(t, token); got != next {
		t.Errorf("%s signs, want %s", got, next)
	}
	if _, _, err := w.ring(t, "EdDSA").Verify(t.Context(), token); err != nil {
		t.Errorf("a token was signed with a key that is not stored: %v", err)
	}
}

func TestRotationThatLostARaceIsNotRepeated(t *testing.T) {
	w := newWorld()
	b, r := w.counted(t)
	b.beforeApply = func() {
		b.beforeApply = nil
		other, err := keyring.Open(t.Context(), b.open(t, w), keyring.Options{
			Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife,
		})
		check(t, err)
		check(t, other.Rotate(t.Context()))
	}
	w.advance(time.Minute)
	check(t, r.Rotate(t.Context()))
	if n := len(jwks(t, r).Keys); n != 3 {
		t.Errorf("%d keys are published, want those of one rotation", n)
	}
	check(t, r.Rotate(t.Context()))
	if n := len(jwks(t, r).Keys); n != 4 {
		t.Errorf("%d keys are published after one more", n)
	}
}

func TestOpenReportsEverythingAtOnce(t *testing.T) {
	_, err := keyring.Open(t.Context(), newWorld().store(t), keyring.Options{
		Algorithms: []string{"RS256", "HS256", "RS256"}, CacheTime: -1,
	})
	for _, part := range []string{`"HS256"`, "RS256 is given twice", "Rotation", "CacheTime", "TokenLife"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
}

func TestDamagedKeysStopTheStart(t *testing.T) {
	w := newWorld()
	w.ring(t, "EdDSA")
	s := w.store(t)
	check(t, w.backend.Apply(t.Context(), storage.Batch{Now: w.clock(), Ops: []storage.Op{{
		Action: storage.ActionPut, Key: storage.Key{Namespace: s.Namespace(), Kind: "keys", ID: "signing"},
		If: storage.Any(), Value: []byte("damaged"),
	}}}))
	_, err := keyring.Open(t.Context(), s, keyring.Options{
		Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife,
	})
	if !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("opened: %v", err)
	}
}

func TestRenamedKeyStopsTheStart(t *testing.T) {
	w := newWorld()
	w.ring(t, "EdDSA")
	type record = map[string]any
	all := storage.Collect(w.store(t), "keys", 1, func(*record) storage.Meta { return storage.Meta{ID: "signing"} })
	set, err := all.Get(t.Context(), "signing")
	check(t, err)
	(*set)["keys"].([]any)[0].(record)["kid"] = "another"
	check(t, all.Put(t.Context(), set))
	_, err = keyring.Open(t.Context(), w.store(t), keyring.Options{
		Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife,
	})
	if err == nil || !strings.Contains(err.Error(), "the stored key another has the thumbprint") {
		t.Errorf("opened: %v", err)
	}
}
