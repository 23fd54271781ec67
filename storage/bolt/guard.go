package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

// faultError is a panic or a fault caught by guard.
type faultError struct{ cause any }

func (e *faultError) Error() string { return fmt.Sprint(e.cause) }

// guard runs f so that a page that is not what bbolt expects is an error. bbolt
// reads the file through a memory map: a page that is missing is a fault, which
// would end the process, and a page that makes no sense is a panic.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = &faultError{cause}
		}
	}()
	return f()
}

// view runs f in a read transaction. What f keeps must be a copy.
func (b *Backend) view(ctx context.Context, f func(*bbolt.Tx) error) error {
	leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return b.read(f)
}

// read is view for a caller that was let in.
func (b *Backend) read(f func(*bbolt.Tx) error) error {
	err := guard(func() error {
		tx, err := b.begin(false)
		if err != nil {
			return err
		}
		defer b.rollback(tx)
		return f(tx)
	})
	if damaged(err) {
		return b.stop(err)
	}
	return err
}

// damaged says whether err means that the file is not what was written.
func damaged(err error) bool {
	if err == nil { // nearly always
		return false
	}
	var fault *faultError
	return errors.As(err, &fault) || errors.Is(err, errRecord) || errors.Is(err, errShrunk)
}

var errShrunk = errors.New("the file was cut off while it was open")

// begin starts a transaction. The size of the file is looked at first, because a
// fault inside of bbolt's Begin would leave bbolt's locks held: nobody could read,
// write or close any more.
func (b *Backend) begin(writable bool) (*bbolt.Tx, error) {
	if err := b.measure(); err != nil {
		return nil, err
	}
	b.begins.Lock()
	defer b.begins.Unlock()
	if b.broken.Load() {
		return nil, fmt.Errorf("%w: bolt: %s is damaged", storage.ErrUnavailable, b.path)
	}
	ended := false
	defer func() {
		if !ended {
			b.broken.Store(true)
		}
	}()
	tx, err := b.db.Begin(writable)
	ended = true
	if err != nil {
		return nil, fmt.Errorf("%w: bolt: %s: %w", storage.ErrUnavailable, b.path, err)
	}
	return tx, nil
}

// measure reads the size of the file. bbolt uses explicit offsets, so the position
// of the file is free to be moved. What was measured before is taken first, because
// the file may grow, and somebody else measure it, at any moment after that.
func (b *Backend) measure() error {
	before := b.size.Load()
	size, err := b.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%w: bolt: %s: %w", storage.ErrUnavailable, b.path, err)
	}
	if size < before {
		return errShrunk
	}
	if size > before {
		b.size.CompareAndSwap(before, size)
	}
	return nil
}

// rollback ends a transaction whose outcome does not matter any more.
func (b *Backend) rollback(tx *bbolt.Tx) {
	if b.broken.Load() {
		return
	}
	ended := false
	defer func() {
		if !ended {
			b.broken.Store(true)
		}
	}()
	_ = tx.Rollback() // only fails when the transaction has ended already
	ended = true
}

// stop ends writing because of damage and returns what the caller is told. Going on
// to write would spread the damage, and bbolt looks for free pages in a goroutine of
// its own after some failures, where a fault could not be caught.
func (b *Backend) stop(cause error) error {
	err := fmt.Errorf("%w: bolt: %s is damaged: %w: restore it from a backup", storage.ErrUnavailable, b.path, cause)
	if b.readOnly.CompareAndSwap(nil, &err) {
		b.log.Error("the database is damaged, nothing is written any more", "path", b.path, "err", cause)
	}
	return err
}
