package keyring_test

import (
	"flag"
	"testing"

	"github.com/doorward/doorward/internal/allocation"
)

var update = flag.Bool("update", false, "write testdata/allocations.txt anew")

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(t), *update) }

// operations are what requests ask of the signing keys.
func operations(tb testing.TB) []allocation.Operation {
	r := newWorld().ring(tb, "ES256", "RS256", "EdDSA")
	body := map[string]any{
		"iss": "https://issuer.example", "sub": "alice", "aud": "web", "iat": 1_900_000_000, "exp": 1_900_003_600,
		"nonce": "n-0S6_WzA2Mj", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ", "auth_time": 1_900_000_000,
	}
	var all []allocation.Operation
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		token := sign(tb, r, alg)
		all = append(all, allocation.Operation{Name: "sign, " + alg, Run: func() error {
			_, err := r.Sign(tb.Context(), alg, "JWT", body)
			return err
		}}, allocation.Operation{Name: "verify, " + alg, Run: func() error {
			_, _, err := r.Verify(tb.Context(), token)
			return err
		}})
	}
	return append(all, allocation.Operation{Name: "key set", Run: func() error {
		_, _, err := r.JWKS(tb.Context())
		return err
	}})
}
