package integration

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

const (
	sweepBudget = 5 * time.Millisecond  // what Server.Run gives a sweep
	sweepBound  = 20 * time.Millisecond // what it may hold the writer at most, syncs not counted
	month       = 30 * 24               // hours
)

// growth is a server whose clock runs a month in a minute.
type growth struct {
	*world
	store *bolt.Backend
	alice *person
	holds []time.Duration // of each sweep
}

// TestGrowth signs people in for a month of simulated time, DOORWARD_LOGINS times in
// all: what is in the file then depends on what has not ended alone, no sweep held the
// writer for long, and the file can be made small again.
func TestGrowth(t *testing.T) {
	logins := 50_000
	switch {
	case testing.Short(), raced:
		logins = 1500
	}
	logins = demanded(t, "DOORWARD_LOGINS", logins)
	hourly := max(logins/month, 1)
	g := newGrowth(t)
	began := time.Now()
	var half []storage.Tally
	var halfBytes int64
	for hour := range month {
		g.signIn(t, hourly)
		if hour == month/2 {
			half, halfBytes = g.census(t), g.store.Stats().FileBytes
		}
		if hour < month-1 {
			g.advance(time.Hour)
			g.sweep(t)
		}
	}
	full := g.census(t)
	t.Logf("%d logins took %v; %v", hourly*month, time.Since(began).Round(time.Second), full)
	g.holdCensus(t, hourly, half, full)
	stats := g.store.Stats()
	if stats.FileBytes > halfBytes*3/2 {
		t.Errorf("the file went on growing: %d bytes after half of the month, %d at its end", halfBytes, stats.FileBytes)
	}
	g.holdSweeps(t, stats)
	g.holdCompact(t, stats)
}

// newGrowth keeps the file in memory where that is possible: a sync costs nothing
// there, and what is measured is the rest.
func newGrowth(t *testing.T) *growth {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "doorward-growth-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &growth{}
	g.world = start(t, plan{backend: "bolt", dir: dir, configure: func(c *server.Config) {
		c.Logger, c.OnEvent = slog.New(slog.DiscardHandler), nil // a month of it is much
		c.Clients = append(c.Clients, storage.Client{
			ID: "short", FirstParty: true, Secret: "secret-of-short-0123456789abcdef", RedirectURIs: []string{"https://short.test/cb"},
			GrantTypes: []string{storage.GrantAuthorizationCode}, Scope: "openid profile", DefaultScope: "openid",
		})
	}})
	g.store = g.backend.(*bolt.Backend)
	g.alice = g.person()
	if _, _, err := g.code(g.alice, "short", "alice", url.Values{"scope": {"openid profile"}}); err != nil {
		t.Fatal(err)
	}
	return g
}

// signIn gets n codes and redeems them.
func (g *growth) signIn(t *testing.T, n int) {
	t.Helper()
	var next atomic.Int64
	var failed atomic.Pointer[reply]
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
				address, verifier := g.authorizeURL("short", url.Values{"prompt": {"none"}, "scope": {"openid profile"}})
				answer, err := send(g.alice.client, http.MethodGet, address, nil, "")
				if err != nil || answer.location() == nil {
					failed.Store(answer)
					return
				}
				answer, err = g.exchange("short", answer.location().Query().Get("code"), verifier, nil)
				if err != nil || answer.status != http.StatusOK {
					failed.Store(answer)
					return
				}
			}
		})
	}
	all.Wait()
	if answer := failed.Load(); answer != nil {
		t.Fatalf("a sign-in failed: %s", answer)
	}
}

// sweep deletes all that is due, as Server.Run does, and notes how long each sweep held
// the writer.
func (g *growth) sweep(t *testing.T) {
	t.Helper()
	for {
		before := g.store.Stats().SweepTime
		n, err := g.server.Store().Sweep(t.Context(), sweepBudget)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		g.holds = append(g.holds, g.store.Stats().SweepTime-before)
	}
}

func (g *growth) census(t *testing.T) []storage.Tally {
	t.Helper()
	kinds, err := g.store.Count(context.WithoutCancel(t.Context()), g.now())
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// holdCensus holds what is stored to what was signed in within the last hours.
func (g *growth) holdCensus(t *testing.T, hourly int, half, full []storage.Tally) {
	t.Helper()
	const kept = 25 // hours: one that they live and a day until the sweep
	tally := func(kinds []storage.Tally, kind string) storage.Tally {
		i := slices.IndexFunc(kinds, func(k storage.Tally) bool { return k.Kind == kind })
		if i < 0 {
			return storage.Tally{}
		}
		return kinds[i]
	}
	// A grant ends a moment after the last token that hangs on it.
	for kind, hours := range map[string]int{"access": 1, "grant": 2} {
		now, then := tally(full, kind), tally(half, kind)
		if live := hours * hourly; now.Live != live || then.Live != live {
			t.Errorf("%d %s records live after half of the month and %d at its end; %d have not ended", then.Live, kind, now.Live, live)
		}
		if most := kept * hourly; now.Expired > most || then.Expired > most {
			t.Errorf("%d and %d %s records have ended and are there; a day's are %d", then.Expired, now.Expired, kind, most)
		}
	}
	for _, kind := range full {
		if kind.Kind != "grant" && kind.Kind != "access" && kind.Live+kind.Expired > 10 {
			t.Errorf("there are %d records of kind %s", kind.Live+kind.Expired, kind.Kind)
		}
	}
}

// holdSweeps holds sweeps to their time. One in a thousand may be longer, since the
// machine has other things to do than to run this test.
func (g *growth) holdSweeps(t *testing.T, stats bolt.Stats) {
	t.Helper()
	slices.Sort(g.holds)
	n := len(g.holds)
	if n == 0 || stats.Swept == 0 {
		t.Fatal("nothing was swept")
	}
	late := 0
	for _, d := range g.holds {
		if d > sweepBound {
			late++
		}
	}
	t.Logf("%d sweeps deleted %d records; they held the writer for %v at the median, %v at the 99th percentile, %v at most; %d longer than %v",
		n, stats.Swept, g.holds[n/2], g.holds[n*99/100], g.holds[n-1], late, sweepBound)
	// Whatever else the machine does may stop a sweep for longer, so some may be late.
	if !raced && late > n/10+3 {
		t.Errorf("%d of %d sweeps held the writer for more than %v", late, n, sweepBound)
	}
}

// holdCompact ends everything, and holds the file to become small.
func (g *growth) holdCompact(t *testing.T, before bolt.Stats) {
	t.Helper()
	g.advance(48 * time.Hour)
	g.sweep(t)
	for _, kind := range g.census(t) {
		if kind.Kind == "grant" || kind.Kind == "access" {
			t.Errorf("two days later there are %v", kind)
		}
	}
	folder := t.TempDir()
	copied, small := filepath.Join(folder, "copied.db"), filepath.Join(folder, "small.db")
	if _, err := g.store.BackupFile(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := bolt.Compact(t.Context(), copied, small); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(small)
	if err != nil {
		t.Fatal(err)
	}
	after := g.store.Stats()
	t.Logf("the file has %d bytes, of which %d are free; compacted it has %d", after.FileBytes, after.FreePages*after.PageBytes, info.Size())
	if info.Size() > 1<<20 || info.Size() >= before.FileBytes {
		t.Errorf("a compacted file without sign-ins has %d bytes, before %d", info.Size(), before.FileBytes)
	}
	if after.FreePages <= before.FreePages {
		t.Errorf("Stats shows %d free pages, and %d when the month was over", after.FreePages, before.FreePages)
	}
}
