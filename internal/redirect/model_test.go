package redirect_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	problems "github.com/nlnwa/whatwg-url/errors"
	browser "github.com/nlnwa/whatwg-url/url"

	"github.com/doorward/doorward/internal/redirect"
)

// model is the rule once more, over the parser of net/url, as naively as it can be said.
func model(t *testing.T, registered, requested string) bool {
	if redirect.Validate(requested, true) != nil {
		return false
	}
	if registered == requested {
		return true
	}
	want, err := url.Parse(requested)
	if err != nil {
		t.Fatalf("%q is valid, but net/url says %v", requested, err)
	}
	have, err := url.Parse(registered)
	if err != nil || redirect.Validate(registered, true) != nil {
		return false
	}
	host := want.Hostname()
	return (host == "127.0.0.1" || host == "::1" || host == "localhost") &&
		(want.Scheme == "http" || want.Scheme == "https") &&
		want.Scheme == have.Scheme && host == have.Hostname() &&
		want.EscapedPath() == have.EscapedPath() &&
		want.RawQuery == have.RawQuery && want.ForceQuery == have.ForceQuery &&
		want.User == nil && have.User == nil
}

// browsed says that a browser goes where we say: a parser of the URL Standard, which
// browsers follow and which repairs where others refuse, takes a valid URI apart in the
// same way.
func browsed(t *testing.T, uri string) {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatalf("%q is valid, but net/url says %v", uri, err)
	}
	b, err := browser.Parse(uri)
	if err != nil {
		if problems.Type(err) == problems.DomainToASCII && strings.Contains(u.Host, "xn--") {
			return // it stands for no name, so a browser sends nothing
		}
		t.Fatalf("%q is valid, but a browser does not go there: %v", uri, err)
	}
	if i := strings.LastIndexByte(u.Hostname(), '.'); strings.HasPrefix(u.Hostname()[i+1:], "-") {
		return // this parser reads 7.-1 as an address, the standard does not
	}
	port, path, query := u.Port(), u.EscapedPath(), u.RawQuery
	if redirect.KindOf(uri) != redirect.PrivateUse {
		if port == defaultPorts[u.Scheme] {
			port = ""
		}
		if path == "" {
			path = "/"
		}
		query = strings.ReplaceAll(query, "'", "%27") // the one character that it writes otherwise
	}
	got := []string{b.Scheme(), b.Username(), b.Password(), b.Host(), b.Port(), b.Pathname(), b.Query(), b.Fragment()}
	want := []string{u.Scheme, "", "", strings.TrimSuffix(u.Host, ":"+u.Port()), port, path, query, ""}
	if port != "" {
		want[3] += ":" + port
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q means something else to a browser (-net/url +browser):\n%s", uri, diff)
	}
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// plain says what a valid URI can't hold, by the eyes of another parser.
func plain(t *testing.T, uri string) {
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatalf("%q is valid, but net/url says %v", uri, err)
	}
	if u.User != nil || u.Fragment != "" || !u.IsAbs() || strings.ContainsAny(uri, "\\#\t\r\n ") || strings.Contains(u.Host, "@") {
		t.Fatalf("%q is valid: %#v", uri, u)
	}
	if u.Path != "" && (strings.Contains(u.Path+"/", "/../") || strings.Contains(u.Path+"/", "/./")) {
		t.Fatalf("%q is valid and has a dot segment", uri)
	}
	loopback := u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"
	web := u.Scheme == "http" || u.Scheme == "https"
	if u.Scheme == "http" && !loopback {
		t.Fatalf("%q is valid and would send a code in the clear", uri)
	}
	want := redirect.PrivateUse
	switch {
	case web && loopback:
		want = redirect.Loopback
	case web:
		want = redirect.Web
	}
	if got := redirect.KindOf(uri); got != want {
		t.Fatalf("%q is of kind %d, want %d", uri, got, want)
	}
	bare := u.Host
	if u.Port() != "" {
		bare = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	if shown := redirect.Host(uri); web && shown != bare && shown != u.Host {
		t.Fatalf("%q leads to %q, shown is %q", uri, u.Host, shown)
	}
}

func FuzzMatch(f *testing.F) {
	for _, c := range valid {
		f.Add(c.uri, c.uri)
		f.Add("http://127.0.0.1/cb", c.uri)
	}
	for _, c := range invalid {
		f.Add(c.uri, c.uri)
		f.Add("http://localhost/cb", c.uri)
		f.Add("https://app.example.com/cb", c.uri)
	}
	f.Add("http://[::1]/cb?a", "http://[::1]:7/cb?a")
	f.Fuzz(func(t *testing.T, registered, requested string) {
		got := redirect.Match([]string{registered}, requested)
		if want := model(t, registered, requested); got != want {
			t.Fatalf("registered %q, requested %q: %v, the model says %v", registered, requested, got, want)
		}
		if redirect.Validate(requested, true) == nil {
			plain(t, requested)
			browsed(t, requested)
		}
		explained := redirect.Explain([]string{registered}, requested)
		if (explained.Difference == "") != got {
			t.Fatalf("registered %q, requested %q, match %v: explained as %+v", registered, requested, got, explained)
		}
	})
}
