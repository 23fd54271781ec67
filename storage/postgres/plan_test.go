package postgres_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
)

// Every statement goes by an index, whatever the planner believed when it first saw it: a
// store that has grown must not be read as a whole for one record.
func TestNothingReadsWholeTables(t *testing.T) {
	dsn := server.Database(t)
	admin := connect(t, dsn)
	read := func() (tuples, whole int64) {
		t.Helper()
		err := admin.QueryRow(t.Context(), `SELECT coalesce(sum(idx_tup_fetch), 0)::bigint, coalesce(sum(seq_scan), 0)::bigint
			FROM pg_stat_user_tables WHERE schemaname = 'doorward' AND relname IN ('records', 'entries')`).Scan(&tuples, &whole)
		if err != nil {
			t.Fatal(err)
		}
		return tuples, whole
	}
	const building = 3 // each index was built by reading its table
	if err := open(t, dsn, postgres.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	b := open(t, dsn, postgres.Options{MaxConns: 1})
	use := func() {
		t.Helper()
		for range 8 { // by default the server would consider a lasting plan with the sixth call
			get(t, b, name(7))
			for _, q := range []storage.Query{{}, {Index: "x", Value: "3"}, {Now: now}, {Index: "x", Value: "3", Now: now, After: name(40)}} {
				q.Namespace, q.Kind, q.Limit = "n", "k", 10
				for _, q.Descending = range []bool{false, true} {
					if _, err := b.List(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := apply(t.Context(), b, put("new", storage.Any(), "v", storage.Index{Name: "x", Value: "3"})); err != nil {
				t.Fatal(err)
			}
			if err := apply(t.Context(), b, storage.Op{Action: storage.ActionDelete, Key: key("new"), If: storage.Any()}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Sweep(t.Context(), now.Add(-time.Second), time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	use() // the plans are made for empty tables
	const records = 4000
	fill(t, b, records)
	use()
	if err := b.Close(); err != nil { // a session reports its figures at the latest when it ends
		t.Fatal(err)
	}
	for range 6000 {
		if n, _ := read(); n > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	tuples, whole := read()
	if tuples == 0 {
		t.Error("the server has no figures: the test would prove nothing")
	}
	// Per round 1 record, 8 pages of 10 with their entries, and what is written.
	if most := int64(records*2 + 16*250); tuples > most {
		t.Errorf("%d rows were fetched, at most %d should be", tuples, most)
	}
	if whole != building {
		t.Errorf("%d statements read a whole table", whole-building)
	}
}

// No call has a plan made for it, which would take as long as carrying it out.
func TestPlansLast(t *testing.T) {
	b := open(t, server.Database(t), postgres.Options{MaxConns: 1})
	const calls = 8
	for range calls {
		get(t, b, name(7))
		if err := apply(t.Context(), b, put("a", storage.Any(), "v")); err != nil {
			t.Fatal(err)
		}
	}
	lasting, own, err := b.Plans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if lasting < 2*calls || own != 0 {
		t.Errorf("%d calls went by a lasting plan and %d by one of their own, want %d and 0", lasting, own, 2*calls)
	}
}

// A sweep and a page of a list read as many rows as they are asked for, not all that match:
// the plan, which knows neither number, must not sort.
func TestNothingReadsMoreThanAskedFor(t *testing.T) {
	dsn := server.Database(t)
	admin := connect(t, dsn)
	b := open(t, dsn, postgres.Options{MaxConns: 1})
	const records = 4000 // half of them expire
	fill(t, b, records)
	// The planner believes that little has expired, that rows stand in no order, and that
	// each step along an index is dear.
	execute(t, dsn, `ALTER TABLE doorward.records SET (autovacuum_enabled = off);
		UPDATE doorward.records SET expiry = 4e12 + (hashtext(encode(id, 'hex')) & 65535) WHERE expiry IS NOT NULL`)
	execute(t, dsn, `ANALYZE doorward.records, doorward.entries`)
	execute(t, dsn, `UPDATE doorward.records SET expiry = expiry - 4e12 + `+strconv.FormatInt(now.UnixMilli(), 10)+` WHERE expiry IS NOT NULL`)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	read := func() (n int64) {
		t.Helper()
		err := admin.QueryRow(t.Context(), `SELECT coalesce(sum(idx_tup_fetch), 0)::bigint
			FROM pg_stat_user_tables WHERE schemaname = 'doorward'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	b = open(t, with(dsn, "random_page_cost=1000", "effective_cache_size=1"), postgres.Options{MaxConns: 1})
	if n, err := b.Sweep(t.Context(), now.Add(24*time.Hour), 0); err != nil || n != 200 {
		t.Fatalf("a sweep deleted %d records, error %v, want one batch of 200", n, err)
	}
	q := storage.Query{Namespace: "n", Kind: "k", Limit: 10}
	if page, err := b.List(t.Context(), q); err != nil || len(page) != q.Limit {
		t.Fatalf("a page has %d records, error %v", len(page), err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var fetched int64
	for range 6000 { // a session reports its figures at the latest when it ends
		if fetched = read(); fetched > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if fetched == 0 {
		t.Error("the server has no figures: the test would prove nothing")
	}
	// Of each record that is swept it finds the record to lock it, again to delete it, and its entry.
	if most := int64(200*4 + 50); fetched > most {
		t.Errorf("%d rows were fetched, at most %d should be", fetched, most)
	}
}
