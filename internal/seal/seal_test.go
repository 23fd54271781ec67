package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/doorward/doorward/internal/seal"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, seal.KeySize) }

func ring(t testing.TB, current uint32, keys map[uint32][]byte) *seal.Ring {
	t.Helper()
	r, err := seal.NewRing(current, keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealedValuesOpenInTheirContextOnly(t *testing.T) {
	r := ring(t, 1, map[uint32][]byte{1: key(1)})
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("plain"), 1000)} {
		sealed := r.Seal(nil, plain, []byte("here"))
		if len(plain) > 1 && bytes.Contains(sealed, plain) {
			t.Error("the value is readable")
		}
		if bytes.Equal(sealed, r.Seal(nil, plain, []byte("here"))) {
			t.Error("a nonce was used twice")
		}
		got, err := r.Open(sealed, []byte("here"))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("opened %q, %v", got, err)
		}
		for _, context := range [][]byte{nil, []byte("there"), []byte("her"), []byte("here\x00")} {
			if _, err := r.Open(sealed, context); !errors.Is(err, seal.ErrOpen) {
				t.Errorf("opened in context %q: %v", context, err)
			}
		}
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	r := ring(t, 1, map[uint32][]byte{1: key(1), 2: key(2)})
	sealed := r.Seal(nil, []byte("plain"), nil)
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if _, err := r.Open(changed, nil); !errors.Is(err, seal.ErrOpen) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
		if _, err := r.Open(sealed[:i], nil); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestOlderDataKeysStillOpen(t *testing.T) {
	before := ring(t, 1, map[uint32][]byte{1: key(1)})
	after := ring(t, 2, map[uint32][]byte{1: key(1), 2: key(2)})
	if got, err := after.Open(before.Seal(nil, []byte("old"), nil), nil); err != nil || string(got) != "old" {
		t.Errorf("opened %q, %v", got, err)
	}
	if _, err := before.Open(after.Seal(nil, []byte("new"), nil), nil); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("the new value was not sealed under the current key: %v", err)
	}
}

func TestRingRefusesBadKeys(t *testing.T) {
	for name, keys := range map[string]map[uint32][]byte{
		"the current one is missing": {2: key(2)},
		"none":                       nil,
		"short":                      {1: key(1)[:31]},
	} {
		if _, err := seal.NewRing(1, keys); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWrap(t *testing.T) {
	wrapped, err := seal.Wrap(key(1), []byte("data keys"), []byte("store"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.Unwrap(key(1), wrapped, []byte("store")); err != nil || string(got) != "data keys" {
		t.Errorf("unwrapped %q, %v", got, err)
	}
	for name, unwrap := range map[string]func() ([]byte, error){
		"another secret":  func() ([]byte, error) { return seal.Unwrap(key(2), wrapped, []byte("store")) },
		"another context": func() ([]byte, error) { return seal.Unwrap(key(1), wrapped, []byte("other")) },
		"a longer secret": func() ([]byte, error) { return seal.Unwrap(append(key(1), 1), wrapped, []byte("store")) },
		// The secret itself is never used as a key, only what is derived from it.
		"the bare secret": func() ([]byte, error) {
			return ring(t, 0, map[uint32][]byte{0: key(1)}).Open(wrapped, []byte("store"))
		},
	} {
		if _, err := unwrap(); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seal.Wrap(key(1)[:31], nil, nil); err == nil || errors.Is(err, seal.ErrOpen) {
		t.Errorf("a short secret: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, 1, map[uint32][]byte{1: key(1), 7: key(7)})
	good := r.Seal(nil, []byte("plain"), []byte("context"))
	f.Add(good, []byte("context"))
	f.Add(good[:20], []byte("context"))
	f.Add([]byte{1, 0, 0, 0, 7}, []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, sealed, context []byte) {
		plain, err := r.Open(sealed, context)
		switch {
		case err == nil && (string(plain) != "plain" || string(context) != "context"): // that is the seed
			t.Errorf("a made-up value opened as %q in context %q", plain, context)
		case err != nil && !errors.Is(err, seal.ErrOpen):
			t.Errorf("error %v, want ErrOpen", err)
		}
	})
}
