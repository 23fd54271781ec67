// Package redact shortens what looks like a token or a secret in text that somebody
// sent, before it is logged or told on. It is for what stands in the wrong place: a
// token as a scope, a secret as a client_id, a JWT in a path. RFC 9700 §4.3
package redact

import (
	"regexp"
	"strings"
)

const (
	longRun = 32 // characters of base64url from which on a word may be a secret
	shown   = 8  // characters that are left, to tell one from another
	cut     = "..."
)

var (
	// ours are the tokens of this server, whose first eight characters are the time
	// they were made, and its secrets, of which nothing is left.
	ours = regexp.MustCompile(`(dws_|dw[a-rt-z]_[A-Za-z0-9_-]{0,8})[A-Za-z0-9_-]*`)
	// jwt is a JOSE header in base64url, with what follows. RFC 7515 §7.1
	jwt  = regexp.MustCompile(`(eyJ[A-Za-z0-9_-]{5})[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*`)
	run  = regexp.MustCompile(`[A-Za-z0-9_-]{32,}`)
	uuid = regexp.MustCompile(`^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$`)
)

// Text shortens everything in s that looks like a secret: tokens and secrets of this
// server, JWTs, and long random words.
func Text(s string) string {
	if len(s) < len("dws_") {
		return s
	}
	// Long words come before JWTs: in the middle of a secret, eyJ may stand by chance, and
	// what is before it must not be left.
	return jwt.ReplaceAllString(run.ReplaceAllStringFunc(shortenOurs(s), func(word string) string {
		if random(word) {
			return word[:shown] + cut
		}
		return word
	}), "${1}"+cut)
}

// Identifier shortens tokens and secrets of this server and JWTs, and leaves other
// words as they are: an identifier may be long and random.
func Identifier(s string) string { return jwt.ReplaceAllString(shortenOurs(s), "${1}"+cut) }

func shortenOurs(s string) string {
	return ours.ReplaceAllStringFunc(s, func(word string) string {
		if kept := ours.FindStringSubmatch(word)[1]; len(kept) < len(word) {
			return kept + cut
		}
		return word
	})
}

// random says that a word is no name: names of many words have no digits, or dashes
// and one case.
func random(word string) bool {
	digit := strings.ContainsAny(word, "0123456789")
	mixed := strings.ToLower(word) != word && strings.ToUpper(word) != word
	dashed := strings.ContainsAny(word, "-_")
	return digit && (mixed || !dashed) && !uuid.MatchString(word)
}
