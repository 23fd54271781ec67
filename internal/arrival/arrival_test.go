package arrival

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that time can be that of a bubble.
type pipes struct {
	incoming chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.incoming:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.incoming <- server
	return client
}

// serve runs a server in the bubble of a test.
func serve(t *testing.T, web *http.Server) *pipes {
	t.Helper()
	p := &pipes{incoming: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(p) }()
	t.Cleanup(func() {
		_ = web.Close()
		<-ended
	})
	return p
}

const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"

// RFC 9110 §15.5.9
func TestWithin(t *testing.T) { synctest.Test(t, within) }

func within(t *testing.T) {
	const most = 30 * time.Second
	got := make(chan error, 1)
	gone := make(chan bool, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Within(w, r, most)
		_, err := io.ReadAll(r.Body)
		got <- err
		if err == nil {
			select { // what the handler does then takes long
			case <-r.Context().Done():
				gone <- true
			case <-time.After(10 * most):
				gone <- false
			}
		}
	})
	p := serve(t, &http.Server{Handler: handler})
	for name, c := range map[string]struct {
		pause time.Duration // before each byte of the body
		late  bool
	}{
		"at once": {0, false}, "in time": {most/3 - time.Second, false}, "a byte each 29 s": {most - time.Second, true}, "never": {24 * time.Hour, true},
	} {
		conn := p.dial()
		began := time.Now()
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			for range 3 {
				time.Sleep(c.pause)
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
			}
		})
		err := <-got
		if Late(err) != c.late || (err != nil) != c.late {
			t.Errorf("%s: %v", name, err)
		}
		if waited := time.Since(began); c.late && waited != most {
			t.Errorf("%s: it was waited for %v", name, waited)
		}
		if !c.late && <-gone {
			t.Errorf("%s: the request ended while it was answered", name)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.Close != c.late {
			t.Errorf("%s: %v, the connection closes: %v", name, err, err == nil && answer.Close)
		}
		_ = conn.Close()
		sending.Wait()
	}
}

// Nothing of the request before is left on the connection.
func TestTheNextRequestHasItsOwnTime(t *testing.T) { synctest.Test(t, nextRequest) }

func nextRequest(t *testing.T) {
	const most = time.Second
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ours" {
			Within(w, r, most)
		}
		_, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
	})
	p := serve(t, &http.Server{Handler: handler})
	conn := p.dial()
	reader := bufio.NewReader(conn)
	for _, path := range []string{"/ours", "/of-the-host", "/ours", "/of-the-host"} {
		if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if path == "/of-the-host" {
			time.Sleep(time.Hour)
		}
		if _, err := io.WriteString(conn, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(reader, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		time.Sleep(time.Hour)
	}
	_ = conn.Close()
}

// A server's own time counts, whether it is shorter or longer.
func TestAReadTimeoutComesFirst(t *testing.T) {
	for _, timeout := range []time.Duration{time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			got := make(chan error, 1)
			p := serve(t, &http.Server{ReadTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				Within(w, r, time.Minute)
				_, err := io.ReadAll(r.Body)
				got <- err
			})})
			conn := p.dial()
			defer conn.Close()
			began := time.Now()
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			if err := <-got; !Late(err) || time.Since(began) != timeout {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	}
}
