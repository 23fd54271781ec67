package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/doorward/doorward/internal/pipe"
)

// Over TLS the limits are counted by request, as HTTP/2 has many on one connection: one
// that is too slow ends, and the connection when nothing else came for as long as an idle
// one may stay. What can't be written, because nobody reads, ends the connection itself.
func TestSlowHTTP2ConnectionsAreCutOff(t *testing.T) {
	const leaving = 10 * time.Second // more than HTTP/2 and TLS wait for their last words to be read
	half := http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(t, http.MethodGet)[:2]}
	post := http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(t, http.MethodPost), EndHeaders: true}
	get := http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(t, http.MethodGet), EndHeaders: true, EndStream: true}
	cert, key, _ := certificate(t, t.TempDir())
	chain, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		shakes, greets bool
		sends          *http2.HeadersFrameParam
		reads          bool // what comes, without making room for more of an answer
		after          time.Duration
	}{
		"no handshake":               {false, false, nil, false, headerTimeout},
		"nothing after it":           {true, false, nil, true, headerTimeout},
		"no request":                 {true, true, nil, true, idleTimeout},
		"half a header":              {true, true, &half, true, idleTimeout},
		"no body":                    {true, true, &post, true, readTimeout + idleTimeout},
		"no room for the answer":     {true, true, &get, true, writeTimeout + idleTimeout},
		"an answer that is not read": {true, true, &get, false, writeTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := pipe.Listen()
			web := bounded(http.HandlerFunc(slurp))
			web.TLSConfig = &tls.Config{Certificates: []tls.Certificate{chain}, MinVersion: tls.VersionTLS12}
			ended := make(chan error, 1)
			go func() { ended <- web.ServeTLS(l, "", "") }()
			client, gone, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			conn := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}})
			if c.shakes {
				if err := conn.Handshake(); err != nil {
					t.Fatal(err)
				}
				if c.reads {
					go func() { _, _ = io.Copy(io.Discard, conn) }()
				}
			}
			if c.greets {
				go func() { // who is not read can't go on writing for ever
					_, _ = io.WriteString(conn, http2.ClientPreface)
					f := http2.NewFramer(conn, nil)
					_ = f.WriteSettings()
					if c.sends != nil {
						_ = f.WriteHeaders(*c.sends)
					}
				}()
			}
			select {
			case <-gone:
				if after := time.Since(began); after < c.after || after > c.after+leaving {
					t.Errorf("%s: cut off after %v, not %v", name, after, c.after)
				}
			case <-time.After(time.Hour):
				t.Errorf("%s: never cut off", name)
			}
			_ = client.Close()
			_ = web.Close()
			<-ended
			synctest.Wait()
		})
	}
}

// headers is the header block of a request.
func headers(t *testing.T, method string) []byte {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "x"}, {":path", "/"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	return block.Bytes()
}
