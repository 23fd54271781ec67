package server

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddr(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		proxies    []netip.Prefix
		want       string
	}{
		{"no proxy is listed", "10.0.0.1:80", []string{"203.0.113.9"}, nil, "10.0.0.1"},
		{"the peer is no proxy", "198.51.100.1:80", []string{"203.0.113.9"}, proxies, "198.51.100.1"},
		{"one proxy", "10.0.0.1:80", []string{"203.0.113.9"}, proxies, "203.0.113.9"},
		{"what the client made up", "10.0.0.1:80", []string{"1.2.3.4, 203.0.113.9"}, proxies, "203.0.113.9"},
		{"two proxies, two lines", "10.0.0.1:80", []string{"1.2.3.4, 203.0.113.9", "10.0.0.2"}, proxies, "203.0.113.9"},
		{"nothing forwarded", "10.0.0.1:80", nil, proxies, "10.0.0.1"},
		{"nonsense", "10.0.0.1:80", []string{"unknown"}, proxies, "10.0.0.1"},
		{"with ports", "[fd00::1]:80", []string{"[2001:db8::7]:4711"}, proxies, "2001:db8::7"},
		{"a mapped peer", "[::ffff:10.0.0.1]:80", []string{"203.0.113.9"}, proxies, "203.0.113.9"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := clientAddr(r, c.proxies).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
