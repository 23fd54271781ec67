package bolt

import (
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
	"strconv"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// The meta bucket and its keys.
const (
	metaBucket    = "meta"
	metaFormat    = "format"
	metaSchema    = "schema"
	metaRevisions = "revisions"
	metaClock     = "clock"

	formatName = "doorward"
	schema     = 1
)

// lockTimeout is how long Open waits for another process to let go of the file: as
// long as a restart takes, and no longer than a person waits.
const lockTimeout = 2 * time.Second

// mapSize is how much address space is set aside for the file, which costs nothing.
// When the file outgrows its map, bbolt waits for all readers before it maps anew,
// and one long reader would stall everybody.
const mapSize int64 = 16 << 30

// Open opens the database at path and creates it when there is none. The error of a
// database that can't be opened is one sentence that says what to do.
func Open(path string) (*Backend, error) {
	return OpenWith(path, Options{})
}

// OpenWith is Open with options.
func OpenWith(path string, o Options) (*Backend, error) {
	return opening{Options: o, walkLimit: walkLimit}.open(context.Background(), path)
}

// opening is what one Open is to do.
type opening struct {
	Options
	walkLimit uint64
	compact   bool                    // whatever the size
	step      func(name string) error // told how far compacting is; nil: nobody asks
}

func (o opening) open(ctx context.Context, path string) (*Backend, error) {
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	if err := checkMount(path, o.InsecureAllowNetworkMount, log); err != nil {
		return nil, err
	}
	if err := checkKey(path); err != nil {
		return nil, err
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = create(path)
	}
	if err == nil {
		err = checkFile(path)
	}
	if err != nil {
		return nil, err
	}
	found, err := inspectLocked(path, o.walkLimit)
	if err != nil {
		return nil, err
	}
	if found.torn {
		log.Warn("the last write before a crash was not finished, the one before it counts", "path", path)
	}
	b := &Backend{path: path, log: log, commitTx: (*bbolt.Tx).Commit, probeInterval: time.Second, listedOnDisk: found.listed}
	b.lead.commit = b.commitCalls
	if b.db, b.file, err = openFile(path, false); err != nil {
		return nil, openError(path, err)
	}
	if err := b.start(); err != nil {
		b.listedOnDisk = true // Close has nothing to write to a file that may not be ours
		return nil, errors.Join(err, b.Close())
	}
	if err := b.compactAtStart(ctx, o); err != nil {
		b.listedOnDisk = true
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// start reads what the meta bucket says and leaves word of who has the file.
func (b *Backend) start() error {
	b.pageBytes = b.db.Info().PageSize
	if err := b.measure(); err != nil {
		return err
	}
	err := guard(func() error {
		tx, err := b.begin(false)
		if err != nil {
			return err
		}
		defer b.rollback(tx)
		b.base, err = readLayout(b.path, tx)
		return err
	})
	if damaged(err) {
		return b.stop(err)
	}
	if err != nil {
		return err
	}
	announceHolder(b.path, b.log)
	return nil
}

// readLayout refuses a database of another program and one of a newer release.
func readLayout(path string, tx *bbolt.Tx) (base uint64, err error) {
	meta := tx.Bucket([]byte(metaBucket))
	if meta == nil || string(meta.Get([]byte(metaFormat))) != formatName {
		return 0, fmt.Errorf("bolt: %s is a bbolt database of another program: give doorward a file of its own", path)
	}
	number, revisions := meta.Get([]byte(metaSchema)), meta.Get([]byte(metaRevisions))
	if len(number) != 4 || len(revisions) != 8 {
		return 0, errRecord
	}
	if n := binary.BigEndian.Uint32(number); n > schema {
		return 0, fmt.Errorf("bolt: %s was written by a newer release (layout %d, this one knows up to %d): install that release, or restore the backup made before the upgrade", path, n, schema)
	}
	return binary.BigEndian.Uint64(revisions), nil
}

func readClock(meta *bbolt.Bucket) (ms int64, ok bool) {
	raw := meta.Get([]byte(metaClock))
	if len(raw) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(raw)), true
}

// inspectLocked looks at the file while nobody writes it.
func inspectLocked(path string, limit uint64) (verdict, error) {
	db, file, err := openFile(path, true)
	if err != nil && errors.Is(err, bbolterrors.ErrTimeout) {
		return verdict{}, openError(path, err)
	}
	if err == nil {
		defer func() { _ = db.Close() }() // opened for reading: nothing can be lost
	} else if file, err = os.Open(path); err == nil {
		defer func() { _ = file.Close() }()
	}
	if err != nil {
		return verdict{}, openError(path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return verdict{}, openError(path, err)
	}
	found, err := inspect(file, info.Size(), limit)
	if err != nil {
		return found, fmt.Errorf("bolt: %s %w: restore it from a backup, or move it away to begin anew", path, err)
	}
	return found, nil
}

// openFile has bbolt open and lock the file, which exists. file is bbolt's.
//
// A process that waited for the lock may get that of a file which a compacted one has
// replaced meanwhile. What it wrote there would be lost, so it begins again.
func openFile(path string, readOnly bool) (db *bbolt.DB, file *os.File, err error) {
	const tries = 10
	for range tries {
		db, file, err = lockFile(path, readOnly)
		if err != nil {
			return nil, nil, err
		}
		locked, err := file.Stat()
		if err == nil {
			var named os.FileInfo
			if named, err = os.Stat(path); err == nil && os.SameFile(locked, named) {
				return db, file, nil
			}
		}
		if err := errors.Join(err, guard(db.Close)); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("it is replaced again and again")
}

func lockFile(path string, readOnly bool) (db *bbolt.DB, file *os.File, err error) {
	o := &bbolt.Options{
		Timeout:        lockTimeout,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true, // else a start would write; each commit decides anew
		ReadOnly:       readOnly,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
			file = f
			return f, err
		},
	}
	// On Windows bbolt makes the file as large as its map.
	if !readOnly && runtime.GOOS != "windows" {
		o.InitialMmapSize = int(mapSize & math.MaxInt) // 0 where an int has 32 bits
	}
	try := func() error {
		return guard(func() error {
			db, err = bbolt.Open(path, 0o600, o)
			return err
		})
	}
	err = try()
	if errors.Is(err, syscall.ENOMEM) && o.InitialMmapSize > 0 {
		o.InitialMmapSize = 0 // the process may not have that much address space
		err = try()
	}
	if err == nil {
		return db, file, nil
	}
	if file != nil {
		_ = file.Close() // open still, and locked, if bbolt did not return in order
	}
	return nil, nil, err
}

// openError says what to do about a file that can't be opened.
func openError(path string, err error) error {
	var fault *faultError
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return inUse(path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("bolt: %s can't be written by this user: %w: give the file to the user that runs this program", path, err)
	case errors.As(err, &fault):
		return fmt.Errorf("bolt: %s is damaged: %w: restore it from a backup, or move it away to begin anew", path, err)
	default:
		return fmt.Errorf("bolt: %s can't be opened: %w", path, err)
	}
}

// create makes a new database. It appears under its name only when it is whole and
// durable, and never in place of a file that is there, so that neither a crash nor
// a second process that starts at the same time leaves half a database.
func create(path string) error {
	err := place(path, func(temporary string) error {
		db, err := bbolt.Open(temporary, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return err
		}
		return guard(func() error { return errors.Join(db.Update(writeLayout), db.Close()) })
	})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("bolt: %s can't be created: %w", path, err)
	}
	return nil
}

func writeLayout(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucket([]byte(metaBucket))
	if err != nil {
		return err
	}
	return errors.Join(
		meta.Put([]byte(metaFormat), []byte(formatName)),
		meta.Put([]byte(metaSchema), binary.BigEndian.AppendUint32(nil, schema)),
		meta.Put([]byte(metaRevisions), make([]byte, 8)),
	)
}

// checkFile refuses what is no file, what others can read and what can't be written.
func checkFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("bolt: %s can't be opened: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("bolt: %s is not a regular file: name a file for the database", path)
	}
	if err := checkMode(path, info); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return openError(path, err)
	}
	return f.Close()
}

// checkMode refuses a file that other users can read or write.
func checkMode(path string, info fs.FileInfo) error {
	const others = 0o077
	if runtime.GOOS != "windows" && info.Mode().Perm()&others != 0 {
		return fmt.Errorf("bolt: %s is open to other users (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), strconv.Quote(path))
	}
	return nil
}

// place creates a file under path that write has made elsewhere in the same folder.
// The error is fs.ErrExist when there is a file under that name.
func place(path string, write func(temporary string) error) error {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	temporary := f.Name()
	defer func() { _ = os.Remove(temporary) }() // gone already if it was renamed
	if err := f.Close(); err != nil {
		return err
	}
	if err := write(temporary); err != nil {
		return err
	}
	if err := syncFile(temporary); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces a file.
	if err := os.Link(temporary, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if _, err := os.Lstat(path); err == nil {
			return fs.ErrExist
		}
		if err := os.Rename(temporary, path); err != nil { // no links on this file system
			return err
		}
	}
	return syncFolder(folder)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncFolder makes the names in a folder durable. Windows can't and need not.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
