package integration

import (
	"net/http"
	"net/url"
	"testing"
)

// TestAccountInBrowser looks at the pages of a person's own account and uses them.
func TestAccountInBrowser(t *testing.T) {
	b := chromium(t)
	p := launch(t, t.TempDir())
	elsewhere := p.person()
	code, verifier, err := p.code(elsewhere, "web", "alice", url.Values{"scope": {"openid profile offline_access"}})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := p.exchange("web", code, verifier, nil)
	if err != nil || tokens.status != http.StatusOK {
		t.Fatalf("%v %s", err, tokens)
	}
	if _, _, err := p.code(elsewhere, "other", "alice", url.Values{"scope": {"openid"}}); err != nil {
		t.Fatal(err)
	}

	b.open(p.endpoint("account/apps"))
	b.see("Sign in")
	b.look("account-login")
	b.fill("username", "alice")
	b.fill("password", people["alice"])
	b.press("Sign in")
	b.see("Connected apps", "The web app", "The other app", "not used yet", "Where you are signed in")
	b.look("account-apps")
	if where := evaluate[string](b, `location.pathname`); where != "/oauth/account/apps" {
		t.Errorf("the person came back to %s", where)
	}
	b.open(p.endpoint("account/apps") + "?app=web")
	b.see("Remove the access of", "The web app")
	b.look("account-remove")
	b.press("Remove access")
	b.see("access was removed", "The other app")
	b.look("account-removed")
	if again, err := p.refresh("web", tokens.text("refresh_token"), nil); err != nil || again.text("error") != "invalid_grant" {
		t.Errorf("the application still refreshes: %v %s", err, again)
	}

	b.open(p.endpoint("account/sessions"))
	b.see("Where you are signed in", "This browser", "Chrome", "Sign out everywhere else")
	b.look("account-sessions")
	b.press("Sign out everywhere else")
	b.see("it is signed out", "This browser")
	address, _ := p.authorizeURL("other", url.Values{"prompt": {"none"}})
	answer, err := elsewhere.open(address)
	if err != nil || answer.location() == nil || answer.location().Query().Get("error") != "login_required" {
		t.Errorf("the other browser is still signed in: %v %s", err, answer)
	}
	b.quiet("favicon.ico")
}
