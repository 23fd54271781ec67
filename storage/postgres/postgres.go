// Package postgres keeps a store in a PostgreSQL database, which several replicas of a
// server may share: they behave as one.
//
//	backend, err := postgres.Open(ctx, "postgres://doorward@db.internal/product?sslmode=verify-full")
//	store, err := storage.Open(ctx, backend, storage.Options{Namespace: issuer, Secrets: secrets})
//
// A secret must be configured: there is no place beside the database to keep one.
//
// # Connections
//
// The DSN is a URL or a line of key=value pairs as libpq knows them, and says what there
// is to say: hosts, TLS (sslmode, sslrootcert, sslcert, sslkey), pool_max_conns,
// pool_max_conn_lifetime, connect_timeout, statement_timeout. Settings that are absent are
// chosen for a server that answers people: 16 connections, 5 seconds to connect, a second
// (pool_ping_timeout) to find out that an idle connection is dead, 10 seconds for a
// statement. Read committed isolation and a synchronous commit are not left
// to chance. Only a primary is used; of several hosts in a DSN the one that can be written.
// A pooler that hands one connection to several clients within a session (PgBouncer's
// transaction mode) is not for a session that has settings of its own.
//
// Lost connections are replaced by themselves. Open starts the driver's own housekeeping
// of idle connections, which Close ends.
//
// # Layout
//
// All tables and functions stand in one schema of their own, "doorward" unless
// Options.Schema says otherwise; layout/1.sql shows them. Open creates and migrates the
// schema under an advisory lock, so replicas may start together, and refuses one that a
// newer release has made. Names, IDs and values are bytes throughout. A key, and an index
// entry with its key, must fit into an entry of a PostgreSQL index: 2,500 bytes in all; a
// longer one is ErrInvalid.
//
// # Order
//
// Apply is one call of one function: one round trip, one transaction. It takes advisory
// locks on the keys of the batch, in one order for all batches, shared for a Check and
// exclusive for what is written, and draws the revision while it holds them. So batches
// that share a record have revisions in the order of their commits, and so does a batch
// begun after another had returned. Of two batches that run at the same time and share
// nothing, the one that commits later may have the lower revision: who reads the store by
// revision must let the writes under way end first.
//
// The lock table of the server must have room: max_locks_per_transaction times
// max_connections, 6,400 by default, and a batch takes at most one for each operation.
//
// # Clock
//
// All replicas go by the clock of the server. Each looks at it when it opens the database,
// with each Get that finds something and with each sweep, and carries it on by its own
// monotonic clock in between. It is off by half of a round trip, and a fifth of a
// millisecond for each second since the last look: what expires does so for each replica
// within 15 ms of the others in a network that answers in 3. What the clocks of the
// machines say does not matter. When the server's clock is set back, the replicas that
// run go on as if it were not.
//
// # Failure
//
// Whatever the server says in answer to a batch is certain: it refused, and nothing was
// written. When no answer comes, or one that ends the session, after the batch was sent,
// it is ErrUnknown. What was not sent is ErrUnavailable: the server can't be reached, no
// connection is free within 5 seconds, or the server has become read-only. Once a batch
// is sent its context does not call it back: it ends in a moment or by the statement
// timeout.
package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/doorward/doorward/storage"
)

var (
	_ storage.Backend      = (*Backend)(nil)
	_ storage.ClockWitness = (*Backend)(nil)
	_ storage.Timekeeper   = (*Backend)(nil)
)

// Options are for OpenWith. The zero value is what Open uses.
type Options struct {
	// Logger gets what an operator should know: a database that is out of reach and that
	// is back, a connection without TLS, a server that does not sync. Nil means
	// slog.Default.
	Logger *slog.Logger

	// MaxConns is the largest number of connections. 0 means pool_max_conns of the DSN,
	// and 16 when it does not say. Each replica has its own: together they must stay
	// below max_connections of the server.
	MaxConns int

	// Schema is the schema that holds the tables; it is created when it is absent. Empty
	// means "doorward". Stores in different schemas of one database know nothing of each
	// other.
	Schema string
}

// Backend is a storage.Backend and storage.ClockWitness in a PostgreSQL database. Make one
// with Open. It is safe for concurrent use, and any number of processes may have one on
// the same database.
type Backend struct {
	log      *slog.Logger
	pool     *pgxpool.Pool
	place    string // the database in messages, without its password
	schema   string
	sql      statements
	patience time.Duration // longer than any statement may take

	presence presence // what others see of this one
	clock    serverClock
	trips    trips

	acquireTimeout time.Duration // how long a call waits for a free connection

	// gate is held for reading by every call and for writing by Close.
	gate   sync.RWMutex
	closed bool

	away atomic.Bool // the last call found the database out of reach

	latest                              atomic.Int64 // Batch.Now of an acknowledged batch, milliseconds
	commits, conflicts, unknowns, swept atomic.Int64
}

// Stats counts what a Backend did since it was opened, in this process.
type Stats struct {
	Commits   int // batches stored
	Conflicts int // batches refused because a condition did not hold
	Unknowns  int // batches whose outcome is not known
	Swept     int // expired records deleted

	Connections int // open now
	Busy        int // of these, at work now
	Waits       int // calls that had to wait for a connection
}

// Stats returns the counts, also after Close. Tests and benchmarks use it to hold a
// request to the number of commits it may cost.
func (b *Backend) Stats() Stats {
	pool := b.pool.Stat()
	return Stats{
		Commits:     int(b.commits.Load()),
		Conflicts:   int(b.conflicts.Load()),
		Unknowns:    int(b.unknowns.Load()),
		Swept:       int(b.swept.Load()),
		Connections: int(pool.TotalConns()),
		Busy:        int(pool.AcquiredConns()),
		Waits:       int(pool.EmptyAcquireCount()),
	}
}

// Close implements storage.Backend.
func (b *Backend) Close() error {
	b.gate.Lock()
	defer b.gate.Unlock()
	if !b.closed {
		b.closed = true
		b.pool.Close()
	}
	return nil
}

// enter lets a call in until leave is called.
func (b *Backend) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.gate.RLock()
	if b.closed {
		b.gate.RUnlock()
		return nil, fmt.Errorf("%w: postgres: %s is closed", storage.ErrUnavailable, b.place)
	}
	return b.gate.RUnlock, nil
}
