package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

// The first byte of a bucket's name says what it holds for its kind.
const (
	recordBucket = 'r' // ID -> encoded record
	indexBucket  = 'x' // name, value, ID -> nothing
	expiryBucket = 'e' // expiry, ID -> nothing
)

const expiryPrefix = 8 // bytes of time ahead of the ID in an expiry bucket

// Flags of an encoded record. A bit that is not known here means damage, because
// a newer layout has a newer schema number, which Open refuses.
const (
	hasExpiry = 1 << iota
	hasIndex

	knownFlags = hasExpiry | hasIndex
)

var errRecord = errors.New("a record can't be decoded")

// bucketName is the name of one bucket of a kind. Apply stores no namespace or kind
// with a zero byte, so a name with two of them is the name of no bucket.
func bucketName(what byte, namespace, kind string) []byte {
	name := make([]byte, 0, len(namespace)+len(kind)+2)
	name = append(name, what)
	name = append(name, namespace...)
	name = append(name, 0)
	return append(name, kind...)
}

// indexPrefix begins the keys of all records that have an index entry. The
// lengths keep one entry from being the beginning of another.
func indexPrefix(x storage.Index, room int) []byte {
	key := make([]byte, 0, 2*binary.MaxVarintLen32+len(x.Name)+len(x.Value)+room)
	key = appendString(key, x.Name)
	return appendString(key, x.Value)
}

func indexKey(x storage.Index, id string) []byte {
	return append(indexPrefix(x, len(id)), id...)
}

// expiryKey orders by time, also before 1970.
func expiryKey(ms int64, id string) []byte {
	key := make([]byte, 0, expiryPrefix+len(id))
	key = binary.BigEndian.AppendUint64(key, uint64(ms)^1<<63)
	return append(key, id...)
}

func parseExpiryKey(key []byte) (ms int64, id []byte, err error) {
	if len(key) <= expiryPrefix {
		return 0, nil, errRecord
	}
	return int64(binary.BigEndian.Uint64(key) ^ 1<<63), key[expiryPrefix:], nil
}

// milliseconds is the kept form of an expiry that is not zero. The result is
// never later than t and never reads back as the zero time, which means never.
func milliseconds(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).IsZero() {
		ms--
	}
	return ms
}

// checkSizes refuses what bbolt has no room for, before anything is written.
func checkSizes(op *storage.Op) error {
	largest := expiryPrefix + len(op.Key.ID)
	for _, x := range op.Index {
		largest = max(largest, 2*binary.MaxVarintLen32+len(x.Name)+len(x.Value)+len(op.Key.ID))
	}
	largest = max(largest, len(op.Key.Namespace)+len(op.Key.Kind)+2)
	if largest > bbolt.MaxKeySize {
		return fmt.Errorf("%w: the key or an index entry of a %s record is too long for bbolt: %d bytes, at most %d",
			storage.ErrInvalid, op.Key.Kind, largest, bbolt.MaxKeySize)
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// encodeRecord writes: flags, revision, expiry in milliseconds, index entries,
// value. What a record does not have takes no room.
func encodeRecord(r *storage.Record) []byte {
	size := 1 + 3*binary.MaxVarintLen64 + len(r.Value)
	for _, x := range r.Index {
		size += 2*binary.MaxVarintLen32 + len(x.Name) + len(x.Value)
	}
	b := make([]byte, 1, size)
	b = binary.AppendUvarint(b, uint64(r.Revision))
	if !r.Expiry.IsZero() {
		b[0] |= hasExpiry
		b = binary.AppendVarint(b, milliseconds(r.Expiry))
	}
	if len(r.Index) > 0 {
		b[0] |= hasIndex
		b = binary.AppendUvarint(b, uint64(len(r.Index)))
		for _, x := range r.Index {
			b = appendString(appendString(b, x.Name), x.Value)
		}
	}
	return append(b, r.Value...)
}

// decodeRecord reads what encodeRecord wrote. Only the Value of the result is
// still part of raw, which bbolt owns; copyRecord ends that.
func decodeRecord(key storage.Key, raw []byte) (storage.Record, error) {
	if len(raw) == 0 || raw[0]&^knownFlags != 0 {
		return storage.Record{}, errRecord
	}
	d := decoder{rest: raw[1:]}
	r := storage.Record{Key: key, Revision: storage.Revision(d.uvarint())}
	if raw[0]&hasExpiry != 0 {
		r.Expiry = time.UnixMilli(d.varint()).UTC()
	}
	if raw[0]&hasIndex != 0 {
		n := d.uvarint()
		if n == 0 || n > uint64(len(d.rest)) {
			return storage.Record{}, errRecord
		}
		r.Index = make([]storage.Index, 0, min(n, 64))
		for range n {
			if d.failed {
				break
			}
			r.Index = append(r.Index, storage.Index{Name: d.string(), Value: d.string()})
		}
	}
	if d.failed || r.Revision == 0 {
		return storage.Record{}, errRecord
	}
	r.Value = d.rest
	return r, nil
}

func copyRecord(r storage.Record) storage.Record {
	if len(r.Value) == 0 {
		r.Value = nil
	}
	r.Value = slices.Clone(r.Value)
	return r
}

// decoder takes one part after the other; after a failure every part is empty.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.failed, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.failed, d.rest = true, nil
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}
