package outbound

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestGet(t *testing.T) {
	o := serve(t, hello)
	d, err := fetch(t, o.free(), Request{URL: o.URL + "/x"})
	if err != nil || string(d.Body) != "hello" || d.Life >= 0 {
		t.Fatalf("%+v, %v", d, err)
	}
}

// TestClosedAddresses: whatever the address is written as, nobody on this machine is
// connected to. RFC 9101 §10.4, RFC 7591 §5
func TestClosedAddresses(t *testing.T) {
	o := serve(t, hello)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "127.1", "2130706433", "0x7f.1", "[::]"} {
		_, err := fetch(t, New(Options{Roots: o.roots, Time: time.Second}), Request{URL: "https://" + host + ":" + o.port() + "/"})
		if err == nil {
			t.Errorf("%s was fetched", host)
		}
	}
	if n := o.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestRebinding: a name that is public when it is looked at and this machine when it
// is connected to leads nowhere.
func TestRebinding(t *testing.T) {
	o := serve(t, hello)
	n := names{answer: func(nth int64) []netip.Addr {
		if nth == 1 {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")}
	}}
	resolver := n.resolver()
	seen, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
	if err != nil || len(seen) != 1 || !public(seen[0]) {
		t.Fatalf("a look before: %v, %v", seen, err)
	}
	address := "https://rebind.example.com:" + o.port() + "/"
	_, err = fetch(t, New(Options{Roots: o.roots, Resolver: resolver}), Request{URL: address})
	wantDetail(t, err, "not on the open Internet")
	if n := o.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	// The same name leads there where it may, so the test could have failed.
	inside := names{answer: func(int64) []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} }}
	allowed := Options{Roots: o.roots, Resolver: inside.resolver(), Hosts: []string{"Example.com:" + o.port()}}
	if _, err := fetch(t, New(allowed), Request{URL: "https://example.com:" + o.port() + "/"}); err != nil {
		t.Errorf("a host of the allow-list: %s", Detail(err))
	}
	_, err = fetch(t, New(allowed), Request{URL: "https://other.example.com:" + o.port() + "/"})
	wantDetail(t, err, "not on the open Internet")
}

func TestRedirectIsNotFollowed(t *testing.T) {
	inner := serve(t, hello)
	o := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inner.URL, http.StatusFound) })
	c := New(Options{Hosts: []string{o.host, inner.host}, Roots: o.roots})
	_, err := fetch(t, c, Request{URL: o.URL})
	wantDetail(t, err, "the status is 302")
	if inner.connections.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// TestProxyOfTheEnvironmentIsPassedOver looks at the transport, because the standard
// library reads the environment once for a process and never for this machine.
func TestProxyOfTheEnvironmentIsPassedOver(t *testing.T) {
	if New(Options{}).http.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy would connect in our place")
	}
}

// RFC 9101 §5.2
func TestForm(t *testing.T) {
	for _, bad := range []string{
		"", "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https:///x", "https://user@example.com/", "https://u:p@example.com/",
		"https://example.com/#x", "https://example.com/#", "//example.com/", "example.com", "https:example.com", "https://example.com/%zz", "https://exa mple.com/",
		"https://example.com/" + strings.Repeat("x", maxURL),
	} {
		if err := CheckURL(bad); !errors.Is(err, ErrURL) {
			t.Errorf("%.40q: %v", bad, err)
		}
		if _, err := fetch(t, New(Options{}), Request{URL: bad}); !errors.Is(err, ErrURL) {
			t.Errorf("%.40q was fetched: %v", bad, err)
		}
	}
	if err := CheckURL("https://example.com:8443/jwks.json?x=1"); err != nil {
		t.Error(err)
	}
}

// RFC 6839 §3.1
func TestRefusedAnswers(t *testing.T) {
	for _, c := range []struct {
		name, part string
		handler    http.HandlerFunc
		types      []string
	}{
		{"status", "the status is 404", http.NotFound, nil},
		{"server error", "the status is 500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, nil},
		{"not modified", "the status is 304", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, nil},
		{"long", "more than 10 bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345678901") }, nil},
		{"long in pieces", "more than 10 bytes", func(w http.ResponseWriter, _ *http.Request) {
			for range 11 {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
			}
		}, nil},
		{"type", "the Content-Type is", hello, []string{"application/json"}},
		{"slow", "deadline", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil},
		{"slow body", "deadline", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, nil},
		{"large header", "no answer", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*maxHeader)) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := serve(t, c.handler)
			client := New(Options{Hosts: []string{o.host}, Roots: o.roots, Time: short})
			if !strings.Contains(c.name, "slow") {
				client = o.free()
			}
			_, err := client.Get(t.Context(), Request{URL: o.URL, Limit: 10, Types: c.types})
			wantDetail(t, err, c.part)
		})
	}
	t.Run("type by its end", func(t *testing.T) {
		o := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", strings.TrimPrefix(r.URL.Path, "/"))
		})
		for media, taken := range map[string]bool{
			"application/json": true, "application/cimd+json": true, "application/cimd+JSON; charset=utf-8": true,
			"text/cimd+json": false, "application/cimd+json-seq": false, "application/cimd+xml": false, "application/jsonp": false,
		} {
			_, err := o.free().Get(t.Context(), Request{URL: o.URL + "/" + media, Limit: 10, Types: []string{"application/json", "+json"}})
			if taken != (err == nil) {
				t.Errorf("%s: %v", media, err)
			}
		}
	})
	t.Run("exactly as long", func(t *testing.T) {
		o := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "1234567890") })
		if _, err := o.free().Get(t.Context(), Request{URL: o.URL, Limit: 10, Types: []string{"text/plain"}}); err != nil {
			t.Error(Detail(err))
		}
	})
	t.Run("stranger's certificate", func(t *testing.T) {
		o := serve(t, hello)
		_, err := New(Options{Hosts: []string{o.host}}).Get(t.Context(), Request{URL: o.URL, Limit: 10})
		wantDetail(t, err, "certificate")
	})
}

// TestManyAtOnce: no more than a few requests reach one host at a time, and nothing
// is remembered of hosts that nobody asks.
func TestManyAtOnce(t *testing.T) {
	var now, most atomic.Int64
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		for most.Load() < perHost && r.Context().Err() == nil { // the first wait for one another
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		hello(w, r)
	})
	c := New(Options{Hosts: []string{o.host}, Roots: o.roots, Time: time.Minute})
	var all sync.WaitGroup
	for range 5 * perHost {
		all.Go(func() {
			if _, err := c.Get(t.Context(), Request{URL: o.URL, Limit: 10}); err != nil {
				t.Error(Detail(err))
			}
		})
	}
	all.Wait()
	if most.Load() != perHost {
		t.Errorf("%d at once, want %d", most.Load(), perHost)
	}
	if len(c.gate.hosts) != 0 || len(c.gate.all) != 0 {
		t.Errorf("%d hosts and %d requests are remembered", len(c.gate.hosts), len(c.gate.all))
	}
}

func TestWaitingEnds(t *testing.T) {
	o := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := New(Options{Hosts: []string{o.host}, Roots: o.roots, Time: short})
	begin := time.Now()
	var all sync.WaitGroup
	for range 3 * perHost {
		all.Go(func() {
			if _, err := c.Get(t.Context(), Request{URL: o.URL, Limit: 10}); err == nil {
				t.Error("fetched")
			}
		})
	}
	all.Wait()
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("waiting took %s", took)
	}
	if len(c.gate.hosts) != 0 || len(c.gate.all) != 0 {
		t.Errorf("%d hosts and %d requests are remembered", len(c.gate.hosts), len(c.gate.all))
	}
}

// RFC 9111 §4.2.1, §5.2.2
func TestLife(t *testing.T) {
	for _, c := range []struct {
		control, age string
		want         time.Duration
	}{
		{"", "", -1}, {"max-age=60", "", time.Minute}, {"public, MAX-AGE=\"60\"", "", time.Minute}, {"max-age=60", "20", 40 * time.Second},
		{"max-age=60", "100", 0}, {"no-store", "", 0}, {"max-age=60, no-cache", "", 0}, {"private", "", -1}, {"max-age=-1", "", -1},
		{"max-age=60, max-age=9000", "", time.Minute}, {"s-maxage=60", "", -1}, {"max-age=99999999999", "", (1 << 30) * time.Second}, {"max-age=60", "-5", time.Minute},
	} {
		header := http.Header{}
		if c.control != "" {
			header.Set("Cache-Control", c.control)
		}
		if c.age != "" {
			header.Set("Age", c.age)
		}
		if got := life(header); got != c.want {
			t.Errorf("%q, Age %q: %s, want %s", c.control, c.age, got, c.want)
		}
	}
}
