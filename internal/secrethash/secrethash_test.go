package secrethash_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/doorward/doorward/internal/secrethash"
)

const (
	salt = "c2FsdHNhbHQ" // eight bytes, the least
	key  = "AAAAAAAAAAAAAAAAAAAAAA"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func brought(t testing.TB, secret string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), cost)
	check(t, err)
	return string(hash)
}

func TestHashAndVerify(t *testing.T) {
	for _, secret := range []string{"p", "correct horse", "grüße\x00\xff", strings.Repeat("x", secrethash.MaxSecret)} {
		hash, err := secrethash.Hash(secret)
		check(t, err)
		check(t, secrethash.Valid(hash))
		if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("the hash is %s", hash)
		}
		for _, c := range []struct {
			secret string
			want   bool
		}{{secret, true}, {secret + "x", false}, {secret[1:], false}, {"", false}, {strings.ToUpper(secret) + " ", false}} {
			if got, err := secrethash.Verify(t.Context(), hash, c.secret); err != nil || got != c.want {
				t.Errorf("%.20q against the hash of %.20q: %v %v", c.secret, secret, got, err)
			}
		}
		again, err := secrethash.Hash(secret)
		check(t, err)
		if again == hash {
			t.Error("two hashes have the same salt")
		}
	}
	for _, secret := range []string{"", strings.Repeat("x", secrethash.MaxSecret+1)} {
		if _, err := secrethash.Hash(secret); !errors.Is(err, secrethash.ErrSecret) {
			t.Errorf("hashing %d bytes: %v", len(secret), err)
		}
	}
}

// Hashes that other programs made.
func TestForeignHashes(t *testing.T) {
	for _, c := range []struct{ name, hash, secret string }{
		// The test vector "password"/"somesalt" of the reference implementation (phc-winner-argon2, test.c).
		{"argon2id", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"},
		{"argon2id, two lanes", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
		{"bcrypt 2a", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"}, // crypt_blowfish, wrapper.c
		{"bcrypt 2y", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		{"bcrypt 2b", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	} {
		check(t, secrethash.Valid(c.hash))
		for secret, want := range map[string]bool{c.secret: true, c.secret + "*": false, "": false} {
			if got, err := secrethash.Verify(t.Context(), c.hash, secret); err != nil || got != want {
				t.Errorf("%s: %q: %v %v", c.name, secret, got, err)
			}
		}
	}
}

// RFC 9106 §3.1
func TestHostileHashes(t *testing.T) {
	argon := func(settings string) string { return "$argon2id$v=19$" + settings + "$" + salt + "$" + key }
	check(t, secrethash.Valid(argon("m=8,t=1,p=1")))
	check(t, secrethash.Valid(argon("m=65536,t=3,p=4")))
	check(t, secrethash.Valid(argon("m=262144,t=4,p=16")))
	good := brought(t, "x", bcrypt.MinCost)
	for name, hash := range map[string]string{
		"plain text":            "hunter2",
		"plain text with $":     "$hunter2$",
		"argon2i":               strings.Replace(argon("m=8,t=1,p=1"), "argon2id", "argon2i", 1),
		"old version":           strings.Replace(argon("m=8,t=1,p=1"), "v=19", "v=16", 1),
		"no version":            "$argon2id$m=8,t=1,p=1$" + salt + "$" + key,
		"4 TiB of memory":       argon("m=4294967295,t=1,p=1"),
		"257 MiB of memory":     argon("m=263168,t=1,p=1"),
		"memory past 32 bits":   argon("m=4294967304,t=1,p=1"),
		"four billion passes":   argon("m=8,t=4294967295,p=1"),
		"256 MiB, five times":   argon("m=262144,t=5,p=1"),
		"no passes":             argon("m=8,t=0,p=1"),
		"no lanes":              argon("m=8,t=1,p=0"),
		"256 lanes":             argon("m=65536,t=1,p=256"),
		"17 lanes":              argon("m=65536,t=1,p=17"),
		"no memory for a lane":  argon("m=15,t=1,p=2"),
		"other order":           argon("t=1,m=8,p=1"),
		"leading zero":          argon("m=08,t=1,p=1"),
		"signed":                argon("m=+8,t=1,p=1"),
		"negative":              argon("m=-8,t=1,p=1"),
		"a setting more":        argon("m=8,t=1,p=1,keyid=x"),
		"no hash":               "$argon2id$v=19$m=8,t=1,p=1$" + salt,
		"empty hash part":       "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$",
		"short hash part":       "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$AAAA",
		"empty salt":            "$argon2id$v=19$m=8,t=1,p=1$$" + key,
		"short salt":            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbA$" + key, // seven bytes
		"padded":                "$argon2id$v=19$m=8,t=1,p=1$" + salt + "=$" + key,
		"line break":            "$argon2id$v=19$m=8,t=1,p=1$" + salt + "\n$" + key,
		"huge":                  "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + strings.Repeat("A", 4000),
		"bcrypt cost 31":        good[:4] + "31" + good[6:],
		"bcrypt cost 16":        good[:4] + "16" + good[6:],
		"bcrypt cost 3":         good[:4] + "03" + good[6:],
		"bcrypt cost +5":        good[:4] + "+5" + good[6:],
		"bcrypt, broken kind x": "$2x" + good[3:],
		"bcrypt, no kind":       "$2" + good[3:],
		"bcrypt cut":            good[:59],
		"bcrypt longer":         good + "A",
		"bcrypt, odd letter":    good[:59] + "!",
		"bcrypt, no dollar":     good[:6] + "." + good[7:],
	} {
		err := secrethash.Valid(hash)
		if !errors.Is(err, secrethash.ErrHash) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), good[7:]) {
			t.Errorf("%s: the error shows the hash: %v", name, err)
		}
		if ok, err := secrethash.Verify(t.Context(), hash, "x"); ok || !errors.Is(err, secrethash.ErrHash) {
			t.Errorf("%s: Verify says %v %v", name, ok, err)
		}
	}
	if err := secrethash.Valid(""); !errors.Is(err, secrethash.ErrHash) {
		t.Errorf("the empty hash is valid: %v", err)
	}
	if ok, err := secrethash.Verify(t.Context(), "", ""); ok || err != nil {
		t.Errorf("nothing against nothing: %v %v", ok, err)
	}
}

func TestVerifyHonoursContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := secrethash.Verify(ctx, brought(t, "x", bcrypt.MinCost), "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The cost is a promise to the people whose passwords we keep: an argon2 call that got
// a thousand times cheaper would pass every other test. RFC 9106 §4
func TestHashIsSlow(t *testing.T) {
	hash, err := secrethash.Hash("secret")
	check(t, err)
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(hash, want) {
		t.Errorf("the settings are %.31s, want %s", hash, want)
	}
}

func FuzzValid(f *testing.F) {
	for _, hash := range []string{
		"", "$", "$argon2id$", "$2b$04$", "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + key,
		"$2b$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
	} {
		f.Add(hash)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		if secrethash.Valid(hash) != nil {
			return
		}
		var m, passes, lanes int
		if n, _ := fmt.Sscanf(hash, "$argon2id$v=19$m=%d,t=%d,p=%d$", &m, &passes, &lanes); n == 3 {
			if m > 256<<10 || m*passes > 1<<20 || lanes > 16 {
				t.Fatalf("%q is too dear", hash)
			}
			if m*passes > 1<<10 {
				return // right, but slow
			}
		} else if hash[4] != '0' || hash[5] > '5' {
			return
		}
		if _, err := secrethash.Verify(t.Context(), hash, "x"); err != nil {
			t.Fatalf("%q is valid, but %v", hash, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	hash, err := secrethash.Hash("secret")
	check(b, err)
	for b.Loop() {
		_, err := secrethash.Verify(b.Context(), hash, "secret")
		check(b, err)
	}
}
