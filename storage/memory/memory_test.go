package memory_test

import (
	"testing"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/storagetest"
)

func TestBackend(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Backend { return memory.New() })
}
