package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
)

// shifted returns the DSN of a database whose clock is ahead of that of this machine. A
// machine whose clock is behind that of its database sees the same.
func shifted(t *testing.T, ahead string) string {
	t.Helper()
	dsn := server.Database(t)
	execute(t, dsn, `CREATE SCHEMA shifted; CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
		$$ SELECT pg_catalog.clock_timestamp() + interval '`+ahead+`' $$`)
	return with(dsn, "search_path=shifted,pg_catalog")
}

// Two replicas go by the clock of the database, not by that of their machine, which is an
// hour off: each sees what the other wrote end when it should, to within what the clock may
// be off.
func TestReplicasGoByTheClockOfTheDatabase(t *testing.T) {
	for _, ahead := range []string{"1 hour", "-1 hour"} {
		dsn := shifted(t, ahead)
		var backends [2]*postgres.Backend
		var stores [2]*storage.Store
		for i := range stores {
			backends[i] = open(t, dsn, postgres.Options{})
			var err error
			stores[i], err = storage.Open(t.Context(), backends[i], storage.Options{Namespace: "n", Secrets: [][]byte{[]byte("fK2p9QxLw7Vn4Rz1Tb6Yc8Hd3Jm5Gs0A")}})
			if err != nil {
				t.Fatal(err)
			}
		}
		asked := connect(t, dsn)
		truth := func() (now time.Time, within time.Duration) {
			sent := time.Now()
			if err := asked.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now); err != nil {
				t.Fatal(err)
			}
			half := time.Since(sent) / 2
			return now.Add(half), half
		}
		for i, s := range stores {
			before, unsure := truth()
			got := s.Now()
			reading := backends[i].Clock()
			after, unsureToo := truth()
			off := reading.Within + time.Millisecond
			if got.Before(before.Add(-unsure-off)) || got.After(after.Add(unsureToo+off)) {
				t.Errorf("%s: replica %d says %v, the database %v and then %v; it may be off by %v", ahead, i, got, before, after, reading.Within)
			}
			if reading.Within > 5*time.Second {
				t.Errorf("%s: replica %d knows the time to %v only", ahead, i, reading.Within)
			}
			if !reading.Least.Equal(reading.Now) && reading.Now.Sub(reading.Least).Abs() > reading.Within {
				t.Errorf("%s: the sweep of replica %d would go by %v at %v", ahead, i, reading.Least, reading.Now)
			}
		}
		type short struct {
			ID   string    `json:"id"`
			Ends time.Time `json:"ends"`
		}
		const life = 400 * time.Millisecond
		shorts := func(s *storage.Store) *storage.Collection[short] {
			return storage.Collect(s, "short", 1, func(v *short) storage.Meta { return storage.Meta{ID: v.ID, Expiry: v.Ends} })
		}
		ends := stores[0].Now().Add(life)
		if err := shorts(stores[0]).Insert(t.Context(), &short{ID: "a", Ends: ends}); err != nil {
			t.Fatal(err)
		}
		bound := backends[0].Clock().Within + backends[1].Clock().Within + time.Millisecond // expiries are kept in milliseconds
		seen := false
		for {
			before, unsure := truth()
			_, err := shorts(stores[1]).Get(t.Context(), "a")
			after, unsureToo := truth()
			gone := errors.Is(err, storage.ErrNotFound)
			if err != nil && !gone {
				t.Fatal(err)
			}
			if gone && after.Add(unsureToo+bound).Before(ends) {
				t.Errorf("%s: it ended %v early", ahead, ends.Sub(after))
			}
			if !gone && before.Add(-unsure-bound).After(ends) {
				t.Errorf("%s: it lives %v too long", ahead, before.Sub(ends))
			}
			if gone || before.After(ends.Add(time.Minute)) {
				break
			}
			seen = true
		}
		if !seen {
			t.Logf("%s: it was too slow to see the record alive", ahead)
		}
	}
}
