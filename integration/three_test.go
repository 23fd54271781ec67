//go:build unix

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/doorward/doorward/internal/pgtest"
	"github.com/doorward/doorward/server"
)

// trio is three real processes on one database behind a proxy that takes turns.
type trio struct {
	*site
	proxy *inTurn
	all   []*process
	dsn   string
}

func startTrio(t *testing.T, database *pgtest.Server) *trio {
	t.Helper()
	dsn := onServer(t, database)
	p := launch(t, t.TempDir())
	three := &trio{all: []*process{p, p.replica(t), p.replica(t)}, dsn: dsn}
	three.proxy = &inTurn{all: three.all}
	three.site = &site{issuer: p.issuer, clients: p.clients, transport: three.proxy}
	return three
}

// workers are people who use clients through one way to the provider.
func workers(t *testing.T, s *site, clients ...string) []*worker {
	t.Helper()
	var all []*worker
	for _, client := range clients {
		w := &worker{process: &process{site: s}, who: s.person(), client: client}
		if _, _, err := s.code(w.who, client, "alice", nil); err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

// under has workers busy while something happens, and holds every grant to its history
// afterwards, when the provider serves again.
func under(t *testing.T, all []*worker, happens func()) {
	t.Helper()
	var stop atomic.Bool
	var done atomic.Int64 // sign-ins with all that follows
	var busy sync.WaitGroup
	for _, w := range all {
		busy.Go(func() {
			for !stop.Load() {
				if w.work() {
					done.Add(1)
				} else { // that grant is cut off, the next may not be
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	happens()
	await(t, "the workers come to something", func() bool { return done.Load() >= 10 })
	stop.Store(true)
	busy.Wait()
	var found tally
	for _, w := range all {
		for _, c := range w.chains {
			w.judge(t, c, &found)
			if t.Failed() {
				return
			}
		}
		w.judgeSession(t)
	}
	t.Logf("%s", &found)
	if found.access == 0 || found.codes == 0 {
		t.Error("nothing was under way; the test proves nothing")
	}
}

// TestThreeProcesses runs the real binary three times on one PostgreSQL database: they
// serve flows in turn, use what works once once, rotate keys under a client that keeps
// the key set, and bear that one of them is killed or stopped.
func TestThreeProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("three processes take their time; two are looked at all the same")
	}
	three := startTrio(t, &databases)
	t.Run("flows", three.flows)
	t.Run("races", func(t *testing.T) { roundsOfFew(t, three.site) })
	t.Run("keys", three.keys)
	t.Run("stopped", three.stopped)
	t.Run("stopped under load", three.stoppedUnderLoad)
	t.Run("killed under load", three.killed)
}

func (three *trio) flows(t *testing.T) {
	must := answered(t)
	for range 4 { // so that each request meets each process
		alice := three.person()
		tokens := three.mustTokens(t, alice, "web")
		next := must(three.refresh("web", tokens.text("refresh_token"), nil))
		for range three.all {
			if answer := must(three.post("introspect", "web", url.Values{"token": {next.text("access_token")}})); answer.text("active") != "true" {
				t.Errorf("introspection: %s", answer)
			}
			if !three.works(t, next.text("access_token")) {
				t.Error("an access token does not work on all")
			}
		}
		if answer := must(three.post("revoke", "web", url.Values{"token": {next.text("refresh_token")}})); answer.status != http.StatusOK {
			t.Errorf("revoke: %s", answer)
		}
		for range three.all {
			if three.works(t, next.text("access_token")) {
				t.Error("a revoked access token works on one of them")
			}
		}
		must(send(alice.client, http.MethodGet, three.endpoint("logout")+"?id_token_hint="+next.text("id_token"), nil, ""))
		for range three.all {
			silent, _ := three.authorizeURL("web", url.Values{"prompt": {"none"}})
			if to := must(send(alice.client, http.MethodGet, silent, nil, "")).location(); to == nil || to.Query().Get("error") != "login_required" {
				t.Errorf("signing out is not known by all: %v", to)
			}
		}
	}
}

// keys has a fourth replica, in this process, rotate while one client that keeps the key
// set verifies every ID token that it gets.
func (three *trio) keys(t *testing.T) {
	fourth := start(t, plan{backend: "postgres", dsn: three.dsn, issuer: three.issuer, configure: func(c *server.Config) {
		c.Secrets = [][]byte{[]byte(wrapping)}
	}})
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: three.proxy})
	set := oidc.NewRemoteKeySet(ctx, three.endpoint("jwks"))
	alice := three.person()
	kids := map[string]int{}
	verify := func() string {
		token := three.mustTokens(t, alice, "own").text("id_token")
		if _, err := set.VerifySignature(ctx, token); err != nil {
			t.Fatalf("an ID token does not verify: %v", err)
		}
		kids[kidOf(t, token)]++
		return kidOf(t, token)
	}
	before := verify()
	if err := fourth.server.RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	for began, others := time.Now(), 0; others < 3*len(three.all); { // in a row
		if verify() == before {
			others = 0
		} else {
			others++
		}
		if time.Since(began) > ample {
			t.Fatalf("not all sign with the new key: %v", kids)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("ID tokens verified by kid: %v", kids)
}

// pause stops a process, as a machine that swaps or a debugger does, and goes on with it.
func (p *process) pause(t *testing.T) (goOn func()) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
}

// bound is how long the others may take while one is stopped. Who waited for it would be
// told after 10 seconds, when the database gives a statement up.
const bound = 9 * time.Second

// stopped stops one process in the middle of a refresh, and has another use the same
// token: it is answered within the bound, and when the first goes on, one of the two
// alone has the token. The moment of the stop is sought: later when the other one won,
// earlier when the first had won already.
func (three *trio) stopped(t *testing.T) {
	stopped, other := three.all[2], three.all[0]
	alice := three.person()
	won := [2]int{}
	var slowest time.Duration
	within := 2500 * time.Microsecond
	full := rounds(40)
	for round := 0; round < full || round < 20*full && (won[0] == 0 || won[1] == 0); round++ {
		token := three.mustTokens(t, alice, "strict").text("refresh_token")
		late := make(chan outcome, 1)
		go func() { late <- asOutcome(stopped.refresh("strict", token, nil)) }()
		time.Sleep(rand.N(within))
		goOn := stopped.pause(t)
		began := time.Now()
		second, err := other.refresh("strict", token, nil)
		slowest = max(slowest, time.Since(began))
		goOn()
		first := <-late
		if err != nil || first.err != nil {
			t.Fatalf("round %d: %v, %v", round, err, first.err)
		}
		successes := 0
		for i, answer := range []*reply{first.reply, second} {
			switch {
			case answer.status == http.StatusOK:
				successes++
				won[i]++
			case answer.status == http.StatusServiceUnavailable:
			case answer.text("error") != "invalid_grant":
				t.Fatalf("round %d: %s", round, answer)
			}
		}
		if successes > 1 {
			t.Fatalf("round %d: a refresh token worked twice", round)
		}
		if first.reply.status == http.StatusOK {
			within = max(within*4/5, 200*time.Microsecond)
		} else {
			within = min(within*5/4, time.Second)
		}
	}
	t.Logf("the one that was stopped won %d times, the other %d; the slowest answer meanwhile took %v", won[0], won[1], slowest)
	if slowest > bound {
		t.Errorf("the others waited %v for one that was stopped", slowest)
	}
	if won[0] == 0 || won[1] == 0 {
		t.Error("one of the two always won; the test proves nothing")
	}
}

// stoppedUnderLoad stops one that is busy, while the others go on.
func (three *trio) stoppedUnderLoad(t *testing.T) {
	all := workers(t, three.all[0].site, "own", "strict")
	all = append(all, workers(t, three.all[1].site, "own", "until")...)
	all = append(all, workers(t, three.all[2].site, "strict", "own", "fixed")...)
	under(t, all, func() {
		for range rounds(15) {
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			goOn := three.all[2].pause(t)
			for _, p := range three.all[:2] {
				began := time.Now()
				answer, err := p.post("token", "machine", machineGrant)
				if err != nil || answer.status != http.StatusOK || time.Since(began) > bound {
					t.Errorf("while one is stopped, after %v: %v %s", time.Since(began), err, answer)
				}
			}
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			goOn()
		}
	})
}

// killed kills one that is busy, again and again.
func (three *trio) killed(t *testing.T) {
	all := workers(t, three.site, "own", "strict", "until", "fixed", "strict", "own")
	under(t, all, func() {
		for range rounds(10) {
			time.Sleep(time.Duration(20+rand.IntN(80)) * time.Millisecond)
			three.all[1].kill()
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			three.all[1].run(t)
		}
	})
}

// TestDatabaseRestarts kills the database server itself under load: the replicas answer
// 503 meanwhile, and serve again by themselves. RFC 9110 §15.6.4
func TestDatabaseRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("three processes take their time; two are looked at all the same")
	}
	var own pgtest.Server
	t.Cleanup(own.Stop)
	own.Own(t)
	three := startTrio(t, &own)
	all := workers(t, three.site, "own", "strict", "until", "fixed")
	under(t, all, func() {
		for round := range rounds(5) {
			time.Sleep(100 * time.Millisecond)
			own.Crash(t)
			for _, p := range three.all {
				if err := holdOutage(p.site); err != nil {
					t.Error(err)
				}
			}
			own.Start(t)
			began := time.Now()
			for _, p := range three.all {
				for {
					answer, err := p.post("token", "machine", machineGrant)
					if err == nil && answer.status == http.StatusOK {
						break
					}
					if time.Since(began) > ample {
						t.Fatalf("round %d: no replica healed by itself: %v %s", round, err, answer)
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
			t.Logf("served again %v after the database did", time.Since(began).Round(time.Millisecond))
		}
	})
}

// holdOutage holds a replica without a database to 503: as JSON to a client, as a page
// to a person.
func holdOutage(s *site) error {
	began := time.Now()
	answer, err := s.post("token", "machine", machineGrant)
	if err == nil && (answer.status != http.StatusServiceUnavailable || answer.header.Get("Retry-After") == "" || time.Since(began) > 30*time.Second) {
		err = fmt.Errorf("without a database, after %v: %s", time.Since(began), answer)
	}
	if err != nil {
		return err
	}
	address, _ := s.authorizeURL("web", nil)
	page, err := send(s.person().client, http.MethodGet, address, nil, "")
	if err == nil && (page.status != http.StatusServiceUnavailable || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html")) {
		err = fmt.Errorf("without a database: %s", page)
	}
	return err
}
