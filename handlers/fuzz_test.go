package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/quotable"
)

// What passes the gate is unambiguous text of one client.
func FuzzGate(f *testing.F) {
	f.Add("client_id=a&client_secret=b&x=1", "")
	f.Add("client_id=a", "Basic YTpi")
	f.Add("resource=a&resource=b&client_id=%C3%A4", "basic YTo=")
	f.Add("client_id=a;b&%00=%ff", "Basic %%%")
	f.Fuzz(func(t *testing.T, body, authorization string) {
		header := http.Header{}
		if authorization != "" {
			header["Authorization"] = []string{authorization}
		}
		c, form, e := authenticated(formRequest(body, header))
		if e != nil {
			if d := quotable.Text(e.Description); strings.ContainsAny(d, "\"\\\r\n") || statusOf(e) < 400 {
				t.Errorf("refused with %d %q", statusOf(e), d)
			}
			return
		}
		if c.ClientID == "" || !utf8.ValidString(c.ClientID) || strings.ContainsAny(c.ClientID+string(c.Secret), "\x00\r\n") {
			t.Errorf("%q %q: the credentials are %q", body, authorization, c.ClientID)
		}
		if (c.Method == "client_secret_basic") != (authorization != "") {
			t.Errorf("%q %q: the method is %s", body, authorization, c.Method)
		}
		for name, values := range form {
			if len(values) != 1 && name != "resource" || name == "client_secret" || name == "client_id" {
				t.Errorf("%q: %s is %q", body, name, values)
			}
		}
	})
}

// What a stranger calls himself stays on one line, in one direction, and short.
func FuzzReadable(f *testing.F) {
	f.Add("No\u202etes\u200b", 60)
	f.Add("\xff\xfe", 10)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 1 || most > 1000 {
			return
		}
		got := readable(s, most)
		if n := utf8.RuneCountInString(got); n > most || !utf8.ValidString(got) {
			t.Errorf("%q becomes %q, of %d characters", s, got, n)
		}
		if strings.ContainsAny(got, "\u202a\u202b\u202d\u202e\u2066\u2067\u200b\u200e\u200f\n\r\t\x00\x1b") {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}

// Whatever stands in a URL or a cookie, nothing but a cookie of ours comes of it.
func FuzzInteractionCookie(f *testing.F) {
	f.Add("dwi_AZypRQoAqxvHOuBTONoVUU8Bbd02yVa8-HWevxGQAmamzCzDPg1HTlqAdH1eKOYl")
	f.Add("dwi_")
	f.Add("../x")
	f.Fuzz(func(t *testing.T, id string) {
		name := interactionCookie(id)
		if _, ok := opaque.TokenKey(interactionPrefix, id); ok && name == "" {
			t.Errorf("%q has no cookie", id)
		}
		if strings.Trim(name, "i_0123456789abcdef") != "" {
			t.Errorf("%q has the cookie %q", id, name)
		}
	})
}

func FuzzLogoutState(f *testing.F) {
	f.Add("https://a.example/bye?x=1", "a b&c")
	f.Fuzz(func(t *testing.T, uri, state string) {
		before, err := url.Parse(uri)
		if err != nil || state == "" || before.Fragment != "" || before.Query().Has("state") {
			return
		}
		after, err := url.Parse(withState(uri, state))
		if err != nil || after.Host != before.Host || after.Path != before.Path || after.Scheme != before.Scheme {
			t.Fatalf("%q with state %q leads to %v, %v", uri, state, after, err)
		}
		if _, err := url.ParseQuery(before.RawQuery); err == nil && after.Query().Get("state") != state {
			t.Errorf("%q carries the state %q, not %q", after, after.Query().Get("state"), state)
		}
	})
}
