package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Outcomes of Backend calls. They are compared with errors.Is; a backend may
// wrap them to add detail.
var (
	// ErrConflict means that a precondition did not hold. Nothing was written.
	ErrConflict = errors.New("storage: a precondition did not hold")

	// ErrLimit means that an Add would have passed its ceiling. Nothing was
	// written.
	ErrLimit = errors.New("storage: a counter is at its ceiling")

	// ErrUnavailable means that the store can't serve the call now: closed,
	// full, read-only, overloaded or out of reach. Nothing was written.
	ErrUnavailable = errors.New("storage: unavailable")

	// ErrUnknown means that the batch may or may not have been stored. An
	// error that is both ErrUnknown and ErrUnavailable says that reading the
	// records back would not tell either, because what is read may not be
	// durable.
	ErrUnknown = errors.New("storage: outcome unknown")

	// ErrInvalid means that the call itself was malformed: a batch over its
	// limits, an operation without a precondition, an empty key. Nothing was
	// written.
	ErrInvalid = errors.New("storage: invalid call")
)

// Limits of one Batch.
const (
	MaxOps        = 64
	MaxBatchBytes = 256 << 10
)

// Key names one record. All three parts are non-empty; ID may hold any bytes,
// Namespace and Kind hold no zero byte. Records of one kind are ordered by the
// bytes of their ID.
type Key struct {
	Namespace string
	Kind      string
	ID        string
}

// Revision identifies one state of a record. Revisions are opaque, store-wide
// and never used again: a record that is deleted and written anew gets a
// revision that no record had before. A later commit has a higher revision;
// records written by one commit may share one. 0 means absent.
type Revision uint64

// Index is one entry under which a record can be listed. A record may have
// several entries of one name.
type Index struct {
	Name  string
	Value string
}

// Record is one stored value. The zero Record, whose Revision is 0, stands for
// an absent one.
type Record struct {
	Key
	Revision Revision
	Expiry   time.Time // zero: never; kept to the millisecond
	Index    []Index
	Value    []byte // opaque; for a counter, see Counter
}

// Expired says whether the record has ended at now. A record lives up to, not
// including, its expiry.
func (r *Record) Expired(now time.Time) bool {
	return !r.Expiry.IsZero() && !now.Before(r.Expiry)
}

// Condition is what must hold of a record before an operation is carried out.
// The zero Condition is invalid, so that none is forgotten.
type Condition struct {
	kind     conditionKind
	revision Revision
}

type conditionKind uint8

const (
	conditionNone conditionKind = iota
	conditionAny
	conditionAbsent
	conditionAt
)

// Any holds always.
func Any() Condition { return Condition{kind: conditionAny} }

// Absent holds while the record does not exist or has expired.
func Absent() Condition { return Condition{kind: conditionAbsent} }

// At holds while the record exists, has not expired and is at revision r.
// At(0) is the same as Absent.
func At(r Revision) Condition {
	if r == 0 {
		return Absent()
	}
	return Condition{kind: conditionAt, revision: r}
}

// Holds judges the condition against the record found in the store; the zero
// Record stands for none. An expired record counts as absent, or the rerun of a
// request that read nothing would conflict until the sweep.
func (c Condition) Holds(found Record, now time.Time) bool {
	exists := found.Revision != 0 && !found.Expired(now)
	switch c.kind {
	case conditionAny:
		return true
	case conditionAbsent:
		return !exists
	case conditionAt:
		return exists && found.Revision == c.revision
	default:
		return false
	}
}

// Required returns the revision that the condition asks for: 0 and true for
// Absent, 0 and false for Any.
func (c Condition) Required() (r Revision, ok bool) {
	return c.revision, c.kind == conditionAbsent || c.kind == conditionAt
}

// Action is what an Op does.
type Action uint8

const (
	// ActionPut writes the record whole: value, expiry and index entries.
	ActionPut Action = iota + 1
	// ActionDelete removes the record. Deleting an absent record is no error.
	ActionDelete
	// ActionCheck writes nothing; the batch fails unless If holds.
	ActionCheck
	// ActionAdd adds Delta to a counter and never conflicts. An absent or
	// expired counter starts at 0 with Expiry; a live one keeps its own expiry.
	ActionAdd
)

// Op is one operation of a Batch.
type Op struct {
	Action Action
	Key    Key
	If     Condition // Put, Delete, Check

	Value  []byte    // Put
	Index  []Index   // Put
	Expiry time.Time // Put, Add; zero: never

	Delta   int64 // Add; may be negative
	Ceiling int64 // Add; 0: none. The batch fails with ErrLimit when the sum would pass it.
}

// Batch is a set of operations that happen all or not at all. Every condition
// is judged against the state before the batch, so the order of Ops means
// nothing; a key may appear once.
type Batch struct {
	Now time.Time // judges expiry; never zero
	Ops []Op
}

// Validate reports what makes the batch malformed, as an error that is
// ErrInvalid. Every backend calls it first.
func (b *Batch) Validate() error {
	if b.Now.IsZero() {
		return fmt.Errorf("%w: a batch without Now", ErrInvalid)
	}
	if len(b.Ops) == 0 || len(b.Ops) > MaxOps {
		return fmt.Errorf("%w: a batch holds 1 to %d operations, not %d", ErrInvalid, MaxOps, len(b.Ops))
	}
	size := 0
	seen := make(map[Key]struct{}, len(b.Ops))
	for i := range b.Ops {
		op := &b.Ops[i]
		if err := op.Key.validate(); err != nil {
			return err
		}
		if _, twice := seen[op.Key]; twice {
			return fmt.Errorf("%w: two operations on one %s record", ErrInvalid, op.Key.Kind)
		}
		seen[op.Key] = struct{}{}
		switch op.Action {
		case ActionPut, ActionDelete, ActionCheck:
			if op.If.kind == conditionNone {
				return fmt.Errorf("%w: an operation on a %s record has no condition", ErrInvalid, op.Key.Kind)
			}
		case ActionAdd:
		default:
			return fmt.Errorf("%w: unknown action %d", ErrInvalid, op.Action)
		}
		size += len(op.Key.Namespace) + len(op.Key.Kind) + len(op.Key.ID) + len(op.Value)
		for _, x := range op.Index {
			if x.Name == "" {
				return fmt.Errorf("%w: an index entry of a %s record has no name", ErrInvalid, op.Key.Kind)
			}
			size += len(x.Name) + len(x.Value)
		}
	}
	if size > MaxBatchBytes {
		return fmt.Errorf("%w: a batch holds at most %d bytes, not %d", ErrInvalid, MaxBatchBytes, size)
	}
	return nil
}

func (k Key) validate() error {
	if k.Namespace == "" || k.Kind == "" || k.ID == "" {
		return fmt.Errorf("%w: a key with an empty part: kind %q", ErrInvalid, k.Kind)
	}
	for _, part := range []string{k.Namespace, k.Kind} {
		for i := range len(part) {
			if part[i] == 0 {
				return fmt.Errorf("%w: a namespace or kind with a zero byte: %q", ErrInvalid, part)
			}
		}
	}
	return nil
}

// Query selects one page of the records of one kind.
type Query struct {
	Namespace string
	Kind      string

	// Index and Value select the records that have this entry; with an empty
	// Index all records of the kind are listed.
	Index string
	Value string

	// Now leaves out the records that have expired by then; zero leaves out none.
	Now time.Time

	// After is the ID of the last record of the page before; empty starts at
	// the beginning, or with Descending at the end.
	After      string
	Descending bool
	Limit      int // 1 to MaxPage
}

// MaxPage is the largest Limit of a Query.
const MaxPage = 1000

// Validate reports what makes the query malformed, as an error that is
// ErrInvalid. Every backend calls it first.
func (q *Query) Validate() error {
	if q.Namespace == "" || q.Kind == "" {
		return fmt.Errorf("%w: a query needs a namespace and a kind", ErrInvalid)
	}
	if q.Limit < 1 || q.Limit > MaxPage {
		return fmt.Errorf("%w: a page holds 1 to %d records, not %d", ErrInvalid, MaxPage, q.Limit)
	}
	return nil
}

// Backend is what a database must do to carry Doorward. It knows nothing of
// OAuth. All methods may be called concurrently; what they return belongs to the
// caller and what they are given is not kept. After Close every call returns
// ErrUnavailable. storagetest.Run holds a Backend to this contract.
type Backend interface {
	// Get returns the records of the given keys, in their order, from one
	// snapshot and in one round trip. An absent record is the zero Record. An
	// expired record is returned until it is swept: judging expiry is the
	// caller's.
	Get(ctx context.Context, keys ...Key) ([]Record, error)

	// List returns one page of records from one snapshot, ordered by ID.
	List(ctx context.Context, q Query) ([]Record, error)

	// Apply carries out a batch. nil means that it is durable. Otherwise the
	// error is ErrConflict, ErrLimit, ErrUnavailable, ErrInvalid or the
	// context's own, and nothing was written; or ErrUnknown.
	Apply(ctx context.Context, b Batch) error

	// Sweep deletes records that had expired at now, each only if it is still
	// the record whose expiry was read, until none is left or the writer was
	// held for about budget. It returns how many went; 0 means that none is left.
	Sweep(ctx context.Context, now time.Time, budget time.Duration) (int, error)

	// Close waits for calls under way, then releases the database. A second
	// Close returns nil.
	Close() error
}

// ClockWitness is implemented by a Backend that remembers the time of its last
// commit, so that a start with a clock that went backwards can be refused.
type ClockWitness interface {
	// LastCommit returns the latest Now of the batches committed so far, zero
	// when there was none.
	LastCommit(ctx context.Context) (time.Time, error)
}

// Timekeeper is implemented by a Backend whose database has a clock of its own, which all
// who share the database go by: so what one replica says expires at noon, expires at noon
// for each, whatever the clocks of their machines say.
type Timekeeper interface {
	// Clock returns the time by that clock, as measured by round trips that were made
	// anyway. It makes none itself.
	Clock() ClockReading
}

// ClockReading is what a Timekeeper knows of the time.
type ClockReading struct {
	// Now is the time. It does not run backwards when the clock is set back.
	Now time.Time

	// Least is never ahead of the time, even while the clock is: what is deleted by it
	// had expired.
	Least time.Time

	// Within is how far Now may be off.
	Within time.Duration
}

// SecretKeeper is implemented by a Backend that can keep the secret which wraps
// its data keys beside the database, for hosts that configure none.
type SecretKeeper interface {
	// Secret returns the kept secret, 32 bytes. When there is none it is
	// created durably if create is true and nothing was ever sealed under
	// another; otherwise the error says where the secret was expected.
	Secret(ctx context.Context, create bool) ([]byte, error)
}

// Shared is implemented by a Backend whose database several processes may have open.
type Shared interface {
	// Others returns how many connections to the database are not those of this Backend.
	// A process that has none at the moment is not counted.
	Others(ctx context.Context) (int, error)
}

// Counter reads the value of a record written by ActionAdd; an absent or
// malformed one counts 0.
func Counter(r Record) int64 {
	if len(r.Value) != 8 {
		return 0
	}
	var n uint64
	for _, b := range r.Value {
		n = n<<8 | uint64(b)
	}
	return int64(n)
}

// CounterValue is the value of a counter record that stands at n.
func CounterValue(n int64) []byte {
	v := make([]byte, 8)
	for i := range v {
		v[i] = byte(uint64(n) >> (56 - 8*i))
	}
	return v
}
