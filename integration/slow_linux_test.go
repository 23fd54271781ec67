package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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

// sluggard is what a slow client sends.
type sluggard struct{ name, text string }

// sluggards are all kinds of them, those that may stay longest first: the others are to be
// inside at the same time.
func sluggards(host string) []sluggard {
	post := "POST /oauth/token HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: " + formType + "\r\n"
	return []sluggard{
		{"unread answers", strings.Repeat("GET /errors HTTP/1.1\r\nHost: "+host+"\r\n\r\n", 30)},
		{"an idle browser", "GET /oauth/jwks HTTP/1.1\r\nHost: " + host + "\r\n\r\n"},
		{"half a body", post + "Content-Length: 60000\r\n\r\ngrant_type="},
		{"a form for a page", "POST /oauth/interaction/dwi_x HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: " + formType + "\r\nContent-Length: 60000\r\n\r\nx="},
		{"half a chunk", post + "Transfer-Encoding: chunked\r\n\r\nffff\r\ngrant_type="},
		{"half a header", "GET /oauth/jwks HTTP/1.1\r\nHost: " + host + "\r\nX-A: "},
		{"nothing", ""},
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

// drip sends one byte a second on each connection, one after the other, until it is stopped.
func (c *loiterers) drip() (stop func()) {
	const parts = 100
	over := make(chan struct{})
	var dripping sync.WaitGroup
	dripping.Go(func() {
		for part := 0; ; part = (part + 1) % parts {
			select {
			case <-over:
				return
			case <-time.After(time.Second / parts):
			}
			for i := part; i < len(c.all); i += parts {
				_ = c.all[i].SetWriteDeadline(time.Now().Add(time.Millisecond))
				_, _ = c.all[i].Write([]byte("a")) // one that was cut off is what we wait for
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
// other, and returns how long each took, the shortest first.
func (p *process) honest(t *testing.T, who *person, n int) (took []time.Duration) {
	t.Helper()
	for range n {
		began := time.Now()
		tokens := p.mustTokens(t, who, "own")
		if answer := answered(t)(p.refresh("own", tokens.text("refresh_token"), nil)); answer.status != http.StatusOK {
			t.Fatalf("a refresh beside the crowd: %s", answer)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// at is the figure below which so many thousandths of them lie.
func at(took []time.Duration, thousandths int) time.Duration {
	return took[(len(took)-1)*thousandths/1000]
}

// busy says whether a process has used more than a quarter of a processor for a moment.
func (p *process) busy() bool {
	const moment = 200 * time.Millisecond
	before, _ := scheduled(p.cmd.Process.Pid)
	time.Sleep(moment)
	after, _ := scheduled(p.cmd.Process.Pid)
	return after-before > moment/4
}

// TestSlowClients opens many connections to the real binary that send headers or bodies
// byte by byte, read no answers or do nothing: others are served meanwhile, a connection
// costs little, and nothing of them is left. DOORWARD_SLOW is how many; then they do not
// leave by themselves, the binary has to cut them off, every one, and who is honest waits
// at most twice as long beside them as without them. RFC 9110 §15.5.9
func TestSlowClients(t *testing.T) {
	const few, allowed = 280, 2
	all, visits := demanded(t, "DOORWARD_SLOW", few), 10
	long := all != few
	if long {
		visits = 500
	}
	p := launch(t, t.TempDir())
	p.kill()
	alter(t, filepath.Join(p.dir, "idp.yaml"), func(file map[string]any) {
		file["limits"] = map[string]int{"begun": -1, "grants": -1} // one person is honest so often
	})
	p.run(t)
	home, err := url.Parse(p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	c := &loiterers{process: p, address: home.Host}
	alice := p.person()
	p.mustTokens(t, alice, "own")
	before := p.honest(t, alice, visits)
	files, memory := p.descriptors(t), p.anonymous(t)
	kinds := sluggards(home.Host)
	for _, kind := range kinds {
		c.join(t, all/len(kinds), kind.text)
	}
	defer c.leave()
	stop := c.drip()
	// The first ones are cut off after 10 seconds, so a slow machine never has all of them,
	// and may never have done what they asked for when they came.
	opened := time.Now()
	await(t, "the crowd is inside", func() bool {
		return time.Since(opened) > 5*time.Second || p.descriptors(t) >= files+len(c.all)*9/10 && (!long || !p.busy())
	})
	settled, inside := time.Since(opened), p.descriptors(t)-files
	beside := p.honest(t, alice, visits)
	grown := p.anonymous(t) - memory
	t.Logf("%d connections of %d %v after the last came, %d at the end; %d bytes of memory each", inside, len(c.all), settled.Round(time.Millisecond), p.descriptors(t)-files, grown/len(c.all))
	if most := 64<<20 + len(c.all)*128<<10; grown > most { // a page of which nobody reads the end is held
		t.Errorf("%d connections cost %d bytes", len(c.all), grown)
	}
	if long {
		defer stop()
	} else {
		stop()
		c.leave()
	}
	began := time.Now()
	await(t, "all of them are gone", func() bool { return p.descriptors(t) <= files+8 })
	t.Logf("all of them were gone %v later", time.Since(began).Round(time.Second))
	after := p.honest(t, alice, visits)
	for name, took := range map[string][]time.Duration{"before": before, "beside": beside, "after": after} {
		t.Logf("%d sign-ins and refreshes %s them: p50 %v, p99 %v, the longest %v", visits, name, rounded(at(took, 500)), rounded(at(took, 990)), rounded(at(took, 1000)))
	}
	if alone := max(at(before, 990), at(after, 990)); long && at(beside, 990) > allowed*alone {
		t.Errorf("beside them 99 of 100 take up to %v, without them %v", at(beside, 990), alone)
	}
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
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
