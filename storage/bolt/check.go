package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

// Check looks at all of the database as it is at this moment: that every page is what
// it should be and used once, that every record can be decoded, and that records,
// index entries and expiries agree in both directions. It returns the number of
// records. The error lists what is wrong, one a line, and is storage.ErrDamaged then.
//
// Writers go on meanwhile, and the file grows as with Backup. That every seal opens
// is for storage.Store.Check to say, which has the keys.
func (b *Backend) Check(ctx context.Context) (records int, err error) {
	err = b.view(ctx, func(tx *bbolt.Tx) error {
		if err := b.checkPages(ctx, tx); err != nil {
			return err
		}
		records, err = checkRecords(ctx, tx, b.base)
		return err
	})
	return records, err
}

// checkPages looks at every page of the state that tx sees. Its pages are not used
// again before it ends, so they can be read while others write.
func (b *Backend) checkPages(ctx context.Context, tx *bbolt.Tx) error {
	var first firstWrite
	if _, err := tx.WriteTo(&first); first.page == nil {
		return err // else the error is that it wanted no more
	}
	in := &inspector{file: bytes.NewReader(first.page), stop: ctx.Err}
	var err error
	if in.meta, err = in.metaAt(0); err == nil {
		in.file, in.size = b.file, uint64(b.size.Load())
		_, err = in.contents(math.MaxUint64)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: bolt: %s %w", storage.ErrDamaged, b.path, err)
	}
	return nil
}

var errEnough = errors.New("no more is needed")

// firstWrite takes the first page that bbolt copies, which is the meta page of its
// transaction. The ones in the file may be of later ones.
type firstWrite struct{ page []byte }

func (f *firstWrite) Write(p []byte) (int, error) {
	f.page = bytes.Clone(p)
	return 0, errEnough
}

var _ io.Writer = (*firstWrite)(nil)

// Verify does what Backend.Check does on a file that no process has open, a backup
// say, and changes nothing. It needs no secret, so it can't tell whether the records
// open.
func Verify(ctx context.Context, path string) (records int, err error) {
	if _, err := inspectLocked(path, math.MaxUint64); err != nil {
		return 0, err
	}
	db, _, err := openFile(path, true)
	if err != nil {
		return 0, openError(path, err)
	}
	defer func() { _ = db.Close() }() // opened for reading: nothing can be lost
	err = guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			base, err := readLayout(path, tx)
			if err != nil {
				return err
			}
			records, err = checkRecords(ctx, tx, base)
			return err
		})
	})
	if damaged(err) {
		return records, openError(path, &faultError{err})
	}
	return records, err
}

// checker looks at the records of one transaction.
type checker struct {
	ctx    context.Context //nolint:containedctx // of the one call that it serves
	tx     *bbolt.Tx
	newest storage.Revision
	found  storage.Findings

	records, seen int
}

func checkRecords(ctx context.Context, tx *bbolt.Tx, base uint64) (records int, err error) {
	c := &checker{ctx: ctx, tx: tx, newest: storage.Revision(base + uint64(tx.ID()))}
	cursor := tx.Cursor()
	for name, _ := cursor.First(); name != nil; name, _ = cursor.Next() {
		if err := c.bucket(name); err != nil {
			return c.records, err
		}
	}
	return c.records, c.found.Err()
}

func (c *checker) bucket(name []byte) error {
	if string(name) == metaBucket {
		return nil // read when the database was opened
	}
	b := c.tx.Bucket(name)
	namespace, kindOf, ok := bytes.Cut(name[1:], []byte{0})
	if b == nil || !ok {
		c.found.Addf("there is something by the name of %q that is not Doorward's", name)
		return nil
	}
	k := c.kind(string(namespace), string(kindOf))
	var look func(key, raw []byte)
	switch name[0] {
	case recordBucket:
		look = k.record
	case indexBucket:
		look = k.entry
	case expiryBucket:
		look = k.ending
	default:
		c.found.Addf("there is a bucket by the name of %q that is not Doorward's", name)
		return nil
	}
	const stride = 256 // keys between two looks at the context
	cursor := b.Cursor()
	for key, raw := cursor.First(); key != nil; key, raw = cursor.Next() {
		if c.seen++; c.seen%stride == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		look(key, raw)
	}
	return nil
}

// checkedKind is the three buckets of one kind, of which any may be missing.
type checkedKind struct {
	*checker
	name                   kindName
	records, index, expiry *bbolt.Bucket
}

func (c *checker) kind(namespace, name string) *checkedKind {
	k := &checkedKind{checker: c, name: kindName{namespace, name}}
	k.records = c.tx.Bucket(bucketName(recordBucket, namespace, name))
	k.index = c.tx.Bucket(bucketName(indexBucket, namespace, name))
	k.expiry = c.tx.Bucket(bucketName(expiryBucket, namespace, name))
	return k
}

// record holds a record to what its bucket of entries and that of expiries say.
func (k *checkedKind) record(id, raw []byte) {
	k.checker.records++
	r, err := decodeRecord(storage.Key{Namespace: k.name.namespace, Kind: k.name.kind, ID: string(id)}, raw)
	if err != nil {
		k.found.Addf("the %s record %q can't be decoded", k.name.kind, id)
		return
	}
	if r.Revision > k.newest {
		k.found.Addf("the %s record %q has the revision %d, which is still to come", k.name.kind, id, r.Revision)
	}
	for _, x := range r.Index {
		if !holds(k.index, indexKey(x, r.ID)) {
			k.found.Addf("the %s record %q is missing in its index %q", k.name.kind, id, x.Name)
		}
	}
	if !r.Expiry.IsZero() && !holds(k.expiry, expiryKey(milliseconds(r.Expiry), r.ID)) {
		k.found.Addf("the %s record %q would never be swept: its expiry is missing in the order of expiries", k.name.kind, id)
	}
}

// entry holds an index entry to its record.
func (k *checkedKind) entry(key, _ []byte) {
	d := decoder{rest: key}
	x := storage.Index{Name: d.string(), Value: d.string()}
	if d.failed || len(d.rest) == 0 {
		k.found.Addf("an index entry of %s records can't be decoded", k.name.kind)
		return
	}
	r, ok := k.find(d.rest)
	if !ok || !slices.Contains(r.Index, x) {
		k.found.Addf("the index %q of %s records has an entry for %q that this record does not have", x.Name, k.name.kind, d.rest)
	}
}

// ending holds an expiry to its record.
func (k *checkedKind) ending(key, _ []byte) {
	ms, id, err := parseExpiryKey(key)
	if err != nil {
		k.found.Addf("an expiry of %s records can't be decoded", k.name.kind)
		return
	}
	r, ok := k.find(id)
	if !ok || r.Expiry.IsZero() || milliseconds(r.Expiry) != ms {
		k.found.Addf("the order of expiries of %s records has one for %q that this record does not have", k.name.kind, id)
	}
}

func (k *checkedKind) find(id []byte) (storage.Record, bool) {
	if k.records == nil {
		return storage.Record{}, false
	}
	r, err := decodeRecord(storage.Key{Namespace: k.name.namespace, Kind: k.name.kind, ID: string(id)}, k.records.Get(id))
	return r, err == nil
}

// holds says whether a bucket has a key, whose value may be empty.
func holds(b *bbolt.Bucket, key []byte) bool {
	if b == nil {
		return false
	}
	found, _ := b.Cursor().Seek(key)
	return bytes.Equal(found, key)
}
