package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loiterers are many connections to the real binary that do one slow or greedy thing each.
type loiterers struct {
	*process
	address string
	all     []net.Conn
}

// sluggards are what slow clients send, and whether they read the answers.
func sluggards(host string) map[string]string {
	post := "POST /oauth/token HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: " + formType + "\r\n"
	return map[string]string{
		"nothing":           "",
		"half a header":     "GET /oauth/jwks HTTP/1.1\r\nHost: " + host + "\r\nX-A: ",
		"half a body":       post + "Content-Length: 60000\r\n\r\ngrant_type=",
		"half a chunk":      post + "Transfer-Encoding: chunked\r\n\r\nffff\r\ngrant_type=",
		"unread answers":    strings.Repeat("GET /errors HTTP/1.1\r\nHost: "+host+"\r\n\r\n", 30),
		"an idle browser":   "GET /oauth/jwks HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"a form for a page": "POST /oauth/interaction/dwi_x HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: " + formType + "\r\nContent-Length: 60000\r\n\r\nx=",
	}
}

const formType = "application/x-www-form-urlencoded"

// join opens n connections that each send a text and then no more than a byte a second.
func (c *loiterers) join(t *testing.T, n int, text string) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			t.Fatalf("after %d connections: %v", len(c.all), err)
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		c.all = append(c.all, conn)
		go func() { _, _ = io.WriteString(conn, text) }() // who reads no answers can't go on for ever
	}
}

// drip sends one byte on each connection every now and then, until it is stopped.
func (c *loiterers) drip() (stop func()) {
	over := make(chan struct{})
	var dripping sync.WaitGroup
	dripping.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Second):
			}
			for _, conn := range c.all {
				_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
				_, _ = conn.Write([]byte("a")) // one that was cut off is what we wait for
			}
		}
	})
	return func() {
		close(over)
		dripping.Wait()
	}
}

// leave closes what is left of the crowd.
func (c *loiterers) leave() {
	for _, conn := range c.all {
		_ = conn.Close()
	}
	c.all = nil
}

// descriptors is how many files and connections a process has open.
func (p *process) descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// anonymous is the memory of a process that is not a file's, in bytes.
func (p *process) anonymous(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// honest gets somebody who is signed in tokens and refreshes them, n times one after the
// other, and returns the longest time.
func (p *process) honest(t *testing.T, who *person, n int) (longest time.Duration) {
	t.Helper()
	for range n {
		began := time.Now()
		tokens := p.mustTokens(t, who, "own")
		if answer := answered(t)(p.refresh("own", tokens.text("refresh_token"), nil)); answer.status != http.StatusOK {
			t.Fatalf("a refresh beside the crowd: %s", answer)
		}
		longest = max(longest, time.Since(began))
	}
	return longest
}

// TestSlowClients opens many connections to the real binary that send headers or bodies
// byte by byte, read no answers or do nothing: others are served meanwhile, a connection
// costs little, and nothing of them is left. DOORWARD_SLOW is how many; then they do not
// leave by themselves, and the binary has to cut them off, every one. RFC 9110 §15.5.9
func TestSlowClients(t *testing.T) {
	const few = 280
	all := demanded(t, "DOORWARD_SLOW", few)
	p := launch(t, t.TempDir())
	home, err := url.Parse(p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	c := &loiterers{process: p, address: home.Host}
	alice := p.person()
	p.mustTokens(t, alice, "own")
	alone := p.honest(t, alice, 10)
	files, memory := p.descriptors(t), p.anonymous(t)
	kinds := sluggards(home.Host)
	for _, text := range kinds {
		c.join(t, all/len(kinds), text)
	}
	defer c.leave()
	stop := c.drip()
	// The first ones are cut off after 10 seconds, so a slow machine never has all of them.
	opened := time.Now()
	await(t, "the crowd is inside", func() bool {
		return p.descriptors(t) >= files+len(c.all)*9/10 || time.Since(opened) > 5*time.Second
	})
	beside := p.honest(t, alice, 10)
	grown := p.anonymous(t) - memory
	t.Logf("%d connections: at most %v a sign-in beside them, %v without them; %d bytes of memory each", len(c.all), beside.Round(time.Millisecond), alone.Round(time.Millisecond), grown/len(c.all))
	if most := 64<<20 + len(c.all)*128<<10; grown > most { // a page of which nobody reads the end is held
		t.Errorf("%d connections cost %d bytes", len(c.all), grown)
	}
	if all == few {
		stop()
		c.leave()
	} else {
		defer stop()
	}
	began := time.Now()
	await(t, "all of them are gone", func() bool { return p.descriptors(t) <= files+8 })
	t.Logf("all of them were gone %v later", time.Since(began).Round(time.Second))
	p.honest(t, alice, 1)
}

// TestHugeRequests sends the real binary more than it takes: each is refused with a reason
// before the rest of it has come, and costs it no memory. RFC 9110 §15.5.14, RFC 6585 §5
func TestHugeRequests(t *testing.T) {
	p := launch(t, t.TempDir())
	home, err := url.Parse(p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	host := "Host: " + home.Host + "\r\n"
	form := host + "Content-Type: " + formType + "\r\n"
	long := strings.Repeat("a", 128<<10)
	const huge = "Content-Length: 40000000\r\n"
	before := p.anonymous(t)
	var senders sync.WaitGroup
	var peak atomic.Int64
	for name, c := range map[string]struct {
		text, more string
		want       int
		says       string
	}{
		"a body of 40 MB":             {"POST /oauth/token HTTP/1.1\r\n" + form + huge + "\r\nx=", "a", http.StatusRequestEntityTooLarge, "body_too_large"},
		"one that waits to be asked":  {"POST /oauth/token HTTP/1.1\r\n" + form + huge + "Expect: 100-continue\r\n\r\n", "a", http.StatusRequestEntityTooLarge, "body_too_large"},
		"a body that is a bit longer": {"POST /oauth/token HTTP/1.1\r\n" + form + "Content-Length: 65537\r\n\r\nx=", "a", http.StatusRequestEntityTooLarge, "body_too_large"},
		"a push":                      {"POST /oauth/par HTTP/1.1\r\n" + form + huge + "\r\nx=", "a", http.StatusRequestEntityTooLarge, "body_too_large"},
		"chunks without an end":       {"POST /oauth/token HTTP/1.1\r\n" + form + "Transfer-Encoding: chunked\r\n\r\n2\r\nx=\r\n", "1\r\na\r\n", http.StatusLengthRequired, "transfer_encoding"},
		"a page":                      {"POST /oauth/interaction/dwi_x HTTP/1.1\r\n" + form + huge + "\r\nx=", "a", http.StatusRequestEntityTooLarge, "64 KiB"},
		"the front page":              {"POST / HTTP/1.1\r\n" + form + huge + "\r\nx=", "a", http.StatusMethodNotAllowed, "Only GET"},
		"what is not there":           {"POST /nothing HTTP/1.1\r\n" + form + huge + "\r\nx=", "a", http.StatusNotFound, ""},
		"a long header":               {"GET /oauth/jwks HTTP/1.1\r\n" + host + "X-A: " + long, long, http.StatusRequestHeaderFieldsTooLarge, ""},
		"many headers":                {"GET /oauth/jwks HTTP/1.1\r\n" + host + strings.Repeat("X-A: b\r\n", 20_000), "X-A: b\r\n", http.StatusRequestHeaderFieldsTooLarge, ""},
		"a long URL":                  {"GET /oauth/authorize?x=" + long, long, http.StatusRequestHeaderFieldsTooLarge, ""},
	} {
		for range 6 {
			senders.Go(func() {
				status, body, closed := oversend(t, home.Host, c.text, c.more)
				if status != c.want || !strings.Contains(body, c.says) {
					t.Errorf("%s: answered %d:\n%.300s", name, status, body)
				}
				if !closed {
					t.Errorf("%s: it takes more and more", name)
				}
				now := int64(p.anonymous(t))
				for seen := peak.Load(); now > seen && !peak.CompareAndSwap(seen, now); seen = peak.Load() {
				}
			})
		}
	}
	senders.Wait()
	if grown := int(peak.Load()) - before; grown > 64<<20 {
		t.Errorf("together they cost %d bytes", grown)
	}
	p.honest(t, p.person(), 1)
}

// oversend sends a text, reads the answer, and sends more and more until it is cut off.
func oversend(t *testing.T, address, text, more string) (status int, body string, closed bool) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return 0, "", false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(ample))
	go func() { _, _ = io.WriteString(conn, text) }() // the answer may come before the end
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Error(err)
		return 0, "", false
	}
	read, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	const most = 64 << 20
	block := strings.Repeat(more, max(1, (32<<10)/len(more)))
	for sent := 0; sent < most; sent += len(block) {
		if _, err := io.WriteString(conn, block); err != nil {
			return answer.StatusCode, string(read), !isTimeout(err)
		}
	}
	return answer.StatusCode, string(read), false
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
