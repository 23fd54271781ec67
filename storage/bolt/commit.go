package bolt

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

// maxListedPages is how many free pages may be listed in each commit. A longer list,
// as a large sweep leaves it, would cost more than what is committed; then it is
// written at Close only, and a start after a crash looks for the free pages instead.
const maxListedPages = 1024

// errBrokenOff is the answer to a batch of a transaction that failed before anything
// of it was written.
var errBrokenOff = errors.New("the commit it shared failed")

// commitCalls carries out what the leader has taken in one transaction and answers
// each call.
func (b *Backend) commitCalls(calls []*call) {
	if len(calls) == 0 {
		return
	}
	if err := b.writable(); err != nil {
		answer(calls, err)
		return
	}
	var txid int
	begin := time.Now()
	refused := make([]error, len(calls))
	err := guard(func() error {
		tx, err := b.begin(true)
		if err != nil {
			return err
		}
		defer b.rollback(tx)
		txid = tx.ID()
		w := newWriter(tx, b.base)
		for i, c := range calls {
			if c.sweep != nil {
				err = c.sweep.run(w)
			} else {
				refused[i], err = w.apply(&c.batch)
			}
			if err != nil {
				return err
			}
		}
		if !w.dirty {
			return nil
		}
		if err := b.makeDurable(tx, w); err != nil {
			return err
		}
		if swept := calls[0].sweep; swept != nil {
			pages := tx.Stats() // those of a transaction that ended stay readable
			b.sweeps.add(swept.removed, time.Since(begin)-pages.GetWriteTime())
		}
		return nil
	})
	if err != nil {
		b.fail(calls, refused, txid, err)
		return
	}
	for i, c := range calls {
		c.answer = refused[i]
	}
}

// answer gives all calls the same answer.
func answer(calls []*call, err error) {
	for _, c := range calls {
		c.answer = err
	}
}

// writable says why nothing can be written at this moment.
func (b *Backend) writable() error {
	if why := b.readOnly.Load(); why != nil {
		return fmt.Errorf("%w: bolt: nothing is written until %s is opened anew: %w", storage.ErrUnavailable, b.path, *why)
	}
	if !b.fullUntil.IsZero() && time.Now().Before(b.fullUntil) {
		return fmt.Errorf("%w: bolt: no room to write %s", storage.ErrUnavailable, b.path)
	}
	return nil
}

// makeDurable commits. bbolt syncs the data pages, then writes and syncs the page
// that makes them count; when the file has to grow, that is synced before.
func (b *Backend) makeDurable(tx *bbolt.Tx, w *writer) error {
	if err := w.finish(); err != nil {
		return err
	}
	pages := b.db.Stats()
	list := pages.FreePageN+pages.PendingPageN <= maxListedPages
	b.db.NoFreelistSync = !list
	before := b.size.Load() // now, since readers measure what grows
	if err := b.commitTx(tx); err != nil {
		return err
	}
	b.listedOnDisk = list
	syncs := int64(2)
	if err := b.measure(); err == nil && b.size.Load() > before {
		syncs++
	}
	b.commits.Add(1)
	b.batches.Add(int64(w.batches))
	b.syncs.Add(syncs)
	if !b.fullUntil.IsZero() {
		b.fullUntil = time.Time{}
		b.log.Info("there is room to write again", "path", b.path)
	}
	return nil
}

// fail answers the calls of a transaction that was not committed.
//
// What has happened is read from the file: only when the new meta page is not there
// is it certain that nothing was written. Then a full disk is no more than that.
// After anything else the kernel may hold pages that the disk does not have and say
// so only once, so that the next sync would succeed without them.
func (b *Backend) fail(calls []*call, refused []error, txid int, err error) {
	written := b.reached(txid)
	switch {
	case damaged(err) && !written:
		answer(calls, b.stop(err))
	case diskFull(err) && !written:
		if b.fullUntil.IsZero() {
			b.log.Error("no room to write, writes are refused until there is", "path", b.path, "err", err)
		}
		b.fullUntil = time.Now().Add(b.probeInterval)
		answer(calls, fmt.Errorf("%w: bolt: no room to write %s: %w", storage.ErrUnavailable, b.path, err))
	case errors.Is(err, storage.ErrUnavailable) && !written: // not begun
		answer(calls, err)
	default:
		why := fmt.Errorf("the write of %s failed: %w", b.path, err)
		if b.readOnly.CompareAndSwap(nil, &why) {
			b.log.Error("a write failed, nothing is written until the file is opened anew", "path", b.path, "err", err)
		}
		for i, c := range calls {
			if refused[i] != nil { // refused by its own conditions, whatever became of the rest
				c.answer = fmt.Errorf("%w: bolt: %w", storage.ErrUnavailable, errBrokenOff)
				continue
			}
			c.answer = fmt.Errorf("%w: %w: bolt: %w", storage.ErrUnknown, storage.ErrUnavailable, why)
		}
	}
}

// reached says whether the file may hold transaction txid.
func (b *Backend) reached(txid int) bool {
	at := txid
	err := guard(func() error {
		tx, err := b.begin(false)
		if err != nil {
			return err
		}
		defer b.rollback(tx)
		at = tx.ID()
		return nil
	})
	if err != nil {
		return txid != 0
	}
	return txid != 0 && at >= txid
}

// diskFull says whether err is for want of room. bbolt passes on the text only of
// what went wrong when the file had to grow.
func diskFull(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}
