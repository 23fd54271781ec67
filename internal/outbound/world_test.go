package outbound

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// origin is an https server on this machine that counts the connections it gets.
type origin struct {
	*httptest.Server
	host        string // host:port
	roots       *x509.CertPool
	connections atomic.Int64
	requests    atomic.Int64
}

func serve(t *testing.T, handler http.HandlerFunc) *origin {
	t.Helper()
	o := &origin{roots: x509.NewCertPool()}
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.requests.Add(1)
		handler(w, r)
	}))
	o.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			o.connections.Add(1)
		}
	}
	o.StartTLS()
	t.Cleanup(o.Close)
	o.roots.AddCert(o.Certificate())
	o.host = strings.TrimPrefix(o.URL, "https://")
	return o
}

// free returns a client that may talk to the origin.
func (o *origin) free() *Client { return New(Options{Hosts: []string{o.host}, Roots: o.roots}) }

// port returns the port of the origin, for a name that leads to it.
func (o *origin) port() string {
	_, port, _ := net.SplitHostPort(o.host)
	return port
}

// names is a name server of which the test says what it answers.
type names struct{ answer func(nth int64) []netip.Addr }

// resolver is a real resolver that asks the name server, over a pipe.
func (n names) resolver() *net.Resolver {
	var asked atomic.Int64
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }()
			for {
				query, err := framed(theirs)
				if err != nil {
					return
				}
				reply, isA := respond(query, nil)
				if isA {
					reply, _ = respond(query, n.answer(asked.Add(1)))
				}
				if _, err := theirs.Write(binary.BigEndian.AppendUint16(nil, uint16(len(reply)))); err != nil {
					return
				}
				if _, err := theirs.Write(reply); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

func framed(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

// respond answers a query of one question. RFC 1035 §4.1
func respond(query []byte, addresses []netip.Addr) (reply []byte, isA bool) {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	isA = binary.BigEndian.Uint16(query[end-4:]) == 1
	reply = append(reply, query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0)
	reply = append(reply, query[12:end]...)
	for _, a := range addresses {
		four := a.As4()
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		reply = append(reply, four[:]...)
	}
	return reply, isA
}

func fetch(t *testing.T, c *Client, r Request) (*Document, error) {
	t.Helper()
	if r.Limit == 0 {
		r.Limit = 1 << 10
	}
	return c.Get(t.Context(), r)
}

func wantDetail(t *testing.T, err error, part string) {
	t.Helper()
	if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(Detail(err), part) {
		t.Errorf("the error is %v (%s), want one about %q", err, Detail(err), part)
	}
	if err != nil && err.Error() != (*Error)(nil).Error() {
		t.Errorf("the error tells %q", err)
	}
}

const short = 200 * time.Millisecond
