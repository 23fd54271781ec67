package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
)

func TestManyOpenAtOnce(t *testing.T) {
	dsn := server.Database(t)
	const replicas = 8
	backends := make([]*postgres.Backend, replicas)
	var all sync.WaitGroup
	for i := range replicas {
		all.Go(func() {
			var err error
			if backends[i], err = postgres.OpenWith(t.Context(), dsn, postgres.Options{MaxConns: 2}); err != nil {
				t.Errorf("replica %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for i, b := range backends {
		if err := apply(t.Context(), b, put(fmt.Sprint(i), storage.Absent(), "v")); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
		if r := get(t, backends[0], fmt.Sprint(i)); r.Revision == 0 {
			t.Errorf("what replica %d wrote is not seen by the first", i)
		}
		t.Cleanup(func() { _ = b.Close() })
	}
	var rows int
	if err := connect(t, dsn).QueryRow(t.Context(), `SELECT count(*) FROM doorward.layout`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("the layout has %d rows, error %v, want one", rows, err)
	}
}

// TestRefused holds each refusal to one sentence that says what to do.
func TestRefused(t *testing.T) {
	dsn := server.Database(t)
	for _, c := range []struct {
		name    string
		prepare string
		dsn     string
		options postgres.Options
		says    string
	}{
		{name: "no DSN", dsn: " ", says: "the DSN is empty"},
		{name: "no DSN at all", dsn: "host=localhost port=secret99x", says: "the DSN can't be read"},
		{name: "a URL that is cut off", dsn: "postgres://ann:secret99@[::1/x", says: "the DSN can't be read"},
		{name: "a commit that is not synced", dsn: with(dsn, "synchronous_commit=off"), says: "would lose what was acknowledged"},
		{name: "a commit synced to another only", dsn: with(dsn, "synchronous_commit=remote_write"), says: "would lose what was acknowledged"},
		{name: "a negative limit", dsn: dsn, options: postgres.Options{MaxConns: -1}, says: "MaxConns is -1"},
		{name: "nobody listens", dsn: "host=127.0.0.1 port=1 user=ann password=secret99 dbname=x", says: "can't be reached"},
		{name: "no such database", dsn: with(dsn, "dbname=nowhere"), says: `database "nowhere" does not exist`},
		{
			name: "a newer layout", dsn: dsn, options: postgres.Options{Schema: "newer"},
			prepare: `CREATE SCHEMA newer; CREATE TABLE newer.layout (version integer); INSERT INTO newer.layout VALUES (99)`,
			says:    "made by a newer release (layout 99",
		},
		{
			name: "a layout without its number", dsn: dsn, options: postgres.Options{Schema: "emptied"},
			prepare: `CREATE SCHEMA emptied; CREATE TABLE emptied.layout (version integer)`,
			says:    "does not say its layout",
		},
		{
			name: "tables of another program", dsn: dsn, options: postgres.Options{Schema: "taken"},
			prepare: `CREATE SCHEMA taken; CREATE TABLE taken.records (id integer)`,
			says:    "holds objects of another program",
		},
		{
			name: "a user without rights", dsn: with(dsn, "user="+newRole(t, dsn, "ann"), "password=secret99"), options: postgres.Options{Schema: "forbidden"},
			says: `CREATE SCHEMA "forbidden" AUTHORIZATION`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.prepare != "" {
				execute(t, dsn, c.prepare)
			}
			b, err := postgres.OpenWith(t.Context(), c.dsn, c.options)
			if err == nil {
				_ = b.Close()
				t.Fatal("Open succeeded")
			}
			if !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "postgres: ") {
				t.Errorf("Open says %q, want %q in it", err, c.says)
			}
			if strings.Contains(err.Error(), "secret99") && !strings.Contains(c.dsn, "port=secret99x") {
				t.Errorf("Open tells the password: %q", err)
			}
		})
	}
}

// newRole makes a user with the password secret99 who goes when the test ends.
func newRole(t *testing.T, dsn, name string) string {
	t.Helper()
	role := fmt.Sprintf("doorward_test_%s_%d", name, os.Getpid())
	execute(t, dsn, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD 'secret99'`, role))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			_, err = conn.Exec(context.Background(), fmt.Sprintf(`DROP OWNED BY %s CASCADE; DROP ROLE %s`, role, role))
			_ = conn.Close(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	})
	return role
}

// A schema that an administrator made for a user who may make no other is used.
func TestSchemaOfAnotherOwner(t *testing.T) {
	dsn := server.Database(t)
	role := newRole(t, dsn, "bob")
	execute(t, dsn, `CREATE SCHEMA doorward AUTHORIZATION `+role)
	b := open(t, with(dsn, "user="+role, "password=secret99"), postgres.Options{})
	expectHealed(t, b, "a")
}

// Settings that the contract stands on win over those of the database; others are left to
// the DSN.
func TestSettings(t *testing.T) {
	dsn := server.Database(t)
	admin := connect(t, dsn)
	var name string
	if err := admin.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{`synchronous_commit = off`, `default_transaction_isolation = 'repeatable read'`} {
		execute(t, dsn, fmt.Sprintf(`ALTER DATABASE %s SET %s`, name, setting))
	}
	open(t, dsn, postgres.Options{}) // makes the schema
	execute(t, dsn, `CREATE TABLE public.seen AS SELECT ''::text AS name, ''::text AS setting WHERE false;
		CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.seen SELECT s, current_setting(s) FROM unnest(ARRAY['synchronous_commit',
				'transaction_isolation', 'statement_timeout', 'application_name', 'enable_seqscan',
				'enable_sort', 'enable_bitmapscan', 'plan_cache_mode']) s;
			RETURN NEW;
		END $$;
		CREATE TRIGGER note BEFORE INSERT ON doorward.records FOR EACH ROW EXECUTE FUNCTION public.note()`)
	b := open(t, with(dsn, "statement_timeout=3s", "application_name=mine"), postgres.Options{})
	if err := apply(t.Context(), b, put("a", storage.Absent(), "v")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"synchronous_commit": "on", "transaction_isolation": "read committed", "statement_timeout": "3s",
		"application_name": "mine", "enable_seqscan": "off", "enable_sort": "off", "enable_bitmapscan": "off",
		"plan_cache_mode": "force_generic_plan",
	} {
		var got string
		if err := admin.QueryRow(t.Context(), `SELECT setting FROM public.seen WHERE name = $1`, name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, error %v, want %q", name, got, err, want)
		}
	}
}

// What does not fit into an index of PostgreSQL is refused before it is sent.
func TestKeyTooLong(t *testing.T) {
	b := open(t, server.Database(t), postgres.Options{})
	// Bytes that can't be compressed, or the server would find room for more.
	random := make([]byte, 2500)
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	const nk = 2 // namespace and kind
	fits := string(random[:2500-nk])
	if err := apply(t.Context(), b, put(fits, storage.Absent(), "v")); err != nil {
		t.Errorf("the longest key: %v", err)
	}
	if r := get(t, b, fits); r.Revision == 0 {
		t.Error("the longest key is not there")
	}
	entry := storage.Index{Name: "x", Value: fits[:len(fits)-2]}
	if err := apply(t.Context(), b, put("a", storage.Absent(), "v", entry)); err != nil {
		t.Errorf("the longest index entry: %v", err)
	}
	entry.Value += "."
	for name, op := range map[string]storage.Op{
		"key": put(fits+".", storage.Any(), "v"), "index entry": put("a", storage.Any(), "v", entry),
	} {
		if err := apply(t.Context(), b, op); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("too long a %s returned %v, want %v", name, err, storage.ErrInvalid)
		}
	}
}
