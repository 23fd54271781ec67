package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	var l latencies
	for i := 1; i <= 1000; i++ {
		l.add(time.Duration(i) * time.Microsecond)
	}
	for share, want := range map[float64]time.Duration{0: time.Microsecond, 0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		got := l.at(share)
		if off := got - want; max(off, -off) > want/50+time.Microsecond {
			t.Errorf("%.2f: %v, want about %v", share, got, want)
		}
	}
	if l.total != 1000 || l.max != time.Millisecond {
		t.Errorf("%d, up to %v", l.total, l.max)
	}
	var all latencies
	all.merge(&l)
	all.add(time.Hour)
	if all.total != 1001 || all.at(1) != time.Hour {
		t.Errorf("merged: %d, up to %v", all.total, all.at(1))
	}
	if (&latencies{}).at(0.5) != 0 {
		t.Error("of none there is a duration")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := medianOf(c.of); got != c.want {
			t.Errorf("%v: %v, want %v", c.of, got, c.want)
		}
	}
}

// The wire reads bodies of a known length, of an unknown one, and none.
func TestWire(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunks":
			for range 3 {
				fmt.Fprint(w, strings.Repeat("x", 5000))
				w.(http.Flusher).Flush()
			}
		case "/cookie":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, "/next", http.StatusSeeOther)
		case "/close":
			w.Header().Set("Connection", "close")
		default:
			fmt.Fprint(w, r.Method, r.FormValue("a"), r.Header.Get("X-Test"))
		}
	}))
	defer server.Close()
	w, err := newWire(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for range 2 { // kept alive, and opened anew after a close
		a, err := w.send("POST", "/echo", "X-Test: yes\r\n", "a=1")
		if err != nil || string(a.body) != "POST1yes" || a.status != 200 {
			t.Fatalf("%v, %+v", err, a)
		}
		if a, err = w.send("GET", "/chunks", "", ""); err != nil || len(a.body) != 15000 {
			t.Fatalf("%v, %+v", err, a)
		}
		if a, err = w.send("GET", "/cookie", "", ""); err != nil || a.location != "/next" || len(a.cookies) != 1 || a.status != 303 {
			t.Fatalf("%v, %+v", err, a)
		}
		if a, err = w.send("GET", "/close", "", ""); err != nil || !a.closing || w.conn != nil {
			t.Fatalf("%v, %+v", err, a)
		}
	}
	for _, address := range []string{"http://elsewhere.test/x", "nothing"} {
		if _, err := w.target(address); err == nil {
			t.Errorf("%s passed", address)
		}
	}
}

// What is no HTTP is an error.
func TestWireOfNonsense(t *testing.T) {
	for _, nonsense := range []string{"", "hello\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprint(conn, nonsense)
			}
		}()
		w, err := newWire("http://" + listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if a, err := w.send("GET", "/", "", ""); err == nil {
			t.Errorf("%q passed: %+v", nonsense, a)
		}
		w.close()
		listener.Close()
	}
}

func TestReadForm(t *testing.T) {
	action, fields, err := readForm([]byte(`<p>Hi<form action="/in?a=1&amp;b=2" method=post><input type=hidden name=csrf value="x&amp;y">
<input name=username><input type=password name=password><button name=do value=allow>Yes</button><button name=do value=deny>No</button></form>
<form action=/other><input name=z></form>`), "ada", "pw")
	if err != nil || action != "/in?a=1&b=2" {
		t.Fatalf("%q, %v", action, err)
	}
	if got, want := fields.Encode(), "csrf=x%26y&do=allow&password=pw&username=ada"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, _, err := readForm([]byte("<p>no form"), "", ""); err == nil {
		t.Error("a page without a form passed")
	}
}

func TestMembers(t *testing.T) {
	body := []byte(`{"a" : "x", "active": true, "none": false, "n":1}`)
	if member(body, "a") != "x" || member(body, "n") != "" || member(body, "b") != "" || !truth(body, "active") || truth(body, "none") {
		t.Error("a member is not what stands there")
	}
}

func TestLines(t *testing.T) {
	for got, want := range map[string]string{
		least(0.5, 0):             "0.50",
		least(0.5, 0.4):           "**0.50** (≥ 0.40)",
		least(0.3, 0.4):           "0.30 (**misses** 0.40)",
		most(3, 0, "%.1f", " ms"): "3.0 ms",
		most(3, 4, "%.1f", " ms"): "**3.0** (≤ 4.0) ms",
		most(5, 4, "%.1f", " ms"): "5.0 (**misses** 4.0) ms",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	page := "before\n" + compared.begins + "\nold\n" + compared.ends + "\nafter\n"
	got, err := compared.between(page, "new\n")
	if want := "before\n" + compared.begins + "\n\nnew\n\n" + compared.ends + "\nafter\n"; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if again, err := compared.between(got, "new\n"); err != nil || again != got {
		t.Errorf("written twice it differs: %q, %v", again, err)
	}
	if _, err := compared.between("nothing", "new"); err == nil {
		t.Error("a page without marks passed")
	}
}
