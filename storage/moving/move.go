package moving

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/doorward/doorward/storage"
)

var (
	// ErrBusy means that another Move of the same Backend is under way.
	ErrBusy = errors.New("moving: the store is being moved already")

	// ErrForeign means that the destination holds something that is no earlier copy of
	// the store. Nothing of it was changed.
	ErrForeign = errors.New("moving: the destination is not empty")

	// ErrShared means that other processes have the database open.
	ErrShared = errors.New("moving: other processes have the database open")

	// ErrDiffers means that the copy is not what was copied. The store has not moved.
	ErrDiffers = errors.New("moving: the copy differs")
)

const (
	defaultFence = 5 * time.Second
	grace        = 5 * time.Second // for the marks, after which it is decided

	breath = time.Second // between two fences

	few        = 200 // keys that are copied in a moment
	mostRounds = 200 // of copying what was written meanwhile
	mostFences = 4
)

// Options are the settings of a Move.
type Options struct {
	// From and To name the databases for people, in the mark that is left behind and in
	// errors: a path, or a host and a name, and no password. Required.
	From, To string

	// Secrets are those that the destination will be opened with. The move is refused when
	// they would not open it. With none the destination must be a storage.SecretKeeper
	// that keeps the right one, as a file that the store was moved away from does.
	Secrets [][]byte

	// KeyWrapper is the key service that the destination will be opened by, if one is.
	KeyWrapper storage.KeyWrapper

	// Fence is how long writes may be held back at once. When the last changes are not
	// copied by then, writes go on and it is tried again later. 0: 5 seconds.
	Fence time.Duration

	// Progress is told how far it is, some times a second at most. Optional.
	Progress func(Progress)
}

// Progress is how far a Move is.
type Progress struct {
	Phase   Phase
	Records int // looked at in this phase
	Total   int // of the store, when the move began
}

// Phase is a part of a Move.
type Phase string

// The phases, in their order.
const (
	Copying   Phase = "copying"   // everything, while requests go on
	Following Phase = "following" // what they have written meanwhile
	Comparing Phase = "comparing" // both databases, record by record
	Changing  Phase = "changing"  // writes wait
)

// Report is what a Move did.
type Report struct {
	Records int // of the store
	Copied  int // written to the destination; less than Records when it had some already
	Deleted int // deleted in the destination, since they had gone or were of an earlier copy

	// Checksum is that of every record in both databases, taken while writes were held
	// back. It is empty for a store so large that this would have taken more than half of
	// Options.Fence: then everything was compared while requests went on, and what they
	// wrote since was compared while writes were held back.
	Checksum string

	Held     time.Duration // how long writes waited
	Took     time.Duration
	Finished bool // an earlier Move had done everything but the last mark
}

// Move moves the store to another database and sends every call there from then on. to
// belongs to the Backend then, and the database that the store has left to the caller, who
// closes it. When the error is not nil nothing has changed for the store, and to is the
// caller's; see the package comment for what a Move that is run again does.
func (b *Backend) Move(ctx context.Context, to storage.Backend, o Options) (Report, error) {
	if !b.moves.TryLock() {
		return Report{}, ErrBusy
	}
	defer b.moves.Unlock()
	if o.From == "" || o.To == "" {
		return Report{}, fmt.Errorf("%w: moving: Options.From and Options.To are required", storage.ErrInvalid)
	}
	if o.Fence <= 0 {
		o.Fence = defaultFence
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if b.turn+1 >= mostTurns {
		return Report{}, fmt.Errorf("%w: moving: this process has moved too often: start it anew", storage.ErrInvalid)
	}
	m := &move{b: b, from: b.Unwrap(), to: to, o: o, changes: newChanges(), kinds: map[kind]struct{}{}, began: time.Now()}
	finished, err := m.prepare(ctx)
	if err != nil {
		return m.report, err
	}
	if finished {
		m.report.Finished = true
		return m.report, b.replace(to)
	}
	b.changes.Store(m.changes)
	defer b.changes.Store(nil)
	b.writes.Lock()
	//lint:ignore SA2001 whoever had the lock knows that what began before, and is not noted, has ended
	b.writes.Unlock() //nolint:staticcheck // as above
	err = m.run(ctx)
	m.report.Took = time.Since(m.began)
	return m.report, err
}

// move is one Move.
type move struct {
	b        *Backend
	from, to storage.Backend
	o        Options
	changes  *changes
	kinds    map[kind]struct{}
	now      time.Time // of the batches
	began    time.Time
	total    int
	told     time.Time
	report   Report

	here, there     storage.Place
	atHere, atThere storage.Revision
}

type kind struct{ namespace, name string }

// run does everything between the marks.
func (m *move) run(ctx context.Context) error {
	if err := m.gather(ctx); err != nil {
		return err
	}
	if _, err := m.everything(ctx, Copying); err != nil {
		return err
	}
	for range mostFences {
		if err := m.follow(ctx); err != nil {
			return err
		}
		start := time.Now()
		if _, err := m.everything(ctx, Comparing); err != nil {
			return err
		}
		whole := time.Since(start) <= m.o.Fence/2
		if err := m.follow(ctx); err != nil {
			return err
		}
		if changed, err := m.change(ctx, whole); changed || err != nil {
			return err
		}
		select { // those who waited have their turn
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(breath):
		}
	}
	return fmt.Errorf("%w: moving: the last changes were not copied within %v in %d tries: allow for more, or move when there is less to do", storage.ErrUnavailable, m.o.Fence, mostFences)
}

// prepare finds out what both databases are and marks the destination. finished says that
// there was nothing more to do.
func (m *move) prepare(ctx context.Context) (finished bool, err error) {
	if m.here, m.atHere, err = storage.PlaceOf(ctx, m.from); err != nil {
		return false, err
	}
	if m.there, m.atThere, err = storage.PlaceOf(ctx, m.to); err != nil {
		return false, err
	}
	same := m.atHere != 0 && m.atThere != 0 && m.here.Store == m.there.Store
	if err := m.tick(ctx); err != nil {
		return false, err
	}
	switch {
	case m.here.State == storage.PlaceLeft && same && m.there.State == storage.PlaceCopied:
		return true, m.settle(ctx)
	case m.here.State == storage.PlaceLeft:
		return false, fmt.Errorf("%w: moving: the store has left %s for %s already", storage.ErrMoved, m.o.From, m.here.Other)
	case m.atHere != 0 && m.here.State != storage.PlaceHome:
		return false, fmt.Errorf("%w: moving: %s is an unfinished copy itself", storage.ErrMoved, m.o.From)
	case same && m.there.State == storage.PlaceHome:
		return false, fmt.Errorf("%w: moving: the store lives in %s already, and %s is an older copy of it", storage.ErrMoved, m.o.To, m.o.From)
	case m.atThere != 0 && !same:
		return false, fmt.Errorf("%w: %s holds another store", ErrForeign, m.o.To)
	}
	if err := m.alone(ctx); err != nil {
		return false, err
	}
	if m.atThere == 0 {
		if err := m.empty(ctx); err != nil {
			return false, err
		}
	}
	if err := m.openable(ctx); err != nil {
		return false, err
	}
	return false, m.begin(ctx)
}

// begin marks both databases: the store gets a name if it has none, and the destination is
// said to be a copy of it. Then a server that starts there finds no store.
func (m *move) begin(ctx context.Context) (err error) {
	fresh := m.atThere == 0
	if m.atHere == 0 {
		m.here = storage.Place{Store: rand.Text(), State: storage.PlaceHome, At: m.now}
		if err := storage.SetPlace(ctx, m.from, m.here, 0); err != nil {
			return err
		}
		if m.here, m.atHere, err = storage.PlaceOf(ctx, m.from); err != nil {
			return err
		}
	}
	if err := m.mark(ctx, storage.PlaceCopying); err != nil || !fresh {
		return err
	}
	if err := m.empty(ctx); err != nil { // somebody was faster than the mark
		return errors.Join(err, storage.SetPlace(ctx, m.to, storage.Place{At: m.now}, m.atThere))
	}
	return nil
}

// mark writes what the destination is.
func (m *move) mark(ctx context.Context, state storage.PlaceState) (err error) {
	p := storage.Place{Store: m.here.Store, State: state, Other: m.o.From, At: m.now}
	if err := storage.SetPlace(ctx, m.to, p, m.atThere); err != nil {
		return err
	}
	m.there, m.atThere, err = storage.PlaceOf(ctx, m.to)
	return err
}

// alone refuses a database that others may write.
func (m *move) alone(ctx context.Context) error {
	shared, ok := storage.As[storage.Shared](m.from)
	if !ok {
		return nil
	}
	n, err := shared.Others(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%w: %d connections to %s are not of this process, and what they write would be lost: stop the other replicas first", ErrShared, n, m.o.From)
	}
	return nil
}

// empty refuses a destination with records of somebody else.
func (m *move) empty(ctx context.Context) error {
	tallies, err := m.count(ctx, m.to)
	if err != nil {
		return err
	}
	for _, t := range tallies {
		return fmt.Errorf("%w: %s holds %s records of %s: name an empty one", ErrForeign, m.o.To, t.Kind, t.Namespace)
	}
	return nil
}

// openable refuses a destination that nobody could open afterwards.
func (m *move) openable(ctx context.Context) error {
	secrets := m.o.Secrets
	var services []storage.KeyWrapper
	if m.o.KeyWrapper != nil {
		services = append(services, m.o.KeyWrapper)
	}
	if len(secrets) == 0 && len(services) == 0 {
		keeper, ok := storage.As[storage.SecretKeeper](m.to)
		if !ok {
			return fmt.Errorf("%w: moving: %s keeps no secret: give it the one that %s is opened with", storage.ErrInvalid, m.o.To, m.o.From)
		}
		kept, err := keeper.Secret(ctx, false)
		if err != nil {
			return fmt.Errorf("moving: the secret for %s: %w", m.o.To, err)
		}
		secrets = [][]byte{kept}
	}
	if err := storage.CheckSecrets(ctx, m.from, secrets, services...); err != nil {
		return fmt.Errorf("moving: %s could not be opened: %w", m.o.To, err)
	}
	return nil
}

// tick takes the time of the next batches: that of the last commit, so that the
// destination does not look older than the store, nor younger.
func (m *move) tick(ctx context.Context) error {
	m.now = time.Now()
	witness, ok := storage.As[storage.ClockWitness](m.from)
	if !ok {
		return nil
	}
	last, err := witness.LastCommit(ctx)
	if err == nil && !last.IsZero() {
		m.now = last
	}
	return err
}

// count lists the kinds of a database, without its Place.
func (m *move) count(ctx context.Context, b storage.Backend) ([]storage.Tally, error) {
	census, ok := storage.As[storage.Census](b)
	if !ok {
		return nil, fmt.Errorf("%w: moving: this backend can't list what it holds", storage.ErrInvalid)
	}
	all, err := census.Count(ctx, m.now)
	if err != nil {
		return nil, err
	}
	var tallies []storage.Tally
	for _, t := range all {
		if t.Namespace != storage.PlaceNamespace {
			tallies = append(tallies, t)
		}
	}
	return tallies, nil
}
