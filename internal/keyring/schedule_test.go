package keyring_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"

	"github.com/doorward/doorward/internal/keyring"
)

// TestCachingClientNeverFails is what the schedule is for. The rotation is shorter
// than the cache time, so that publication decides when a key may sign. Two
// replicas sign and publish; some clients use each key set up to its last second.
func TestCachingClientNeverFails(t *testing.T) {
	const cache, life = 5 * time.Minute, 4 * time.Minute
	w := newWorld()
	o := keyring.Options{Algorithms: []string{"EdDSA"}, Rotation: time.Minute, CacheTime: cache, TokenLife: life}
	replicas := []*keyring.Ring{w.ringWith(t, o), w.ringWith(t, o)}

	type client struct {
		set   jose.JSONWebKeySet
		until time.Time
	}
	clients := make([]client, 4)
	type issued struct {
		token string
		end   time.Time
	}
	var tokens []issued
	signers := map[string]bool{}
	for step := 0; len(signers) < 4; step++ {
		now := w.clock()
		if step > 3600 {
			t.Fatalf("only %d keys signed within an hour", len(signers))
		}
		_, err := replicas[step%2].Maintain(t.Context())
		check(t, err)
		token := sign(t, replicas[(step/2)%2], "EdDSA")
		signers[kidOf(t, token)] = true
		tokens = append(tokens, issued{token, now.Add(life)})
		try := []string{token}
		if !now.Before(tokens[0].end) {
			tokens = tokens[1:]
			try = append(try, tokens[0].token) // in its last second
		}
		for i := range clients {
			c := &clients[i]
			if !now.Before(c.until) {
				// The clients begin at different moments.
				if c.until.IsZero() && step < i*73 {
					continue
				}
				body, age, err := replicas[i%2].JWKS(t.Context())
				check(t, err)
				c.set = jose.JSONWebKeySet{}
				check(t, json.Unmarshal(body, &c.set))
				c.until = now.Add(age)
			}
			for _, token := range try {
				if err := accepts(c.set, token); err != nil {
					t.Fatalf("second %d, client %d: %v", step, i, err)
				}
			}
		}
		for _, token := range try {
			if _, _, err := replicas[step%2].Verify(t.Context(), token); err != nil {
				t.Fatalf("second %d, replica %d: %v", step, step%2, err)
			}
		}
		w.advance(time.Second)
	}
}

func TestSchedule(t *testing.T) {
	w := newWorld()
	var log bytes.Buffer
	o := keyring.Options{
		Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: tokenLife,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	r := w.ringWith(t, o)
	first := sign(t, r, "EdDSA")
	next, err := r.Maintain(t.Context())
	check(t, err)
	if want := w.clock().Add(rotation); !next.Equal(want) {
		t.Errorf("Maintain wants to be called at %v, want %v", next, want)
	}
	commits := w.backend.Stats().Commits
	w.advance(rotation - time.Millisecond)
	_, err = r.Maintain(t.Context())
	check(t, err)
	if sign(t, r, "EdDSA") != first || w.backend.Stats().Commits != commits {
		t.Error("the key was rotated early, or something was written without need")
	}
	waiting := jwks(t, r).Keys[1].KeyID
	w.advance(time.Millisecond)
	_, err = r.Maintain(t.Context())
	check(t, err)
	second := sign(t, r, "EdDSA")
	if kidOf(t, second) != waiting {
		t.Error("the key that was published did not follow")
	}
	for _, what := range []string{"signing key published", "signing key activated", "signing key retired"} {
		if !strings.Contains(log.String(), what) {
			t.Errorf("the log does not say %q", what)
		}
	}

	// The retired key is published until the last token it signed has ended.
	check(t, accepts(jwks(t, r), first))
	w.advance(tokenLife + slack - 10*time.Second)
	check(t, accepts(jwks(t, r), first))
	w.advance(10 * time.Second)
	if accepts(jwks(t, r), first) == nil || len(jwks(t, r).Keys) != 2 {
		t.Error("the retired key is still published")
	}
	if _, _, err := r.Verify(t.Context(), first); err != nil {
		t.Errorf("an id_token_hint of a retired key: %v", err)
	}
}

func TestRetiredKeysLoseTheirPrivatePart(t *testing.T) {
	w := newWorld()
	r := w.ring(t, "EdDSA", "ES256")
	check(t, r.Rotate(t.Context()))
	private, retired := 0, 0
	for _, k := range w.stored(t).Keys {
		if len(k.Private) > 0 {
			private++
		}
		if !k.Retired.IsZero() {
			retired++
			if len(k.Private) > 0 {
				t.Errorf("the retired key %s can still sign", k.KID)
			}
		}
	}
	if private != 4 || retired != 2 {
		t.Errorf("%d private, %d retired; want 4, 2", private, retired)
	}
}

func TestRetiredKeysAreForgottenInTheEnd(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct{ rotation, forgotten time.Duration }{
		"when 20 younger ones are kept": {30 * day, 21 * 30 * day},
		"after two years":               {100 * day, 800 * day}, // the first Maintain after 730 days
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			r := w.ringWith(t, keyring.Options{Algorithms: []string{"EdDSA"}, Rotation: c.rotation, CacheTime: cacheTime, TokenLife: tokenLife})
			first := sign(t, r, "EdDSA")
			check(t, r.Rotate(t.Context()))
			end := w.clock().Add(c.forgotten)
			var err error
			for err == nil && !w.clock().After(end) {
				w.advance(c.rotation)
				_, err = r.Maintain(t.Context())
				check(t, err)
				_, _, err = r.Verify(t.Context(), first)
			}
			if !w.clock().Equal(end) {
				t.Errorf("forgotten %v after it should be", w.clock().Sub(end))
			}
			says := "was removed at " + end.Format(time.RFC3339)
			if !errors.Is(err, keyring.ErrUnknownKey) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), kidOf(t, first)) {
				t.Errorf("a forgotten key: %v", err)
			}
		})
	}
}

func TestTheRecordDoesNotGrowForEver(t *testing.T) {
	w := newWorld()
	r := w.ring(t, "EdDSA")
	for range 150 {
		w.advance(rotation)
		_, err := r.Maintain(t.Context())
		check(t, err)
	}
	if s := w.stored(t); len(s.Keys) != 23 || len(s.Removed) != 100 {
		t.Errorf("%d keys and %d removed ones are kept; want 23, 100", len(s.Keys), len(s.Removed))
	}
}

// TestLongestTokenLifeCounts: a shorter TokenLife must not withdraw the key of
// tokens that were signed before.
func TestLongestTokenLifeCounts(t *testing.T) {
	w := newWorld()
	var r *keyring.Ring
	var token string
	for _, life := range []time.Duration{time.Hour, 10 * time.Hour, time.Hour} {
		r = w.ringWith(t, keyring.Options{Algorithms: []string{"EdDSA"}, Rotation: rotation, CacheTime: cacheTime, TokenLife: life})
		token = sign(t, r, "EdDSA")
	}
	check(t, r.Rotate(t.Context()))
	w.advance(10 * time.Hour)
	check(t, accepts(jwks(t, r), token))
	w.advance(slack)
	if accepts(jwks(t, r), token) == nil {
		t.Error("the key is published for longer than its tokens live")
	}
}

// TestReplicaBehindWhenAKeyIsPublished: a client that fetches the key set from a
// replica which does not know the new key yet keeps it for the whole cache time.
func TestReplicaBehindWhenAKeyIsPublished(t *testing.T) {
	w := newWorld()
	o := keyring.Options{Algorithms: []string{"EdDSA"}, Rotation: time.Minute, CacheTime: cacheTime, TokenLife: tokenLife}
	a, b := w.ringWith(t, o), w.ringWith(t, o)
	check(t, a.Rotate(t.Context()))
	published := jwks(t, a).Keys[1].KeyID
	w.advance(5*time.Second - time.Millisecond)
	cached := jwks(t, b)
	if len(cached.Key(published)) != 0 {
		t.Fatal("the other replica was not behind")
	}
	for range 2 {
		w.advance(cacheTime / 2)
		_, err := a.Maintain(t.Context())
		check(t, err)
		check(t, accepts(cached, sign(t, a, "EdDSA")))
	}
	w.advance(slack)
	_, err := a.Maintain(t.Context())
	check(t, err)
	if got := kidOf(t, sign(t, a, "EdDSA")); got != published {
		t.Errorf("%s signs, want %s", got, published)
	}
}

func TestRotateAtOnce(t *testing.T) {
	w := newWorld()
	a, b := w.ring(t, "EdDSA"), w.ring(t, "EdDSA")
	first := sign(t, a, "EdDSA")
	sign(t, b, "EdDSA")
	next := jwks(t, a).Keys[1].KeyID
	check(t, a.Rotate(t.Context()))
	if got := kidOf(t, sign(t, a, "EdDSA")); got != next {
		t.Errorf("%s signs, want the next key %s", got, next)
	}
	check(t, accepts(jwks(t, a), first))
	if got := jwks(t, a); len(got.Keys) != 3 {
		t.Errorf("%d keys are published, want active, next, retired", len(got.Keys))
	}

	// The other replica knows after at most five seconds, or when it meets the key.
	check(t, a.Rotate(t.Context()))
	check(t, a.Rotate(t.Context()))
	if _, _, err := b.Verify(t.Context(), sign(t, a, "EdDSA")); err != nil {
		t.Errorf("the other replica does not know a new key: %v", err)
	}
	check(t, a.Rotate(t.Context()))
	w.advance(5 * time.Second)
	if kidOf(t, sign(t, a, "EdDSA")) != kidOf(t, sign(t, b, "EdDSA")) {
		t.Error("the other replica still signs with a retired key")
	}
	var err error
	for range 40 {
		if err = a.Rotate(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, keyring.ErrTooManyKeys) {
		t.Errorf("rotating for ever: %v", err)
	}
	w.advance(tokenLife + slack)
	check(t, a.Rotate(t.Context()))
}
