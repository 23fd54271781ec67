package dpop_test

import (
	"testing"

	"github.com/doorward/doorward/internal/dpop"
)

// FuzzProof: whatever stands in the header is a proof or is refused with a reason, and
// what is taken has all that a caller counts on.
func FuzzProof(f *testing.F) {
	for _, m := range makers(f) {
		f.Add(m.proof(f, nil, nil), endpoint)
		f.Add(m.proof(f, map[string]any{"crit": []string{"x"}}, map[string]any{"nonce": "n", "ath": "x"}), "https://ID.example:443/%6fauth/../oauth/token?x")
	}
	f.Add("a.b.c", "http://[::1]/..")
	f.Add("", "%")
	f.Fuzz(func(t *testing.T, proof, address string) {
		p, d := dpop.Read(dpop.Request{Proofs: []string{proof}, Method: "POST", URLs: []string{endpoint, address}}, now)
		switch {
		case (p == nil) == (d == nil):
			t.Fatalf("both or neither: %v, %v", p, d)
		case d != nil && (d.Reason == "" || d.Text == ""):
			t.Fatalf("a refusal without a reason: %+v", d)
		case p != nil && (len(p.Thumbprint) != 43 || p.JTI == "" || len(p.JTI) > 128 || p.IssuedAt.Before(now.Add(-dpop.MaxAge)) || p.IssuedAt.After(now.Add(dpop.Leeway))):
			t.Fatalf("a proof that lacks something: %+v", p)
		}
	})
}
