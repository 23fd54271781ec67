package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

// Backup writes the database to w as it is at this moment and returns how many bytes
// that took. Writers go on meanwhile; the pages they free are used again only when
// Backup has ended, so a receiver that takes hours makes the file grow. A failed
// Backup has written part of a database, which no Open accepts.
//
// What is written does not hold the secret and opens only with it: see BackupKey.
func (b *Backend) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	var tx *bbolt.Tx
	err = guard(func() error {
		tx, err = b.begin(false)
		return err
	})
	if damaged(err) {
		return 0, b.stop(err)
	}
	if err != nil {
		return 0, err
	}
	defer b.rollback(tx)
	// Outside of guard: bbolt reads the file here, not its map, and a panic would be w's.
	out := &attended{ctx: ctx, w: w}
	if n, err = tx.WriteTo(out); err != nil {
		if out.err != nil {
			err = out.err // bbolt passes on its text only
		}
		return n, fmt.Errorf("bolt: back up %s: %w", b.path, err)
	}
	return n, nil
}

// attended is a writer that ends with the context of the one call it serves.
type attended struct {
	ctx context.Context //nolint:containedctx // a Writer is given none
	w   io.Writer
	err error // the first
}

func (a *attended) Write(p []byte) (n int, err error) {
	if err = a.ctx.Err(); err == nil {
		n, err = a.w.Write(p)
	}
	if a.err == nil {
		a.err = err
	}
	return n, err
}

// BackupFile is Backup to a new file, as SaveBackup keeps it. A file that is there is
// never overwritten. The secret is not copied: see BackupKey.
func (b *Backend) BackupFile(ctx context.Context, path string) (n int64, err error) {
	return SaveBackup(ctx, path, func(w io.Writer) (int64, error) { return b.Backup(ctx, w) })
}

// SaveBackup keeps what write writes, a Backup that may come from elsewhere, in a new
// file that its owner alone can read. It appears under its name only when all of it
// has come, Verify has found it whole and it is durable.
func SaveBackup(ctx context.Context, path string, write func(io.Writer) (int64, error)) (n int64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, backupExists(path)
	}
	err = place(path, func(temporary string) error {
		f, err := os.OpenFile(temporary, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		n, err = write(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		_, err = Verify(ctx, temporary)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrExist):
		return 0, backupExists(path)
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("bolt: the backup %s was not made: %w", path, err)
	}
	return n, nil
}

func backupExists(path string) error {
	return fmt.Errorf("bolt: %s is there already: name a new file, a backup overwrites nothing: %w", path, fs.ErrExist)
}

// BackupKey copies the secret that was made for the database at path to the place
// where the database at backup looks for it. The error is fs.ErrNotExist when the
// database has no secret of its own because the host configures one, and fs.ErrExist
// when there is one for backup already.
//
// Keep it apart from the backup: together they open everything.
func BackupKey(path, backup string) error {
	if _, err := readSecret(path + keySuffix); err != nil {
		return err
	}
	text, err := os.ReadFile(path + keySuffix)
	if err != nil {
		return fmt.Errorf("bolt: %w", err)
	}
	err = place(backup+keySuffix, func(temporary string) error { return os.WriteFile(temporary, text, 0o600) })
	if errors.Is(err, fs.ErrExist) {
		return backupExists(backup + keySuffix)
	}
	if err != nil {
		return fmt.Errorf("bolt: the secret was not copied to %s: %w", backup+keySuffix, err)
	}
	return nil
}
