package outbound

import (
	"fmt"
	"net/netip"
	"syscall"
)

// closed are the networks that a stranger must not make the server talk to, beyond
// what is no global unicast at all. IANA IPv4 and IPv6 Special-Purpose Address
// Registries, RFC 6890
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this host
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local, where clouds keep credentials
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast

	netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo, ORCHID
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("2002::/16"),     // 6to4
	netip.MustParsePrefix("3fff::/20"),     // documentation
}

// unicast is all of IPv6 that is handed out. What lies outside is loopback, unique
// local, link-local, multicast, mapped, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48) or
// reserved. RFC 4291 §2.4
var unicast = netip.MustParsePrefix("2000::/3")

// public says whether an address belongs to the Internet at large. An IPv4 address
// in the clothes of an IPv6 one does not.
func public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !unicast.Contains(a) {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// refuseClosed is the Control of a net.Dialer. It sees the address that is about to
// be connected to, after every look-up of a name, so a name whose answer changes
// gains nothing.
func refuseClosed(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("outbound: not an address to connect to: %q", address)
	}
	if !public(at.Addr()) {
		return fmt.Errorf("%w: %s", errClosed, at)
	}
	return nil
}
