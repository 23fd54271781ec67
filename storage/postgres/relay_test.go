package postgres_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// relay stands between a backend and its server and fails as networks do.
type relay struct {
	t       *testing.T
	target  string // a Unix socket or an address
	network string
	address string
	dsn     string

	deaf atomic.Bool

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newRelay(t *testing.T, dsn string) *relay {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t}
	r.network, r.target = addressOf(config)
	r.open()
	host, port, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.dsn = fmt.Sprintf("host=%s port=%s user=%s password='%s' dbname=%s sslmode=disable", host, port, config.User, config.Password, config.Database)
	t.Cleanup(r.close)
	return r
}

func addressOf(config *pgx.ConnConfig) (network, address string) {
	if config.Host[0] == '/' {
		return "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	return "tcp", net.JoinHostPort(config.Host, fmt.Sprint(config.Port))
}

// listen chooses an address that can be had again after close: its port lies below those
// that systems give out by themselves.
func (r *relay) listen() (net.Listener, error) {
	if r.address != "" {
		return net.Listen("tcp", r.address)
	}
	for tries := 1000; ; tries-- {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil || tries == 0 {
			return listener, err
		}
	}
}

// open listens, at the same address each time.
func (r *relay) open() {
	r.t.Helper()
	listener, err := r.listen()
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.listener, r.address = listener, listener.Addr().String()
	r.mu.Unlock()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go r.carry(client)
		}
	}()
}

// close cuts every connection and refuses new ones.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.listener.Close()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// loseAnswers cuts a connection instead of handing on what the server says.
func (r *relay) loseAnswers(on bool) { r.deaf.Store(on) }

func (r *relay) carry(client net.Conn) {
	upstream, err := net.Dial(r.network, r.target)
	if err != nil {
		_ = client.Close()
		return
	}
	r.mu.Lock()
	r.conns = append(r.conns, client, upstream)
	r.mu.Unlock()
	go func() {
		_, _ = io.Copy(upstream, client)
		_ = upstream.Close()
	}()
	defer func() { _ = client.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := upstream.Read(buffer)
		if err != nil || r.deaf.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
