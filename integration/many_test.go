package integration

import (
	"context"
	"encoding/base32"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

// crowd is a server on a bolt file with many grants, of which some are refreshed.
type crowd struct {
	*world
	dir    string
	chains []string
}

const crowdChains = 400

// newCrowd fills a file with n grants. Those that are refreshed lie among the others by
// their age.
func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	c := &crowd{dir: t.TempDir()}
	c.world = start(t, plan{backend: "bolt", dir: c.dir, configure: func(config *server.Config) {
		config.Logger, config.OnEvent = slog.New(slog.DiscardHandler), nil
	}})
	alice := c.person()
	var model *storage.Grant
	for range 10 {
		for range crowdChains / 10 {
			c.chains = append(c.chains, c.mustTokens(t, alice, "strict").text("refresh_token"))
		}
		if model == nil {
			grants, _, err := c.server.Grants(t.Context(), "alice", storage.Page{Limit: 1, Descending: true})
			if err != nil || len(grants) == 0 {
				t.Fatal(err)
			}
			model = &grants[0]
		}
		c.fill(t, model, n/10)
	}
	return c
}

// fill stores n copies of a grant, each under a subject and an ID of its own.
func (c *crowd) fill(t *testing.T, model *storage.Grant, n int) {
	t.Helper()
	store := c.server.Store()
	const each = 50
	var all sync.WaitGroup
	for part := range 8 {
		all.Go(func() {
			for i := part * each; i < n; i += 8 * each {
				err := store.Do(context.Background(), func(ctx context.Context) error {
					for k := range min(each, n-i) {
						g := *model
						g.ID = idAt(store.Now())
						g.Subject = fmt.Sprintf("person-%d-%d", i+k, rand.Uint32())
						if err := storage.Grants(store).Insert(ctx, &g); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// idAt is an ID that lies where one made at that time does.
func idAt(at time.Time) string {
	var raw [16]byte
	for i := range raw {
		raw[i] = byte(rand.Uint32())
	}
	for i, ms := 0, at.UnixMilli(); i < 6; i++ {
		raw[i] = byte(ms >> (40 - 8*i))
	}
	return base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding).EncodeToString(raw[:])
}

// refreshOne refreshes one of the chains and says how long it took.
func (c *crowd) refreshOne(t *testing.T) time.Duration {
	t.Helper()
	i := rand.IntN(len(c.chains))
	began := time.Now()
	answer, err := c.refresh("strict", c.chains[i], nil)
	took := time.Since(began)
	if err != nil || answer.status != http.StatusOK {
		t.Fatalf("refresh: %v %s", err, answer)
	}
	c.chains[i] = answer.text("refresh_token")
	return took
}

// TestManyGrants refreshes by turns at a server with a thousand grants and at one with
// DOORWARD_GRANTS (docs/operate.md has the figures of a million), and tells what the
// single binary holds in memory over that file when it has nothing to do.
func TestManyGrants(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("it measures")
	}
	many := demanded(t, "DOORWARD_GRANTS", 20_000)
	few, lots := newCrowd(t, 1000), newCrowd(t, many)
	const refreshes = 3000
	var small, large []time.Duration
	for range refreshes {
		small, large = append(small, few.refreshOne(t)), append(large, lots.refreshOne(t))
	}
	slices.Sort(small)
	slices.Sort(large)
	at := func(all []time.Duration, percent int) time.Duration {
		return all[len(all)*percent/100].Round(time.Microsecond)
	}
	stats := lots.backend.(*bolt.Backend).Stats()
	t.Logf("refreshes among 1000 and among %d grants: median %v and %v, 99th percentile %v and %v; the file has %d MB",
		many, at(small, 50), at(large, 50), at(small, 99), at(large, 99), stats.FileBytes>>20)
	if at(large, 99) > 3*at(small, 99) {
		t.Errorf("among %d grants the 99th percentile is more than three times that among 1000", many)
	}
	if err := lots.backend.Close(); err != nil {
		t.Fatal(err)
	}
	binary(t) // it takes longer to make than to start
	began := time.Now()
	p := launch(t, lots.dir)
	ready := time.Since(began)
	p.mustTokens(t, p.person(), "own")
	time.Sleep(time.Second)
	t.Logf("the binary was ready after %v; at rest it has %s anonymous memory (RssAnon)", ready.Round(time.Millisecond), p.rssAnon(t))
}

// rssAnon is the memory of a process that is not a mapped file.
func (p *process) rssAnon(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), "status"))
	if err != nil {
		return "an unknown amount of" // not on Linux
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown amount of"
}
