package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/doorward/doorward/internal/pgtest"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
)

// blockWrites stops every write to the records of the default schema until unblock.
func blockWrites(t *testing.T, dsn string) (unblock func()) {
	t.Helper()
	tx, err := connect(t, dsn).Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `LOCK TABLE doorward.records IN EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback(context.Background()) }
}

// blocked waits until a session of the backend waits for a lock, and returns its process.
func blocked(t *testing.T, admin *pgx.Conn) (pid int) {
	t.Helper()
	for range 6000 {
		err := admin.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'doorward' AND wait_event_type = 'Lock'`).Scan(&pid)
		if err == nil {
			return pid
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no session waits for a lock")
	return 0
}

func expectHealed(t *testing.T, b storage.Backend, id string) {
	t.Helper()
	if err := apply(t.Context(), b, put(id, storage.Any(), "healed")); err != nil {
		t.Errorf("the next batch failed: %v", err)
	}
	if r := get(t, b, id); string(r.Value) != "healed" {
		t.Errorf("the next batch left %q", r.Value)
	}
}

func TestTerminatedAmidApply(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, dsn, postgres.Options{})
	admin := connect(t, dsn)
	unblock := blockWrites(t, dsn)
	done := make(chan error)
	go func() { done <- apply(t.Context(), b, put("a", storage.Absent(), "v")) }()
	if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, blocked(t, admin)); err != nil {
		t.Fatal(err)
	}
	err := <-done
	unblock()
	if !errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a batch whose session was ended returned %v, want %v alone", err, storage.ErrUnknown)
	}
	if r := get(t, b, "a"); r.Revision != 0 {
		t.Error("a batch whose session was ended before the commit is there")
	}
	expectHealed(t, b, "a")
	if s := b.Stats(); s.Unknowns != 1 || s.Commits != 1 {
		t.Errorf("Stats says %+v", s)
	}
}

func TestStatementTimeout(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, with(dsn, "statement_timeout=2s"), postgres.Options{})
	unblock := blockWrites(t, dsn)
	err := apply(t.Context(), b, put("a", storage.Absent(), "v"))
	unblock()
	if !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrUnknown) {
		t.Errorf("a batch that the server gave up returned %v, want %v alone", err, storage.ErrUnavailable)
	}
	if r := get(t, b, "a"); r.Revision != 0 {
		t.Error("a batch that the server gave up is there")
	}
	expectHealed(t, b, "a")
}

func TestEveryConnectionBusy(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, dsn, postgres.Options{MaxConns: 1})
	b.SetPatience(100*time.Millisecond, time.Minute)
	admin := connect(t, dsn)
	unblock := blockWrites(t, dsn)
	done := make(chan error)
	go func() { done <- apply(t.Context(), b, put("a", storage.Absent(), "v")) }()
	blocked(t, admin)

	if err := apply(t.Context(), b, put("b", storage.Absent(), "v")); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrUnknown) {
		t.Errorf("a batch without a connection returned %v, want %v alone", err, storage.ErrUnavailable)
	}
	if _, err := b.Get(t.Context(), key("b")); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a Get without a connection returned %v, want %v", err, storage.ErrUnavailable)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := apply(short, b, put("b", storage.Absent(), "v")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a batch whose context ended before it was sent returned %v, want %v", err, context.DeadlineExceeded)
	}
	unblock()
	if err := <-done; err != nil {
		t.Errorf("the batch that had to wait for a lock returned %v", err)
	}
	b.SetPatience(time.Minute, time.Minute)
	if r := get(t, b, "b"); r.Revision != 0 {
		t.Error("a batch that was not sent is there")
	}
	expectHealed(t, b, "b")
}

// A batch that was sent is not called back: the caller learns what became of it, and the
// connection lives on.
func TestContextEndsAfterSending(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, dsn, postgres.Options{})
	admin := connect(t, dsn)
	unblock := blockWrites(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- apply(ctx, b, put("a", storage.Absent(), "v")) }()
	blocked(t, admin)
	cancel()
	unblock()
	if err := <-done; err != nil {
		t.Errorf("a batch whose context ended after it was sent returned %v", err)
	}
	if r := get(t, b, "a"); string(r.Value) != "v" {
		t.Error("a batch that was acknowledged is not there")
	}
}

func TestAnswerLost(t *testing.T) {
	relay := newRelay(t, server.Database(t))
	b := open(t, relay.dsn, postgres.Options{MaxConns: 1})
	if err := apply(t.Context(), b, put("a", storage.Absent(), "first")); err != nil {
		t.Fatal(err)
	}
	relay.loseAnswers(true)
	err := apply(t.Context(), b, put("a", storage.Any(), "second"))
	relay.loseAnswers(false)
	if !errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a batch whose answer was lost returned %v, want %v alone", err, storage.ErrUnknown)
	}
	if r := get(t, b, "a"); string(r.Value) != "second" {
		t.Errorf("the batch did not reach the server: the record holds %q", r.Value)
	}
	expectHealed(t, b, "a")
}

func TestNoAnswerInTime(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, dsn, postgres.Options{})
	b.SetPatience(time.Minute, 200*time.Millisecond)
	unblock := blockWrites(t, dsn)
	err := apply(t.Context(), b, put("a", storage.Absent(), "v"))
	unblock()
	if !errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a batch without an answer returned %v, want %v alone", err, storage.ErrUnknown)
	}
}

func TestOutOfReach(t *testing.T) {
	relay := newRelay(t, server.Database(t))
	b := open(t, relay.dsn, postgres.Options{})
	expectHealed(t, b, "a")
	relay.close()
	for i := range 3 {
		// A connection that was cut while it was idle may take the first batch with it.
		err := apply(t.Context(), b, put("a", storage.Any(), "away"))
		if !errors.Is(err, storage.ErrUnavailable) && (i > 0 || !errors.Is(err, storage.ErrUnknown)) {
			t.Errorf("batch %d without a server returned %v, want %v", i, err, storage.ErrUnavailable)
		}
		if _, err := b.Get(t.Context(), key("a")); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("a Get without a server returned %v, want %v", err, storage.ErrUnavailable)
		}
		if _, err := b.List(t.Context(), storage.Query{Namespace: "n", Kind: "k", Limit: 1}); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("a List without a server returned %v, want %v", err, storage.ErrUnavailable)
		}
		if _, err := b.Sweep(t.Context(), now, time.Second); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("a Sweep without a server returned %v, want %v", err, storage.ErrUnavailable)
		}
		if _, err := b.LastCommit(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("LastCommit without a server returned %v, want %v", err, storage.ErrUnavailable)
		}
	}
	relay.open()
	expectHealed(t, b, "a")
}

// TestCrashAndStandby takes a server of its own through what happens to servers.
func TestCrashAndStandby(t *testing.T) {
	own := pgtest.Server{Settings: []string{"max_wal_senders = 0"}}
	t.Cleanup(own.Stop)
	dsn := own.DSN(t)
	b := open(t, dsn, postgres.Options{})
	expectHealed(t, b, "a")
	own.Crash(t)
	if err := apply(t.Context(), b, put("a", storage.Any(), "away")); !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrUnknown) {
		t.Errorf("a batch after a crash of the server returned %v", err)
	}
	own.Start(t)
	if r := get(t, b, "a"); string(r.Value) != "healed" {
		t.Errorf("after a crash the record holds %q", r.Value)
	}
	expectHealed(t, b, "b")

	own.Demote(t)
	for i := range 3 {
		err := apply(t.Context(), b, put("a", storage.Any(), "standby"))
		if !errors.Is(err, storage.ErrUnavailable) && (i > 0 || !errors.Is(err, storage.ErrUnknown)) {
			t.Errorf("batch %d on a standby returned %v, want %v", i, err, storage.ErrUnavailable)
		}
	}
	if _, err := b.Get(t.Context(), key("a")); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a Get on a standby, which may be behind, returned %v, want %v", err, storage.ErrUnavailable)
	}
	if _, err := postgres.Open(t.Context(), dsn); err == nil || !strings.Contains(err.Error(), "name the primary") {
		t.Errorf("Open of a standby returned %v", err)
	}
	own.Promote(t)
	expectHealed(t, b, "a")
}

// A server can become read-only under sessions that are open.
func TestReadOnly(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, dsn, postgres.Options{})
	expectHealed(t, b, "a")
	admin := connect(t, dsn)
	var name string
	if err := admin.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	execute(t, dsn, fmt.Sprintf(`ALTER DATABASE %s SET default_transaction_read_only = on`, name))
	if _, err := postgres.Open(t.Context(), dsn); err == nil || !strings.Contains(err.Error(), "can only be read") {
		t.Errorf("Open of a read-only database returned %v", err)
	}
	execute(t, with(dsn, "default_transaction_read_only=off"), fmt.Sprintf(`ALTER DATABASE %s RESET default_transaction_read_only`, name))

	execute(t, dsn, `CREATE FUNCTION public.frozen() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE 'cannot execute in a read-only transaction' USING ERRCODE = 'read_only_sql_transaction'; END $$;
		CREATE TRIGGER frozen BEFORE UPDATE ON doorward.records EXECUTE FUNCTION public.frozen()`)
	if err := apply(t.Context(), b, put("a", storage.Any(), "frozen")); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrUnknown) {
		t.Errorf("a batch on a database that became read-only returned %v, want %v alone", err, storage.ErrUnavailable)
	}
	execute(t, dsn, `DROP TRIGGER frozen ON doorward.records`)
	expectHealed(t, b, "a")
}

// Adds never conflict, whatever the server makes of a race.
func TestAddsAreRepeated(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, dsn, postgres.Options{})
	execute(t, dsn, `CREATE SEQUENCE public.tries;
		CREATE FUNCTION public.trip() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('public.tries') < 3 THEN RAISE 'tripped' USING ERRCODE = 'deadlock_detected'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER trip BEFORE INSERT ON doorward.records FOR EACH ROW EXECUTE FUNCTION public.trip()`)
	add := storage.Op{Action: storage.ActionAdd, Key: key("n"), Delta: 1}
	if err := apply(t.Context(), b, put("a", storage.Any(), "v"), add); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a batch that met a deadlock returned %v, want %v", err, storage.ErrConflict)
	}
	if err := apply(t.Context(), b, add); err != nil {
		t.Errorf("an Add that met a deadlock returned %v", err)
	}
	if n := storage.Counter(get(t, b, "n")); n != 1 {
		t.Errorf("the counter stands at %d, want 1", n)
	}
}
