package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/postgres"
)

// replicas opens one place twice, as two processes would.
func replicas(t testing.TB) [2]*postgres.Backend {
	dsn := server.Database(t)
	return [2]*postgres.Backend{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
}

func TestReplicasUseOnce(t *testing.T) {
	both := replicas(t)
	const rounds, callers = 20, 16
	for round := range rounds {
		code, token := fmt.Sprintf("code %d", round), fmt.Sprintf("token %d", round)
		if err := apply(t.Context(), both[0], put(code, storage.Absent(), "fresh")); err != nil {
			t.Fatal(err)
		}
		at := get(t, both[1], code).Revision
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				err := apply(t.Context(), both[i%2],
					put(code, storage.At(at), "used"),
					put(token, storage.Absent(), "v"),
					storage.Op{Action: storage.ActionAdd, Key: key("uses"), Delta: 1})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, storage.ErrConflict):
					t.Errorf("a batch returned %v", err)
				}
			})
		}
		all.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("in round %d %d callers used one code", round, n)
		}
	}
	if n := storage.Counter(get(t, both[0], "uses")); n != rounds {
		t.Errorf("%d uses were counted, want %d", n, rounds)
	}
}

func TestReplicasCountToOneCeiling(t *testing.T) {
	both := replicas(t)
	const callers, ceiling = 40, 15
	var passed atomic.Int64
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			err := apply(t.Context(), both[i%2], storage.Op{Action: storage.ActionAdd, Key: key("n"), Delta: 1, Ceiling: ceiling})
			if err == nil {
				passed.Add(1)
			} else if !errors.Is(err, storage.ErrLimit) {
				t.Errorf("an Add returned %v", err)
			}
		})
	}
	all.Wait()
	if n := passed.Load(); n != ceiling {
		t.Errorf("%d Adds passed a ceiling of %d", n, ceiling)
	}
}

// Nothing is inserted after the record that its batch checked has changed, also when the
// change and the insert pass through different replicas.
func TestReplicasCheckAgainstChange(t *testing.T) {
	both := replicas(t)
	const rounds, inserts = 20, 8
	for round := range rounds {
		grant := fmt.Sprintf("grant %d", round)
		if err := apply(t.Context(), both[0], put(grant, storage.Absent(), "live")); err != nil {
			t.Fatal(err)
		}
		at := get(t, both[0], grant).Revision
		token := func(i int) string { return fmt.Sprintf("token %d/%d", round, i) }
		var all sync.WaitGroup
		for i := range inserts {
			all.Go(func() {
				check := storage.Op{Action: storage.ActionCheck, Key: key(grant), If: storage.At(at)}
				if err := apply(t.Context(), both[i%2], check, put(token(i), storage.Absent(), "v")); err != nil && !errors.Is(err, storage.ErrConflict) {
					t.Errorf("an insert returned %v", err)
				}
			})
		}
		all.Go(func() {
			if err := apply(t.Context(), both[round%2], put(grant, storage.Any(), "revoked")); err != nil {
				t.Errorf("the change returned %v", err)
			}
		})
		all.Wait()
		changed := get(t, both[1], grant).Revision
		for i := range inserts {
			if r := get(t, both[0], token(i)); r.Revision > changed {
				t.Errorf("in round %d a record has revision %d though what it checked changed at %d", round, r.Revision, changed)
			}
		}
	}
}

// A batch that had to wait for a record commits later than one that passed it meanwhile, and
// has the higher revision.
func TestRevisionIsDrawnAfterWaiting(t *testing.T) {
	dsn := server.Database(t)
	b := open(t, dsn, postgres.Options{})
	holder, admin := connect(t, dsn), connect(t, dsn)
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, b.LockOf(key("a"))); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- apply(t.Context(), b, put("a", storage.Absent(), "v")) }()
	blocked(t, admin)
	if err := apply(t.Context(), b, put("b", storage.Absent(), "v")); err != nil {
		t.Error(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_unlock_all()`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if waited, passed := get(t, b, "a").Revision, get(t, b, "b").Revision; waited <= passed {
		t.Errorf("the batch that committed last has revision %d, the one before it %d", waited, passed)
	}
}

// Two replicas that sweep at the same time share the work: each record goes once.
func TestReplicasShareTheSweep(t *testing.T) {
	both := replicas(t)
	const expired = 3000
	for i := 0; i < expired; i += storage.MaxOps {
		var ops []storage.Op
		for n := i; n < min(i+storage.MaxOps, expired); n++ {
			op := put(fmt.Sprint(n), storage.Absent(), "v", storage.Index{Name: "x", Value: "1"})
			op.Expiry = now.Add(-time.Duration(n) * time.Second)
			ops = append(ops, op)
		}
		if err := apply(t.Context(), both[0], ops...); err != nil {
			t.Fatal(err)
		}
	}
	var total atomic.Int64
	var shares [2]atomic.Int64
	var all sync.WaitGroup
	for i, b := range both {
		all.Go(func() {
			for {
				n, err := b.Sweep(t.Context(), now, time.Millisecond)
				if err != nil {
					t.Error(err)
				}
				if n == 0 || err != nil {
					return
				}
				total.Add(int64(n))
				shares[i].Add(int64(n))
			}
		})
	}
	all.Wait()
	if n := total.Load(); n != expired {
		t.Errorf("%d records were swept, want %d: %d and %d", n, expired, shares[0].Load(), shares[1].Load())
	}
	for i := range shares {
		if shares[i].Load() == 0 {
			t.Error("one replica found nothing to sweep while the other did all")
		}
	}
	found, err := both[0].List(t.Context(), storage.Query{Namespace: "n", Kind: "k", Index: "x", Value: "1", Limit: 1})
	if err != nil || len(found) != 0 {
		t.Errorf("index entries were left behind: %d, error %v", len(found), err)
	}
}

func TestReplicasSeeTheLastCommit(t *testing.T) {
	both := replicas(t)
	at := now
	for step, later := range []time.Duration{0, 10 * time.Millisecond, time.Second, time.Hour, -2 * time.Hour} {
		if err := both[step%2].Apply(t.Context(), storage.Batch{Now: now.Add(later), Ops: []storage.Op{put("a", storage.Any(), "v")}}); err != nil {
			t.Fatal(err)
		}
		if later > 0 {
			at = now.Add(later)
		}
		for i, b := range both {
			got, err := b.LastCommit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if short := at.Sub(got); short < 0 || short >= time.Second || i == step%2 && later >= 0 && short != 0 {
				t.Errorf("after step %d replica %d says %v, want %v", step, i, got, at)
			}
		}
	}
}

func TestAnyBytes(t *testing.T) {
	both := replicas(t)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	odd := storage.Key{Namespace: "\xff\xfe'\"\\", Kind: "k\x01\x80", ID: string(all)}
	op := storage.Op{Action: storage.ActionPut, Key: odd, If: storage.Absent(), Value: all, Index: []storage.Index{{Name: string(all), Value: string(all)}}}
	if err := apply(t.Context(), both[0], op); err != nil {
		t.Fatal(err)
	}
	found, err := both[1].List(t.Context(), storage.Query{Namespace: odd.Namespace, Kind: odd.Kind, Index: string(all), Value: string(all), Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Key != odd || !bytes.Equal(found[0].Value, all) || len(found[0].Index) != 1 || found[0].Index[0] != op.Index[0] {
		t.Errorf("found %+v", found)
	}
}
