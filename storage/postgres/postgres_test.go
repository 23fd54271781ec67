package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/doorward/doorward/internal/pgtest"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
	"github.com/doorward/doorward/storage/storagetest"
)

var server pgtest.Server

func TestMain(m *testing.M) {
	code := m.Run()
	server.Stop()
	os.Exit(code)
}

var now = time.Date(2026, 3, 14, 15, 9, 26, 535_000_000, time.UTC)

// schemas numbers the places of a database.
var schemas atomic.Int64

func open(t testing.TB, dsn string, o postgres.Options) *postgres.Backend {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	b, err := postgres.OpenWith(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// place returns options for an empty place in a database. The name needs its quotes.
func place() postgres.Options {
	return postgres.Options{Schema: fmt.Sprintf(`it's the "%d"th`, schemas.Add(1))}
}

func TestContract(t *testing.T) {
	dsn := server.Database(t)
	storagetest.Run(t, func(t *testing.T) storage.Backend { return open(t, dsn, place()) })
}

func TestDurableContract(t *testing.T) {
	dsn := server.Database(t)
	storagetest.RunDurable(t, func(t *testing.T) func(*testing.T) storage.Backend {
		o := place()
		return func(t *testing.T) storage.Backend { return open(t, dsn, o) }
	})
}

func key(id string) storage.Key { return storage.Key{Namespace: "n", Kind: "k", ID: id} }

func put(id string, cond storage.Condition, value string, index ...storage.Index) storage.Op {
	return storage.Op{Action: storage.ActionPut, Key: key(id), If: cond, Value: []byte(value), Index: index}
}

func apply(ctx context.Context, b storage.Backend, ops ...storage.Op) error {
	return b.Apply(ctx, storage.Batch{Now: now, Ops: ops})
}

func get(t testing.TB, b storage.Backend, id string) storage.Record {
	t.Helper()
	found, err := b.Get(t.Context(), key(id))
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

func with(dsn string, settings ...string) string {
	for _, s := range settings {
		dsn = pgtest.With(dsn, s)
	}
	return dsn
}

// execute runs a statement as an administrator would.
func execute(t testing.TB, dsn, sql string) {
	t.Helper()
	conn := connect(t, dsn)
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
