package opaque_test

import (
	"errors"
	"flag"
	"testing"

	"github.com/doorward/doorward/internal/allocation"
	"github.com/doorward/doorward/internal/opaque"
)

var update = flag.Bool("update", false, "write testdata/allocations.txt anew")

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations()) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(), *update) }

func operations() []allocation.Operation {
	token, id := opaque.NewToken("dwa_", now), opaque.NewID(now)
	odd := errors.New("not as it was made")
	return []allocation.Operation{
		{Name: "new token", Run: func() error {
			if opaque.NewToken("dwa_", now) == token {
				return odd
			}
			return nil
		}},
		{Name: "key of a token", Run: func() error {
			if _, ok := opaque.TokenKey("dwa_", token); !ok {
				return odd
			}
			return nil
		}},
		{Name: "new ID", Run: func() error {
			if opaque.NewID(now) == id {
				return odd
			}
			return nil
		}},
		{Name: "bytes of an ID", Run: func() error {
			if _, ok := opaque.IDBytes(id); !ok {
				return odd
			}
			return nil
		}},
	}
}
