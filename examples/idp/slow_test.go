package main

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorward/doorward/internal/pipe"
)

// slurp takes what is sent and has a long answer.
func slurp(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	_, _ = w.Write(make([]byte, 1<<20))
}

// Whoever is slow is cut off, and when: a byte now and then gains no time.
func TestSlowConnectionsAreCutOff(t *testing.T) {
	const post, get = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		first, drip string
		reads       bool // the answers
		after       time.Duration
	}{
		"nothing":                    {"", "", true, headerTimeout},
		"half a request line":        {"GET /oau", "", true, headerTimeout},
		"a header that never ends":   {"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", "a", true, headerTimeout},
		"headers that never end":     {"GET / HTTP/1.1\r\nHost: x\r\n", "X-A: a\r\n", true, headerTimeout},
		"no body":                    {post, "", true, readTimeout},
		"a body that never ends":     {post, "x", true, readTimeout},
		"chunks that never end":      {strings.Replace(post, "Content-Length: 100000", "Transfer-Encoding: chunked", 1), "1\r\nx\r\n", true, readTimeout},
		"nothing after an answer":    {get, "", true, idleTimeout},
		"a second request, half":     {get + "GET / HT", "", true, headerTimeout},
		"an answer that is not read": {get, "", false, writeTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := pipe.Listen()
			web := bounded(http.HandlerFunc(slurp))
			ended := make(chan error, 1)
			go func() { ended <- web.Serve(l) }()
			client, gone, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			go func() {
				_, err := io.WriteString(client, c.first)
				for err == nil && c.drip != "" {
					time.Sleep(time.Second)
					_, err = io.WriteString(client, c.drip)
				}
			}()
			if c.reads {
				go func() { _, _ = io.Copy(io.Discard, bufio.NewReader(client)) }()
			}
			select {
			case <-gone:
				if after := time.Since(began); after < c.after || after > c.after+time.Second {
					t.Errorf("%s: cut off after %v, not %v", name, after, c.after)
				}
			case <-time.After(time.Hour):
				t.Errorf("%s: never cut off", name)
			}
			_ = client.Close()
			_ = web.Close()
			<-ended
			time.Sleep(2 * time.Second) // who drips sees that the connection has ended
		})
	}
}
