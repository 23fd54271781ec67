package bolt

import (
	"bytes"
	"context"
	"time"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

var _ storage.Census = (*Backend)(nil)

// Count implements storage.Census, from one snapshot. Bytes leaves out what pages have
// free and what bbolt needs to find its way.
func (b *Backend) Count(ctx context.Context, now time.Time) ([]storage.Tally, error) {
	var all []storage.Tally
	err := b.view(ctx, func(tx *bbolt.Tx) error {
		cursor := tx.Cursor()
		for name, _ := cursor.Seek([]byte{recordBucket}); len(name) > 0 && name[0] == recordBucket; name, _ = cursor.Next() {
			namespace, kindOf, ok := bytes.Cut(name[1:], []byte{0})
			if !ok {
				return errRecord
			}
			t := storage.Tally{Namespace: string(namespace), Kind: string(kindOf)}
			if err := tally(ctx, tx, &t, now); err != nil {
				return err
			}
			if t.Live+t.Expired > 0 {
				all = append(all, t)
			}
		}
		return nil
	})
	return all, err
}

func tally(ctx context.Context, tx *bbolt.Tx, t *storage.Tally, now time.Time) error {
	const stride = 256 // keys between two looks at the context
	seen := 0
	for _, what := range []byte{recordBucket, indexBucket, expiryBucket} {
		bucket := tx.Bucket(bucketName(what, t.Namespace, t.Kind))
		if bucket == nil {
			continue
		}
		cursor := bucket.Cursor()
		for key, raw := cursor.First(); key != nil; key, raw = cursor.Next() {
			if seen++; seen%stride == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			t.Bytes += int64(len(key) + len(raw))
			if what != recordBucket {
				continue
			}
			r, err := decodeRecord(storage.Key{Namespace: t.Namespace, Kind: t.Kind, ID: string(key)}, raw)
			if err != nil {
				return err
			}
			if r.Expired(now) {
				t.Expired++
			} else {
				t.Live++
			}
		}
	}
	return nil
}
