package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/doorward/doorward/server"
)

// TestPartialConsent leaves out what may be left out: the token has the rest, the same
// question is not asked again, and any other one is. RFC 6749 §3.3
func TestPartialConsent(t *testing.T) {
	w := start(t, plan{configure: func(c *server.Config) {
		for i := range c.Scopes {
			c.Scopes[i].Optional = strings.HasPrefix(c.Scopes[i].Name, "notes:")
		}
		c.Scopes = append(c.Scopes, server.Scope{Name: "offline_access", Optional: true})
	}})
	alice := w.person()
	const all = "openid profile notes:read notes:write offline_access"
	address, verifier := w.authorizeURL("web", url.Values{"scope": {all}})
	if _, err := alice.open(address); err != nil {
		t.Fatal(err)
	}
	page, err := alice.submit(url.Values{"username": {"alice"}, "password": {people["alice"]}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`name="scope" value="notes:read" checked`, `name="scope" value="offline_access" checked`, "web.test"} {
		if !strings.Contains(string(page.body), want) {
			t.Fatalf("the page lacks %s:\n%s", want, page)
		}
	}
	if strings.Contains(string(page.body), `value="openid"`) || strings.Contains(string(page.body), `value="profile"`) {
		t.Error("what is required has a box")
	}
	answer, err := alice.submit(url.Values{"decision": {"allow"}, "scope": {"notes:read"}})
	if err != nil || answer.location() == nil {
		t.Fatalf("%v %s", err, answer)
	}
	tokens, err := w.exchange("web", answer.location().Query().Get("code"), verifier, nil)
	if err != nil || tokens.text("scope") != "openid profile notes:read" {
		t.Errorf("granted: %v %s", err, tokens)
	}

	silent := func(scope, code string) *reply {
		t.Helper()
		address, verifier = w.authorizeURL("web", url.Values{"scope": {scope}, "prompt": {"none"}})
		answer, err := alice.open(address)
		if err != nil || answer.location() == nil || answer.location().Query().Get("error") != code {
			t.Fatalf("asking for %q silently: %v %s", scope, err, answer)
		}
		return answer
	}
	again := silent(all, "")
	if tokens, err = w.exchange("web", again.location().Query().Get("code"), verifier, nil); err != nil || tokens.text("scope") != "openid profile notes:read" {
		t.Errorf("the same question again granted: %v %s", err, tokens)
	}
	silent("openid notes:read", "")
	silent("openid notes:write", "consent_required") // what was left out, asked for on purpose
	silent("openid offline_access", "consent_required")

	// Asked anew, and nothing more is left than what must be: what was allowed before
	// and unticked now is withdrawn.
	if _, err := alice.open(address); err != nil {
		t.Fatal(err)
	}
	address, verifier = w.authorizeURL("web", url.Values{"scope": {all}, "prompt": {"consent"}})
	if _, err := alice.open(address); err != nil {
		t.Fatal(err)
	}
	if answer, err = alice.submit(url.Values{"decision": {"allow"}, "scope": {}}); err != nil || answer.location() == nil {
		t.Fatalf("%v %s", err, answer)
	}
	if tokens, err = w.exchange("web", answer.location().Query().Get("code"), verifier, nil); err != nil || tokens.text("scope") != "openid profile" {
		t.Errorf("granted: %v %s", err, tokens)
	}
	silent("openid notes:read", "consent_required")

	// Nothing at all is a no.
	address, _ = w.authorizeURL("web", url.Values{"scope": {"notes:read notes:write"}, "prompt": {"consent"}})
	if _, err := alice.open(address); err != nil {
		t.Fatal(err)
	}
	if answer, err = alice.submit(url.Values{"decision": {"allow"}, "scope": {}}); err != nil || answer.location() == nil || answer.location().Query().Get("error") != "access_denied" {
		t.Errorf("%v %s", err, answer)
	}
	// A form that says it has no boxes allows all, as a page of an overlay does.
	address, verifier = w.authorizeURL("web", url.Values{"scope": {all}, "prompt": {"consent"}})
	page, err = alice.open(address)
	if err != nil {
		t.Fatal(err)
	}
	old, err := send(alice.client, http.MethodPost, page.at.String()+"?step=consent", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "decision=allow")
	if err != nil || old.location() == nil {
		t.Fatalf("%v %s", err, old)
	}
	if tokens, err = w.exchange("web", old.location().Query().Get("code"), verifier, nil); err != nil || tokens.text("scope") != all {
		t.Errorf("granted: %v %s", err, tokens)
	}
}
