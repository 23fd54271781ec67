package postgres_test

import (
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
		for range 8 { // a prepared statement gets its lasting plan with the sixth call
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
