package storage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Sentinels of the Store.
var (
	// ErrNotFound means that the record does not exist or has expired.
	ErrNotFound = errors.New("storage: not found")

	// ErrDamaged means that a stored value did not open: the database was
	// changed by somebody else, or belongs to another secret.
	ErrDamaged = errors.New("storage: a stored value is damaged or was moved")

	// ErrNewer means that a record was written by a newer release in a form
	// that this one can't read.
	ErrNewer = errors.New("storage: a record was written by a newer release")
)

const (
	// sweepDelay keeps expired records for a while, so that a clock that was
	// ahead at the start has a day to be noticed.
	sweepDelay = 24 * time.Hour

	// clockTolerance is how far the clock may be behind the last commit at start.
	clockTolerance = time.Minute
)

// Options are the settings of Open.
type Options struct {
	// Namespace separates the records of several issuers in one database. It
	// is part of every key, index, sealed value and MAC. Required.
	Namespace string

	// Secrets wrap the data keys; the first is current, the others are tried
	// when the keys were wrapped earlier. Each has at least 32 random bytes.
	// With none the Backend must be a SecretKeeper.
	Secrets [][]byte

	// KeyWrapper wraps the data keys in place of Secrets. With both, Secrets open a
	// database whose keys they still wrap, and the KeyWrapper wraps them from then on.
	KeyWrapper KeyWrapper

	// FormerKeyWrapper opens a database whose keys it still wraps, on the way to another
	// KeyWrapper or, with none, to Secrets.
	FormerKeyWrapper KeyWrapper

	// Clock replaces the clock, for tests. nil: that of the Backend if it is a Timekeeper,
	// else the system's.
	Clock func() time.Time

	// AcceptClock opens the store though the clock is behind its last commit.
	AcceptClock bool

	// Logger receives what an operator should know. nil: nothing is logged.
	Logger *slog.Logger
}

// Store keeps typed, sealed records over a Backend. It is safe for concurrent
// use and starts no goroutine.
type Store struct {
	backend    Backend
	namespace  string
	clock      func() time.Time
	sweepClock func() time.Time
	log        *slog.Logger
	keeping    *keeping                // what opens the envelope
	view       atomic.Pointer[keyView] // of the data keys, as last read
	lookupKey  []byte
	macs       sync.Pool // of *mac
	decoders   sync.Pool // of *decoder
	resealing  resealing
	placeRead  Revision // of the Place that the Store was opened by
	exhausted  atomic.Int64
	recents    recents
	sights     atomic.Pointer[map[string]*sights] // by kind
}

// Open makes a Store over a Backend, creating its data keys on first use. The
// Backend stays the caller's to close. It refuses a clock more than a minute
// behind the last commit, because expired records would come alive again, and with
// ErrMoved a database that is not where the store lives.
func Open(ctx context.Context, b Backend, o Options) (*Store, error) {
	if o.Namespace == "" || o.Namespace == PlaceNamespace {
		return nil, fmt.Errorf("%w: Options.Namespace is empty or taken: %q", ErrInvalid, o.Namespace)
	}
	s := &Store{backend: b, namespace: o.Namespace, clock: o.Clock, sweepClock: o.Clock, log: o.Logger}
	if s.clock == nil {
		s.clock, s.sweepClock = systemClock(b)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.checkPlace(ctx); err != nil {
		return nil, err
	}
	if err := s.checkClock(ctx, o.AcceptClock); err != nil {
		return nil, err
	}
	if err := s.openEnvelope(ctx, &keeping{secrets: o.Secrets, service: o.KeyWrapper, former: o.FormerKeyWrapper}); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) checkClock(ctx context.Context, accept bool) error {
	witness, ok := As[ClockWitness](s.backend)
	if !ok {
		return nil
	}
	last, err := witness.LastCommit(ctx)
	if err != nil {
		return fmt.Errorf("storage: read the time of the last commit: %w", err)
	}
	behind := last.Sub(s.Now())
	if behind <= clockTolerance {
		return nil
	}
	if accept {
		s.log.WarnContext(ctx, "the clock is behind the last commit and was accepted", "behind", behind.String(), "last_commit", last)
		return nil
	}
	whose := "the clock"
	if _, ok := As[Timekeeper](s.backend); ok {
		whose = "the clock of the database"
	}
	return fmt.Errorf("storage: %s says %s, but the last commit was at %s: expired records would come alive again; set the clock right, or set AcceptClock (accept_clock) until it has caught up",
		whose, s.Now().Format(time.RFC3339), last.UTC().Format(time.RFC3339))
}

// Now is the time by which everything in the store is judged.
func (s *Store) Now() time.Time { return s.clock().UTC() }

// Namespace returns the namespace that the Store was opened with.
func (s *Store) Namespace() string { return s.namespace }

// Exhausted counts the units of work that lost every one of their tries to
// others. It stays 0 in a healthy server.
func (s *Store) Exhausted() int64 { return s.exhausted.Load() }

// mac is an HMAC under the lookup key that is used again and again: to set one up takes
// longer than to use it.
type mac struct {
	state   hash.Hash
	message []byte
}

// begin returns a mac of which all that follows is for this namespace.
func (s *Store) begin() *mac {
	m, ok := s.macs.Get().(*mac)
	if !ok {
		m = &mac{state: hmac.New(sha256.New, s.lookupKey)}
	}
	m.message = appendPart(m.message[:0], s.namespace)
	return m
}

// sum returns the MAC of the message and gives m back.
func (s *Store) sum(m *mac) []byte {
	m.state.Reset()
	m.state.Write(m.message) // a hash never fails
	sum := m.state.Sum(nil)
	if cap(m.message) <= 4<<10 {
		s.macs.Put(m)
	}
	return sum
}

// MAC returns the HMAC-SHA256 of the parts under the store's own key, which is
// created once and never changes. purpose keeps one use apart from another.
func (s *Store) MAC(purpose string, parts ...[]byte) []byte {
	m := s.begin()
	m.message = appendPart(m.message, purpose)
	for _, p := range parts {
		m.message = appendPart(m.message, p)
	}
	return s.sum(m)
}

// Lookup returns the form in which values that tell something about a person or
// let somebody in (a subject, a user code, a JTI) stand in keys and indexes.
func (s *Store) Lookup(purpose string, values ...string) string {
	m := s.begin()
	m.message = appendPart(m.message, "lookup "+purpose)
	for _, v := range values {
		m.message = appendPart(m.message, v)
	}
	return base64.RawURLEncoding.EncodeToString(s.sum(m)[:18])
}

// appendPart appends a length before the bytes, so that ("ab", "c") and ("a", "bc")
// differ.
func appendPart[T string | []byte](message []byte, part T) []byte {
	return append(binary.BigEndian.AppendUint32(message, uint32(len(part))), part...)
}

// Sweep deletes records a day after they expired, holding the writer for about
// budget, and returns how many went; 0 means that none is left. It does not follow
// a system clock that is set forward while the Store is open.
func (s *Store) Sweep(ctx context.Context, budget time.Duration) (int, error) {
	n, err := s.backend.Sweep(ctx, s.sweepClock().Add(-sweepDelay), budget)
	if err != nil {
		return n, fmt.Errorf("storage: sweep: %w", err)
	}
	return n, nil
}

// Ping asks the backend for a record, to learn whether it answers.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.backend.Get(ctx, s.key(envelopeKind, envelopeID))
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func (s *Store) key(kind, id string) Key { return Key{Namespace: s.namespace, Kind: kind, ID: id} }

// unavailable makes every failure of a backend that is not an answer
// ErrUnavailable, keeping the cause.
func unavailable(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrUnavailable), errors.Is(err, ErrInvalid), errors.Is(err, ErrDamaged), errors.Is(err, ErrNewer):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}
