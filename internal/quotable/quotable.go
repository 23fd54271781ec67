// Package quotable keeps text to the characters that an error_description may have.
// They need no escape between quotes, so no text ends the value it stands in or adds a
// line to a header.
package quotable

import "strings"

// Text replaces every character of s that may not stand there by one that may.
// RFC 6749 §5.2, RFC 6750 §3
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\':
			return '/'
		case r >= 0x20 && r <= 0x7e:
			return r
		default:
			return '?'
		}
	}, s)
}
