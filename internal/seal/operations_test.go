package seal_test

import (
	"flag"
	"testing"

	"github.com/doorward/doorward/internal/allocation"
	"github.com/doorward/doorward/internal/seal"
)

var update = flag.Bool("update", false, "write testdata/allocations.txt anew")

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(t), *update) }

func operations(tb testing.TB) []allocation.Operation {
	ring, err := seal.NewRing(1, map[uint32][]byte{1: make([]byte, seal.KeySize)})
	if err != nil {
		tb.Fatal(err)
	}
	plain, place := make([]byte, 400), []byte("where it stands")
	sealed := ring.Seal(nil, plain, place)
	return []allocation.Operation{
		{Name: "seal 400 bytes", Run: func() error {
			ring.Seal(nil, plain, place)
			return nil
		}},
		{Name: "open 400 bytes", Run: func() error {
			_, err := ring.Open(sealed, place)
			return err
		}},
	}
}
