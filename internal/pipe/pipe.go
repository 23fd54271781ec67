// Package pipe listens in memory, so that a test can have an HTTP server in a bubble of
// testing/synctest, whose time is its own: connections of the system would stop it.
package pipe

import (
	"net"
	"sync"
)

// Listener is a net.Listener that Dial connects to. It is safe for concurrent use.
type Listener struct {
	next   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen makes a Listener. In a bubble it must be called inside.
func Listen() *Listener {
	return &Listener{next: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for a Dial. The error is net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial, and no connection. Closing it again does nothing.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is an address of no network.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{} }

// Dial waits until the server has accepted and returns the client's end of the connection,
// which holds nothing back: a write waits until it is read. gone is closed when the server
// closes its end. The error is net.ErrClosed after Close.
func (l *Listener) Dial() (client net.Conn, gone <-chan struct{}, err error) {
	client, server := net.Pipe()
	watched := &conn{Conn: server, gone: make(chan struct{})}
	select {
	case l.next <- watched:
		return client, watched.gone, nil
	case <-l.closed:
		return nil, nil, net.ErrClosed
	}
}

// conn tells when it was closed.
type conn struct {
	net.Conn
	gone chan struct{}
	once sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}
