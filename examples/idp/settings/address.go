package settings

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// listenFor returns where to listen when nothing says: on the port of a loopback
// issuer, so that naming the issuer is enough.
func listenFor(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "http" || !Loopback(u.Hostname()) {
		return defaultListen
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (s *Settings) checkListen(found *Problems) {
	line := s.at.line("listen")
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		found.add(line, "listen", quoted(s.Listen), `write host and port, as in "localhost:8080" or ":8080"`)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		found.add(line, "listen", "the port "+quoted(port), "write a number up to 65535; 0 takes a free one")
	} else if s.Issuer == "" && n == 0 && s.TLS() && !Loopback(host) {
		found.add(line, "issuer", "nothing", "write the URL by which clients reach the provider")
	}
	if s.Issuer == "" && !Loopback(host) && !wildcard(host) {
		found.add(line, "issuer", "nothing, and "+quoted(s.Listen)+" is no loopback address",
			`write the URL by which clients reach the provider, as in "https://id.example.com"`)
	}
}

// IssuerAt returns the issuer of a provider that listens on port: the configured
// one, or the address itself.
func (s *Settings) IssuerAt(port int) string {
	if s.Issuer != "" {
		return s.Issuer
	}
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil || wildcard(host) {
		host = "localhost"
	}
	scheme, standard := "http", 80
	if s.TLS() {
		scheme, standard = "https", 443
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == standard {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + strconv.Itoa(port)
}

// Port returns the configured port, 0 for any.
func (s *Settings) Port() int {
	_, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

func wildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// Loopback says whether a host name stands for this machine.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}
