package postgres

import (
	"context"
	"time"

	"github.com/doorward/doorward/storage"
)

// SetPatience shortens how long a call waits for a connection, and for an answer.
func (b *Backend) SetPatience(acquire, answer time.Duration) {
	b.acquireTimeout, b.trips.patience, b.patience = acquire, acquire, answer
}

// LockOf returns the advisory lock that guards a record.
func (b *Backend) LockOf(k storage.Key) int64 { return lockOf(b.schema, k.Namespace, k.Kind, k.ID) }

// Reconnect ends every connection as soon as it is idle; the next calls make new ones.
func (b *Backend) Reconnect() { b.pool.Reset() }

// Plans counts the calls of prepared statements on one connection: those that went by a
// plan made once, and those that had one made for their values.
func (b *Backend) Plans(ctx context.Context) (lasting, own int, err error) {
	err = b.pool.QueryRow(ctx, `SELECT coalesce(sum(generic_plans), 0)::int, coalesce(sum(custom_plans), 0)::int
		FROM pg_prepared_statements WHERE statement LIKE '%' || $1 || '%'`, quote(b.schema)).Scan(&lasting, &own)
	return lasting, own, err
}
