package admin

import (
	"context"
	"errors"
	"net/http"
)

// Destination is where a store is to be moved: a file or a PostgreSQL database.
type Destination struct {
	Store    string   `json:"store,omitempty"`    // absolute path of the file
	Postgres string   `json:"postgres,omitempty"` // DSN
	Secrets  [][]byte `json:"secrets,omitempty"`  // those that it will be opened with; none: what the file keeps
}

// Moved is what a move did.
type Moved struct {
	From             string `json:"from"`
	To               string `json:"to"`
	Records          int    `json:"records"`
	Copied           int    `json:"copied"`
	Deleted          int    `json:"deleted"`
	Checksum         string `json:"checksum,omitempty"`
	HeldMilliseconds int64  `json:"held_ms"` // how long writes waited
	Milliseconds     int64  `json:"took_ms"`
	Finished         bool   `json:"finished,omitempty"` // an earlier move had done all but its last step
}

var errNoMover = errors.New("admin: the store of this server can't be moved")

// Move moves the store while the server goes on.
func (l *Local) Move(ctx context.Context, d Destination) (Moved, error) {
	if l.Mover == nil {
		return Moved{}, errNoMover
	}
	return l.Mover(ctx, d)
}

// Move moves the store of the server that runs, and waits until it is done. When ctx ends
// before, nothing has changed.
func (c *Remote) Move(ctx context.Context, d Destination) (m Moved, err error) {
	err = callWith(ctx, c.patient, http.MethodPost, "/move", d, &m)
	return m, err
}
