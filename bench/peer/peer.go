// Package peer is what the servers of the comparison have in common: who their clients
// are, how they say that they are ready, and how they end.
//
// A server is a program of its own. It listens on a port of loopback that the kernel
// chooses, writes one line of JSON (Ready) to its standard output as soon as it answers,
// writes another (Stats) whenever a line comes in on its standard input, and ends when
// the standard input does, so that none outlives the comparison. The server that runs on
// Node.js keeps to the same.
package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"time"
)

// The clients, the person and the API that every server knows. The secrets stand here
// because the load is the clients.
const (
	Machine       = "machine" // client credentials
	MachineSecret = "secret-of-machine-0123456789abcdef"
	Web           = "web" // code, refresh, introspection
	WebSecret     = "secret-of-web-0123456789abcdef"
	RedirectURI   = "https://web.test/cb"
	Scope         = "notes:read" // of the machine
	Audience      = "https://api.test"
	Password      = "wonderland-7781" // of everybody; no server checks it
)

// Options are the flags of every server.
type Options struct {
	Algorithm string // that signs: ES256 or RS256
	JWT       bool   // access tokens are JWTs, not opaque
	Dir       string // where files go; empty for those that keep none
	Clients   int    // further clients that are registered and not used
	Postgres  string // DSN of the database that ours keeps all in; empty: a file
	Profile   string // file that a profile of the CPU goes to; empty: none
}

// Flags reads the options from the command line.
func Flags() (Options, error) {
	var o Options
	flag.StringVar(&o.Algorithm, "alg", "ES256", "algorithm that signs: ES256 or RS256")
	flag.BoolVar(&o.JWT, "jwt", false, "access tokens are JWTs")
	flag.StringVar(&o.Dir, "dir", "", "folder for files")
	flag.IntVar(&o.Clients, "clients", 0, "further clients to register")
	flag.StringVar(&o.Postgres, "postgres", "", "DSN of a database, in place of a file")
	flag.StringVar(&o.Profile, "profile", "", "file for a profile of the CPU")
	flag.Parse()
	if o.Algorithm != "ES256" && o.Algorithm != "RS256" {
		return o, fmt.Errorf("peer: -alg is %q; write ES256 or RS256", o.Algorithm)
	}
	return o, nil
}

// Endpoints are the URLs of a server, by their names in a discovery document. What is
// empty is not there. RFC 8414 §2
type Endpoints struct {
	Discovery     string `json:"discovery,omitempty"`
	Authorization string `json:"authorization_endpoint,omitempty"`
	Token         string `json:"token_endpoint,omitempty"`
	UserInfo      string `json:"userinfo_endpoint,omitempty"`
	Introspection string `json:"introspection_endpoint,omitempty"`
	Revocation    string `json:"revocation_endpoint,omitempty"`
	Pushed        string `json:"pushed_authorization_request_endpoint,omitempty"`
	JWKS          string `json:"jwks_uri,omitempty"`
}

// Ready is what a server says when it answers requests.
type Ready struct {
	Issuer string `json:"issuer"`
	// Endpoints of a server without a discovery document; nil: it has one.
	Endpoints *Endpoints `json:"endpoints,omitempty"`
	// Lacks says why the server can't do an operation, by the operation's name.
	Lacks map[string]string `json:"lacks,omitempty"`
	// Plain says that it knows no OpenID Connect: its answers hold no ID token.
	Plain bool `json:"plain,omitempty"`
	// Constant says that its answers are made up, so that there is nothing to verify.
	Constant bool `json:"constant,omitempty"`
}

// Stats is what a server counted since it started; zero for those that count nothing.
type Stats struct {
	Counted bool  `json:"counted"` // the rest means something
	Commits int   `json:"commits"`
	Syncs   int   `json:"syncs"`
	File    int64 `json:"file"` // bytes of its file
	Live    int64 `json:"live"` // bytes of it that are used
}

// Server is a server to run.
type Server struct {
	Ready                               // but for the issuer
	Handler http.Handler                //
	Stats   func() Stats                // nil: nothing is counted
	Close   func() error                // after the last request; nil: nothing to close
	Run     func(context.Context) error // in the background; nil: nothing
}

// Serve makes a server for an issuer and runs it until the standard input ends.
func Serve(build func(ctx context.Context, issuer string) (*Server, error)) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + listener.Addr().String()
	s, err := build(ctx, issuer)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: s.Handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 2)
	go func() { ended <- web.Serve(listener) }()
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		if s.Run == nil {
			return
		}
		if err := s.Run(ctx); err != nil && ctx.Err() == nil {
			ended <- err
		}
	}()
	s.Ready.Issuer = issuer
	if err := json.NewEncoder(os.Stdout).Encode(s.Ready); err != nil {
		return err
	}
	go func() { ended <- answer(s) }()
	err = <-ended
	stop()
	web.Close()
	<-ran
	if s.Close != nil {
		err = errors.Join(err, s.Close())
	}
	return err
}

// answer writes the stats each time they are asked for. It returns nil when nobody asks
// any more.
func answer(s *Server) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var stats Stats
		if s.Stats != nil {
			stats = s.Stats()
		}
		if err := json.NewEncoder(os.Stdout).Encode(stats); err != nil {
			return err
		}
	}
	return lines.Err()
}

// gcPercent is for all servers in Go alike that of our single binary: with the few
// megabytes that any of them needs the default makes them collect all the time.
const gcPercent = 400

// Main runs a server by its command line and returns what its process is to exit with.
func Main(build func(ctx context.Context, o Options, issuer string) (*Server, error)) (code int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	o, err := Flags()
	if err == nil {
		err = profiled(o.Profile, func() error {
			return Serve(func(ctx context.Context, issuer string) (*Server, error) { return build(ctx, o, issuer) })
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// profiled does something and writes a profile of it, where a file is named.
func profiled(name string, do func() error) error {
	if name == "" {
		return do()
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}
