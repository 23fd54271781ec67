package integration

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// onLoopback serves a world, whose clock can be moved, to a browser on this machine as
// http://localhost.
func onLoopback(t *testing.T, configure func(*server.Config)) *world {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	w := start(t, plan{issuer: "http://localhost:" + port, configure: configure})
	web := &http.Server{Handler: w.handler}
	go func() { _ = web.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = web.Close() })
	return w
}

// trustAnyCertificate lets the browser go to test servers.
func (b *tab) trustAnyCertificate() {
	b.t.Helper()
	b.do("trust test servers", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		return t.Call(ctx, "Security.setIgnoreCertificateErrors", map[string]any{"ignore": true}, nil)
	}))
}

// signInAs fills in the sign-in page.
func (b *tab) signInAs(name string) {
	b.t.Helper()
	b.see("Sign in")
	b.fill("username", name)
	b.fill("password", people[name])
	b.press("Sign in")
}

// TestAcceptance9 consents to answers that go to http on loopback, to https that sends
// the browser on to the scheme of an app, and to the scheme of an app. No policy of a
// page may stand in the way.
func TestAcceptance9(t *testing.T) {
	b := chromium(t)
	app := newReceiver(t)
	arrived := make(chan url.Values, 9)
	onward := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cb" {
			arrived <- r.URL.Query()
		}
		http.Redirect(w, r, "claude://x", http.StatusFound)
	}))
	onward.StartTLS()
	t.Cleanup(onward.Close)
	w := onLoopback(t, func(c *server.Config) {
		for _, client := range []struct{ id, to string }{{"by-http", app.URL + "/cb"}, {"by-https", onward.URL + "/cb"}, {"by-scheme", "com.app:/cb"}} {
			c.Clients = append(c.Clients, storage.Client{
				ID: client.id, Name: client.id, TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: []string{client.to}, Scope: "openid",
			})
		}
	})
	b.trustAnyCertificate()
	ask := func(client, to string) {
		t.Helper()
		params := url.Values{"client_id": {client}, "redirect_uri": {to}, "response_type": {"code"}, "scope": {"openid"}, "state": {"state-" + client},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
		b.open(w.endpoint("authorize") + "?" + params.Encode())
	}
	ask("by-http", app.URL+"/cb")
	b.signInAs("alice")
	b.see("Allow")
	b.do("double click on Allow", chromedp.DoubleClick(button("Allow")))
	b.see("Landed with state-by-http")
	if n := len(app.answers("state-by-http")); n != 1 {
		t.Errorf("a double click gave %d answers", n)
	}
	ask("by-https", onward.URL+"/cb")
	b.see("Allow")
	b.click("Allow")
	select {
	case answer := <-arrived:
		if answer.Get("code") == "" {
			t.Errorf("the application is told %v", answer)
		}
	case <-time.After(pageWait):
		t.Fatalf("the browser did not come to the callback; the page is %s", b.text())
	}
	// That tab may wait for an answer whether to open the app.
	other := b.another()
	first := b
	b = other
	ask("by-scheme", "com.app:/cb")
	b.see("Allow", "this device (com.app)")
	b.click("Allow")
	b.see("Return to by-scheme")
	for _, tab := range []*tab{first, other} {
		tab.quiet("favicon.ico", "custom protocol", "Failed to launch", "Not allowed to launch")
	}
}

// TestAcceptance11 leaves the sign-in page open for an hour and starts again.
func TestAcceptance11(t *testing.T) {
	b := chromium(t)
	app := newReceiver(t)
	w := onLoopback(t, func(c *server.Config) {
		c.Clients = append(c.Clients, storage.Client{ID: "late", Name: "Late", FirstParty: true, TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: []string{app.URL + "/cb"}, Scope: "openid"})
	})
	params := url.Values{"client_id": {"late"}, "redirect_uri": {app.URL + "/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"kept"}, "ui_locales": {"fr"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
	b.open(w.endpoint("authorize") + "?" + params.Encode())
	b.see("Connexion", "Mot de passe") // what the client says of the person comes first
	w.advance(61 * time.Minute)
	b.fill("username", "alice")
	b.fill("password", people["alice"])
	b.press("Se connecter")
	b.see("Ce lien de connexion a expiré") // and is kept to the end
	b.press("Recommencer")
	b.see("Mot de passe")
	b.do("reload", chromedp.Reload())
	b.see("Mot de passe")
	b.fill("username", "alice")
	b.fill("password", people["alice"])
	b.press("Se connecter")
	b.see("Landed with kept")
	b.quiet("410 (Gone)", "favicon.ico")
}

// TestAcceptance12 opens 127.0.0.1 where the issuer is localhost, at the authorize
// endpoint and inside an interaction.
func TestAcceptance12(t *testing.T) {
	b := chromium(t)
	w := onLoopback(t, nil)
	wrong := strings.Replace(w.issuer, "localhost", "127.0.0.1", 1)
	hosts := []string{strings.TrimPrefix(wrong, "http://"), strings.TrimPrefix(w.issuer, "http://"), "Use localhost"}
	b.open(wrong + "/oauth/authorize?client_id=web")
	b.see(hosts...)
	address, _ := w.authorizeURL("web", nil)
	b.open(address)
	b.see("Password")
	page := evaluate[string](b, `location.href`)
	b.open(strings.Replace(page, "localhost", "127.0.0.1", 1))
	b.see(hosts...)
	b.look("wrong-host")
	if log := string(w.journal.all()); !strings.Contains(log, "You opened "+hosts[0]+", but this server is "+hosts[1]) {
		t.Error("the log does not say which host was opened and which is right")
	}
}

// TestKeyboardOnly signs in and consents by Tab and Enter, in the order in which the
// page is read.
func TestKeyboardOnly(t *testing.T) {
	b := chromium(t)
	app := newReceiver(t)
	w := onLoopback(t, func(c *server.Config) {
		c.Clients = append(c.Clients, storage.Client{ID: "keys", Name: "Keys", TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: []string{app.URL + "/cb"}, Scope: "openid"})
	})
	params := url.Values{"client_id": {"keys"}, "redirect_uri": {app.URL + "/cb"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"keys"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
	b.open(w.endpoint("authorize") + "?" + params.Encode())
	b.see("Sign in")
	if at := evaluate[string](b, `document.activeElement.id`); at != "username" {
		t.Errorf("the page begins at %q", at)
	}
	b.do("type the name", chromedp.KeyEvent("alice\t"))
	if at := evaluate[string](b, `document.activeElement.id`); at != "password" {
		t.Errorf("after the name comes %q", at)
	}
	b.do("type the password", chromedp.KeyEvent(people["alice"]+"\r"))
	b.see("Allow")
	b.do("go to the first button", chromedp.KeyEvent("\t"))
	first := evaluate[string](b, `document.activeElement.value`)
	b.do("go to the second button", chromedp.KeyEvent("\t"))
	if second := evaluate[string](b, `document.activeElement.value`); first != "deny" || second != "allow" {
		t.Errorf("the order is %q, %q", first, second)
	}
	if outline := evaluate[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("one can't see where one is: the outline is %q", outline)
	}
	b.do("press Enter", chromedp.KeyEvent("\r"))
	b.see("Landed with keys")
}
