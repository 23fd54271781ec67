// Package redirect says which redirect URIs may be registered, and which one that a
// request brings is registered.
//
// URIs are compared as strings, without decoding or normalizing: every liberty here
// has sent somebody's code to somebody else. The one liberty that RFC 8252 demands is
// the port of a loopback address, since a native app does not know its port before it
// runs. What two parsers could read in two ways is not valid in the first place.
//
// RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §2.1, §4.1
package redirect

import (
	"errors"
	"slices"
)

// Kind tells where a redirect URI leads.
type Kind int

// The zero Kind is that of a string that is no valid redirect URI.
const (
	Web        Kind = iota + 1 // https, to a host
	Loopback                   // http or https, to a program on the person's own machine. RFC 8252 §7.3
	PrivateUse                 // to an app that claimed the scheme. RFC 8252 §7.1
)

// Validate says whether a redirect URI may be registered: an absolute https URI, http
// for 127.0.0.1, [::1] and localhost alone, or, for a public client, a private-use
// scheme in the form of a reversed domain name. The error says what came and what is
// expected, in words for the person who registers the client.
// OAuth 2.1 §2.3, RFC 8252 §7.1, §8.4
func Validate(uri string, public bool) error {
	p := split(uri)
	problem := p.problem()
	if problem == "" && !public && p.kind() == PrivateUse {
		problem = "the scheme " + p.scheme + " is for apps, which are public clients; a confidential client needs https"
	}
	if problem != "" {
		return errors.New("redirect: " + problem)
	}
	return nil
}

// Match says whether a requested redirect URI is one of the registered ones: equal
// byte for byte, or, for a loopback address, equal in all but the port. 127.0.0.1,
// [::1] and localhost are three hosts. RFC 9700 §2.1, RFC 8252 §7.3
func Match(registered []string, requested string) bool {
	want := split(requested)
	if want.problem() != "" {
		return false
	}
	if slices.Contains(registered, requested) {
		return true
	}
	if !want.loopback() {
		return false
	}
	return slices.ContainsFunc(registered, func(uri string) bool {
		have := split(uri)
		return have.problem() == "" && have.scheme == want.scheme && have.host == want.host && have.tail() == want.tail()
	})
}

// KindOf returns where a redirect URI leads; zero when it is not valid. What does not
// lead to the Web may lead to a program that only claims to be the client, so nobody
// may be sent there without having been asked. RFC 8252 §8.6
func KindOf(uri string) Kind {
	p := split(uri)
	if p.problem() != "" {
		return 0
	}
	return p.kind()
}

// Host returns what to show a person of where a redirect URI leads: the host, with a
// port that was written down for the Web, or the scheme of an app. It is empty for a
// URI that is not valid. RFC 9700 §4.11.2
func Host(uri string) string {
	p := split(uri)
	switch {
	case p.problem() != "":
		return ""
	case p.kind() == PrivateUse:
		return p.scheme
	case p.kind() == Web && p.hasPort:
		return p.host + ":" + p.port
	}
	return p.host
}
