package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed layout/1.sql
var layout1 string

// layouts returns the scripts that make each layout from the one before it.
func layouts() []string { return []string{layout1} }

// layoutError is about the tables that were found, not about reaching them.
type layoutError struct{ text string }

func (e *layoutError) Error() string { return e.text }

// migrate brings the schema to the layout of this release. Replicas that start together
// wait for the first of them; one that finds nothing to do takes no lock.
func (b *Backend) migrate(ctx context.Context, conn *pgx.Conn) error {
	version, err := b.readLayout(ctx, conn)
	if err != nil || version == len(layouts()) {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Waiting for the others may take longer than a statement may.
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockOf(b.schema)); err != nil {
			return err
		}
		version, err := b.readLayout(ctx, tx)
		if err != nil {
			return err
		}
		if version == 0 {
			if err := b.createSchema(ctx, tx); err != nil {
				return err
			}
		}
		for ; version < len(layouts()); version++ {
			if _, err := tx.Exec(ctx, b.scripted(layouts()[version])); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, b.scripted(`DELETE FROM {{schema}}.layout`))
		if err == nil {
			_, err = tx.Exec(ctx, b.scripted(`INSERT INTO {{schema}}.layout VALUES ($1)`), len(layouts()))
		}
		return err
	})
}

// queryer is a connection or a transaction on it.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readLayout returns the number of the layout found, 0 for none, and refuses what a newer
// release has made.
func (b *Backend) readLayout(ctx context.Context, on queryer) (version int, err error) {
	// Not to_regclass: it may answer from what the session knew before it waited.
	var exists bool
	err = on.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = 'layout')`, b.schema).Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	err = on.QueryRow(ctx, b.scripted(`SELECT version FROM {{schema}}.layout`)).Scan(&version)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || err == nil && version < 1:
		return 0, &layoutError{fmt.Sprintf("postgres: the schema %q of %s does not say its layout: restore it from a backup, or give doorward a schema of its own", b.schema, b.place)}
	case err == nil && version > len(layouts()):
		return 0, &layoutError{fmt.Sprintf("postgres: the schema %q of %s was made by a newer release (layout %d, this one knows up to %d): install that release, or restore the backup made before the upgrade", b.schema, b.place, version, len(layouts()))}
	}
	return version, err
}

// createSchema leaves a schema that exists as it is: its owner need not have the right to
// make others.
func (b *Backend) createSchema(ctx context.Context, tx pgx.Tx) error {
	var exists bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, b.schema).Scan(&exists)
	if err == nil && !exists {
		_, err = tx.Exec(ctx, b.scripted(`CREATE SCHEMA {{schema}}`))
	}
	return err
}

// scripted puts the name of the schema into a statement.
func (b *Backend) scripted(sql string) string { return inSchema(b.schema, sql) }

func inSchema(schema, sql string) string {
	name := quote(schema)
	return strings.NewReplacer("{{schema}}", name, "{{literal}}", strings.ReplaceAll(name, "'", "''")).Replace(sql)
}
