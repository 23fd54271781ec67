package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Who signs out at the provider is signed out at the application. OpenID Connect
// Back-Channel Logout §2.5
func TestTheDemoIsToldOfASignOut(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	b := newBrowser(t).signIn(r.issuer, r.printed("Username"), r.printed("Password"))
	other := newBrowser(t)
	other.get(r.issuer+"/demo").submit().submit("username", r.printed("Username"), "password", r.printed("Password")).sees("Hello, Demo User")

	if b.post(r.issuer+"/demo/backchannel-logout", "logout_token", "x.y.z"); b.code != http.StatusBadRequest {
		t.Errorf("a token of nobody's making is answered with %d", b.code)
	}
	b.get(r.issuer + "/demo").sees("Hello, Demo User")
	b.get(r.issuer+"/oauth/logout").submit("decision", "signout")
	b.until(r.issuer+"/demo", "You were signed out").sees("from server to server", "The refresh token from before is refused: invalid_grant")
	if b.get(r.issuer + "/demo"); strings.Contains(b.text(), "You were signed out") {
		t.Error("it is told twice")
	}
	other.get(r.issuer + "/demo").sees("Hello, Demo User") // in another session
}

// RFC 9110 §15.5.5
func TestUnknownPaths(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	for _, c := range []struct{ path, accept, kind, text string }{
		{"/nothing", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "<h1>Nothing is here</h1>"},
		{"/oauth/nothing", "text/html", "text/html; charset=utf-8", `href="/"`},
		{"/oauth/nothing", "*/*", "text/plain; charset=utf-8", r.issuer + "/.well-known/openid-configuration"},
		{"/nothing", "", "text/plain; charset=utf-8", "Nothing is here."},
		{"/demo/nothing", "text/html", "text/html; charset=utf-8", "This application has no such page."},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, r.issuer+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", c.accept)
			resp, err := http.DefaultClient.Do(req)
			b := newBrowser(t).read(resp, err)
			if b.code != http.StatusNotFound || resp.Header.Get("Content-Type") != c.kind || method == http.MethodGet && !strings.Contains(b.body, c.text) {
				t.Errorf("%s %s, Accept %q: %d %s\n%s", method, c.path, c.accept, b.code, resp.Header.Get("Content-Type"), b.body)
			}
		}
	}
}
