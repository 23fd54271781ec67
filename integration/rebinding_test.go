package integration

import (
	"context"
	wire "encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/doorward/doorward/server"
)

// rebound is a name server that answers with a public address first and with this machine
// from then on.
func rebound(asked *atomic.Int64) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			for {
				var size [2]byte
				if _, err := io.ReadFull(theirs, size[:]); err != nil {
					return
				}
				query := make([]byte, wire.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(theirs, query); err != nil {
					return
				}
				var m dnsmessage.Message
				if err := m.Unpack(query); err != nil {
					return
				}
				m.Response, m.Additionals = true, nil
				if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
					at := [4]byte{127, 0, 0, 1}
					if asked.Add(1) == 1 {
						at = [4]byte{8, 8, 8, 8}
					}
					m.Answers = []dnsmessage.Resource{{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: at},
					}}
				}
				packed, err := m.Pack()
				if err != nil {
					return
				}
				if _, err := theirs.Write(append(wire.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

// TestReboundDocument: a client_id whose name leads elsewhere than it did when it was looked
// at first leads nowhere. WB-09
func TestReboundDocument(t *testing.T) {
	p := newPublisher(t)
	_, port, _ := net.SplitHostPort(p.host)
	id := "https://rebind.example.com:" + port + "/client.json"
	p.publish(p.document(id))
	var asked atomic.Int64
	before := net.DefaultResolver
	net.DefaultResolver = rebound(&asked)
	t.Cleanup(func() { net.DefaultResolver = before })
	seen, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
	if err != nil || len(seen) != 1 || seen[0].String() != "8.8.8.8" {
		t.Fatalf("a look before: %v, %v", seen, err)
	}
	try := func(w *world) *reply {
		w.knows(id, "https://app.test/cb")
		address, _ := w.authorizeURL(id, nil)
		answer, err := send(w.person().client, http.MethodGet, address, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	w := start(t, plan{configure: func(c *server.Config) { c.Registration.Documents, c.Roots = true, p.roots }})
	answer := try(w)
	if answer.status != http.StatusBadRequest || !strings.Contains(string(w.journal.all()), "not on the open Internet") {
		t.Errorf("%s", answer)
	}
	if n := p.connections.Load(); n != 0 || asked.Load() < 2 {
		t.Errorf("%d connections were made, %d names asked for", n, asked.Load())
	}
	// The same name leads there where it may, so the test could have failed.
	free := start(t, plan{configure: func(c *server.Config) {
		c.Registration.Documents, c.Roots = true, p.roots
		c.Insecure.FetchHosts = []string{"rebind.example.com:" + port}
	}})
	_ = try(free)
	if n := p.connections.Load(); n == 0 {
		t.Error("where it is allowed nobody connects either, so nothing was shown")
	}
}
