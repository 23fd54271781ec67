package postgres

import (
	"time"

	"github.com/doorward/doorward/storage"
)

// SetPatience shortens how long a call waits for a connection, and for an answer.
func (b *Backend) SetPatience(acquire, answer time.Duration) {
	b.acquireTimeout, b.patience = acquire, answer
}

// LockOf returns the advisory lock that guards a record.
func (b *Backend) LockOf(k storage.Key) int64 { return lockOf(b.schema, k.Namespace, k.Kind, k.ID) }

// Reconnect ends every connection as soon as it is idle; the next calls make new ones.
func (b *Backend) Reconnect() { b.pool.Reset() }
