package main

import (
	"encoding/binary"
	"io"
	"os"

	"github.com/doorward/doorward/bench/peer"
	"github.com/doorward/doorward/storage/bolt"
)

// stats are what the backend counted, and what its file holds.
func stats(name string, now bolt.Stats) peer.Stats {
	s := peer.Stats{Counted: true, Commits: now.Commits, Syncs: now.Syncs, File: now.FileBytes}
	if reached, err := highest(name, int64(now.PageBytes)); err == nil {
		s.Live = reached - int64(now.FreePages+now.PendingPages)*int64(now.PageBytes)
	}
	return s
}

// highest returns up to where pages were ever used: bbolt makes the file longer in large
// steps, so its length says little. It stands in the newer of the two meta pages, and a
// torn read is of no consequence for a statistic.
func highest(name string, page int64) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	const reachedAt, transactionAt, length = 56, 64, 72
	var reached int64
	var newest uint64
	for i := range int64(2) {
		head := make([]byte, length)
		if _, err := io.ReadFull(io.NewSectionReader(f, i*page, length), head); err != nil {
			return 0, err
		}
		if t := binary.NativeEndian.Uint64(head[transactionAt:]); t >= newest {
			newest, reached = t, int64(binary.NativeEndian.Uint64(head[reachedAt:]))*page
		}
	}
	return reached, nil
}
