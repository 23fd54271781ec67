// Package secrethash keeps secrets that people chose or brought: passwords, and client
// secrets made elsewhere. They may be short, so their hashes are slow by design.
//
// New hashes are argon2id; bcrypt hashes that came from another system are verified.
// A Checker makes the slowness bearable for a server: it bounds how many hashes are
// computed at once and does not compute again what it has seen succeed.
//
// A secret of 256 random bits needs none of this; a keyed hash is as safe and a
// hundred thousand times faster.
package secrethash

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// ErrHash means that a string is no hash that this package verifies.
var ErrHash = errors.New("secrethash: not an acceptable hash")

// ErrSecret means that a secret can't be hashed: it is empty or too long.
var ErrSecret = errors.New("secrethash: not an acceptable secret")

// MaxSecret is the length in bytes above which a secret neither is hashed nor verifies.
const MaxSecret = 1024

// The settings of new hashes: 19 MiB, two passes, one lane, which takes 25 to 50 ms.
// OWASP Password Storage Cheat Sheet, RFC 9106 §4
const (
	memory   = 19 * 1024 // KiB
	passes   = 2
	lanes    = 1
	saltSize = 16
	keySize  = 32
)

// Bounds of a hash that is verified. A hash names its own cost, and one from a
// careless or hostile configuration could otherwise take all memory or an hour.
const (
	maxMemory = 256 * 1024  // KiB
	maxWork   = 1024 * 1024 // KiB times passes: as much work as about a second
	maxLanes  = 16
	minSalt   = 8 // RFC 9106 §3.1
	maxSalt   = 64
	minKey    = 16
	maxKey    = 64
	maxHash   = 512 // bytes of the whole string
	maxBcrypt = 15  // cost; a second and a half
	minBcrypt = bcrypt.MinCost
)

// Hash returns the argon2id hash of a secret with a new salt, in the PHC form
// $argon2id$v=19$m=..,t=..,p=..$salt$hash. It takes the time that checking takes.
// The error is ErrSecret.
func Hash(secret string) (string, error) {
	if secret == "" || len(secret) > MaxSecret {
		return "", fmt.Errorf("%w: it has %d bytes, expected 1 to %d", ErrSecret, len(secret), MaxSecret)
	}
	a := argon{memory: memory, passes: passes, lanes: lanes, salt: make([]byte, saltSize), key: make([]byte, keySize)}
	rand.Read(a.salt) // never fails, crypto/rand since Go 1.24
	a.key = a.derive(secret)
	return a.String(), nil
}

// Valid says whether Verify accepts a hash and whether its cost is within bounds. The
// error is ErrHash; its text says what to change and never holds the hash.
func Valid(hash string) error {
	switch {
	case hash == "":
		return fmt.Errorf("%w: it is empty", ErrHash)
	case len(hash) > maxHash:
		return fmt.Errorf("%w: it has %d bytes, at most %d are expected", ErrHash, len(hash), maxHash)
	case strings.HasPrefix(hash, "$argon2id$"):
		_, err := parseArgon(hash)
		return err
	case strings.HasPrefix(hash, "$2"):
		return validBcrypt(hash)
	}
	return fmt.Errorf("%w: it begins with neither $argon2id$ nor $2a$, $2b$ or $2y$ (bcrypt)", ErrHash)
}

// Verify says whether secret is the one of hash. It computes the slow hash each time;
// a server uses a Checker. An empty hash and an empty secret never verify. The error is
// ErrHash, or that of ctx, which is looked at before the work and not during it.
//
// bcrypt reads the first 72 bytes of a secret, here as everywhere.
func Verify(ctx context.Context, hash, secret string) (bool, error) {
	if hash == "" || secret == "" || len(secret) > MaxSecret {
		return false, nil
	}
	if err := Valid(hash); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("secrethash: verify: %w", err)
	}
	if strings.HasPrefix(hash, "$2") {
		return verifyBcrypt(hash, secret)
	}
	a, err := parseArgon(hash)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(a.derive(secret), a.key) == 1, nil
}

// argon is an argon2id hash taken apart.
type argon struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func (a argon) derive(secret string) []byte {
	return argon2.IDKey([]byte(secret), a.salt, a.passes, a.memory, a.lanes, uint32(len(a.key)))
}

func (a argon) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, a.memory, a.passes, a.lanes,
		base64.RawStdEncoding.EncodeToString(a.salt), base64.RawStdEncoding.EncodeToString(a.key))
}

func parseArgon(hash string) (argon, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return argon{}, fmt.Errorf("%w: expected $argon2id$v=19$m=..,t=..,p=..$salt$hash", ErrHash)
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return argon{}, fmt.Errorf("%w: expected version v=%d of argon2id", ErrHash, argon2.Version)
	}
	settings := strings.Split(parts[3], ",")
	if len(settings) != 3 {
		return argon{}, fmt.Errorf("%w: expected m=..,t=..,p=.. as the settings", ErrHash)
	}
	var numbers [3]uint64
	for i, name := range []string{"m", "t", "p"} {
		value, ok := strings.CutPrefix(settings[i], name+"=")
		n, err := strconv.ParseUint(value, 10, 32)
		if !ok || err != nil || strconv.FormatUint(n, 10) != value {
			return argon{}, fmt.Errorf("%w: expected the settings m=..,t=..,p=.. in this order", ErrHash)
		}
		numbers[i] = n
	}
	m, t, p := numbers[0], numbers[1], numbers[2]
	switch {
	case p < 1 || p > maxLanes:
		return argon{}, fmt.Errorf("%w: p (lanes) is %d, expected 1 to %d", ErrHash, p, maxLanes)
	case m < 8*p || m > maxMemory:
		return argon{}, fmt.Errorf("%w: m (memory in KiB) is %d, expected %d to %d", ErrHash, m, 8*p, maxMemory)
	case t < 1 || m*t > maxWork:
		return argon{}, fmt.Errorf("%w: t (passes) is %d, expected 1 to %d with m=%d", ErrHash, t, maxWork/m, m)
	}
	a := argon{memory: uint32(m), passes: uint32(t), lanes: uint8(p)}
	var err error
	if a.salt, err = decode(parts[4], minSalt, maxSalt); err != nil {
		return argon{}, fmt.Errorf("%w: the salt %v", ErrHash, err)
	}
	if a.key, err = decode(parts[5], minKey, maxKey); err != nil {
		return argon{}, fmt.Errorf("%w: the last part %v", ErrHash, err)
	}
	return a, nil
}

func decode(s string, least, most int) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder passes over line breaks
		return nil, errors.New("is not base64 without padding")
	}
	if len(b) < least || len(b) > most {
		return nil, fmt.Errorf("has %d bytes, expected %d to %d", len(b), least, most)
	}
	return b, nil
}

// cost estimates how long a valid hash takes, in microseconds on the machine that the
// parameters of Hash were chosen on. Only which is the larger matters.
func cost(hash string) int64 {
	if strings.HasPrefix(hash, "$2") {
		n, err := bcrypt.Cost([]byte(hash))
		if err != nil {
			return 0
		}
		return 51 << n
	}
	a, err := parseArgon(hash)
	if err != nil {
		return 0
	}
	return int64(a.memory) * int64(a.passes) * 5 / 8
}

func validBcrypt(hash string) error {
	if !strings.HasPrefix(hash, "$2a$") && !strings.HasPrefix(hash, "$2b$") && !strings.HasPrefix(hash, "$2y$") {
		return fmt.Errorf("%w: of bcrypt, $2a$, $2b$ and $2y$ are accepted", ErrHash)
	}
	const size = 60
	if len(hash) != size {
		return fmt.Errorf("%w: a bcrypt hash has %d characters, not %d", ErrHash, size, len(hash))
	}
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if strings.Trim(hash[4:6], "0123456789") != "" || hash[6] != '$' || strings.Trim(hash[7:], alphabet) != "" {
		return fmt.Errorf("%w: expected $2b$, two digits, $ and 53 characters of bcrypt's base64", ErrHash)
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil || cost < minBcrypt || cost > maxBcrypt {
		return fmt.Errorf("%w: the bcrypt cost is %.2s, expected %02d to %d", ErrHash, hash[4:], minBcrypt, maxBcrypt)
	}
	return nil
}

func verifyBcrypt(hash, secret string) (bool, error) {
	err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(secret))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		return false, nil
	}
	return false, fmt.Errorf("%w: bcrypt can't read it", ErrHash)
}
