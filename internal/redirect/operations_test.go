package redirect_test

import (
	"errors"
	"flag"
	"testing"

	"github.com/doorward/doorward/internal/allocation"
	"github.com/doorward/doorward/internal/redirect"
)

var update = flag.Bool("update", false, "write testdata/allocations.txt anew")

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations()) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(), *update) }

func operations() []allocation.Operation {
	registered := []string{"https://app.example.com/cb", "https://app.example.com/other", "http://localhost/cb"}
	match := func(name, requested string, want bool) allocation.Operation {
		return allocation.Operation{Name: name, Run: func() error {
			if redirect.Match(registered, requested) != want {
				return errors.New("matched otherwise")
			}
			return nil
		}}
	}
	return []allocation.Operation{
		match("match", "https://app.example.com/other", true),
		match("match of a loopback port", "http://localhost:53122/cb", true),
		match("no match", "https://app.example.com/elsewhere", false),
	}
}
