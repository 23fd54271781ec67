package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/doorward/doorward/storage"
)

var _ storage.Shared = (*Backend)(nil)

// presence knows the connections of one Backend. Each of them holds a shared advisory lock
// for its schema, by which others can tell that it is there: it goes with the connection,
// and needs no right to look at other users' sessions.
type presence struct {
	lock int64

	mu   sync.Mutex
	pids map[int32]struct{}
}

func (p *presence) connected(ctx context.Context, c *pgx.Conn) error {
	if _, err := c.Exec(ctx, `SELECT pg_advisory_lock_shared($1)`, p.lock); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pids[int32(c.PgConn().PID())] = struct{}{}
	return nil
}

func (p *presence) closing(c *pgx.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pids, int32(c.PgConn().PID()))
}

func (p *presence) own() []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.pids))
}

// Others implements storage.Shared.
func (b *Backend) Others(ctx context.Context) (n int, err error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	lock := uint64(b.presence.lock)
	args := []any{int64(lock >> 32), int64(lock & 0xffffffff), nil}
	err = b.read(ctx, `SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
			AND l.classid::bigint = $1::bigint AND l.objid::bigint = $2::bigint
			AND l.pid <> ALL ($3::integer[]) AND l.pid <> pg_backend_pid()`,
		args, func() { args[2] = b.presence.own() }, func(rows pgx.Rows) error { return rows.Scan(&n) })
	return n, err
}
