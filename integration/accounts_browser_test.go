package integration

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
)

// TestAccountsInBrowser: two people sign in in one browser, one is chosen, one leaves.
func TestAccountsInBrowser(t *testing.T) {
	b := chromium(t)
	var handler http.Handler
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(listener.Close)
	w := start(t, plan{issuer: strings.Replace(listener.URL, "127.0.0.1", "localhost", 1), configure: func(c *server.Config) {
		c.Accounts = 3
		c.Login = handlers.PasswordLogin{Verify: verifyPassword, AskRemember: true}
	}})
	handler = w.handler
	choice, _ := w.authorizeURL("own", url.Values{"prompt": {"select_account"}})

	b.open(w.endpoint("account/apps"))
	b.see("Stay signed in")
	b.look("accounts-login")
	b.fill("username", "alice")
	b.fill("password", people["alice"])
	b.press("Sign in")
	b.see("Connected apps", "alice")

	b.open(choice)
	b.see("Choose an account", "alice", "Use another account")
	b.press("Use another account")
	b.see("Password")
	b.fill("username", "bob")
	b.fill("password", people["bob"])
	b.press("Sign in")
	b.see("own.test") // the client is not there
	b.open(w.endpoint("account/apps"))
	b.see("Connected apps", "bob")

	b.open(choice)
	b.see("Choose an account", "alice", "bob")
	b.look("accounts")
	b.press("alice")
	b.see("own.test")
	b.open(w.endpoint("account/apps"))
	b.see("Connected apps", "alice")

	// She leaves; nobody goes on as bob without being asked.
	b.open(w.endpoint("logout"))
	b.see("Sign out of all accounts", "alice")
	b.look("accounts-logout")
	b.press("Sign out")
	b.see("signed out")
	b.open(w.endpoint("account/apps"))
	b.see("Choose an account", "bob")
	b.press("bob")
	b.see("Connected apps", "bob")
}
