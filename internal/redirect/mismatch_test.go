package redirect_test

import (
	"strings"
	"testing"

	"github.com/doorward/doorward/internal/redirect"
)

func TestExplain(t *testing.T) {
	const app, cli = "https://app.example.com/cb", "http://127.0.0.1/cb"
	for _, c := range []struct{ registered, requested, closest, difference string }{
		{app, app, app, ""},
		{cli, "http://127.0.0.1:5/cb", "http://127.0.0.1:5/cb", ""},
		{app, app + "/", app, "extra trailing slash"},
		{app + "/", app, app + "/", "missing trailing slash"},
		{"https://app.example.com", "https://app.example.com/", "https://app.example.com", "extra trailing slash"},
		{cli, "http://localhost:53122/cb", cli, "localhost and 127.0.0.1 are different hosts"},
		{"http://localhost/cb", "http://127.0.0.1:53122/cb", "http://localhost/cb", "127.0.0.1 and localhost are different hosts"},
		{cli, "https://127.0.0.1/cb", cli, "https instead of http"},
		{"https://localhost/cb", "http://localhost:1/cb", "https://localhost/cb", "http instead of https"},
		{app, "http://app.example.com/cb", app, "not a valid redirect URI: http is accepted only"},
		{app, "https://app.example.com:8443/cb", app, "different port (8443 instead of none)"},
		{"https://a.example:1/cb", "https://a.example:2/cb", "https://a.example:1/cb", "different port (2 instead of 1)"},
		{app, "https://app.example.com/CB", app, "letter case of the path differs (/CB instead of /cb)"},
		{app, "https://app.example.com/CB/", app, "letter case of the path and the trailing slash differ"},
		{app, "https://App.example.com/cb", app, "not a valid redirect URI: its host is \"App.example.com\"; write it in lower case"},
		{"com.example.app:/cb", "com.Example.app:/cb", "com.example.app:/cb", "letter case of the scheme differs"},
		{"com.example.app:/cb", "com.example.app:///cb", "com.example.app:/cb", "2 instead of 1 slashes after the scheme"},
		{app, "https://app.example.com/other", app, "different path (/other instead of /cb)"},
		{app, "https://app.example.com", app, "different path (none instead of /cb)"},
		{app, app + "?x=y", app, "query differs (one was added)"},
		{app + "?x=y", app, app + "?x=y", "query differs (?x=y is missing)"},
		{app + "?x=y", app + "?x=z", app + "?x=y", "query differs (?x=z instead of ?x=y)"},
		{app, "https://evil.example/cb", app, "different host (evil.example instead of app.example.com)"},
		{app, "com.example.app:/cb", app, "different scheme (com.example.app instead of https); different host (none instead of app.example.com)"},
		{app, "https://app.example.com:1/x", app, "different port (1 instead of none); different path (/x instead of /cb)"},
		{app, "https://user:secret@app.example.com/cb", app, "not a valid redirect URI: it has a user name"},
		{app, "", app, "not a valid redirect URI: it is empty"},
		{"", app, "", "no redirect URI is registered"},
		{"http://u@127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://u@127.0.0.1/cb", "the registered URI is not valid: it has a user name"},

		// The closest of several.
		{"https://other.example/cb " + app + " https://app.example.com/else", app + "/", app, "extra trailing slash"},
		{"https://app.example.com/else " + app, "https://app.example.com/Cb", app, "letter case"},
		{app + " http://localhost/cb", "http://127.0.0.1:1/cb", "http://localhost/cb", "different hosts"},
		{"https://evil.example/cb/ https://app.example.com/a/b?c", "https://app.example.com/cb", "https://app.example.com/a/b?c", "different path"},
	} {
		got := redirect.Explain(strings.Fields(c.registered), c.requested)
		if got.Registered != c.closest || !strings.HasPrefix(got.Difference, c.difference) && !strings.Contains(got.Difference, c.difference) || (c.difference == "") != (got.Difference == "") {
			t.Errorf("registered %s, requested %s: %+v; want %s, %q", c.registered, c.requested, got, c.closest, c.difference)
		}
		if strings.Contains(got.Difference, "secret") {
			t.Errorf("a password is shown: %s", got.Difference)
		}
	}
}

// What a stranger sends does not fill the log.
func TestExplainIsShort(t *testing.T) {
	long := "https://" + strings.Repeat("a", 60) + "/" + strings.Repeat("p", 900) + "?" + strings.Repeat("q", 900)
	if got := redirect.Explain([]string{"https://b.example:1/" + strings.Repeat("x", 900) + "?y"}, long); len(got.Difference) > 800 {
		t.Errorf("%d bytes: %s", len(got.Difference), got.Difference)
	}
}
