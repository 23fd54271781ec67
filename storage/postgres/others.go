package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

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

// connected notes a connection before others can see it, so that it is never taken for
// theirs.
func (p *presence) connected(ctx context.Context, c *pgx.Conn) error {
	p.add(c)
	if _, err := c.Exec(ctx, `SELECT pg_advisory_lock_shared($1)`, p.lock); err != nil {
		p.closing(c)
		return err
	}
	return nil
}

func (p *presence) add(c *pgx.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pids[int32(c.PgConn().PID())] = struct{}{}
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

// Others implements storage.Shared. The server ends a session a moment after its client
// has, so only a connection that stays for half a second is counted.
func (b *Backend) Others(ctx context.Context) (int, error) {
	const (
		looks = 5
		pause = 125 * time.Millisecond
	)
	stayed, err := b.foreign(ctx)
	for look := 1; look < looks && err == nil && len(stayed) > 0; look++ {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pause):
		}
		var now []int32
		now, err = b.foreign(ctx)
		stayed = slices.DeleteFunc(stayed, func(pid int32) bool { return !slices.Contains(now, pid) })
	}
	return len(stayed), err
}

// foreign lists the connections to this schema that are not, or no longer, of b.
func (b *Backend) foreign(ctx context.Context) (pids []int32, err error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	lock := uint64(b.presence.lock)
	args := []any{int64(lock >> 32), int64(lock & 0xffffffff), nil}
	begin := func() { pids, args[2] = nil, b.presence.own() }
	err = b.read(ctx, `SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
			AND l.classid::bigint = $1::bigint AND l.objid::bigint = $2::bigint
			AND l.pid <> ALL ($3::integer[]) AND l.pid <> pg_backend_pid()`,
		args, begin, func(rows pgx.Rows) error {
			var pid int32
			err := rows.Scan(&pid)
			pids = append(pids, pid)
			return err
		})
	return pids, err
}
