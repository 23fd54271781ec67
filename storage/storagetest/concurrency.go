package storagetest

import (
	"context"
	"fmt"
	"strings"

	"github.com/doorward/doorward/storage"
)

func concurrencyCases() []testCase {
	return []testCase{
		{"concurrency/disjoint", "batches that share no record all succeed, however many run at once", checkDisjoint},
		{"concurrency/crossed checks", "a Check holds until its batch is stored: two batches that each check what the other creates can't both succeed", checkCrossedChecks},
		{"concurrency/check against change", "a Check holds until its batch is stored: nothing is inserted after the record it checked was changed", checkCheckAgainstChange},
		{"concurrency/list snapshot", "one List is one snapshot", checkListSnapshot},
	}
}

func checkDisjoint(ctx context.Context, b storage.Backend) error {
	const callers, rounds = 64, 5
	err := together(callers, func(i int) error {
		for round := range rounds {
			id := fmt.Sprintf("%d/%d", round, i)
			err := apply(ctx, b,
				put(id+"/a", storage.Absent(), "v", entry("shared", "value")),
				put(id+"/b", storage.Absent(), "v", entry("shared", "value")),
				check(id+"/c", storage.Absent()))
			if err != nil {
				return fmt.Errorf("a batch that shares no record with another failed: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	found, err := b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Index: "shared", Value: "value", Limit: storage.MaxPage})
	if err == nil && len(found) != 2*callers*rounds {
		err = fmt.Errorf("%d records are listed after %d were created in parallel", len(found), 2*callers*rounds)
	}
	return err
}

func checkCrossedChecks(ctx context.Context, b storage.Backend) error {
	for round := range contestRounds {
		x, y := fmt.Sprintf("x %d", round), fmt.Sprintf("y %d", round)
		won, err := contest(2, func(i int) error {
			if i == 1 {
				return apply(ctx, b, check(x, storage.Absent()), put(y, storage.Absent(), "v"))
			}
			return apply(ctx, b, check(y, storage.Absent()), put(x, storage.Absent(), "v"))
		})
		if err != nil {
			return err
		}
		if won > 1 {
			return fmt.Errorf("in round %d two batches both succeeded though each had checked that the other's record is absent", round)
		}
	}
	return nil
}

// checkCheckAgainstChange is an insert of a token under a grant while the grant
// is revoked: the token may be older than the revocation, never younger.
func checkCheckAgainstChange(ctx context.Context, b storage.Backend) error {
	const inserts = 8
	for round := range contestRounds / 2 {
		grant := fmt.Sprintf("grant %d", round)
		at, err := arrangeContest(ctx, b, grant)
		if err != nil {
			return err
		}
		token := func(i int) string { return fmt.Sprintf("token %d/%d", round, i) }
		_, err = contest(inserts+1, func(i int) error {
			if i == inserts/2 {
				return apply(ctx, b, put(grant, storage.Any(), "revoked"))
			}
			return apply(ctx, b, check(grant, storage.At(at)), put(token(i), storage.Absent(), "v"))
		})
		if err != nil {
			return err
		}
		revoked, err := get(ctx, b, grant)
		if err != nil {
			return err
		}
		for i := range inserts + 1 {
			r, err := get(ctx, b, token(i))
			if err != nil {
				return err
			}
			if r.Revision > revoked.Revision {
				return fmt.Errorf("a record was inserted at revision %d though the one its batch checked had changed at revision %d", r.Revision, revoked.Revision)
			}
		}
	}
	return nil
}

// checkListSnapshot moves records within their order, out in one place and in at
// another in one batch, while others list them.
func checkListSnapshot(ctx context.Context, b storage.Backend) error {
	const records, writers, readers, rounds = 40, 2, 4, 100
	id := func(n, side int) string { return fmt.Sprintf("%c %03d", "az"[side], n) }
	var ops []storage.Op
	for n := range records {
		ops = append(ops, put(id(n, 0), storage.Absent(), "v", entry("x", "1")))
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	return alongside(writers, rounds, func(i, round int) error {
		n, side := round%(records/writers)*writers+i, round/(records/writers)%2
		err := apply(ctx, b, remove(id(n, side), storage.Any()), put(id(n, 1-side), storage.Absent(), "v", entry("x", "1")))
		if err != nil {
			return fmt.Errorf("moving a record failed: %w", err)
		}
		return nil
	}, readers, func(round int) error {
		q := storage.Query{Namespace: namespace, Kind: kind, Limit: 2 * records, Descending: round%2 == 1}
		if round%4 < 2 {
			q.Index, q.Value = "x", "1"
		}
		found, err := b.List(ctx, q)
		if err != nil {
			return fmt.Errorf("List failed under load: %w", err)
		}
		if len(found) != records {
			return fmt.Errorf("List saw half a batch: %d records while %d move about: %s", len(found), records, ids(found))
		}
		return nil
	})
}

func ids(records []storage.Record) string {
	var s strings.Builder
	for i, r := range records {
		if i == 20 {
			return s.String() + " ..."
		}
		fmt.Fprintf(&s, " %q", r.ID)
	}
	return s.String()
}
