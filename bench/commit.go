package main

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// disk is a bbolt file whose commits tell what one costs on this machine: two calls of
// fdatasync, and what is written.
type disk struct {
	db   *bbolt.DB
	next uint64
}

func newDisk(dir string) (*disk, error) {
	db, err := bbolt.Open(filepath.Join(dir, "commit.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte("records"))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &disk{db: db}, nil
}

func (d *disk) close() error { return d.db.Close() }

// commits makes commits of one record of 400 bytes, one after the other, for a time.
func (d *disk) commits(within time.Duration) (*latencies, error) {
	var l latencies
	record := make([]byte, 400)
	for began := time.Now(); time.Since(began) < within; {
		at := time.Now()
		err := d.db.Update(func(tx *bbolt.Tx) error {
			d.next++
			return tx.Bucket([]byte("records")).Put(binary.BigEndian.AppendUint64(nil, d.next), record)
		})
		if err != nil {
			return nil, err
		}
		l.add(time.Since(at))
	}
	return &l, nil
}
