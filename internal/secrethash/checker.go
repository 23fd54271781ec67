package secrethash

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
)

// Checker checks secrets for a server. It computes only so many slow hashes at once,
// the others wait, and it remembers which pairs of hash and secret were right, so that
// a client that authenticates at every request pays once for each process. It is safe
// for concurrent use.
//
// What it remembers is a MAC under a random key of its own. A new hash for a secret,
// as after a change of password, is a new pair.
type Checker struct {
	slots   chan struct{}
	decoys  chan struct{} // a part of the slots, so that guessing at nothing leaves room for the others
	waiting atomic.Int64
	key     [sha256.Size]byte
	right   memo
	decoy   atomic.Pointer[string] // the hash that CheckNone works on
	real    atomic.Bool            // the decoy is one that was met, no longer the first guess

	verify func(ctx context.Context, hash, secret string) (bool, error) // Verify; tests count its calls
}

// NewChecker makes a Checker that computes up to concurrent slow hashes at once; less
// than one means as many as there are processors. Each takes the memory its hash asks
// for, 19 MiB for those that Hash makes.
func NewChecker(concurrent int) *Checker {
	if concurrent < 1 {
		concurrent = runtime.GOMAXPROCS(0)
	}
	c := &Checker{slots: make(chan struct{}, concurrent), decoys: make(chan struct{}, max(1, concurrent/2)), right: memo{limit: remembered}, verify: Verify}
	decoy := argon{memory: memory, passes: passes, lanes: lanes, salt: make([]byte, saltSize), key: make([]byte, keySize)}
	rand.Read(c.key[:])
	rand.Read(decoy.salt)
	rand.Read(decoy.key)
	hash := decoy.String()
	c.decoy.Store(&hash)
	return c
}

// Check says whether secret is the one of hash. An empty hash, as of somebody who has
// no password, takes the time of any other and never verifies; so does an empty secret,
// at once. The error is ErrHash, ErrBusy, or that of ctx when it ended before the hash had
// its turn.
func (c *Checker) Check(ctx context.Context, hash, secret string) (bool, error) {
	if hash == "" {
		return false, c.CheckNone(ctx, secret)
	}
	if secret == "" || len(secret) > MaxSecret {
		return false, nil
	}
	mark := c.mark(hash, secret)
	if c.right.has(mark) {
		return true, nil
	}
	if err := Valid(hash); err != nil {
		return false, err
	}
	ok, err := c.compute(ctx, mark, hash, secret)
	if err != nil || ok {
		return ok, err
	}
	// Who was wrong waits as who guesses at nothing does, or a crowd of guessers would
	// tell by its answers which names exist.
	leave, err := c.enter(ctx, c.decoys)
	if err != nil {
		return false, err
	}
	leave()
	return false, nil
}

// compute verifies a secret in its turn.
func (c *Checker) compute(ctx context.Context, m mark, hash, secret string) (bool, error) {
	leave, err := c.enter(ctx, c.slots)
	if err != nil {
		return false, err
	}
	defer leave()
	if c.right.has(m) { // somebody found out while we waited
		return true, nil
	}
	c.imitate(hash)
	ok, err := c.verify(ctx, hash, secret)
	if ok {
		c.right.add(m)
	}
	return ok, err
}

// CheckNone takes as long as Check with a wrong secret, for a name that nobody has:
// who measures must not learn which names exist. It copies the settings of the costliest
// hash that was checked, so it is exact where all hashes were made alike. The error is
// ErrBusy or that of ctx.
func (c *Checker) CheckNone(ctx context.Context, secret string) error {
	if secret == "" || len(secret) > MaxSecret {
		return nil // as Check does
	}
	hash := *c.decoy.Load()
	c.right.has(c.mark(hash, secret)) // as Check does; a decoy may be a real hash, so the answer must not matter
	leaveDecoys, err := c.enter(ctx, c.decoys)
	if err != nil {
		return err
	}
	defer leaveDecoys()
	leave, err := c.enter(ctx, c.slots)
	if err != nil {
		return err
	}
	defer leave()
	_, err = c.verify(ctx, hash, secret)
	return err
}

// Expect makes CheckNone take as long as a check of hash, if that is longer than what it
// takes now. Check does so for the hashes it meets; a server that knows its hashes at start
// tells them before anybody can measure. A hash that is not Valid changes nothing.
func (c *Checker) Expect(hash string) {
	if Valid(hash) == nil {
		c.imitate(hash)
	}
}

// imitate keeps the costliest hash as the decoy: somebody who owns a cheap one must not
// be able to change what unknown names take.
func (c *Checker) imitate(hash string) {
	for {
		now := c.decoy.Load()
		if c.real.Load() && cost(hash) <= cost(*now) {
			return
		}
		if c.decoy.CompareAndSwap(now, &hash) {
			c.real.Store(true)
			return
		}
	}
}

// Hash is the function Hash, bounded like the checks. The error is ErrSecret, ErrBusy or
// that of ctx.
func (c *Checker) Hash(ctx context.Context, secret string) (string, error) {
	leave, err := c.enter(ctx, c.slots)
	if err != nil {
		return "", err
	}
	defer leave()
	return Hash(secret)
}

// ErrBusy means that so many slow hashes are waiting that another would have to wait for
// seconds: somebody is guessing, and answering at once serves everybody better.
var ErrBusy = errors.New("secrethash: too many checks are waiting")

// maxWaiting bounds those who wait for each slot.
const maxWaiting = 64

// enter waits for a turn in slots.
func (c *Checker) enter(ctx context.Context, slots chan struct{}) (leave func(), err error) {
	if err := ctx.Err(); err != nil { // select would choose at random
		return nil, fmt.Errorf("secrethash: wait for a turn: %w", err)
	}
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	default:
	}
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > int64(maxWaiting*cap(c.slots)) {
		return nil, ErrBusy
	}
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("secrethash: wait for a turn: %w", ctx.Err())
	}
}

type mark [sha256.Size]byte

// mark names a pair of hash and secret. The length in front keeps pairs apart whose
// texts join to the same.
func (c *Checker) mark(hash, secret string) mark {
	mac := hmac.New(sha256.New, c.key[:])
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(hash)))
	mac.Write(length[:])
	mac.Write([]byte(hash))
	mac.Write([]byte(secret))
	return mark(mac.Sum(nil))
}
