package storagetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

func listCases() []testCase {
	return []testCase{
		{"list/kind", "List returns the records of a kind whole, in the order of their IDs", checkListKind},
		{"list/index", "List by index returns exactly the records that have the entry", checkListIndex},
		{"list/index follows writes", "index entries come and go with the record's Put and Delete", checkIndexFollows},
		{"list/counter", "a counter is listed as any record of its kind", checkListCounter},
		{"list/now", "List with Now leaves out what has expired by then and still fills its page", checkListNow},
	}
}

// expectList compares the IDs of one listing, read in both directions.
func expectList(ctx context.Context, b storage.Backend, q storage.Query, want []string, story string) error {
	q.Namespace, q.Kind, q.Limit = cmp.Or(q.Namespace, namespace), cmp.Or(q.Kind, kind), storage.MaxPage
	want = slices.Sorted(slices.Values(want))
	for _, q.Descending = range []bool{false, true} {
		found, err := b.List(ctx, q)
		if err != nil {
			return fmt.Errorf("List failed: %w", err)
		}
		got := make([]string, len(found))
		for i, r := range found {
			got[i] = r.ID
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s: List (descending: %t) returned %q, want %q", story, q.Descending, got, want)
		}
		slices.Reverse(want)
	}
	return nil
}

func checkListKind(ctx context.Context, b storage.Backend) error {
	if err := expectList(ctx, b, storage.Query{}, nil, "an empty store"); err != nil {
		return err
	}
	ops := []storage.Op{
		put("b", storage.Absent(), "2", entry("x", "1")),
		expiring(put("a", storage.Absent(), "1"), now.Add(time.Hour)),
		put("\xff", storage.Absent(), "5"), put("B", storage.Absent(), "3"), put("aa", storage.Absent(), "4"),
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	if err := expectList(ctx, b, storage.Query{}, []string{"B", "a", "aa", "b", "\xff"}, "records of one kind"); err != nil {
		return err
	}
	found, err := b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Limit: 10})
	if err != nil {
		return err
	}
	for _, r := range found {
		same, err := get(ctx, b, r.ID)
		if err != nil {
			return err
		}
		if diff := different(r, same); diff != "" {
			return fmt.Errorf("List and Get disagree on %q: %s", r.ID, diff)
		}
	}
	return nil
}

func checkListIndex(ctx context.Context, b storage.Backend) error {
	ops := []storage.Op{
		put("1", storage.Absent(), "v", entry("subject", "ann"), entry("resource", "r1"), entry("resource", "r2")),
		put("2", storage.Absent(), "v", entry("subject", "ann"), entry("resource", "r2")),
		put("3", storage.Absent(), "v", entry("subject", "bob"), entry("resource", "r2"), entry("resource", "r2")),
		put("4", storage.Absent(), "v", entry("subject", ""), entry("resource", "ann")),
		put("5", storage.Absent(), "v"),
		// What ends one part must not be mistaken for the beginning of the next.
		put("c", storage.Absent(), "v", entry("k", "ab")),
		put("bc", storage.Absent(), "v", entry("k", "a")),
		put("\x00c", storage.Absent(), "v", entry("k", "ab\x00")),
		put("c\x00", storage.Absent(), "v", entry("k", "ab\xff"), entry("k\x00", "z"), entry("k\x00y", "z")),
		put("d", storage.Absent(), "v", entry("k", "\x00z"), entry("k", "y\x00z")),
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	want := map[storage.Index][]string{
		entry("subject", "ann"): {"1", "2"},
		entry("subject", "bob"): {"3"},
		entry("subject", ""):    {"4"},
		entry("subject", "an"):  nil,
		entry("subject", "r2"):  nil,
		entry("resource", "r1"): {"1"},
		entry("resource", "r2"): {"1", "2", "3"},
		entry("resource", ""):   nil,
		entry("sub", "ann"):     nil,
		entry("k", "ab"):        {"c"},
		entry("k", "a"):         {"bc"},
		entry("k", "ab\x00"):    {"\x00c"},
		entry("k", "ab\xff"):    {"c\x00"},
		entry("k\x00", "z"):     {"c\x00"},
		entry("k", "\x00z"):     {"d"},
		entry("k\x00y", "z"):    {"c\x00"},
		entry("k", "y\x00z"):    {"d"},
		entry("k", ""):          nil,
	}
	var broken []error
	for e, expected := range want {
		q := storage.Query{Index: e.Name, Value: e.Value}
		broken = append(broken, expectList(ctx, b, q, expected, fmt.Sprintf("index %q, value %q", e.Name, e.Value)))
	}
	return errors.Join(broken...)
}

func checkIndexFollows(ctx context.Context, b storage.Backend) error {
	steps := []struct {
		story   string
		op      storage.Op
		x, y, z bool // the entries that list the record afterwards
	}{
		{"put with two entries", put("a", storage.Absent(), "1", entry("i", "x"), entry("i", "y")), true, true, false},
		{"put with one kept and one new", put("a", storage.Any(), "2", entry("i", "y"), entry("i", "z")), false, true, true},
		{"put without entries", put("a", storage.Any(), "3"), false, false, false},
		{"put with entries again", put("a", storage.Any(), "4", entry("i", "x"), entry("i", "z")), true, false, true},
		{"deleted", remove("a", storage.Any()), false, false, false},
		{"created with another entry", put("a", storage.Absent(), "5", entry("i", "y")), false, true, false},
	}
	if err := arrange(ctx, b, put("neighbour", storage.Absent(), "v", entry("i", "x"), entry("i", "y"), entry("i", "z"))); err != nil {
		return err
	}
	for _, s := range steps {
		if err := arrange(ctx, b, s.op); err != nil {
			return err
		}
		for value, listed := range map[string]bool{"x": s.x, "y": s.y, "z": s.z} {
			want := []string{"neighbour"}
			if listed {
				want = append(want, "a")
			}
			story := fmt.Sprintf("an index entry did not follow its record (%s, value %q)", s.story, value)
			if err := expectList(ctx, b, storage.Query{Index: "i", Value: value}, want, story); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkListCounter(ctx context.Context, b storage.Backend) error {
	if err := arrange(ctx, b, add("n", 3, 0, now.Add(time.Hour)), put("v", storage.Absent(), "v")); err != nil {
		return err
	}
	if err := arrange(ctx, b, add("n", 1, 0, time.Time{})); err != nil {
		return err
	}
	return expectList(ctx, b, storage.Query{}, []string{"n", "v"}, "a kind with a counter")
}

func checkListNow(ctx context.Context, b storage.Backend) error {
	var ops []storage.Op
	var live []string
	for i := range 90 {
		id := fmt.Sprintf("%02d", i)
		op := put(id, storage.Absent(), "v", entry("x", "1"))
		switch i % 3 {
		case 0:
			op.Expiry = now // expired: a record lives up to, not including, its expiry
		case 1:
			op.Expiry = now.Add(time.Millisecond)
			live = append(live, id)
		case 2:
			live = append(live, id)
		}
		ops = append(ops, op)
	}
	if err := arrange(ctx, b, ops...); err != nil {
		return err
	}
	for _, index := range []string{"", "x"} {
		q := storage.Query{Namespace: namespace, Kind: kind, Index: index, Value: strings.Repeat("1", len(index)), Now: now, Limit: storage.MaxPage}
		if err := expectList(ctx, b, q, live, "List with Now"); err != nil {
			return err
		}
		q.Limit = 20
		found, err := b.List(ctx, q)
		if err != nil {
			return err
		}
		if len(found) != q.Limit {
			return fmt.Errorf("List with Now returned a page of %d, want %d: the expired records took places on it", len(found), q.Limit)
		}
		q.Now, q.Limit = time.Time{}, storage.MaxPage
		if found, err = b.List(ctx, q); err != nil {
			return err
		}
		if len(found) != len(ops) {
			return fmt.Errorf("List without Now returned %d records, want all %d, expired ones too", len(found), len(ops))
		}
	}
	return nil
}
