package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/doorward/doorward/examples/idp/settings"
)

// listen takes the address. localhost is two addresses, and a browser may try
// either: both are taken where the machine has both, so that nobody else answers on
// the other one.
func listen(s *settings.Settings) (all []net.Listener, port int, err error) {
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return nil, 0, fmt.Errorf("listen: %w", err)
	}
	hosts := []string{host}
	if strings.EqualFold(host, "localhost") {
		hosts = []string{"127.0.0.1", "::1"}
	}
	port = s.Port()
	for i, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		switch {
		case err == nil:
			all = append(all, l)
			port = l.Addr().(*net.TCPAddr).Port
		case i > 0 && !errors.Is(err, syscall.EADDRINUSE):
			// A machine without IPv6.
		case i > 0 && s.Port() == 0:
			// The other address of a port that was chosen here is somebody's.
		default:
			closeAll(all)
			return nil, 0, listenError(s, host, port, err)
		}
	}
	return all, port, nil
}

func listenError(s *settings.Settings, host string, port int, err error) error {
	at := net.JoinHostPort(host, strconv.Itoa(port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		other := net.JoinHostPort(strings.Trim(hostOf(s.Listen), "[]"), strconv.Itoa(port%65535+1))
		return fmt.Errorf("listen: another program uses %s already; stop it, or choose another port: --listen %s", at, other)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen: this user may not use port %d; choose one above 1023: --listen %s", port, net.JoinHostPort(hostOf(s.Listen), "8080"))
	}
	return fmt.Errorf("listen: %w; choose another address by --listen", err)
}

func hostOf(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	return host
}

func closeAll(all []net.Listener) {
	for _, l := range all {
		l.Close()
	}
}
