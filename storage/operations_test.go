package storage_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/allocation"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

var update = flag.Bool("update", false, "write testdata/allocations.txt anew")

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func TestAllocations(t *testing.T) { allocation.Check(t, operations(t), *update) }

// operations are what requests ask of a Store, over a backend in memory.
func operations(tb testing.TB) []allocation.Operation {
	w := newWorld(tb)
	s := w.open(tb)
	ctx := tb.Context()
	notes, tokens, grants := notesOf(s), storage.AccessTokens(s), storage.Grants(s)
	grant := grantOf(w.clock())
	if err := notes.Put(ctx, &note{ID: "a", Text: "read me"}); err != nil {
		tb.Fatal(err)
	}
	if err := grants.Put(ctx, grant); err != nil {
		tb.Fatal(err)
	}
	return []allocation.Operation{
		{Name: "get", Run: func() error {
			_, err := notes.Get(ctx, "a")
			return err
		}},
		{Name: "recent", Run: func() error {
			_, err := notes.Recent(ctx, "a")
			return err
		}},
		{Name: "insert", Run: func() error {
			return notes.Insert(ctx, &note{ID: opaque.NewID(w.clock()), Text: "one insert", Owner: "alice"})
		}},
		{Name: "get a grant", Run: func() error {
			_, err := grants.Get(ctx, grant.ID)
			return err
		}},
		{Name: "insert an access token", Run: func() error {
			now := w.clock()
			return tokens.Insert(ctx, &storage.AccessToken{Key: opaque.NewID(now), Grant: grant.ID, ClientID: "web", Subject: "alice",
				Scopes: grant.Scopes, Audience: grant.Audience, IssuedAt: now, ExpiresAt: now.Add(time.Hour)})
		}},
		{Name: "change a grant", Run: func() error {
			return s.Do(ctx, func(ctx context.Context) error {
				g, err := grants.Get(ctx, grant.ID)
				if err != nil {
					return err
				}
				g.Refresh.Generation++
				return grants.Put(ctx, g)
			})
		}},
		{Name: "lookup", Run: func() error {
			s.Lookup("subject", "alice")
			return nil
		}},
	}
}

func grantOf(now time.Time) *storage.Grant {
	return &storage.Grant{
		ID: opaque.NewID(now), ClientID: "web", Subject: "alice", Scopes: []string{"openid", "profile", "notes:read"}, Audience: []string{"https://api.example"},
		SessionID: "session", AuthTime: now, Nonce: "n-0S6_WzA2Mj", Stamp: storage.Stamp{Subject: 1, Incarnation: "one"},
		Code:      &storage.Code{Hash: opaque.Random(32), Challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", RedirectURI: "https://web.example/cb", URISent: true, ExpiresAt: now, UsedAt: now},
		Refresh:   &storage.Refresh{Generation: 3, Head: opaque.Random(32), Previous: opaque.Random(32), Salt: opaque.Random(16), IssuedAt: now, RotatedAt: now, IdleEnd: now, End: now.Add(time.Hour)},
		CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}
