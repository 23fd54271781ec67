package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/doorward/doorward/storage"
)

// statements are those that name the schema and stay the same.
type statements struct {
	apply, get, sweep, clock, count, space string
}

// columns of a record r, in the order that scanRecord reads.
const columns = `r.id, r.revision, r.expiry, r.entries, r.value`

// The subqueries stand behind OFFSET 0 so that each key found is one step into the index,
// whatever the planner believes of the sizes of the tables.
func statementsIn(schema string) statements {
	return statements{
		apply: inSchema(schema, `SELECT {{schema}}.apply_1($1::bigint, $2::bigint[], $3::boolean[], $4::smallint[],
			$5::bytea[], $6::bytea[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bytea[], $11::integer[], $12::bytea[],
			$13::bigint[], $14::bigint[])`),
		get: inSchema(schema, `SELECT `+columns+`, k.place, `+microseconds+`
			FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) WITH ORDINALITY AS k(namespace, kind, id, place)
			CROSS JOIN LATERAL (SELECT * FROM {{schema}}.records r
				WHERE r.namespace = k.namespace AND r.kind = k.kind AND r.id = k.id OFFSET 0) r`),
		sweep: inSchema(schema, `SELECT {{schema}}.sweep_1($1::bigint, $2::integer), `+microseconds),
		clock: inSchema(schema, `SELECT c.at FROM {{schema}}.clock c`),
		count: inSchema(schema, `SELECT r.namespace, r.kind,
			count(*) FILTER (WHERE r.expiry IS NULL OR r.expiry > $1::bigint),
			count(*) FILTER (WHERE r.expiry <= $1::bigint),
			sum(octet_length(r.id) + octet_length(r.value) + CASE WHEN r.expiry IS NULL THEN 0 ELSE 8 END
				+ (SELECT coalesce(sum(octet_length(e)), 0) FROM unnest(r.entries) e))::bigint
			FROM {{schema}}.records r GROUP BY r.namespace, r.kind ORDER BY r.namespace, r.kind`),
		space: `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'`,
	}
}

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(keys) == 0 {
		return []storage.Record{}, nil
	}
	found, err := b.trips.get(ctx, keys)
	if errors.Is(err, errNoTurn) {
		return nil, b.unavailable(fmt.Errorf("%w from %s within %v", err, b.place, b.acquireTimeout))
	}
	return found, err
}

// getAll reads records in one round trip.
func (b *Backend) getAll(ctx context.Context, keys []storage.Key) (found []storage.Record, err error) {
	namespaces, kinds, ids := make([][]byte, len(keys)), make([][]byte, len(keys)), make([][]byte, len(keys))
	for i, k := range keys {
		namespaces[i], kinds[i], ids[i] = []byte(k.Namespace), []byte(k.Kind), []byte(k.ID)
	}
	var sent time.Time
	err = b.read(ctx, b.sql.get, []any{namespaces, kinds, ids}, func() {
		found, sent = make([]storage.Record, len(keys)), time.Now()
	}, func(rows pgx.Rows) error {
		var place, us int64
		r, err := scanRecord(rows, &place, &us)
		if err == nil && !sent.IsZero() {
			b.clock.note(sent, time.Now(), us)
			sent = time.Time{} // the first row tells most
		}
		if err == nil && place >= 1 && place <= int64(len(keys)) {
			r.Key = keys[place-1]
			found[place-1] = r
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	sql, args := listing(b.schema, q)
	var page []storage.Record
	err = b.read(ctx, sql, args, func() { page = nil }, func(rows pgx.Rows) error {
		r, err := scanRecord(rows)
		r.Namespace, r.Kind = q.Namespace, q.Kind
		page = append(page, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// listing returns the statement of one page. There are sixteen of them, so each connection
// soon has those it needs prepared.
func listing(schema string, q storage.Query) (sql string, args []any) {
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	ordered := "r"
	var text strings.Builder
	text.WriteString("SELECT " + columns + " FROM ")
	live := ""
	if !q.Now.IsZero() {
		live = " AND (r.expiry IS NULL OR r.expiry > " + arg(q.Now.UnixMilli()) + "::bigint)"
	}
	if q.Index == "" {
		text.WriteString("{{schema}}.records r WHERE true" + live)
	} else {
		ordered = "x"
		text.WriteString(`{{schema}}.entries x CROSS JOIN LATERAL (SELECT * FROM {{schema}}.records r
			WHERE r.namespace = x.namespace AND r.kind = x.kind AND r.id = x.id` + live + ` OFFSET 0) r
			WHERE x.name = ` + arg([]byte(q.Index)) + "::bytea AND x.value = " + arg([]byte(q.Value)) + "::bytea")
	}
	text.WriteString(" AND " + ordered + ".namespace = " + arg([]byte(q.Namespace)) + "::bytea AND " +
		ordered + ".kind = " + arg([]byte(q.Kind)) + "::bytea")
	beyond, order := " > ", " ASC"
	if q.Descending {
		beyond, order = " < ", " DESC"
	}
	if q.After != "" {
		text.WriteString(" AND " + ordered + ".id" + beyond + arg([]byte(q.After)) + "::bytea")
	}
	text.WriteString(" ORDER BY " + ordered + ".id" + order + " LIMIT " + arg(int64(q.Limit)) + "::bigint")
	return inSchema(schema, text.String()), args
}

// scanRecord reads the columns of one record and what follows them.
func scanRecord(rows pgx.Rows, more ...any) (storage.Record, error) {
	var (
		id, value []byte
		revision  int64
		expiry    *int64
		entries   [][]byte
	)
	if err := rows.Scan(append([]any{&id, &revision, &expiry, &entries, &value}, more...)...); err != nil {
		return storage.Record{}, err
	}
	r := storage.Record{Revision: storage.Revision(revision), Value: value}
	r.ID = string(id)
	if expiry != nil {
		r.Expiry = time.UnixMilli(*expiry).UTC()
	}
	for i := 0; i+1 < len(entries); i += 2 {
		r.Index = append(r.Index, storage.Index{Name: string(entries[i]), Value: string(entries[i+1])})
	}
	return r, nil
}

// read runs one query. Reading changes nothing, so it begins anew, with begin, when a
// connection turns out to be dead.
func (b *Backend) read(ctx context.Context, sql string, args []any, begin func(), row func(pgx.Rows) error) error {
	const most = 3
	for try := 1; ; try++ {
		begin()
		err := b.query(ctx, sql, args, row)
		if err == nil {
			b.reached()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !lost(err) || try == most {
			return b.unavailable(err)
		}
	}
}

func (b *Backend) query(ctx context.Context, sql string, args []any, row func(pgx.Rows) error) error {
	conn, err := b.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
