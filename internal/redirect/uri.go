package redirect

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	maxURI   = 2048 // bytes; more does not fit into every proxy's request line
	maxHost  = 253  // RFC 1035 §2.3.4
	maxLabel = 63
)

// parts is a URI taken apart by RFC 3986 §3, its parts as they were written. Where
// problem finds nothing, a browser takes it apart in the same way.
type parts struct {
	uri       string
	scheme    string
	authority bool // "//" follows the scheme
	userinfo  bool
	host      string // with the brackets of an IPv6 address
	port      string
	hasPort   bool
	path      string
	query     string
	hasQuery  bool
	fragment  bool
}

func split(uri string) parts {
	p := parts{uri: uri}
	rest := uri
	rest, _, p.fragment = strings.Cut(rest, "#")
	if i := strings.IndexAny(rest, ":/?"); i >= 0 && rest[i] == ':' {
		p.scheme, rest = rest[:i], rest[i+1:]
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		p.authority = true
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		p.splitAuthority(after[:end])
		rest = after[end:]
	}
	p.path, p.query, p.hasQuery = strings.Cut(rest, "?")
	return p
}

func (p *parts) splitAuthority(authority string) {
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		p.userinfo, authority = true, authority[at+1:]
	}
	if end := strings.IndexByte(authority, ']'); strings.HasPrefix(authority, "[") && end > 0 {
		p.host, authority = authority[:end+1], authority[end+1:]
		if authority == "" {
			return
		}
		if authority[0] != ':' { // keep what can't be understood where it is refused
			p.host += authority
			return
		}
		p.port, p.hasPort = authority[1:], true
		return
	}
	p.host, p.port, p.hasPort = strings.Cut(authority, ":")
}

// tail is all that follows the authority.
func (p parts) tail() string {
	if !p.hasQuery {
		return p.path
	}
	return p.path + "?" + p.query
}

func (p parts) web() bool { return p.scheme == "https" || p.scheme == "http" }

func (p parts) loopback() bool {
	return p.web() && slices.Contains(loopbackHosts, p.host)
}

var loopbackHosts = []string{"127.0.0.1", "[::1]", "localhost"}

func (p parts) kind() Kind {
	switch {
	case p.loopback():
		return Loopback
	case p.web():
		return Web
	}
	return PrivateUse
}

// problem says in words why a URI is no redirect URI; it is empty when it is one. It
// never repeats a user name or a password.
func (p parts) problem() string {
	for _, find := range []func(parts) string{parts.charProblem, parts.schemeProblem, parts.authorityProblem, parts.pathProblem} {
		if problem := find(p); problem != "" {
			return problem
		}
	}
	return ""
}

// charProblem refuses what RFC 3986 does not allow in a URI. Browsers repair such
// strings, each in its own way.
func (p parts) charProblem() string {
	switch {
	case p.uri == "":
		return "it is empty; expected a URI such as https://app.example.com/callback"
	case len(p.uri) > maxURI:
		return fmt.Sprintf("it has %d bytes, at most %d are accepted", len(p.uri), maxURI)
	}
	for i := range len(p.uri) {
		switch c := p.uri[i]; {
		case c == '\\':
			return "it holds a backslash, which browsers read as a slash; write a slash or %5C"
		case c <= ' ' || c >= 0x7f:
			return fmt.Sprintf("it holds the character %+q at position %d; a URI is printable ASCII without spaces, the rest is percent-encoded", rune(c), i+1)
		case strings.IndexByte("\"<>^`{|}", c) >= 0:
			return fmt.Sprintf("it holds %q, which a URI may not; percent-encode it", rune(c))
		case c == '%' && !encoded(p.uri[i:]):
			return "it holds a % that is not followed by two hexadecimal digits"
		case c == '%' && (p.uri[i+1] < '2' || strings.EqualFold(p.uri[i:i+3], "%7f")):
			return fmt.Sprintf("it holds %s, a control character", p.uri[i:i+3])
		}
	}
	if p.fragment {
		return "it has a fragment (#); codes do not arrive behind one, leave it out"
	}
	return ""
}

func encoded(s string) bool {
	const hex = "0123456789abcdefABCDEF"
	return len(s) > 2 && strings.IndexByte(hex, s[1]) >= 0 && strings.IndexByte(hex, s[2]) >= 0
}

// dangerous are schemes that run what they carry or read what is not the client's.
var dangerous = []string{
	"javascript", "data", "vbscript", "blob", "about", "file", "filesystem", "view-source", "jar",
	"mailto", "tel", "sms", "ftp", "ws", "wss", "intent", "chrome", "chrome-extension", "moz-extension", "resource", "res", "mk", "ms-its",
}

func (p parts) schemeProblem() string {
	lower := strings.ToLower(p.scheme)
	switch {
	case p.scheme == "":
		return "it is not absolute; expected a URI such as https://app.example.com/callback"
	case slices.Contains(dangerous, lower):
		return "the scheme " + lower + " is never accepted; expected https"
	case !schemeSyntax(p.scheme):
		return "its scheme is not one; expected a URI such as https://app.example.com/callback"
	case lower == "http" || lower == "https":
		return p.webSchemeProblem(lower)
	case !reversedDomain(p.scheme):
		return fmt.Sprintf("the scheme %s is not accepted; expected https, or for an app a reversed domain name such as com.example.app:/callback", clip(p.scheme))
	case !strings.HasPrefix(p.uri[len(p.scheme):], ":/"):
		return fmt.Sprintf("after the scheme of an app a slash is expected: %s:/callback", clip(p.scheme))
	}
	return ""
}

func (p parts) webSchemeProblem(lower string) string {
	switch {
	case p.scheme != lower:
		return fmt.Sprintf("the scheme is %s; write it in lower case: %s", p.scheme, lower)
	case !p.authority || p.host == "":
		return "it names no host; expected a URI such as https://app.example.com/callback"
	case p.scheme == "http" && !p.loopback():
		return fmt.Sprintf("http is accepted only for the hosts %s, so that nobody reads the code on its way; %s needs https",
			strings.Join(loopbackHosts, ", "), clip(p.host))
	}
	return ""
}

func schemeSyntax(s string) bool { // RFC 3986 §3.1
	return letter(s[0]) && !strings.ContainsFunc(s, func(r rune) bool {
		return !letter(byte(r)) && !digit(byte(r)) && !strings.ContainsRune("+-.", r)
	})
}

// reversedDomain says whether a scheme is one that its owner can show to own.
// RFC 8252 §7.1, §8.4
func reversedDomain(s string) bool {
	return strings.Contains(s, ".") && !slices.Contains(strings.Split(s, "."), "")
}

func (p parts) authorityProblem() string {
	if !p.authority {
		return ""
	}
	if p.userinfo {
		return "it has a user name or a password before the host (@); leave it out"
	}
	if p.hasPort {
		if p.host == "" {
			return "it has a port and no host; write the host before it"
		}
		n, err := strconv.ParseUint(p.port, 10, 32)
		if err != nil || n > 65535 || strconv.FormatUint(n, 10) != p.port {
			return fmt.Sprintf("its port is %q; expected a number from 0 to 65535, or no colon", clip(p.port))
		}
	}
	if strings.Contains(p.host, "*") {
		return "its host has a wildcard (*); register each host by its full name"
	}
	if !p.web() { // an app gives its own meaning to the host
		if strings.ContainsAny(p.host, "[]%!$&'()+,;=") {
			return fmt.Sprintf("its host %q is no name", clip(p.host))
		}
		return ""
	}
	return hostProblem(p.host)
}

// hostProblem accepts a host only in the one spelling that browsers give it, so that
// what is compared is what is visited.
func hostProblem(host string) string {
	if strings.HasPrefix(host, "[") {
		return ipv6Problem(host)
	}
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	switch {
	case strings.ToLower(host) != host:
		return fmt.Sprintf("its host is %q; write it in lower case", clip(host))
	case strings.ContainsFunc(host, func(r rune) bool { return !letter(byte(r)) && !digit(byte(r)) && !strings.ContainsRune("-._", r) }):
		return fmt.Sprintf("its host is %q; expected letters, digits, hyphens and dots, other names in their xn-- form", clip(host))
	case last == "":
		return fmt.Sprintf("its host is %q; write it without the dot at the end", clip(host))
	case len(host) > maxHost || slices.ContainsFunc(labels, func(l string) bool { return l == "" || len(l) > maxLabel }):
		return fmt.Sprintf("its host is %q; between its dots 1 to %d characters are expected, at most %d in all", clip(host), maxLabel, maxHost)
	case digit(last[0]): // browsers take such a name for an address: 127.1, 0x7f000001, 2130706433
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Sprintf("its host is %q, which is no name; an address is written as four numbers, such as 127.0.0.1", clip(host))
		}
	}
	return ""
}

func ipv6Problem(host string) string {
	addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
	switch {
	case !strings.HasSuffix(host, "]") || err != nil || !addr.Is6() || addr.Zone() != "":
		return fmt.Sprintf("its host is %q; an address in brackets is IPv6 without a zone, such as [::1]", clip(host))
	case addr.Is4In6():
		return fmt.Sprintf("its host is %q; write the IPv4 address as four numbers: %s", clip(host), addr.Unmap())
	case "["+addr.String()+"]" != host:
		return fmt.Sprintf("its host is %q; write it [%s]", clip(host), addr)
	}
	return ""
}

// pathProblem refuses dot segments, which browsers resolve before they visit, also in
// their encoded forms, and behind encoded slashes that some servers decode first.
func (p parts) pathProblem() string {
	decoded := p.path
	if strings.Contains(decoded, "%") {
		decoded = strings.NewReplacer("%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/").Replace(decoded)
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment == "." || segment == ".." {
			return fmt.Sprintf("its path has the segment %q; write the path that is meant", segment)
		}
	}
	return ""
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func digit(c byte) bool { return '0' <= c && c <= '9' }

// clip keeps a text that a stranger sent short enough for a log line.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
