package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"

	bbolt "go.etcd.io/bbolt"
)

const (
	compactSuffix = ".compact" // of the copy until it takes the name of the database

	// compactAbove is the size under which compacting is not worth the time of a start.
	compactAbove = 64 << 20

	// copyStride bounds what one transaction of a copy holds in memory.
	copyStride = 8 << 20
)

// Compact writes the database at src, which no process may have open, without its
// free pages: to the new file dst, or with dst the same as src in its place. A crash
// at any moment leaves the database as it was or compacted, with all records and with
// revisions that go on growing. The secret stays where it is; a dst elsewhere needs a
// copy of it, see BackupKey.
func Compact(ctx context.Context, src, dst string) error {
	if _, err := os.Stat(src); err != nil {
		return openError(src, err) // a database is not made to be compacted
	}
	if filepath.Clean(src) == filepath.Clean(dst) {
		b, err := opening{Options: Options{Logger: slog.New(slog.DiscardHandler)}, walkLimit: math.MaxUint64, compact: true}.open(ctx, src)
		if err != nil {
			return err
		}
		return b.Close()
	}
	if _, err := inspectLocked(src, math.MaxUint64); err != nil {
		return err
	}
	db, _, err := openFile(src, true)
	if err != nil {
		return openError(src, err)
	}
	defer func() { _ = db.Close() }() // opened for reading: nothing can be lost
	err = place(dst, func(temporary string) error {
		return guard(func() error {
			return db.View(func(tx *bbolt.Tx) error {
				base, err := readLayout(src, tx)
				if err != nil {
					return err
				}
				return copyTo(ctx, temporary, tx, base, copyStride)
			})
		})
	})
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("bolt: %s is there already: name a new file to compact into: %w", dst, fs.ErrExist)
	case damaged(err):
		return openError(src, &faultError{err})
	case err != nil:
		return fmt.Errorf("bolt: %s was not compacted into %s: %w", src, dst, err)
	}
	return nil
}

// compactAtStart compacts a file that is large and mostly free, or as o demands. That
// it can't be done is no reason not to start, unless it was what was asked for.
func (b *Backend) compactAtStart(ctx context.Context, o opening) error {
	copied := b.path + compactSuffix
	if err := os.Remove(copied); err == nil {
		b.log.Info("a copy that was not finished before a crash was removed", "path", copied)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("bolt: %s is in the way of compacting: %w", copied, err)
	}
	used, err := b.usedBytes()
	if err != nil {
		return err
	}
	size := b.size.Load()
	if !o.compact && !worthwhile(o.CompactAbove, size, used) {
		return nil
	}
	b.log.Info("compacting", "path", b.path, "bytes", size, "used", used)
	replaced, err := b.replace(ctx, copied, o.step)
	if !replaced {
		_ = os.Remove(copied) // gone, or of no use
	}
	switch {
	case damaged(err):
		return b.stop(err)
	case err != nil && !replaced && !o.compact && ctx.Err() == nil:
		b.log.Warn("the database could not be compacted and is used as it is", "path", b.path, "err", err)
		return nil
	case err != nil:
		return fmt.Errorf("bolt: %s was not compacted: %w", b.path, err)
	}
	b.log.Info("compacted", "path", b.path, "before", size, "bytes", b.size.Load())
	return nil
}

// worthwhile says whether a file that has used bytes in use is to be compacted.
func worthwhile(above, size, used int64) bool {
	if above == 0 {
		above = compactAbove
	}
	// Windows replaces no file that is open, and has it as large as its map.
	return above > 0 && size > above && used*2 < size && runtime.GOOS != "windows"
}

// usedBytes is the size of the pages that are not free.
func (b *Backend) usedBytes() (used int64, err error) {
	err = guard(func() error {
		tx, err := b.begin(false)
		if err != nil {
			return err
		}
		defer b.rollback(tx)
		used = tx.Size() - int64(b.db.Stats().FreePageN)*int64(b.pageBytes)
		return nil
	})
	if damaged(err) {
		return 0, b.stop(err)
	}
	return used, err
}

// replace puts a compacted copy in the place of the database. The lock of the old
// file is held until the new one has its name, and nothing is written to the new one
// before that name is durable: or a power cut could bring back the old one without it.
func (b *Backend) replace(ctx context.Context, copied string, step func(string) error) (replaced bool, err error) {
	if step == nil {
		step = func(string) error { return nil }
	}
	f, err := os.OpenFile(copied, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	if err := errors.Join(f.Close(), step("created")); err != nil {
		return false, err
	}
	err = guard(func() error {
		tx, err := b.begin(false)
		if err != nil {
			return err
		}
		defer b.rollback(tx)
		return copyTo(ctx, copied, tx, b.base, copyStride)
	})
	if err := errors.Join(err, step("copied")); err != nil {
		return false, err
	}
	if err := errors.Join(syncFile(copied), step("synced")); err != nil {
		return false, err
	}
	if _, err := inspectLocked(copied, math.MaxUint64); err != nil {
		return false, err
	}
	if runtime.GOOS == "windows" {
		if err := guard(b.db.Close); err != nil {
			return false, err
		}
	}
	if err := os.Rename(copied, b.path); err != nil {
		return false, err
	}
	if err := errors.Join(step("renamed"), syncFolder(filepath.Dir(b.path)), step("durable")); err != nil {
		return true, err
	}
	return true, b.reopen()
}

// reopen leaves the file that was replaced and opens the one that has its name.
func (b *Backend) reopen() error {
	if err := guard(b.db.Close); err != nil {
		return err
	}
	db, file, err := openFile(b.path, false)
	if err != nil {
		return openError(b.path, err)
	}
	b.db, b.file, b.listedOnDisk = db, file, true
	b.size.Store(0) // of the old file, and this one is smaller
	return b.start()
}

// copyTo makes a database in the empty file at path of what tx holds, by
// transactions of about stride bytes, for the caller to sync. What tells that it is one is written last, so a
// copy that was broken off is refused by Open.
func copyTo(ctx context.Context, path string, tx *bbolt.Tx, base uint64, stride int) (err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoSync: true})
	if err != nil {
		return err
	}
	c := &copier{db: db, stride: stride}
	var size int64
	defer func() {
		c.abandon()
		err = errors.Join(err, db.Close())
		if err == nil {
			err = os.Truncate(path, size) // bbolt grows a file by a power of two or by 16 MiB
		}
	}()
	cursor := tx.Cursor()
	for name, _ := cursor.First(); name != nil; name, _ = cursor.Next() {
		if string(name) == metaBucket {
			continue
		}
		if err := c.bucket(ctx, tx, name); err != nil {
			return err
		}
	}
	if err := c.bucket(ctx, tx, []byte(metaBucket)); err != nil {
		return err
	}
	// The copy counts transactions anew; its first one must not give a revision that
	// was given before.
	revisions := binary.BigEndian.AppendUint64(nil, base+uint64(tx.ID()))
	if err := c.put([]byte(metaBucket), []byte(metaRevisions), revisions); err != nil {
		return err
	}
	return errors.Join(c.commit(), db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	}))
}

// copier writes a database in bounded transactions.
type copier struct {
	db   *bbolt.DB
	tx   *bbolt.Tx // nil: none under way
	size int       // of what is in it

	stride int // the size at which it is committed
}

func (c *copier) bucket(ctx context.Context, from *bbolt.Tx, name []byte) error {
	bucket := from.Bucket(name)
	if bucket == nil {
		return errRecord // Doorward has buckets only at the top, and only records in them
	}
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		if value == nil {
			return errRecord
		}
		if err := c.put(name, key, value); err != nil {
			return err
		}
		if c.size < c.stride {
			continue
		}
		if err := errors.Join(ctx.Err(), c.commit()); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// put takes key and value as they are: they must stay until the next commit.
func (c *copier) put(name, key, value []byte) (err error) {
	if c.tx == nil {
		if c.tx, err = c.db.Begin(true); err != nil {
			return err
		}
	}
	bucket := c.tx.Bucket(name)
	if bucket == nil {
		if bucket, err = c.tx.CreateBucket(bytes.Clone(name)); err != nil {
			return err
		}
	}
	bucket.FillPercent = orderedFill
	c.size += len(key) + len(value)
	return bucket.Put(key, value)
}

func (c *copier) commit() error {
	tx := c.tx
	c.tx, c.size = nil, 0
	if tx == nil {
		return nil
	}
	return tx.Commit()
}

// abandon ends a transaction that was not committed, or Close would wait for it.
func (c *copier) abandon() {
	if c.tx != nil {
		_ = c.tx.Rollback() // nothing of it is wanted
	}
}
