package opaque_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/opaque"
)

var now = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func TestIDsSortByTime(t *testing.T) {
	var ids []string
	for i := range 100 {
		ids = append(ids, opaque.NewID(now.Add(time.Duration(i*i*i)*time.Millisecond)))
	}
	if !slices.IsSorted(ids) {
		t.Error("identifiers do not sort by time")
	}
	if a, b := opaque.NewID(now), opaque.NewID(now); a == b || len(a) != 26 {
		t.Errorf("%q, %q", a, b)
	}
}

func TestIDBytes(t *testing.T) {
	id := opaque.NewID(now)
	raw, ok := opaque.IDBytes(id)
	if !ok || len(raw) != 16 || opaque.IDString(raw) != id {
		t.Errorf("%q has bytes %x, %v", id, raw, ok)
	}
	// 26 characters hold 130 bits: the last two must be 0, or one ID has four forms.
	other := id[:25] + string(id[25]+1)
	for _, bad := range []string{"", id[:25], id + "0", strings.ToUpper(id), id[:25] + "z", id[:25] + "=", " " + id, other} {
		if _, ok := opaque.IDBytes(bad); ok && bad != id {
			t.Errorf("%q was taken for an identifier", bad)
		}
	}
}

func TestTokenKey(t *testing.T) {
	token := opaque.NewToken("dwa_", now)
	if len(token) != len("dwa_")+51 || token == opaque.NewToken("dwa_", now) {
		t.Errorf("token %q", token)
	}
	key, ok := opaque.TokenKey("dwa_", token)
	again, _ := opaque.TokenKey("dwa_", token)
	if !ok || len(key) != 6+32 || key != again {
		t.Fatalf("key %x, %v", key, ok)
	}
	if strings.Contains(key, token[20:40]) {
		t.Error("the key shows the token")
	}
	later, _ := opaque.TokenKey("dwa_", opaque.NewToken("dwa_", now.Add(time.Millisecond)))
	if later <= key {
		t.Error("keys do not sort by time")
	}
	if other, ok := opaque.TokenKey("dwr_", "dwr_"+token[4:]); !ok || other == key {
		t.Error("the same bytes under another prefix have the same key")
	}
	for _, bad := range []string{"", "dwa_", token[:54], token + "A", "dwr_" + token[4:], token[4:], token[:54] + "=", token[:54] + " ", token[:54] + "\n", "dwa_" + strings.Repeat("\n", 51)} {
		if _, ok := opaque.TokenKey("dwa_", bad); ok {
			t.Errorf("%q was taken for a token", bad)
		}
	}
}

// TestTokenHasOneForm: 51 characters hold 306 bits, of which a token uses 304.
func TestTokenHasOneForm(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	token := opaque.NewToken("dwa_", now)
	last := strings.IndexByte(alphabet, token[54])
	for stray := 1; stray < 4; stray++ {
		if _, ok := opaque.TokenKey("dwa_", token[:54]+alphabet[last^stray:][:1]); ok {
			t.Errorf("a token with the stray bits %b was taken", stray)
		}
	}
}

func TestRandom(t *testing.T) {
	if a, b := opaque.Random(32), opaque.Random(32); len(a) != 32 || bytes.Equal(a, b) {
		t.Errorf("%x, %x", a, b)
	}
}

func FuzzTokenKey(f *testing.F) {
	f.Add("dwa_", opaque.NewToken("dwa_", now))
	f.Add("", opaque.NewToken("", now))
	f.Add("dwa_", "dwa_")
	f.Add("dwa_", "dwa_"+strings.Repeat("A", 50)+"B") // a last character with stray bits
	f.Fuzz(func(t *testing.T, prefix, token string) {
		key, ok := opaque.TokenKey(prefix, token)
		if !ok {
			if key != "" {
				t.Errorf("key %x of what is no token", key)
			}
			return
		}
		if strings.ContainsAny(token[len(prefix):], "\r\n") || len(key) != 38 || len(token) != len(prefix)+51 || !strings.HasPrefix(token, prefix) {
			t.Errorf("%q is a token with key %x", token, key)
		}
	})
}

func FuzzIDBytes(f *testing.F) {
	f.Add(opaque.NewID(now))
	f.Add(strings.Repeat("v", 26))
	f.Fuzz(func(t *testing.T, id string) {
		if raw, ok := opaque.IDBytes(id); ok && opaque.IDString(raw) != id {
			t.Errorf("%q comes back as %q", id, opaque.IDString(raw))
		}
	})
}
