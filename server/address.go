package server

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientAddr returns where a request came from, as limits and logs of the server see
// it: the peer of the connection, or what Config.Proxies say of it. It is the zero
// Addr when nobody can tell. A host that logs requests says the same by it.
func (s *Server) ClientAddr(r *http.Request) netip.Addr { return clientAddr(r, s.config.Proxies) }

// clientAddr returns where a request came from. Only what a listed proxy appended
// to X-Forwarded-For is believed, from the right: the rest is the sender's own
// word, and a limit on it would be no limit.
func clientAddr(r *http.Request, proxies []netip.Prefix) netip.Addr {
	addr := address(r.RemoteAddr)
	if len(proxies) == 0 {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && believed(addr, proxies); i-- {
		before := address(strings.TrimSpace(hops[i]))
		if !before.IsValid() {
			break
		}
		addr = before
	}
	return addr
}

// address reads an address with or without a port; the zero Addr for neither.
func address(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func believed(addr netip.Addr, proxies []netip.Prefix) bool {
	for _, p := range proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
