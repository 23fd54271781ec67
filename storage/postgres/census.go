package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/doorward/doorward/storage"
)

var _ storage.Census = (*Backend)(nil)

// Count implements storage.Census, from one snapshot. Bytes are those of keys, values,
// index entries and expiries, without what the server adds. It reads the whole table and
// may take longer than a statement of a request may.
func (b *Backend) Count(ctx context.Context, now time.Time) ([]storage.Tally, error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	conn, err := b.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	var all []storage.Tally
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// All of the table is wanted here, and it may be large.
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on`); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, b.sql.count, now.UnixMilli())
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanTally)
		return err
	})
	switch {
	case err == nil:
		b.reached()
		return all, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	default:
		return nil, b.unavailable(err)
	}
}

func scanTally(row pgx.CollectableRow) (t storage.Tally, err error) {
	var namespace, kind []byte
	err = row.Scan(&namespace, &kind, &t.Live, &t.Expired, &t.Bytes)
	t.Namespace, t.Kind = string(namespace), string(kind)
	return t, err
}

// Space returns how many bytes the tables and indexes of the schema take on the server,
// with what is free in them.
func (b *Backend) Space(ctx context.Context) (bytes int64, err error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	err = b.read(ctx, b.sql.space, []any{b.schema}, func() { bytes = 0 }, func(rows pgx.Rows) error { return rows.Scan(&bytes) })
	return bytes, err
}
