package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/doorward/doorward/storage"
)

// maxKeyBytes is what may stand in one entry of a PostgreSQL index, a third of a page less
// what the server adds.
const maxKeyBytes = 2500

// impossible is required of a record whose condition names a revision that no PostgreSQL
// number can reach.
const impossible = -1

// Verdicts of apply_1.
const (
	verdictStored = iota
	verdictConflict
	verdictLimit
)

// Apply implements storage.Backend.
func (b *Backend) Apply(ctx context.Context, batch storage.Batch) error {
	if err := batch.Validate(); err != nil {
		return err
	}
	for i := range batch.Ops {
		if err := checkSizes(&batch.Ops[i]); err != nil {
			return err
		}
	}
	leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	err = b.store(ctx, &batch)
	switch {
	case err == nil:
		b.commits.Add(1)
		b.witness(batch.Now)
	case errors.Is(err, storage.ErrConflict):
		b.conflicts.Add(1)
	case errors.Is(err, storage.ErrUnknown):
		b.unknowns.Add(1)
	}
	return err
}

// store sends the batch, and sends it again when certainly nothing came of it through no
// fault of its conditions.
func (b *Backend) store(ctx context.Context, batch *storage.Batch) error {
	const most = 5
	args := b.arguments(batch)
	for try := 1; ; try++ {
		verdict, err := b.call(ctx, args)
		switch {
		case err == nil:
			return judged(verdict)
		case errors.Is(err, errUnsent) && try < most:
		case errors.Is(err, storage.ErrConflict) && onlyAdds(batch):
			if try == most {
				return fmt.Errorf("%w: postgres: counters were refused %d times: %v", storage.ErrUnavailable, most, err)
			}
		default:
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func judged(verdict int) error {
	switch verdict {
	case verdictStored:
		return nil
	case verdictConflict:
		return fmt.Errorf("%w: postgres", storage.ErrConflict)
	case verdictLimit:
		return fmt.Errorf("%w: postgres", storage.ErrLimit)
	default:
		return fmt.Errorf("%w: postgres: the verdict %d of apply_1 is unknown", storage.ErrUnknown, verdict)
	}
}

func onlyAdds(batch *storage.Batch) bool {
	return !slices.ContainsFunc(batch.Ops, func(op storage.Op) bool { return op.Action != storage.ActionAdd })
}

// call carries out one round trip. ctx is obeyed until the batch is sent. To cut it off
// later would tell the caller nothing of the outcome and cost a connection.
func (b *Backend) call(ctx context.Context, args []any) (verdict int, err error) {
	conn, err := b.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	sent, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.patience)
	defer cancel()
	forgetWarning(conn.Conn().PgConn())
	if err := conn.QueryRow(sent, b.sql.apply, args...).Scan(&verdict); err != nil {
		return 0, b.outcome(err)
	}
	if text := warningOf(conn.Conn().PgConn()); text != "" && verdict == verdictStored {
		// The commit stands here but did not reach the standby it had to wait for.
		return 0, fmt.Errorf("%w: postgres: %s", storage.ErrUnknown, text)
	}
	b.reached()
	return verdict, nil
}

// arguments lays a batch out in the arrays that apply_1 takes.
func (b *Backend) arguments(batch *storage.Batch) []any {
	n := len(batch.Ops)
	locks, writes := b.locks(batch)
	actions := make([]int16, n)
	namespaces, kinds, ids, values := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	required, expiries := make([]*int64, n), make([]*int64, n)
	counts := make([]int32, n)
	listed := [][]byte{}
	deltas, ceilings := make([]int64, n), make([]int64, n)
	for i := range batch.Ops {
		op := &batch.Ops[i]
		actions[i] = int16(op.Action)
		namespaces[i], kinds[i], ids[i] = []byte(op.Key.Namespace), []byte(op.Key.Kind), []byte(op.Key.ID)
		values[i] = []byte{}
		switch op.Action {
		case storage.ActionAdd:
			deltas[i], ceilings[i], expiries[i] = op.Delta, op.Ceiling, milliseconds(op.Expiry)
			continue
		case storage.ActionPut:
			if op.Value != nil {
				values[i] = op.Value
			}
			expiries[i] = milliseconds(op.Expiry)
			counts[i] = int32(2 * len(op.Index))
			for _, x := range op.Index {
				listed = append(listed, []byte(x.Name), []byte(x.Value))
			}
		}
		required[i] = requirement(op.If)
	}
	return []any{
		batch.Now.UnixMilli(), locks, writes, actions, namespaces, kinds, ids, required,
		expiries, values, counts, listed, deltas, ceilings,
	}
}

// requirement is nil for a condition that always holds.
func requirement(c storage.Condition) *int64 {
	r, ok := c.Required()
	if !ok {
		return nil
	}
	n := int64(impossible)
	if r <= math.MaxInt64 {
		n = int64(r)
	}
	return &n
}

// locks returns the lock of each key in ascending order, and whether its record is
// written. Two keys that share a lock wait for each other, and come to no other harm.
func (b *Backend) locks(batch *storage.Batch) (locks []int64, writes []bool) {
	exclusive := make(map[int64]bool, len(batch.Ops))
	for i := range batch.Ops {
		op := &batch.Ops[i]
		lock := lockOf(b.schema, op.Key.Namespace, op.Key.Kind, op.Key.ID)
		exclusive[lock] = exclusive[lock] || op.Action != storage.ActionCheck
	}
	locks = slices.Sorted(maps.Keys(exclusive))
	writes = make([]bool, len(locks))
	for i, lock := range locks {
		writes[i] = exclusive[lock]
	}
	return locks, writes
}

// lockOf returns the number of an advisory lock. The numbers are shared by all programs on
// a database and must be the same in every release: each part goes in with its length,
// and the first tells ours from those of others.
func lockOf(parts ...string) int64 {
	text := []byte("doorward\x00")
	for _, p := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(p)))
		text = append(text, p...)
	}
	sum := sha256.Sum256(text)
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// checkSizes refuses what PostgreSQL could not put into an index.
func checkSizes(op *storage.Op) error {
	key := len(op.Key.Namespace) + len(op.Key.Kind) + len(op.Key.ID)
	if key > maxKeyBytes {
		return fmt.Errorf("%w: postgres: the key of a %s record has %d bytes, at most %d fit", storage.ErrInvalid, op.Key.Kind, key, maxKeyBytes)
	}
	if op.Action != storage.ActionPut {
		return nil
	}
	for _, x := range op.Index {
		if n := key + len(x.Name) + len(x.Value); n > maxKeyBytes {
			return fmt.Errorf("%w: postgres: an index entry of a %s record has %d bytes with its key, at most %d fit", storage.ErrInvalid, op.Key.Kind, n, maxKeyBytes)
		}
	}
	return nil
}

// milliseconds is nil for the zero time.
func milliseconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}
