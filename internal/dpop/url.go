package dpop

import (
	"net"
	"net/url"
	"path"
	"strings"
)

// normal returns the one form of a URL under which it is compared: scheme and host in
// lower case, no default port, no dot segments, escapes only where they are needed,
// neither query nor fragment. RFC 9449 §4.3, RFC 3986 §6.2.2, §6.2.3
func normal(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.User != nil || u.Hostname() == "" {
		return "", false
	}
	scheme := strings.ToLower(u.Scheme)
	port, standard := u.Port(), map[string]string{"https": "443", "http": "80"}[scheme]
	if standard == "" || strings.HasSuffix(u.Host, ":") {
		return "", false
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != standard {
		host = net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	}
	return scheme + "://" + host + normalPath(u.EscapedPath()), true
}

// normalPath normalises an escaped path. What is escaped although it need not be is
// unescaped, and nothing else: an escaped slash is no slash. RFC 3986 §6.2.2.2
func normalPath(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' || i+2 >= len(escaped) { // url.Parse let no lone % pass
			b.WriteByte(c)
			continue
		}
		if decoded := unhex(escaped[i+1])<<4 | unhex(escaped[i+2]); unreserved(decoded) {
			b.WriteByte(decoded)
		} else {
			b.WriteString(strings.ToUpper(escaped[i : i+3]))
		}
		i += 2
	}
	p := b.String()
	if p == "" {
		return "/"
	}
	if !hasDots(p) {
		return p
	}
	clean := path.Clean(p)
	if last := p[strings.LastIndexByte(p, '/')+1:]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}

// hasDots says whether a path has dot segments. Only then is it rewritten, because
// path.Clean also joins slashes, which are not the same.
func hasDots(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	default:
		return c - '0'
	}
}

// unreserved are the characters of RFC 3986 §2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
