package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// wire is one connection that is kept alive. It speaks just as much of HTTP/1.1 as the
// answers of a provider need: net/http's client would take more of the machine than the
// servers that are measured. It is for one goroutine. RFC 9112
type wire struct {
	origin  string // scheme and authority
	host    string
	address string
	tls     bool
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
	body    []byte
}

// answer is what a server said. Its body is good until the next request on the wire.
type answer struct {
	status   int
	body     []byte
	location string
	cookies  []string // lines of Set-Cookie
	closing  bool
}

// patience is how long one request may take.
const patience = 30 * time.Second

func newWire(origin string) (*wire, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	w := &wire{origin: u.Scheme + "://" + u.Host, host: u.Host, tls: u.Scheme == "https"}
	port := u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q is no http or https URL", origin)
	case port == "" && w.tls:
		port = "443"
	case port == "":
		port = "80"
	}
	w.address = net.JoinHostPort(u.Hostname(), port)
	return w, nil
}

// dial opens the connection anew.
func (w *wire) dial(ctx context.Context) error {
	w.close()
	var err error
	if w.tls {
		w.conn, err = new(tls.Dialer).DialContext(ctx, "tcp", w.address)
	} else {
		w.conn, err = new(net.Dialer).DialContext(ctx, "tcp", w.address)
	}
	if err != nil {
		w.conn = nil
		return err
	}
	if w.in == nil {
		w.in = bufio.NewReaderSize(w.conn, 16<<10)
	} else {
		w.in.Reset(w.conn)
	}
	return nil
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// target is the part of an address that a request line holds, which must be on the wire's
// server. RFC 9112 §3.2.1
func (w *wire) target(address string) (string, error) {
	if len(address) > len(w.origin) && address[:len(w.origin)] == w.origin {
		return address[len(w.origin):], nil
	}
	if len(address) > 0 && address[0] == '/' {
		return address, nil
	}
	return "", fmt.Errorf("%s is not on %s: the load stays with one server", address, w.origin)
}

// send sends a request and reads the answer. header is lines that end in CRLF; a body is
// a form.
func (w *wire) send(method, target, header, body string) (*answer, error) {
	if w.conn == nil {
		if err := w.dial(context.Background()); err != nil {
			return nil, err
		}
	}
	b := append(w.out[:0], method...)
	b = append(append(b, ' '), target...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), w.host...)
	b = append(append(b, "\r\nUser-Agent: doorward-bench\r\n"...), header...)
	if method == "POST" {
		b = append(b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	}
	w.out = append(append(b, "\r\n"...), body...)
	a, err := w.exchange()
	if err != nil || a.closing {
		w.close()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, target, err)
	}
	return a, nil
}

func (w *wire) exchange() (*answer, error) {
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := w.conn.Write(w.out); err != nil {
		return nil, err
	}
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return nil, fmt.Errorf("%q is no answer of HTTP/1.1", line)
	}
	a := &answer{}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return nil, err
	}
	length, chunked, err := w.header(a)
	if err != nil {
		return nil, err
	}
	w.body = w.body[:0]
	switch {
	case chunked:
		err = w.chunks()
	case length > 0:
		err = w.read(length)
	case length < 0 && a.status != 204 && a.status != 304:
		err = errors.New("the answer has no length")
	}
	a.body = w.body
	return a, err
}

// header reads the fields of an answer. length is -1 when none was sent.
func (w *wire) header(a *answer) (length int, chunked bool, err error) {
	length = -1
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, chunked, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch len(name) { // most fields are of no interest
		case len("content-length"):
			if bytes.EqualFold(name, []byte("content-length")) {
				if length, err = strconv.Atoi(string(value)); err != nil {
					return 0, false, err
				}
			}
		case len("transfer-encoding"):
			chunked = chunked || bytes.EqualFold(name, []byte("transfer-encoding")) && bytes.EqualFold(value, []byte("chunked"))
		case len("location"):
			if bytes.EqualFold(name, []byte("location")) {
				a.location = string(value)
			}
		case len("set-cookie"): // and connection
			if bytes.EqualFold(name, []byte("set-cookie")) {
				a.cookies = append(a.cookies, string(value))
			}
			a.closing = a.closing || bytes.EqualFold(name, []byte("connection")) && bytes.EqualFold(value, []byte("close"))
		}
	}
}

// chunks reads a body of unknown length. RFC 9112 §7.1
func (w *wire) chunks() error {
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(";"))
		n, err := strconv.ParseInt(string(size), 16, 32)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := w.read(int(n)); err != nil {
				return err
			}
		}
		if line, err = w.in.ReadSlice('\n'); err != nil {
			return err
		}
		if n == 0 {
			if len(bytes.TrimRight(line, "\r\n")) > 0 {
				return errors.New("the answer has trailers")
			}
			return nil
		}
	}
}

func (w *wire) read(n int) error {
	was := len(w.body)
	w.body = append(w.body, make([]byte, n)...)
	_, err := io.ReadFull(w.in, w.body[was:])
	return err
}
