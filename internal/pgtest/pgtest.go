// Package pgtest starts a PostgreSQL server for tests: the one that Debian packages, in a
// temporary directory, on a Unix socket in it that nobody else can reach.
//
//	var server pgtest.Server
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		server.Stop()
//		os.Exit(code)
//	}
//
//	func TestSomething(t *testing.T) { dsn := server.Database(t) ... }
//
// The environment variable DOORWARD_POSTGRES names a server that exists instead, as a DSN
// of a user that may create databases. Without either, tests are skipped; with
// DOORWARD_REQUIRE they fail.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout is how long a server may take to answer, also after a crash.
const startTimeout = 2 * time.Minute

// Server is a PostgreSQL server that starts when it is first needed. Its zero value is
// ready for use.
type Server struct {
	// Settings are added to postgresql.conf when the server is made, one "name = value"
	// each.
	Settings []string

	mu        sync.Mutex
	databases int
	dir       string // the server's own, "" before it was made
	process   *process
}

// process is a shell that holds the server as its child and ends it when its own input
// ends. So no server outlives the test, however the test ends.
type process struct {
	cmd   *exec.Cmd
	input io.Closer
	log   *bytes.Buffer
}

// Database returns the DSN of a new, empty database, which goes when the test ends.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	admin := s.DSN(t)
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("doorward_test_%d_%d", os.Getpid(), s.databases)
	s.mu.Unlock()
	execute(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if s.running() {
			execute(t, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		}
	})
	return With(admin, "dbname="+name)
}

// DSN returns a DSN of the server's first database, whose user may do everything.
func (s *Server) DSN(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("DOORWARD_POSTGRES"); dsn != "" && len(s.Settings) == 0 {
		return dsn
	}
	s.Start(t)
	return s.dsn()
}

func (s *Server) dsn() string {
	return "host=" + s.dir + " port=5432 user=postgres dbname=postgres"
}

// With adds a setting to a DSN of either form, "name=value"; it wins over what the DSN
// says. The value needs no quotes.
func With(dsn, setting string) string {
	switch {
	case !strings.Contains(dsn, "://"):
		return dsn + " " + setting
	case strings.Contains(dsn, "?"):
		return dsn + "&" + setting
	default:
		return dsn + "?" + setting
	}
}

func execute(t testing.TB, dsn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("pgtest: %s: %v", sql, err)
	}
}

// Own makes sure that the server is one of this process, which a test may crash and stop,
// and skips the test when it is not.
func (s *Server) Own(t testing.TB) {
	t.Helper()
	if os.Getenv("DOORWARD_POSTGRES") != "" && len(s.Settings) == 0 {
		t.Skip("the server that DOORWARD_POSTGRES names is not this test's to stop")
	}
	s.Start(t)
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil || s.dir == ""
}

// Start starts the server, made anew or as it was left by Stop or Crash.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return
	}
	bin, err := binaries()
	if err != nil {
		if os.Getenv("DOORWARD_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if s.dir == "" {
		if err := s.create(bin); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.start(bin); err != nil {
		t.Fatal(err)
	}
}

// binaries finds where the newest PostgreSQL of the system keeps its programs.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well formed
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed, and DOORWARD_POSTGRES names no server: run apt-get install postgresql")
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return versionOf(a) - versionOf(b) })), nil
}

func versionOf(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb)))) // 0 outside of Debian's tree
	return n
}

// create makes the data directory. Anybody who reaches the socket is let in, so its
// directory belongs to the server's user alone.
func (s *Server) create(bin string) error {
	dir, err := os.MkdirTemp("/tmp", "doorward-pg-") // the path of a socket must be short
	if err != nil {
		return err
	}
	if err := give(dir); err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"),
		"-U", "postgres", "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8")
	initdb.Dir = dir
	if err := become(initdb); err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	settings := append([]string{
		"listen_addresses = ''",
		"unix_socket_directories = '" + dir + "'",
		"port = 5432",
		"max_connections = 200",
	}, s.Settings...)
	f, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(settings, "\n") + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	s.dir = dir
	return nil
}

func (s *Server) start(bin string) error {
	// SIGINT is PostgreSQL's fast shutdown.
	const script = `"$@" </dev/null & server=$!; read -r line; kill -INT $server; wait $server`
	p := &process{log: &bytes.Buffer{}}
	p.cmd = exec.Command("sh", "-c", script, "sh", filepath.Join(bin, "postgres"), "-D", filepath.Join(s.dir, "data"))
	p.cmd.Dir = s.dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := become(p.cmd); err != nil {
		return err
	}
	input, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.input = input
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.dsn())
		if err == nil {
			s.process = p
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			p.end()
			return fmt.Errorf("pgtest: the server does not start: %w\n%s", err, p.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// end lets the server shut down and waits for it.
func (p *process) end() {
	_ = p.input.Close()
	_ = p.cmd.Wait() // tells how the server ended, which a crash test has decided itself
}

// Stop shuts the server down and removes its files. It ends the use of the Server.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.end()
		s.process = nil
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
		s.dir = ""
	}
}

// Crash kills the server, which has to recover from its log when Start starts it again.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		t.Fatal("pgtest: there is no server to crash")
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	postmaster, err := os.FindProcess(pid)
	if err == nil {
		err = postmaster.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.process.end()
	s.process = nil
}

// Demote restarts the server as a standby, which can only be read, and Promote as a
// primary again.
func (s *Server) Demote(t testing.TB) {
	t.Helper()
	s.restart(t, func(signal string) error { return os.WriteFile(signal, nil, 0o644) })
}

// Promote undoes Demote.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.restart(t, os.Remove)
}

func (s *Server) restart(t testing.TB, between func(signal string) error) {
	t.Helper()
	s.Start(t)
	s.mu.Lock()
	s.process.end()
	s.process = nil
	err := between(filepath.Join(s.dir, "data", "standby.signal"))
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	s.Start(t)
}
