package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/doorward/doorward/bench/peer"
)

// built is what all tests start their servers from.
var built *workshop

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "doorward-bench-test-")
	if err == nil {
		built = &workshop{dir: dir, made: map[string]bool{}}
		code := m.Run()
		if err = built.close(); err == nil {
			os.Exit(code)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestOperations starts every server and does everything with it that it can, a few times:
// each answer is checked, and the first ones down to the signatures.
func TestOperations(t *testing.T) {
	lacking := map[string]int{ours: 0, "ceiling": 5, "node": 0, "fosite": 0, "go-oauth2": 6, "go-oauth2-file": 6}
	for _, p := range programs() {
		t.Run(p.name, func(t *testing.T) {
			if p.build == "" {
				requireNode(t)
			}
			r := launched(t, p, peer.Options{Algorithm: "ES256"})
			lacks := 0
			for _, o := range operations() {
				if o.lacking(r.site) != "" {
					lacks++
					continue
				}
				once(t, r, o)
			}
			if lacks != lacking[p.name] {
				t.Errorf("it lacks %d operations, want %d", lacks, lacking[p.name])
			}
		})
	}
}

// TestSignedTokens has the servers sign access tokens.
func TestSignedTokens(t *testing.T) {
	o, err := findOperation("client-credentials")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs() {
		for _, algorithm := range []string{"ES256", "RS256"} {
			t.Run(p.name+"/"+algorithm, func(t *testing.T) {
				if p.build == "" {
					requireNode(t)
				}
				once(t, launched(t, p, peer.Options{Algorithm: algorithm, JWT: true}), o)
			})
		}
	}
}

// requireNode skips where Node.js is not there, unless everything is required.
func requireNode(t *testing.T) {
	t.Helper()
	if os.Getenv("DOORWARD_REQUIRE") == "all" {
		return
	}
	if _, err := exec.LookPath("npm"); err != nil || testing.Short() {
		t.Skip("without Node.js, or in short: the server on Node.js is left out")
	}
}

func launched(t *testing.T, p program, o peer.Options) *running {
	t.Helper()
	r, err := built.launch(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// once does an operation ten times on two connections.
func once(t *testing.T, r *running, o operation) {
	t.Helper()
	c, err := newCrew(t.Context(), r.site, o, 2)
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.run(t.Context(), limit{count: 10})
	if err != nil {
		t.Fatal(err)
	}
	if result.operations != 10 || result.errors != 0 {
		t.Errorf("%s: %d operations, %d errors, want 10 and none: %v", o.name, result.operations, result.errors, result.err)
	}
	if result.used.cpu <= 0 || result.used.rss <= 0 {
		t.Errorf("%s: the process took %v and %d bytes", o.name, result.used.cpu, result.used.rss)
	}
	if r.program.name == ours && o.name == "refresh" && (result.stats.Commits == 0 || result.stats.Syncs < result.stats.Commits) {
		t.Errorf("%d commits, %d syncs: ours is to be durable", result.stats.Commits, result.stats.Syncs)
	}
}

// A server that can't start, or that goes away, is told of with what it said itself.
func TestServersThatFail(t *testing.T) {
	p, err := findProgram("ceiling")
	if err != nil {
		t.Fatal(err)
	}
	_, err = built.launch(t.Context(), p, peer.Options{Algorithm: "none"})
	if err == nil || !strings.Contains(err.Error(), "write ES256 or RS256") {
		t.Errorf("a server that does not start: %v", err)
	}
	r := launched(t, p, peer.Options{Algorithm: "ES256"})
	process, err := os.FindProcess(int(r.outsider))
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	if _, err := newCrew(t.Context(), r.site, operations()[0], 1); err == nil {
		t.Error("a server that has gone answered")
	}
}

// A single run on a server that somebody else started, by its URL.
func TestSingleRun(t *testing.T) {
	p, err := findProgram("ceiling")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // in memory will do: nothing that keeps files is started
	r := launched(t, p, peer.Options{Algorithm: "ES256"})
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-dir", dir, "-server", r.site.issuer, "-alg", "", "-op", "jwks", "-connections", "2", "-count", "20"}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| 20 |") {
		t.Errorf("it printed %s", out.String())
	}
	for _, args := range [][]string{{}, {"-compare", "-server", "node"}, {"-server", "nobody"}, {"-server", "ceiling", "-op", "nothing"}, {"-server", "ceiling", "-connections", "0"}, {"x"}} {
		if err := run(context.Background(), append([]string{"-dir", dir}, args...), &out); err == nil {
			t.Errorf("%v passed", args)
		}
	}
}
