package storagetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/doorward/doorward/storage"
)

func pagingCases() []testCase {
	return []testCase{
		{"paging/complete", "pages joined by After hold every record once, in order, in either direction, whatever bytes the IDs have", checkPaging},
		{"paging/after a missing record", "After need not name a record that exists", checkAfterMissing},
		{"paging/while others write", "a record that stays is on exactly one page while others come and go", checkPagingUnderLoad},
	}
}

// trickyIDs are in no order and hold every kind of bytes; many are prefixes of
// others.
func trickyIDs() []string {
	random := rand.New(rand.NewPCG(1, 2))
	set := map[string]bool{strings.Repeat("k", 512): true, strings.Repeat("\xff", 40): true, strings.Repeat("\x00", 40): true}
	for b := range 256 {
		set[string([]byte{byte(b)})] = true
		set["p"+string([]byte{byte(b)})] = true
	}
	bytes := []byte{0x00, 0x01, 'a', 'b', 0x7f, 0x80, 0xfe, 0xff}
	for len(set) < 1300 {
		id := make([]byte, 1+random.IntN(6))
		for i := range id {
			id[i] = bytes[random.IntN(len(bytes))]
		}
		set[string(id)] = true
	}
	ids := make([]string, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

func checkPaging(ctx context.Context, b storage.Backend) error {
	all := trickyIDs()
	var ops []storage.Op
	var indexed []string
	for i, id := range all {
		op := put(id, storage.Absent(), "v "+id)
		if i%2 == 0 {
			op.Index = []storage.Index{entry("half", "v"), entry("half", "v\x00"), entry("other", id)}
			indexed = append(indexed, id)
		}
		ops = append(ops, op)
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	for _, list := range []struct {
		query storage.Query
		ids   []string
	}{
		{storage.Query{}, all},
		{storage.Query{Index: "half", Value: "v"}, indexed},
	} {
		for _, limit := range []int{7, 100, storage.MaxPage} {
			for _, descending := range []bool{false, true} {
				q := list.query
				q.Limit, q.Descending = limit, descending
				got, err := readPages(ctx, b, q)
				if err != nil {
					return err
				}
				if err := expectComplete(got, list.ids, q); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readPages lists page after page until one is short, as callers do.
func readPages(ctx context.Context, b storage.Backend, q storage.Query) ([]string, error) {
	q.Namespace, q.Kind = namespace, kind
	var got []string
	for {
		page, err := b.List(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("List failed: %w", err)
		}
		if len(page) > q.Limit {
			return nil, fmt.Errorf("a page of at most %d records has %d", q.Limit, len(page))
		}
		for _, r := range page {
			if len(got) > 0 && (r.ID == got[len(got)-1] || r.ID > got[len(got)-1] == q.Descending) {
				return nil, fmt.Errorf("List is out of order (descending: %t): %q comes after %q", q.Descending, r.ID, got[len(got)-1])
			}
			got = append(got, r.ID)
		}
		if len(page) < q.Limit {
			return got, nil
		}
		q.After = got[len(got)-1]
	}
}

func expectComplete(got, want []string, q storage.Query) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	where := fmt.Sprintf("(index %q, pages of %d, descending: %t)", q.Index, q.Limit, q.Descending)
	for i, id := range want {
		switch {
		case i == len(got) || got[i] > id:
			return fmt.Errorf("List skipped record %q across pages %s", id, where)
		case got[i] < id:
			return fmt.Errorf("List returned record %q twice or out of place %s", got[i], where)
		}
	}
	if len(got) > len(want) {
		return fmt.Errorf("List returned %d records too many %s", len(got)-len(want), where)
	}
	return nil
}

func checkAfterMissing(ctx context.Context, b storage.Backend) error {
	if err := arrange(ctx, b, put("b", storage.Absent(), "v", entry("x", "1")), put("d", storage.Absent(), "v", entry("x", "1"))); err != nil {
		return err
	}
	for _, step := range []struct {
		after      string
		descending bool
		want       []string
	}{
		{"a", false, []string{"b", "d"}}, {"b", false, []string{"d"}}, {"b\x00", false, []string{"d"}}, {"c", false, []string{"d"}}, {"d", false, nil}, {"e", false, nil},
		{"\xff\xff", true, []string{"d", "b"}}, {"e", true, []string{"d", "b"}}, {"d", true, []string{"b"}}, {"c", true, []string{"b"}}, {"b", true, nil}, {"a", true, nil},
	} {
		for _, q := range []storage.Query{{}, {Index: "x", Value: "1"}} {
			q.Namespace, q.Kind, q.After, q.Descending, q.Limit = namespace, kind, step.after, step.descending, 5
			found, err := b.List(ctx, q)
			if err != nil {
				return err
			}
			got := []string{}
			for _, r := range found {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, step.want) {
				return fmt.Errorf("List (index %q, descending: %t) after %q returned %q, want %q", q.Index, step.descending, step.after, got, step.want)
			}
		}
	}
	return nil
}

func checkPagingUnderLoad(ctx context.Context, b storage.Backend) error {
	const staying, writers, readers, rounds = 150, 2, 2, 200
	var ops []storage.Op
	var want []string
	for i := range staying {
		id := fmt.Sprintf("%03d stays", i)
		want = append(want, id)
		ops = append(ops, put(id, storage.Absent(), "v", entry("x", "1")))
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	return alongside(writers, rounds, func(i, round int) error {
		const places = 20
		id := fmt.Sprintf("%03d moves %d", round%places*staying/places, i)
		op := put(id, storage.Any(), "v", entry("x", "1"))
		if (round/places+round)%2 == 1 {
			op = remove(id, storage.Any())
		}
		if err := apply(ctx, b, op); err != nil {
			return fmt.Errorf("a write failed under load: %w", err)
		}
		return nil
	}, readers, func(round int) error {
		q := storage.Query{Limit: 11, Descending: round%2 == 1}
		if round%4 < 2 {
			q.Index, q.Value = "x", "1"
		}
		got, err := readPages(ctx, b, q)
		if err != nil {
			return err
		}
		got = slices.DeleteFunc(got, func(id string) bool { return !strings.HasSuffix(id, "stays") })
		return expectComplete(got, want, q)
	})
}
