package postgres

import "time"

// SetPatience shortens how long a call waits for a connection, and for an answer.
func (b *Backend) SetPatience(acquire, answer time.Duration) {
	b.acquireTimeout, b.patience = acquire, answer
}
