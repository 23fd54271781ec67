package postgres_test

import (
	"os"
	"testing"
	"time"

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

func open(t testing.TB, dsn string) *postgres.Backend {
	t.Helper()
	b, err := postgres.Open(t.Context(), dsn)
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

func TestContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Backend { return open(t, server.Database(t)) })
}

func TestDurableContract(t *testing.T) {
	storagetest.RunDurable(t, func(t *testing.T) func(*testing.T) storage.Backend {
		dsn := server.Database(t)
		return func(t *testing.T) storage.Backend { return open(t, dsn) }
	})
}
