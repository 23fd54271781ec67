package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/doorward/doorward/storage"
)

// SQLSTATE codes of PostgreSQL, appendix A of its manual.
const (
	uniqueViolation       = "23505"
	readOnlyTransaction   = "25006"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	insufficientPrivilege = "42501"
	duplicateTable        = "42P07"
	duplicateObject       = "42710"
	duplicateFunction     = "42723"
	resolutionUnknown     = "08007"
)

// errUnsent is about a connection that was found dead before anything went over it.
var errUnsent = errors.New("nothing was sent")

// outcome translates what became of a batch that may have been sent. Errors of the driver
// are told, not wrapped: among them are ends of contexts that are not the caller's.
func (b *Backend) outcome(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return b.refused(pgErr)
	}
	if pgconn.SafeToRetry(err) {
		return fmt.Errorf("%w: %w", errUnsent, b.unavailable(err))
	}
	b.missed(err)
	return fmt.Errorf("%w: postgres: %v", storage.ErrUnknown, err)
}

// refused translates an error that the server sent. Its transaction is rolled back, unless
// the message is about the end of the session, which may also meet a commit.
func (b *Backend) refused(err *pgconn.PgError) error {
	severity := err.SeverityUnlocalized
	if severity == "" {
		severity = err.Severity
	}
	switch {
	case severity != "ERROR" || err.Code == resolutionUnknown:
		b.missed(err)
		return fmt.Errorf("%w: postgres: %v", storage.ErrUnknown, err)
	case err.Code == serializationFailure, err.Code == deadlockDetected, err.Code == uniqueViolation:
		return fmt.Errorf("%w: postgres: %v", storage.ErrConflict, err)
	default:
		return b.unavailable(err)
	}
}

// unavailable is for what certainly wrote nothing.
func (b *Backend) unavailable(err error) error {
	if errors.Is(err, storage.ErrUnavailable) {
		return err
	}
	b.missed(err)
	return fmt.Errorf("%w: postgres: %v", storage.ErrUnavailable, err)
}

// lost says that the connection, not the statement, is at fault.
func lost(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.SeverityUnlocalized == "FATAL" || pgErr.SeverityUnlocalized == "PANIC"
	}
	return !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded)
}

// acquire takes a connection from the pool. The error is the context's or ErrUnavailable.
func (b *Backend) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, b.acquireTimeout)
	defer cancel()
	conn, err := b.pool.Acquire(limited)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, b.unavailable(fmt.Errorf("no connection to %s was free within %v", b.place, b.acquireTimeout))
	default:
		return nil, b.unavailable(err)
	}
}

// missed and reached tell an operator once when the database goes and once when it is back.
func (b *Backend) missed(err error) {
	if !b.away.Swap(true) {
		b.log.Error("the database does not answer as it should: requests that need it are answered 503 until it does", "database", b.place, "err", err)
	}
}

func (b *Backend) reached() {
	if b.away.Load() && b.away.Swap(false) {
		b.log.Info("the database answers again", "database", b.place)
	}
}

// warningKey is where a connection keeps the warning that came with its last statement.
const warningKey = "doorward: warning"

// noteWarning keeps a warning with the connection it came on. apply_1 gives none itself:
// one that comes with it says that the server stopped waiting for its standby.
func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	severity := n.SeverityUnlocalized
	if severity == "" {
		severity = n.Severity
	}
	if strings.EqualFold(severity, "WARNING") {
		c.CustomData()[warningKey] = n.Message
	}
}

func forgetWarning(c *pgconn.PgConn) { delete(c.CustomData(), warningKey) }

func warningOf(c *pgconn.PgConn) string {
	text, _ := c.CustomData()[warningKey].(string)
	return text
}
