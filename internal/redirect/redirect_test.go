package redirect_test

import (
	"strings"
	"testing"

	"github.com/doorward/doorward/internal/redirect"
)

// valid are URIs that may be registered, with their kind and the host people see.
var valid = []struct {
	uri  string
	kind redirect.Kind
	host string
}{
	{"https://app.example.com/callback", redirect.Web, "app.example.com"},
	{"https://app.example.com", redirect.Web, "app.example.com"},
	{"https://app.example.com/", redirect.Web, "app.example.com"},
	{"https://app.example.com:8443/cb?tenant=a&x=%2F", redirect.Web, "app.example.com:8443"},
	{"https://app.example.com:443/cb", redirect.Web, "app.example.com:443"},
	{"https://app/cb", redirect.Web, "app"},
	{"https://xn--bcher-kva.example/cb", redirect.Web, "xn--bcher-kva.example"},
	{"https://my_host.internal/a%2Fb/.../..c/d.", redirect.Web, "my_host.internal"},
	{"https://203.0.113.7/cb", redirect.Web, "203.0.113.7"},
	{"https://[2001:db8::1]:444/cb", redirect.Web, "[2001:db8::1]:444"},
	{"https://a.example/cb?next=https://b.example/@x:y?z", redirect.Web, "a.example"},
	{"https://a.example/@user:pw/cb", redirect.Web, "a.example"},
	{"https://localhost.example/cb", redirect.Web, "localhost.example"},
	{"https://127.0.0.1.example/cb", redirect.Web, "127.0.0.1.example"},
	{"http://127.0.0.1/cb", redirect.Loopback, "127.0.0.1"},
	{"http://127.0.0.1:0/cb", redirect.Loopback, "127.0.0.1"},
	{"http://127.0.0.1:65535/cb", redirect.Loopback, "127.0.0.1"},
	{"http://[::1]:4444/cb", redirect.Loopback, "[::1]"},
	{"http://localhost:3000", redirect.Loopback, "localhost"},
	{"https://localhost/cb", redirect.Loopback, "localhost"},
	{"com.example.app:/callback", redirect.PrivateUse, "com.example.app"},
	{"com.example.app://callback", redirect.PrivateUse, "com.example.app"},
	{"com.example.app:///callback", redirect.PrivateUse, "com.example.app"},
	{"msauth.com.Example.App://auth", redirect.PrivateUse, "msauth.com.Example.App"},
	{"com.example.app+x-1:/cb?a=b", redirect.PrivateUse, "com.example.app+x-1"},
}

// invalid are URIs that nobody may register, with a word that the error must hold.
var invalid = []struct{ uri, word string }{
	{"", "empty"},
	{"/callback", "absolute"},
	{"//app.example.com/cb", "absolute"},
	{"app.example.com/cb", "absolute"},
	{"?x:y", "absolute"},
	{":", "absolute"},
	{"https:", "no host"},
	{"https:/cb", "no host"},
	{"https://", "no host"},
	{"https:///cb", "no host"},
	{"https://:443/cb", "no host"},
	{"https:app.example.com/cb", "no host"},
	{"https://app.example.com/cb#frag", "fragment"},
	{"https://app.example.com/cb#", "fragment"},
	{"com.example.app:/cb#", "fragment"},
	{"https://app.example.com/" + strings.Repeat("a", 2048), "2048"},

	{"https://user@app.example.com/cb", "user name"},
	{"https://user:pw@app.example.com/cb", "user name"},
	{"https://@app.example.com/cb", "user name"},
	{"https://app.example.com@evil.example/cb", "user name"},
	{"https://a@b@c.example/cb", "user name"},
	{"http://evil@127.0.0.1:4444/cb", "user name"},
	{"http://127.0.0.1:80@evil.example/cb", "http is accepted only"},
	{"https://127.0.0.1:80@evil.example/cb", "user name"},
	{"com.example.app://user@host/cb", "user name"},

	{"https://app.example.com/c b", "' '"},
	{" https://app.example.com/cb", "' '"},
	{"https://app.example.com/cb ", "' '"},
	{"https://app.example.com/\tcb", "'\\t'"},
	{"ht\ntps://app.example.com/cb", "'\\n'"},
	{"https://app.example.com/cb\r\nLocation: x", "'\\r'"},
	{"https://app.example.com/\x00", "'\\x00'"},
	{"https://app.example.com/\x7f", "'\\x7f'"},
	{"https://bücher.example/cb", "ASCII"},
	{"https://app.example.com/\u202e", "ASCII"},
	{"https://app。example。com/cb", "ASCII"},
	{"https://app.example.com\\@evil.example/cb", "backslash"},
	{"https:\\\\app.example.com\\cb", "backslash"},
	{"https://app.example.com/<script>", "'<'"},
	{"https://app.example.com/{id}", "'{'"},
	{"https://app.example.com/%", "hexadecimal"},
	{"https://app.example.com/%2", "hexadecimal"},
	{"https://app.example.com/%zz", "hexadecimal"},
	{"https://app.example.com/cb%0d%0aSet-Cookie:x", "control"},
	{"https://app.example.com/cb%00", "control"},
	{"https://app.example.com/cb%7F", "control"},

	{"https://app.example.com/a/../cb", "segment"},
	{"https://app.example.com/..", "segment"},
	{"https://app.example.com/./cb", "segment"},
	{"https://app.example.com/%2e%2E/cb", "segment"},
	{"https://app.example.com/.%2e/cb", "segment"},
	{"https://app.example.com/cb/%2E", "segment"},
	{"https://app.example.com/x%2f..%2fcb", "segment"},
	{"https://app.example.com/x%5c..%5ccb", "segment"},
	{"com.example.app:/../cb", "segment"},

	{"https://*.example.com/cb", "wildcard"},
	{"https://*/cb", "wildcard"},
	{"com.example.app://*/cb", "wildcard"},
	{"https://app.example.com:/cb", "port"},
	{"https://app.example.com:99999/cb", "port"},
	{"http://127.0.0.1:99999/cb", "port"},
	{"http://127.0.0.1:65536/cb", "port"},
	{"http://127.0.0.1:/cb", "port"},
	{"http://127.0.0.1:080/cb", "port"},
	{"http://127.0.0.1:+80/cb", "port"},
	{"http://127.0.0.1:-1/cb", "port"},
	{"http://127.0.0.1:*/cb", "port"},
	{"http://127.0.0.1:80:80/cb", "port"},
	{"http://[::1]:/cb", "port"},
	{"http://[::1]:x/cb", "port"},
	{"com.example.app://host:x/cb", "port"},
	{"com.example.app://:4/cb", "no host"},

	{"HTTPS://app.example.com/cb", "lower case"},
	{"hTTp://127.0.0.1/cb", "lower case"},
	{"https://App.example.com/cb", "lower case"},
	{"http://LOCALHOST/cb", "http is accepted only"},
	{"https://LOCALHOST/cb", "lower case"},
	{"https://app.example.com./cb", "dot at the end"},
	{"https://localhost./cb", "dot at the end"},
	{"http://localhost./cb", "http is accepted only"},
	{"https://127.0.0.1./cb", "dot at the end"},
	{"https://app..example.com/cb", "between its dots"},
	{"https://.example.com/cb", "between its dots"},
	{"https://" + strings.Repeat("a", 64) + ".example/cb", "between its dots"},
	{"https://" + strings.Repeat("a.", 150) + "example/cb", "at most 253"},
	{"https://app%2eexample.com/cb", "letters"},
	{"https://exam%70le.com/cb", "letters"},
	{"https://a,b/cb", "letters"},
	{"https://a;b/cb", "letters"},

	{"http://127.1/cb", "http is accepted only"},
	{"https://127.1/cb", "four numbers"},
	{"https://127.0.1/cb", "four numbers"},
	{"https://2130706433/cb", "four numbers"},
	{"https://0x7f000001/cb", "four numbers"},
	{"https://0x7f.0.0.1/cb", "four numbers"},
	{"https://127.0.0.0x1/cb", "four numbers"},
	{"https://0177.0.0.1/cb", "four numbers"},
	{"https://127.0.0.01/cb", "four numbers"},
	{"https://127.0.0.256/cb", "four numbers"},
	{"https://1.2.3.4.5/cb", "four numbers"},
	{"http://127.0.0.2/cb", "http is accepted only"},
	{"http://0.0.0.0/cb", "http is accepted only"},
	{"http://[::]/cb", "http is accepted only"},
	{"http://[::ffff:127.0.0.1]/cb", "http is accepted only"},
	{"https://[::ffff:127.0.0.1]/cb", "four numbers: 127.0.0.1"},
	{"https://[::ffff:7f00:1]/cb", "four numbers: 127.0.0.1"},
	{"https://[0:0:0:0:0:0:0:1]/cb", "write it [::1]"},
	{"https://[::0001]/cb", "write it [::1]"},
	{"https://[2001:DB8::1]/cb", "write it [2001:db8::1]"},
	{"https://[::1%25lo]/cb", "zone"},
	{"https://[127.0.0.1]/cb", "IPv6"},
	{"https://[::1/cb", "port"},
	{"https://[x/cb", "IPv6"},
	{"https://[::1]x/cb", "IPv6"},
	{"https://[]/cb", "IPv6"},
	{"https://::1/cb", "no host"},
	{"https://x::1/cb", "port"},

	{"http://app.example.com/cb", "http is accepted only"},
	{"http://localhost.example.com/cb", "http is accepted only"},
	{"http://127.0.0.1.example.com/cb", "http is accepted only"},
	{"http://localhost@evil.example/cb", "http is accepted only"},
	{"javascript:alert(1)", "never"},
	{"JavaScript://app.example.com/%250aalert(1)", "never"},
	{"data:text/html,x", "never"},
	{"vbscript:x", "never"},
	{"blob:https://app.example.com/x", "never"},
	{"about:blank", "never"},
	{"file:///etc/passwd", "never"},
	{"view-source:https://app.example.com", "never"},
	{"myapp://cb", "reversed domain"},
	{"localhost:3000/cb", "reversed domain"},
	{"urn:ietf:wg:oauth:2.0:oob", "reversed domain"},
	{".example:/cb", "scheme"},
	{"example.:/cb", "reversed domain"},
	{"com..example:/cb", "reversed domain"},
	{"1com.example:/cb", "scheme"},
	{"com.ex*mple:/cb", "scheme"},
	{"com.example.app:cb", "slash"},
	{"com.example.app:", "slash"},
	{"com.example.app:?x", "slash"},
	{"com.example.app://a%62/cb", "no name"},
	{"com.example.app://[::1]/cb", "no name"},
}

// RFC 6749 §3.1.2, RFC 8252 §7.1, §7.3, §8.4, OAuth 2.1 §2.3, RFC 9700 §4.1, RFC 3986 §3,
// §3.1, RFC 1035 §2.3.4
func TestValidate(t *testing.T) {
	for _, c := range valid {
		if err := redirect.Validate(c.uri, true); err != nil {
			t.Errorf("%s: %v", c.uri, err)
		}
		err := redirect.Validate(c.uri, false)
		if c.kind == redirect.PrivateUse {
			if err == nil || !strings.Contains(err.Error(), "public clients") {
				t.Errorf("%s for a confidential client: %v", c.uri, err)
			}
		} else if err != nil {
			t.Errorf("%s for a confidential client: %v", c.uri, err)
		}
		if kind, host := redirect.KindOf(c.uri), redirect.Host(c.uri); kind != c.kind || host != c.host {
			t.Errorf("%s: kind %d, host %q; want %d, %q", c.uri, kind, host, c.kind, c.host)
		}
		if !redirect.Match([]string{c.uri}, c.uri) {
			t.Errorf("%s does not match itself", c.uri)
		}
	}
	for _, c := range invalid {
		for _, public := range []bool{true, false} {
			err := redirect.Validate(c.uri, public)
			if err == nil {
				t.Errorf("%q may be registered", c.uri)
				continue
			}
			if text := err.Error(); !strings.HasPrefix(text, "redirect: ") || !strings.Contains(text, c.word) {
				t.Errorf("%q: %v; want %q in it", c.uri, err, c.word)
			} else if strings.Contains(text, "pw") || len(text) > 400 {
				t.Errorf("%.100q: the error shows a password or too much: %v", c.uri, err)
			}
		}
		if kind, host := redirect.KindOf(c.uri), redirect.Host(c.uri); kind != 0 || host != "" {
			t.Errorf("%q: kind %d, host %q", c.uri, kind, host)
		}
		if redirect.Match([]string{c.uri}, c.uri) {
			t.Errorf("%q matches itself", c.uri)
		}
	}
}

// RFC 9700 §2.1, §4.1.3, RFC 8252 §7.3
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		registered, requested string
		want                  bool
	}{
		{"http://127.0.0.1/cb", "http://127.0.0.1:53122/cb", true},
		{"http://127.0.0.1:8080/cb", "http://127.0.0.1:53122/cb", true},
		{"http://127.0.0.1:8080/cb", "http://127.0.0.1/cb", true},
		{"http://[::1]/cb", "http://[::1]:53122/cb", true},
		{"http://localhost/cb", "http://localhost:53122/cb", true},
		{"http://localhost", "http://localhost:53122", true},
		{"https://localhost/cb?a=b", "https://localhost:53122/cb?a=b", true},
		{"http://localhost/cb?", "http://localhost:1/cb?", true},

		{"http://127.0.0.1/cb", "http://localhost/cb", false},
		{"http://localhost/cb", "http://127.0.0.1:1/cb", false},
		{"http://127.0.0.1/cb", "http://[::1]/cb", false},
		{"http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]/cb", false},
		{"http://127.0.0.1/cb", "http://127.1/cb", false},
		{"http://127.0.0.1/cb", "http://[::ffff:127.0.0.1]/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1./cb", false},
		{"http://localhost/cb", "http://LOCALHOST/cb", false},
		{"https://127.0.0.1/cb", "http://127.0.0.1:9999/cb", false},
		{"http://127.0.0.1/cb", "https://127.0.0.1:9999/cb", false},
		{"http://127.0.0.1/cb", "http://evil@127.0.0.1:4444/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:4444@evil.example/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:99999/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:01/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/c%62", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/%63b", false},
		{"http://127.0.0.1/a/cb", "http://127.0.0.1:1/a%2Fcb", false},
		{"http://127.0.0.1/a%2Fcb", "http://127.0.0.1:1/a%2fcb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb/", false},
		{"http://127.0.0.1", "http://127.0.0.1:1/", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/CB", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/x/../cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb?a=b", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb?", false},
		{"http://127.0.0.1/cb?a=b&c=d", "http://127.0.0.1:1/cb?c=d&a=b", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb#", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1\\@evil.example/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1\t/cb", false},

		{"https://app.example.com/cb", "https://app.example.com:443/cb", false},
		{"https://app.example.com:1/cb", "https://app.example.com:2/cb", false},
		{"https://app.example.com/cb", "https://app.example.com/cb/", false},
		{"https://app.example.com/cb", "https://app.example.com/cb?x", false},
		{"https://app.example.com/cb", "https://app.example.com/cb%20", false},
		{"https://app.example.com", "https://app.example.com.evil.example", false},
		{"https://app.example.com/cb", "http://app.example.com/cb", false},
		{"com.example.app:/cb", "com.example.app://cb", false},
		{"com.example.app:/cb", "com.Example.app:/cb", false},
		{"com.example.app://localhost/cb", "com.example.app://localhost:1/cb", false},

		// What was registered before a rule was known is not valid for that.
		{"javascript:alert(1)", "javascript:alert(1)", false},
		{"http://u@127.0.0.1/cb", "http://127.0.0.1:1/cb", false},
		{"http://127.0.0.1/cb#x", "http://127.0.0.1:1/cb", false},
		{"", "", false},
	} {
		for _, registered := range [][]string{{c.registered}, {"https://other.example/cb", c.registered}} {
			if got := redirect.Match(registered, c.requested); got != c.want {
				t.Errorf("registered %v, requested %q: %v, want %v", registered, c.requested, got, c.want)
			}
		}
	}
	if redirect.Match(nil, "https://app.example.com/cb") {
		t.Error("nothing is registered, and yet it matches")
	}
}

// No URI of the tables stands for another one, whatever is registered: all but the
// loopback ports are compared byte for byte.
func TestNoURIStandsForAnother(t *testing.T) {
	var all []string
	for _, c := range valid {
		all = append(all, c.uri)
	}
	for _, c := range invalid {
		all = append(all, c.uri)
	}
	for _, a := range all {
		for _, b := range all {
			ports := redirect.KindOf(a) == redirect.Loopback && strings.HasPrefix(a, "http://127.0.0.1") && strings.HasPrefix(b, "http://127.0.0.1") && strings.HasSuffix(b, "/cb")
			if a != b && !ports && redirect.Match([]string{a}, b) {
				t.Errorf("%q stands for %q", b, a)
			}
		}
	}
}
