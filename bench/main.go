// Command bench drives OpenID providers over HTTP and says how fast they are, what they
// take from the machine, and how ours compares with others.
//
//	go run . -compare                          the table of README.md
//	go run . -server doorward -op refresh      one server, one operation
//	go run . -server doorward -against node -op refresh
//	go run . -grow all                         our server with more and more to do
//	go run . -server https://id.example.com -op client-credentials -machine id:secret
//
// Tables go to standard output, progress to standard error. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/doorward/doorward/bench/peer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// began is when the program started: progress is told by the second.
var began = time.Now()

// progress tells a person what goes on.
func progress(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, values...))
}

// flags are those of the command line.
type flags struct {
	compare, write bool
	only           string
	growth, grants string
	load           string // of the machine, before
	plan           plan
	dir            string

	server, against, operation string
	options                    peer.Options
	count, pid                 int
	every                      time.Duration
	machine, web, redirect     string
	scope, webScope            string
	person, password           string
}

func parse(args []string) (*flags, error) {
	f := &flags{load: loadBefore()}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.BoolVar(&f.compare, "compare", false, "compare our server with its peers and print the tables")
	set.BoolVar(&f.write, "write", false, "with -compare or -grow all: write what was printed into README.md, too")
	set.StringVar(&f.only, "only", "", "with -compare: only rows whose title holds this")
	set.IntVar(&f.plan.connections, "connections", 32, "how many connections are kept alive")
	set.IntVar(&f.plan.pairs, "pairs", 5, "how often two servers take turns")
	set.DurationVar(&f.plan.time, "for", 0, "how long one run takes (10s; with -compare or -against 700ms, with -grow 3s)")
	set.IntVar(&f.plan.flows, "flows", 10_000, "with -compare: how many flows the memory is measured after")
	set.StringVar(&f.growth, "grow", "", "measure how our server bears more work: connections, clients, grants, idle, size or all")
	set.StringVar(&f.grants, "grants", "1000,100000", "with -grow grants: how many; a million takes a quarter of an hour to make")
	set.StringVar(&f.dir, "dir", "", "folder on a disk for databases and binaries (default: that of temporary files)")
	set.StringVar(&f.server, "server", "", "the server to drive: a URL, or doorward, ceiling, node, fosite, go-oauth2, go-oauth2-file")
	set.StringVar(&f.against, "against", "", "another one to take turns with")
	set.StringVar(&f.operation, "op", "client-credentials", "what to do: "+strings.Join(operationNames(), ", "))
	set.StringVar(&f.options.Algorithm, "alg", "ES256", "algorithm that signs: ES256 or RS256; of a server behind a URL it is only checked, empty: anything")
	set.BoolVar(&f.options.JWT, "jwt", false, "access tokens are JWTs")
	set.IntVar(&f.options.Clients, "clients", 0, "further clients to register (doorward alone)")
	set.StringVar(&f.options.Postgres, "postgres", "", "DSN of a database that our server keeps all in, in place of a file")
	set.StringVar(&f.options.Profile, "profile", "", "with -server and a name of one written in Go: file for a profile of its CPU, for go tool pprof")
	set.IntVar(&f.count, "count", 0, "end after so many operations, not after a time")
	set.DurationVar(&f.every, "every", 0, "how often each connection begins an operation (default: when the last has ended)")
	set.IntVar(&f.pid, "pid", 0, "of a server behind a URL on this machine: its process, to be measured")
	set.StringVar(&f.machine, "machine", peer.Machine+":"+peer.MachineSecret, "client for client credentials, id:secret")
	set.StringVar(&f.web, "web", peer.Web+":"+peer.WebSecret, "client for code flows, id:secret")
	set.StringVar(&f.redirect, "redirect", peer.RedirectURI, "redirect URI of the web client, which need not exist")
	set.StringVar(&f.scope, "scope", peer.Scope, "scope of client credentials")
	set.StringVar(&f.webScope, "web-scope", "openid", "scope of code flows")
	set.StringVar(&f.person, "person", "", "who signs in (default: many)")
	set.StringVar(&f.password, "password", peer.Password, "the password of who signs in")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%q is not understood: flags have a dash, see -help", set.Arg(0))
	}
	return f, f.check()
}

func (f *flags) check() error {
	if f.plan.time == 0 {
		switch {
		case f.compare || f.against != "":
			f.plan.time = 700 * time.Millisecond
		case f.growth != "":
			f.plan.time = 3 * time.Second
		default:
			f.plan.time = 10 * time.Second
		}
	}
	modes := 0
	for _, chosen := range []bool{f.compare, f.growth != "", f.server != ""} {
		if chosen {
			modes++
		}
	}
	switch {
	case modes != 1:
		return errors.New("write either -compare, or -grow, or -server and a URL or a name; -help tells more")
	case f.plan.connections < 1 || f.plan.pairs < 1 || f.plan.flows < 1 || f.plan.time < 0:
		return errors.New("-connections, -pairs, -flows and -for must be above 0")
	case f.options.Profile != "" && (f.server == "" || f.server == "node" || f.against != "" || strings.Contains(f.server, "://")):
		return errors.New("-profile is for one server that is written in Go and started here")
	case f.write && !(f.compare && f.only == "") && f.growth != "all":
		return errors.New("-write writes all tables, of -compare without -only, or of -grow all")
	}
	return nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	w, err := newWorkshop(f.dir)
	if err != nil {
		return err
	}
	if !strings.Contains(f.server, "://") { // one that is started here, and may keep files
		err = onDisk(w.dir)
	}
	switch {
	case err != nil:
	case f.compare:
		err = f.compareAll(ctx, w, out)
	case f.growth != "":
		err = f.grow(ctx, w, out)
	default:
		err = f.single(ctx, w, out)
	}
	if ctx.Err() != nil {
		err = errors.New("it was interrupted")
	}
	return errors.Join(err, w.close())
}

// compareAll prints all tables. What was measured before something failed is printed too.
func (f *flags) compareAll(ctx context.Context, w *workshop, out io.Writer) error {
	c := &comparison{}
	failed := c.measure(ctx, w, f)
	if len(c.outcomes) == 0 {
		return failed
	}
	text := fmt.Sprintf("Measured on %s in %.0f s: %d connections, the median of %d pairs of %v each. %s.\n\n",
		machine(ctx, w.dir, f.load), time.Since(began).Seconds(), f.plan.connections, f.plan.pairs, f.plan.time, versions(ctx)) + ratioTable(c.outcomes)
	if len(c.alones) > 0 {
		text += "\n" + aloneTable(c.alones)
	}
	if len(c.footprints) > 0 {
		text += "\n" + footprintTable(c.footprints, f.plan.flows)
	}
	text += "\nWhat each server did. CPU, written, kept and syncs are for one operation, of the server alone.\n\n" + figureTable(c.outcomes)
	if _, err := io.WriteString(out, text); err != nil {
		return errors.Join(failed, err)
	}
	if failed != nil || !f.write {
		return failed
	}
	return compared.writeInto("README.md", text)
}
