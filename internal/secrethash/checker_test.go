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

// took is the shortest of some runs, since a busy machine only ever adds time.
func took(t testing.TB, times int, f func() error) time.Duration {
	t.Helper()
	best := time.Hour
	for range times {
		started := time.Now()
		check(t, f())
		best = min(best, time.Since(started))
	}
	return best
}

func TestRightSecretsAreRemembered(t *testing.T) {
	c := secrethash.NewChecker(1)
	hash := brought(t, "secret", 8)
	try := func(secret string) func() error {
		return func() error { _, err := c.Check(t.Context(), hash, secret); return err }
	}
	slow := took(t, 1, try("secret"))
	if again := took(t, 3, try("secret")); again > slow/20 {
		t.Errorf("the first check took %v, the next still %v", slow, again)
	}
	check(t, try("wrong")())
	if wrong := took(t, 3, try("wrong")); wrong < slow/4 {
		t.Errorf("a wrong secret is answered in %v, a slow check takes %v: guessing has become cheap", wrong, slow)
	}
	// Each process, and so each Checker, has to see the secret itself.
	other := secrethash.NewChecker(1)
	if fresh := took(t, 1, func() error { _, err := other.Check(t.Context(), hash, "secret"); return err }); fresh < slow/4 {
		t.Errorf("another checker took %v for what takes %v", fresh, slow)
	}
}

// Unknown names, names without a password and wrong passwords take the same time.
func TestUnknownNamesTakeAsLong(t *testing.T) {
	fresh, err := secrethash.Hash("secret")
	check(t, err)
	for name, hash := range map[string]string{"argon2id": fresh, "bcrypt": brought(t, "secret", 7)} {
		c := secrethash.NewChecker(1)
		if name == "bcrypt" { // the decoy is argon2id until the first check
			_, err := c.Check(t.Context(), hash, "right or wrong")
			check(t, err)
		}
		wrong := took(t, 5, func() error { _, err := c.Check(t.Context(), hash, "wrong"); return err })
		none := took(t, 5, func() error { return c.CheckNone(t.Context(), "wrong") })
		empty := took(t, 5, func() error { _, err := c.Check(t.Context(), "", "wrong"); return err })
		for what, d := range map[string]time.Duration{"an unknown name": none, "no password": empty} {
			if d < wrong/2 || d > wrong*2 {
				t.Errorf("%s: a wrong secret takes %v, %s %v", name, wrong, what, d)
			}
		}
	}
}

// The decoy may be a real hash, so its right secret must not make CheckNone quick.
func TestDecoyTellsNothing(t *testing.T) {
	c := secrethash.NewChecker(1)
	hash := brought(t, "secret", 8)
	_, err := c.Check(t.Context(), hash, "secret")
	check(t, err)
	none := func(secret string) time.Duration {
		return took(t, 3, func() error { return c.CheckNone(t.Context(), secret) })
	}
	if right, wrong := none("secret"), none("wrong"); right < wrong/2 {
		t.Errorf("the decoy's own secret takes %v, another %v", right, wrong)
	}
}

func TestConcurrentHashesAreBounded(t *testing.T) {
	c := secrethash.NewChecker(1)
	slow := brought(t, "secret", 11) // about 100 ms
	var running sync.WaitGroup
	running.Go(func() {
		if ok, err := c.Check(context.WithoutCancel(t.Context()), slow, "secret"); !ok || err != nil {
			t.Errorf("the first check: %v %v", ok, err)
		}
	})
	time.Sleep(20 * time.Millisecond) // the first has its turn
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	quick := brought(t, "secret", 4)
	for name, try := range map[string]func() error{
		"Check":     func() error { _, err := c.Check(ctx, quick, "secret"); return err },
		"CheckNone": func() error { return c.CheckNone(ctx, "secret") },
		"no hash":   func() error { _, err := c.Check(ctx, "", "secret"); return err },
		"Hash":      func() error { _, err := c.Hash(ctx, "secret"); return err },
	} {
		if err := try(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s did not wait for its turn: %v", name, err)
		}
	}
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
	hash := brought(t, "secret", 8)
	one := took(t, 3, func() error { _, err := secrethash.NewChecker(1).Check(t.Context(), hash, "secret"); return err })
	started := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if ok, err := c.Check(t.Context(), hash, "secret"); !ok || err != nil {
				t.Errorf("%v %v", ok, err)
			}
		})
	}
	all.Wait()
	if took := time.Since(started); took > 10*one {
		t.Errorf("20 checks took %v, one takes %v", took, one)
	}
}
