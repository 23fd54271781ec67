package keyring_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/storage"
)

func TestEveryAlgorithmSignsAndVerifies(t *testing.T) {
	w := newWorld()
	algorithms := []string{"RS256", "ES256", "EdDSA"}
	r := w.ring(t, algorithms...)
	if got := strings.Join(r.Algorithms(), " "); got != "RS256 ES256 EdDSA" {
		t.Errorf("algorithms %s", got)
	}
	set := jwks(t, r)
	if len(set.Keys) != 6 {
		t.Errorf("%d keys are published, want an active and a next one for each algorithm", len(set.Keys))
	}
	for i, alg := range algorithms {
		token := sign(t, r, alg)
		check(t, accepts(set, token))
		if kidOf(t, token) != set.Keys[2*i].KeyID {
			t.Errorf("%s: the active key is not the first of its algorithm in the JWKS", alg)
		}
		typ, payload, err := r.Verify(t.Context(), token)
		if err != nil || typ != "JWT" || string(payload) != `{"sub":"alice"}` {
			t.Errorf("%s: verified %q %s, %v", alg, typ, payload, err)
		}
		broken := token[:len(token)-6] + "AAAAAA"
		if _, _, err := r.Verify(t.Context(), broken); err == nil || errors.Is(err, keyring.ErrUnknownKey) {
			t.Errorf("%s: a broken signature: %v", alg, err)
		}
	}
	if _, err := r.Sign(t.Context(), "HS256", "", claims{}); err == nil {
		t.Error("HS256 was signed")
	}
}

func TestKeyIDsAreThumbprints(t *testing.T) {
	for _, k := range jwks(t, newWorld().ring(t, "RS256", "ES256", "EdDSA")).Keys {
		sum, err := k.Thumbprint(crypto.SHA256)
		check(t, err)
		if want := base64.RawURLEncoding.EncodeToString(sum); k.KeyID != want {
			t.Errorf("%s: kid %s, want %s", k.Algorithm, k.KeyID, want)
		}
	}
}

func TestKeysOutliveTheProcess(t *testing.T) {
	w := newWorld()
	before := w.ring(t, "RS256", "EdDSA")
	body, age, err := before.JWKS(t.Context())
	check(t, err)
	if age != cacheTime {
		t.Errorf("may be cached for %v", age)
	}
	token := sign(t, before, "RS256")
	commits := w.backend.Stats().Commits
	after := w.ring(t, "RS256", "EdDSA")
	again, _, err := after.JWKS(t.Context())
	check(t, err)
	if !bytes.Equal(body, again) {
		t.Errorf("the key set changed:\n%s\n%s", body, again)
	}
	if n := w.backend.Stats().Commits - commits; n != 0 {
		t.Errorf("%d commits to open again", n)
	}
	if _, _, err := after.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
	if sign(t, after, "RS256") != token {
		t.Error("another key signs")
	}
	body[0] = 'x'
	if again, _, _ = before.JWKS(t.Context()); again[0] == 'x' {
		t.Error("the body is shared with the caller")
	}
}

func TestAlgorithmsComeAndGo(t *testing.T) {
	w := newWorld()
	old := sign(t, w.ring(t, "RS256"), "RS256")
	w.advance(time.Hour)
	r := w.ring(t, "EdDSA", "RS256")
	check(t, accepts(jwks(t, r), sign(t, r, "EdDSA")))
	if sign(t, r, "RS256") != old {
		t.Error("adding an algorithm changed the key of another one")
	}

	// Without RS256 its keys stay until they would have been rotated, because
	// another replica may still sign with them.
	r = w.ring(t, "EdDSA")
	if _, err := r.Sign(t.Context(), "RS256", "", claims{}); err == nil {
		t.Error("an algorithm that is not configured signs")
	}
	check(t, accepts(jwks(t, r), old))
	w.advance(rotation)
	_, err := r.Maintain(t.Context())
	check(t, err)
	check(t, accepts(jwks(t, r), old))
	w.advance(tokenLife)
	_, err = r.Maintain(t.Context())
	check(t, err)
	w.advance(slack)
	for _, k := range jwks(t, r).Keys {
		if k.Algorithm == "RS256" {
			t.Errorf("the key %s is still published", k.KeyID)
		}
	}
	if _, _, err := r.Verify(t.Context(), old); err != nil {
		t.Error(err)
	}
	// And back again.
	r = w.ring(t, "RS256")
	check(t, accepts(jwks(t, r), sign(t, r, "RS256")))
}

func TestReplicasRaceToMaintain(t *testing.T) {
	for range 20 {
		w := newWorld()
		rings := make([]*keyring.Ring, 4)
		each := func(do func(i int) error) {
			t.Helper()
			var wg sync.WaitGroup
			for i := range rings {
				wg.Go(func() {
					if err := do(i); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				t.FailNow()
			}
		}
		stores := make([]*storage.Store, len(rings))
		for i := range rings {
			stores[i] = w.store(t)
		}
		each(func(i int) (err error) {
			rings[i], err = keyring.Open(t.Context(), stores[i], keyring.Options{
				Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife,
			})
			return err
		})
		agree := func(published int) {
			t.Helper()
			want, _, err := rings[0].JWKS(t.Context())
			check(t, err)
			for _, r := range rings {
				got, _, err := r.JWKS(t.Context())
				check(t, err)
				if !bytes.Equal(got, want) {
					t.Fatalf("the replicas disagree:\n%s\n%s", got, want)
				}
			}
			if n := len(jwks(t, rings[0]).Keys); n != published {
				t.Fatalf("%d keys are published, want %d", n, published)
			}
		}
		agree(2)
		w.advance(rotation)
		each(func(i int) error { _, err := rings[i].Maintain(t.Context()); return err })
		w.advance(5 * time.Second)
		agree(3)
		for _, s := range stores {
			if s.Exhausted() != 0 {
				t.Errorf("%d units of work gave up", s.Exhausted())
			}
		}
	}
}

// TestSigningGoesOnWhileKeysRotate has one replica rotate while all sign, and every
// token must be known to every replica.
func TestSigningGoesOnWhileKeysRotate(t *testing.T) {
	w := newWorld()
	rings := []*keyring.Ring{w.ring(t, "EdDSA"), w.ring(t, "EdDSA")}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 50 {
				token, err := rings[worker%2].Sign(t.Context(), "EdDSA", "JWT", claims{"alice"})
				if err == nil {
					_, _, err = rings[i%2].Verify(t.Context(), token)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if err := rings[0].Rotate(t.Context()); err != nil {
				t.Error(err)
			}
			w.advance(time.Second)
		}
	})
	wg.Wait()
}

func TestNothingSecretIsReadable(t *testing.T) {
	w := newWorld()
	w.ring(t, "RS256", "ES256", "EdDSA")
	found, err := w.backend.Get(t.Context(), storage.Key{Namespace: "https://issuer.example", Kind: "keys", ID: "signing"})
	check(t, err)
	value := found[0].Value
	if len(value) == 0 {
		t.Fatal("no record")
	}
	keys := w.stored(t).Keys
	for _, k := range keys {
		if len(k.Private) < 32 {
			t.Fatalf("the test does not know the private key of %s", k.Alg)
		}
		tail := k.Private[len(k.Private)-24:] // within the seed of an EdDSA key
		for _, form := range []string{
			string(tail), base64.StdEncoding.EncodeToString(tail), base64.RawURLEncoding.EncodeToString(tail), k.KID, k.Alg,
		} {
			if bytes.Contains(value, []byte(form)) {
				t.Errorf("%s: %q is readable in the database", k.Alg, form)
			}
		}
	}
	body, _, err := w.ring(t, "RS256").JWKS(t.Context())
	check(t, err)
	for _, member := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`, `"k"`} {
		if bytes.Contains(body, []byte(member+":")) {
			t.Errorf("the JWKS has the private member %s", member)
		}
	}
}
