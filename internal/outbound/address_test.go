package outbound

import (
	"errors"
	"net/netip"
	"testing"
)

// TestPublic walks the ranges that must never be reached, at both ends, with the
// neighbours that may be. RFC 6890, RFC 4291 §2.4
func TestPublic(t *testing.T) {
	for _, c := range []struct {
		address string
		want    bool
	}{
		{"8.8.8.8", true}, {"1.1.1.1", true}, {"223.255.255.255", true},
		{"0.0.0.0", false}, {"0.255.255.255", false}, {"1.0.0.0", true},
		{"9.255.255.255", true}, {"10.0.0.0", false}, {"10.255.255.255", false}, {"11.0.0.0", true},
		{"100.63.255.255", true}, {"100.64.0.0", false}, {"100.127.255.255", false}, {"100.128.0.0", true},
		{"127.0.0.1", false}, {"127.255.255.255", false}, {"128.0.0.1", true},
		{"169.253.255.255", true}, {"169.254.169.254", false}, {"169.255.0.0", true},
		{"172.15.255.255", true}, {"172.16.0.1", false}, {"172.31.255.255", false}, {"172.32.0.0", true},
		{"192.0.0.1", false}, {"192.0.0.170", false}, {"192.0.2.1", false}, {"192.88.99.1", false},
		{"192.167.255.255", true}, {"192.168.0.1", false}, {"192.169.0.0", true},
		{"198.17.255.255", true}, {"198.18.0.1", false}, {"198.19.255.255", false}, {"198.20.0.0", true},
		{"198.51.100.1", false}, {"203.0.113.1", false},
		{"224.0.0.1", false}, {"239.255.255.255", false}, {"240.0.0.1", false}, {"255.255.255.255", false},

		{"2606:4700::1111", true}, {"2a00:1450:4001::1", true}, {"2001:4860:4860::8888", true}, {"2400::1", true},
		{"::", false}, {"::1", false}, {"::7f00:1", false}, {"::ffff:8.8.8.8", false}, {"::ffff:127.0.0.1", false}, {"::ffff:0:127.0.0.1", false},
		{"64:ff9b::8.8.8.8", false}, {"64:ff9b::a9fe:a9fe", false}, {"64:ff9b:1::1", false},
		{"100::1", false}, {"2001::1", false}, {"2001:0:4136:e378::", false}, {"2001:2::1", false}, {"2001:10::1", false}, {"2001:20::1", false},
		{"2001:1ff:ffff::", false}, {"2001:200::1", true}, {"2001:db8::1", false}, {"2001:db9::1", true},
		{"2002::1", false}, {"2002:7f00:1::", false}, {"2003::1", true},
		{"3fff::1", false}, {"3fff:fff::1", false}, {"3fff:1000::1", true},
		{"4000::1", false}, {"5f00::1", false}, {"fc00::1", false}, {"fd12:3456::1", false},
		{"fe80::1", false}, {"fe80::1%eth0", false}, {"2606:4700::1%eth0", false}, {"fec0::1", false}, {"ff02::1", false},
	} {
		if got := public(netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("public(%s) is %v, want %v", c.address, got, c.want)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address at all counts as public")
	}
}

func TestControlSeesPorts(t *testing.T) {
	for address, want := range map[string]error{"8.8.8.8:443": nil, "[2606:4700::1]:443": nil, "127.0.0.1:443": errClosed, "[fe80::1%lo]:1": errClosed, "[::ffff:10.0.0.1]:443": errClosed} {
		if err := refuseClosed("tcp", address, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
	if refuseClosed("unix", "/run/secret.sock", nil) == nil {
		t.Error("a socket of this machine was let through")
	}
}
