package keyring_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"

	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

const (
	rotation  = 30 * 24 * time.Hour
	cacheTime = time.Hour
	tokenLife = 2 * time.Hour
	slack     = time.Minute // as in the package
)

// world is a database, and a clock that moves by hand.
type world struct {
	backend *memory.Backend

	mu  sync.Mutex
	now time.Time
}

func newWorld() *world {
	return &world{backend: memory.New(), now: time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) store(t testing.TB) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), w.backend, storage.Options{Namespace: "https://issuer.example", Clock: w.clock})
	check(t, err)
	return s
}

// ring opens a ring as a further replica would.
func (w *world) ring(t testing.TB, algorithms ...string) *keyring.Ring {
	t.Helper()
	return w.ringWith(t, keyring.Options{Algorithms: algorithms, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife})
}

func (w *world) ringWith(t testing.TB, o keyring.Options) *keyring.Ring {
	t.Helper()
	r, err := keyring.Open(t.Context(), w.store(t), o)
	check(t, err)
	return r
}

// stored is the record as it stands in the store.
type stored struct {
	ID   string `json:"id"`
	Keys []struct {
		KID     string    `json:"kid"`
		Alg     string    `json:"alg"`
		Private []byte    `json:"private"`
		Active  time.Time `json:"active_at"`
		Retired time.Time `json:"retired_at"`
	} `json:"keys"`
	Removed []struct {
		KID string `json:"kid"`
	} `json:"removed"`
}

func (w *world) stored(t testing.TB) *stored {
	t.Helper()
	all := storage.Collect(w.store(t), "keys", 1, func(s *stored) storage.Meta { return storage.Meta{ID: s.ID} })
	s, err := all.Get(t.Context(), "signing")
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type claims struct {
	Sub string `json:"sub"`
}

func sign(t testing.TB, r *keyring.Ring, alg string) string {
	t.Helper()
	token, err := r.Sign(t.Context(), alg, "JWT", claims{"alice"})
	check(t, err)
	return token
}

func jwks(t testing.TB, r *keyring.Ring) jose.JSONWebKeySet {
	t.Helper()
	body, _, err := r.JWKS(t.Context())
	check(t, err)
	var set jose.JSONWebKeySet
	check(t, json.Unmarshal(body, &set))
	return set
}

func kidOf(t testing.TB, token string) string {
	t.Helper()
	j, err := jose.ParseSigned(token)
	check(t, err)
	return j.Signatures[0].Header.KeyID
}

// accepts says what a client that knows a key set makes of a token, by somebody
// else's implementation.
func accepts(set jose.JSONWebKeySet, token string) error {
	j, err := jose.ParseSigned(token)
	if err != nil {
		return err
	}
	h := j.Signatures[0].Header
	keys := set.Key(h.KeyID)
	if len(keys) != 1 {
		return fmt.Errorf("%d keys have the kid %q", len(keys), h.KeyID)
	}
	if keys[0].Algorithm != h.Algorithm || keys[0].Use != "sig" || !keys[0].IsPublic() {
		return fmt.Errorf("entry alg %q, use %q, public %v for a token with %q", keys[0].Algorithm, keys[0].Use, keys[0].IsPublic(), h.Algorithm)
	}
	_, err = j.Verify(keys[0])
	return err
}
