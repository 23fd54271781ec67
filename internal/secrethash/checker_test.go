package secrethash_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/secrethash"
)

func TestCheck(t *testing.T) {
	c := secrethash.NewChecker(2)
	hash := brought(t, "secret", 4)
	for range 3 { // the second time the answer is remembered
		for _, p := range []struct {
			hash, secret string
			want         bool
		}{
			{hash, "secret", true}, {hash, "Secret", false}, {hash, "", false}, {hash, strings.Repeat("x", 5000), false},
			{"", "secret", false}, {"", "", false}, {brought(t, "other", 4), "secret", false},
		} {
			if got, err := c.Check(t.Context(), p.hash, p.secret); err != nil || got != p.want {
				t.Errorf("%.10q against %.10q: %v %v", p.secret, p.hash, got, err)
			}
		}
	}
	if _, err := c.Check(t.Context(), "hunter2", "hunter2"); !errors.Is(err, secrethash.ErrHash) {
		t.Errorf("a secret in the clear as its own hash: %v", err)
	}
	// A pair whose texts join to the same as a right one.
	if ok, _ := c.Check(t.Context(), hash+"s", "ecret"); ok {
		t.Error("a remembered pair answered for another")
	}
}

func TestRightSecretsAreRemembered(t *testing.T) {
	c := secrethash.NewChecker(1)
	computed := secrethash.Record(c)
	hash := brought(t, "secret", 4)
	for _, p := range []struct {
		secret string
		slow   int
		why    string
	}{
		{"secret", 1, "the first check"},
		{"secret", 0, "a right secret again"},
		{"wrong", 1, "a wrong secret"},
		{"wrong", 1, "a wrong secret again: guessing must not become cheap"},
		{"secret", 0, "the right secret after wrong ones"},
	} {
		_, err := c.Check(t.Context(), hash, p.secret)
		check(t, err)
		if n := len(computed.Take()); n != p.slow {
			t.Errorf("%s: %d slow hashes, want %d", p.why, n, p.slow)
		}
	}
	// Each process, and so each Checker, has to see the secret itself.
	other := secrethash.NewChecker(1)
	computed = secrethash.Record(other)
	_, err := other.Check(t.Context(), hash, "secret")
	check(t, err)
	if n := len(computed.Take()); n != 1 {
		t.Errorf("another checker: %d slow hashes, want 1", n)
	}
}

// Unknown names, names without a password and wrong passwords compute the same hash once,
// and the decoy's own secret is not quicker, since the decoy may be a real hash.
func TestUnknownNamesCostAsMuch(t *testing.T) {
	fresh, err := secrethash.Hash("secret")
	check(t, err)
	for name, hash := range map[string]string{"argon2id": fresh, "bcrypt": brought(t, "secret", 4)} {
		c := secrethash.NewChecker(1)
		_, err := c.Check(t.Context(), hash, "secret") // from now on the decoy is made alike
		check(t, err)
		computed := secrethash.Record(c)
		for what, try := range map[string]func() error{
			"a wrong secret":         func() error { _, err := c.Check(t.Context(), hash, "wrong"); return err },
			"an unknown name":        func() error { return c.CheckNone(t.Context(), "wrong") },
			"the decoy's own secret": func() error { return c.CheckNone(t.Context(), "secret") },
			"no password":            func() error { _, err := c.Check(t.Context(), "", "wrong"); return err },
		} {
			check(t, try())
			if got := computed.Take(); len(got) != 1 || got[0] != hash {
				t.Errorf("%s: %s computed %q, want the one hash of its kind", name, what, got)
			}
		}
	}
}

func TestConcurrentHashesAreBounded(t *testing.T) {
	c := secrethash.NewChecker(1)
	release := make(chan struct{})
	secrethash.Hold(c, release)
	quick := brought(t, "secret", 4)
	var running sync.WaitGroup
	running.Go(func() {
		if ok, err := c.Check(context.WithoutCancel(t.Context()), quick, "secret"); !ok || err != nil {
			t.Errorf("the first check: %v %v", ok, err)
		}
	})
	for secrethash.Busy(c) == 0 {
		time.Sleep(time.Millisecond)
	}
	for name, try := range map[string]func(ctx context.Context) error{
		"Check":     func(ctx context.Context) error { _, err := c.Check(ctx, quick, "secret"); return err },
		"CheckNone": func(ctx context.Context) error { return c.CheckNone(ctx, "secret") },
		"no hash":   func(ctx context.Context) error { _, err := c.Check(ctx, "", "secret"); return err },
		"Hash":      func(ctx context.Context) error { _, err := c.Hash(ctx, "secret"); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := try(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s did not wait for its turn: %v", name, err)
		}
		cancel()
	}
	close(release)
	running.Wait()
	if ok, err := c.Check(t.Context(), quick, "secret"); !ok || err != nil {
		t.Errorf("after the first check ended: %v %v", ok, err)
	}
	if hash, err := c.Hash(t.Context(), "secret"); err != nil || secrethash.Valid(hash) != nil {
		t.Errorf("Hash: %q %v", hash, err)
	}
}

// Twenty requests of one client right after a start cost one hash, not twenty.
func TestWaitersShareTheAnswer(t *testing.T) {
	c := secrethash.NewChecker(1)
	computed := secrethash.Record(c)
	hash := brought(t, "secret", 4)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if ok, err := c.Check(t.Context(), hash, "secret"); !ok || err != nil {
				t.Errorf("%v %v", ok, err)
			}
		})
	}
	all.Wait()
	if n := len(computed.Take()); n != 1 {
		t.Errorf("20 checks computed %d hashes, want 1", n)
	}
}

// Guessing at nothing must leave room for those who know their secret, and nobody may
// have to wait for seconds.
func TestGuessersDoNotStarveTheOthers(t *testing.T) {
	c := secrethash.NewChecker(2)
	hash := brought(t, "secret", 4)
	release := make(chan struct{})
	secrethash.Hold(c, release)
	results := make(chan error, 300)
	var guessers sync.WaitGroup
	for range 300 {
		guessers.Go(func() { results <- c.CheckNone(context.WithoutCancel(t.Context()), "guess") })
	}
	for range 300 - 2*64 - 1 { // one works, as many wait as may
		if err := <-results; !errors.Is(err, secrethash.ErrBusy) {
			t.Fatalf("one guesser too many: %v", err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Check(context.WithoutCancel(t.Context()), hash, "secret")
		done <- err
	}()
	release <- struct{}{} // the first to go on may be either
	release <- struct{}{}
	if err := <-done; err != nil {
		t.Errorf("a client among guessers: %v", err)
	}
	close(release)
	guessers.Wait()
}

// The costliest hash stays the decoy, whatever is checked last.
func TestTheDecoyIsTheCostliest(t *testing.T) {
	c := secrethash.NewChecker(1)
	cheap, dear := brought(t, "secret", 4), brought(t, "secret", 6)
	c.Expect("no hash")
	for _, hash := range []string{cheap, dear, cheap} {
		c.Expect(hash)
	}
	computed := secrethash.Record(c)
	check(t, c.CheckNone(t.Context(), "wrong"))
	if got := computed.Take(); len(got) != 1 || got[0] != dear {
		t.Errorf("the decoy is %q, want the costliest", got)
	}
}
