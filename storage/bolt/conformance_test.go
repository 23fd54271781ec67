package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/storagetest"
)

func open(t testing.TB, path string) *bolt.Backend {
	t.Helper()
	b, err := bolt.Open(path)
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
	storagetest.Run(t, func(t *testing.T) storage.Backend {
		return open(t, filepath.Join(t.TempDir(), "test.db"))
	})
}

func TestDurableContract(t *testing.T) {
	storagetest.RunDurable(t, func(t *testing.T) func(*testing.T) storage.Backend {
		path := filepath.Join(t.TempDir(), "test.db")
		return func(t *testing.T) storage.Backend { return open(t, path) }
	})
}
