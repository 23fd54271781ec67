package moving

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/doorward/doorward/storage"
)

// change holds writes back, copies the last of them, compares, and sends every call to the
// destination. changed is false without an error when time was up before it was decided.
func (m *move) change(ctx context.Context, whole bool) (changed bool, err error) {
	m.tell(Changing, 0)
	start := time.Now()
	lift := m.b.raise(m.o.Fence + grace)
	defer lift()
	held, cancel := context.WithTimeout(ctx, m.o.Fence)
	defer cancel()
	ready, err := m.last(held, whole)
	if err != nil && held.Err() != nil && ctx.Err() == nil {
		return false, nil // too slow this time
	}
	if err != nil || !ready {
		return false, err
	}
	err = m.decide(ctx)
	m.report.Held = time.Since(start)
	return err == nil || errors.Is(err, errUnmarked), err
}

// last copies the last changes and compares. ready is false when a batch may be on its way.
func (m *move) last(ctx context.Context, whole bool) (ready bool, err error) {
	if err := m.b.drain(ctx); err != nil {
		return false, err
	}
	if !m.changes.settled() {
		return false, nil
	}
	if err := m.these(ctx, m.changes.take()); err != nil {
		return false, err
	}
	if err := m.alone(ctx); err != nil {
		return false, err
	}
	if whole {
		if err := m.compareSums(ctx); err != nil {
			return false, err
		}
	}
	return true, m.tick(ctx)
}

// errUnmarked means that the store has moved, but the destination does not say so.
var errUnmarked = errors.New("moving: the store has moved and works, but the last mark was not written: run the move again before the next start, it will only finish")

// decide marks both databases. The mark of the old one decides: before it the store lives
// there, after it in the new one. From here on the caller's haste counts no more.
func (m *move) decide(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := m.mark(ctx, storage.PlaceCopied); err != nil {
		return err
	}
	left := storage.Place{Store: m.here.Store, State: storage.PlaceLeft, Other: m.o.To, At: m.now}
	if err := storage.SetPlace(ctx, m.from, left, m.atHere); err != nil {
		again, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace) // the time of ctx may be up
		now, _, readErr := storage.PlaceOf(again, m.from)
		cancel()
		switch {
		case readErr != nil && errors.Is(err, storage.ErrUnknown):
			// Both may be the home now, and what is written to the wrong one is lost.
			err = fmt.Errorf("moving: it is not known whether the store has left %s: stop the server, and run the move again: %w", m.o.From, err)
			return errors.Join(err, m.b.replace(undecided{m.from}))
		case readErr != nil || now.State != storage.PlaceLeft:
			return err
		}
	}
	err := m.b.replace(m.to)
	if marked := m.settle(ctx); marked != nil {
		return errors.Join(errUnmarked, marked, err)
	}
	return err
}

// settle says in the destination that the store lives there.
func (m *move) settle(ctx context.Context) error { return m.mark(ctx, storage.PlaceHome) }

// undecided answers nothing any more.
type undecided struct{ storage.Backend }

var errUndecided = fmt.Errorf("%w: moving: it is not known where the store lives", storage.ErrUnavailable)

func (undecided) Get(context.Context, ...storage.Key) ([]storage.Record, error) {
	return nil, errUndecided
}

func (undecided) List(context.Context, storage.Query) ([]storage.Record, error) {
	return nil, errUndecided
}

func (undecided) Apply(context.Context, storage.Batch) error { return errUndecided }

func (undecided) Sweep(context.Context, time.Time, time.Duration) (int, error) {
	return 0, errUndecided
}

// compareSums reads all of both databases.
func (m *move) compareSums(ctx context.Context) error {
	type result struct {
		sum     string
		records int
		err     error
	}
	copied := make(chan result, 1)
	go func() {
		var r result
		r.sum, r.records, r.err = m.sum(ctx, m.to)
		copied <- r
	}()
	sum, records, err := m.sum(ctx, m.from)
	there := <-copied
	if err := errors.Join(err, there.err); err != nil {
		return err
	}
	if sum != there.sum || records != there.records {
		return fmt.Errorf("%w: %s has %d records with the checksum %s, %s has %d with %s", ErrDiffers, m.o.From, records, sum, m.o.To, there.records, there.sum)
	}
	m.report.Checksum, m.report.Records = sum, records
	return nil
}

// sum is the checksum of all records of a database and how many there are.
func (m *move) sum(ctx context.Context, b storage.Backend) (sum string, records int, err error) {
	h := sha256.New()
	for _, k := range m.sortedKinds() {
		r := &reader{b: b, kind: k}
		for {
			found, err := r.next(ctx)
			if err != nil {
				return "", records, err
			}
			if found == nil {
				break
			}
			records++
			hashRecord(h, found)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), records, nil
}

// hashRecord hashes everything of a record but its revision. Each part goes in with its
// length, and the parts with their number.
func hashRecord(h hash.Hash, r *storage.Record) {
	var head []byte
	part := func(b []byte) {
		head = binary.BigEndian.AppendUint64(head, uint64(len(b)))
		head = append(head, b...)
	}
	part([]byte(r.Namespace))
	part([]byte(r.Kind))
	part([]byte(r.ID))
	var expiry []byte
	if !r.Expiry.IsZero() {
		expiry = binary.BigEndian.AppendUint64(nil, uint64(r.Expiry.UnixMilli()))
	}
	part(expiry)
	head = binary.BigEndian.AppendUint64(head, uint64(len(r.Index)))
	for _, x := range r.Index {
		part([]byte(x.Name))
		part([]byte(x.Value))
	}
	part(r.Value)
	_, _ = h.Write(head) // a hash never fails
}
