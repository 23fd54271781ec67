// Package bolt keeps a store in one bbolt file: durable, with no server beside it.
//
//	backend, err := bolt.Open("doorward.db")
//	store, err := storage.Open(ctx, backend, storage.Options{Namespace: issuer})
//
// # Files
//
// doorward.db is the database, doorward.db.key the secret that wraps its data keys
// when the host configures none, doorward.db.lock tells who has the database open.
// All are readable by their owner only, and Open refuses files that are not.
//
// The first two belong together; one without the other opens nothing. Backend.BackupFile
// copies the database while it is used and BackupKey its secret. To restore, stop the
// program and put both files back under their names. While a file is compacted its
// copy is doorward.db.compact; one that a crash left behind is removed by the next Open.
//
// # Layout
//
// The bucket "meta" holds
//
//	format     "doorward"
//	schema     number of the layout, 4 bytes; a newer one is refused
//	revisions  what is added to bbolt's transaction id to make a revision, 8 bytes
//	clock      the latest Batch.Now committed, milliseconds, 8 bytes
//
// and each kind of record has three buckets, whose names are a letter, the
// namespace, a zero byte and the kind:
//
//	r  ID -> record: flags, revision, expiry, index entries, value
//	x  name, value, ID -> nothing, one key for each index entry
//	e  expiry, ID -> nothing, one key for each record that ends
//
// All three change in the transaction that changes the record. Numbers are
// big-endian in keys and varints in records. An ID, and an index entry with its ID,
// must fit into a bbolt key, 32 KiB less a few bytes; a longer one is ErrInvalid.
//
// # Failure
//
// Apply returns nil only after the commit that holds the batch has been synced. When
// a commit or its sync fails, the batches in it are ErrUnknown and ErrUnavailable,
// and nothing is written until the file has been opened anew, because what the
// kernel kept of the failed write can't be known. A full disk is found before
// anything is lost: writes are ErrUnavailable, one a second is tried, and they go on
// by themselves when there is room. A damaged page makes the calls that meet it
// ErrUnavailable and ends writing. Reads go on throughout.
package bolt

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

var (
	_ storage.Backend      = (*Backend)(nil)
	_ storage.ClockWitness = (*Backend)(nil)
	_ storage.SecretKeeper = (*Backend)(nil)
)

// Options are for OpenWith. The zero value is what Open uses.
type Options struct {
	// Logger gets what an operator should know: a disk that is full and that has
	// room again, a write that failed, damage. Nil means slog.Default.
	Logger *slog.Logger

	// InsecureAllowNetworkMount lets the file lie on a network mount. Locks and
	// syncs that the server of such a mount does not honour cost the database, and
	// with it tokens that were revoked and codes that were used.
	InsecureAllowNetworkMount bool

	// CompactAbove is the size in bytes above which a file that is free by more than
	// half is compacted when it is opened, as Compact does it. 0 means 64 MiB, a
	// negative one never.
	CompactAbove int64
}

// Backend is a storage.Backend, storage.ClockWitness and storage.SecretKeeper in one
// file. Make one with Open. It is safe for concurrent use by one process; a second
// process is refused.
type Backend struct {
	path      string
	log       *slog.Logger
	db        *bbolt.DB
	file      *os.File // bbolt's, to measure it and to let go of it when bbolt can't
	base      uint64   // added to a transaction id to make a revision
	pageBytes int
	lead      lead

	// gate is held for reading by every call and for writing by Close.
	gate   sync.RWMutex
	closed bool

	begins sync.Mutex   // bbolt's Begin leaves its locks held if it panics
	size   atomic.Int64 // of the file when last measured; bbolt never shrinks it

	readOnly atomic.Pointer[error] // why nothing may be written any more
	broken   atomic.Bool           // bbolt's own locks can't be relied on any more

	// The leader owns these.
	fullUntil     time.Time // no attempt to write before; zero: the disk has room
	listedOnDisk  bool      // the last commit wrote the list of free pages
	commitTx      func(*bbolt.Tx) error
	probeInterval time.Duration

	commits, batches, syncs atomic.Int64
	sweeps                  sweepCounts

	secrets sync.Mutex
}

// Stats counts what a Backend did since it was opened.
type Stats struct {
	Commits int // transactions made durable, those of sweeps included
	Batches int // calls of Apply that these hold
	Syncs   int // syncs of the file that these cost

	Sweeps       int           // transactions that deleted what had expired
	Swept        int           // records that these deleted
	SweepTime    time.Duration // what these held the writer, without writing out and syncing pages
	LongestSweep time.Duration // the longest of them

	FreePages    int   // pages that can be used again
	PendingPages int   // pages that can be when the reads under way have ended
	PageBytes    int   // size of a page
	FileBytes    int64 // size of the file
}

// AverageBatch is how many calls of Apply shared a commit, 0 before the first.
func (s Stats) AverageBatch() float64 {
	if s.Commits == 0 {
		return 0
	}
	return float64(s.Batches) / float64(s.Commits)
}

// Stats returns the counts, also after Close. Tests and benchmarks use it to hold a
// request to the number of commits it may cost.
func (b *Backend) Stats() Stats {
	pages := b.db.Stats()
	return Stats{
		Commits:      int(b.commits.Load()),
		Batches:      int(b.batches.Load()),
		Syncs:        int(b.syncs.Load()),
		Sweeps:       int(b.sweeps.count.Load()),
		Swept:        int(b.sweeps.removed.Load()),
		SweepTime:    time.Duration(b.sweeps.held.Load()),
		LongestSweep: time.Duration(b.sweeps.longest.Load()),
		FreePages:    pages.FreePageN,
		PendingPages: pages.PendingPageN,
		PageBytes:    b.pageBytes,
		FileBytes:    b.size.Load(),
	}
}

// Apply implements storage.Backend. Callers that arrive while a commit is being
// synced share the next one.
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
	return b.lead.do(ctx, &call{batch: batch})
}

// Close implements storage.Backend.
func (b *Backend) Close() error {
	b.gate.Lock()
	defer b.gate.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.listFreePages()
	forgetHolder(b.path)
	if b.broken.Load() {
		return b.file.Close() // bbolt would wait for its own locks for ever
	}
	return guard(b.db.Close)
}

// listFreePages leaves the list of free pages in the file, so that the next Open
// need not look for them in all of it. Nothing is lost if that fails.
func (b *Backend) listFreePages() {
	if b.listedOnDisk || b.readOnly.Load() != nil {
		return
	}
	err := guard(func() error {
		tx, err := b.begin(true)
		if err != nil {
			return err
		}
		defer b.rollback(tx)
		b.db.NoFreelistSync = false
		return b.commitTx(tx)
	})
	if err != nil {
		b.log.Warn("the list of free pages could not be written, the next start will take longer", "path", b.path, "err", err)
	}
}

// enter lets a call in until leave is called.
func (b *Backend) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.gate.RLock()
	if b.closed {
		b.gate.RUnlock()
		return nil, fmt.Errorf("%w: bolt: %s is closed", storage.ErrUnavailable, b.path)
	}
	return b.gate.RUnlock, nil
}
