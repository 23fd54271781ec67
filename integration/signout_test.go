package integration

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/go-jose/go-jose/v3/jwt"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestSignOutEndsOffline ends what was granted for offline use too, where that is wanted.
func TestSignOutEndsOffline(t *testing.T) {
	for _, ends := range []bool{false, true} {
		w := start(t, plan{configure: func(c *server.Config) { c.SignOutEndsOffline = ends }})
		alice := w.person()
		tokens := tokensOf(t, w, alice, "web", "alice")
		if _, err := alice.open(w.endpoint("logout") + "?id_token_hint=" + tokens.text("id_token")); err != nil {
			t.Fatal(err)
		}
		again, err := w.refresh("web", tokens.text("refresh_token"), nil)
		if err != nil || (again.status != http.StatusOK) != ends {
			t.Errorf("SignOutEndsOffline %v: %v %s", ends, err, again)
		}
	}
}

// TestLogoutTokenOfPairwiseClient names the person and the session as the ID token does,
// and neither as another client knows them.
func TestLogoutTokenOfPairwiseClient(t *testing.T) {
	p := newParty(t)
	w := start(t, plan{configure: func(c *server.Config) {
		p.configure(c)
		for i := range c.Clients {
			if c.Clients[i].ID == "web" {
				c.Clients[i].SubjectType = storage.SubjectPairwise
			}
		}
	}})
	p.w = w
	alice := w.person()
	tokens := tokensOf(t, w, alice, "web", "alice")
	real := sidOf(t, tokensOf(t, w, alice, "own", "alice"))
	if err := w.server.RevokeSession(t.Context(), real); err != nil {
		t.Fatal(err)
	}
	deliver(t, w)
	var claims jwt.Claims
	parsed, err := jwt.ParseSigned(tokens.text("id_token"))
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		t.Fatal(err)
	}
	told := p.tokens()
	if len(told) != 2 || told[0].SessionID != real || told[1].Subject != claims.Subject || told[1].Subject == "alice" ||
		told[1].SessionID != sidOf(t, tokens) || told[1].SessionID == real {
		t.Errorf("told %v; the ID token says %s, sid %s, that of a public client %s", told, claims.Subject, sidOf(t, tokens), real)
	}
}

// TestConsentAsksAgain asks again when the client has another name or returns to another
// host than what the person saw. RFC 6819 §5.2.3
func TestConsentAsksAgain(t *testing.T) {
	w := start(t, plan{})
	made, secret, err := w.server.Clients().Create(t.Context(), storage.Client{
		ID: "dyn", Name: "Notes", RedirectURIs: []string{"https://dyn.test/cb"}, Scope: "openid profile offline_access", DefaultScope: "openid",
	})
	if err != nil {
		t.Fatal(err)
	}
	known := made.Clone()
	known.Secret = secret
	w.clients["dyn"] = known
	alice := w.person()
	silent := func(what, want string) {
		t.Helper()
		address, _ := w.authorizeURL("dyn", url.Values{"prompt": {"none"}})
		answer, err := alice.open(address)
		if err != nil || answer.location() == nil || answer.location().Query().Get("error") != want {
			t.Errorf("%s: %v %s", what, err, answer)
		}
	}
	allow := func() {
		t.Helper()
		if _, _, err := w.code(alice, "dyn", "alice", nil); err != nil {
			t.Fatal(err)
		}
	}
	allow()
	silent("unchanged", "")
	for _, change := range []func(c *storage.Client){
		func(c *storage.Client) { c.Name = "Your Bank" },
		func(c *storage.Client) { c.RedirectURIs = append(c.RedirectURIs, "https://evil.test/cb") },
	} {
		change(&made)
		if made, err = w.server.Clients().Update(t.Context(), made); err != nil {
			t.Fatal(err)
		}
		silent("changed", "consent_required")
		allow()
		silent("allowed anew", "")
	}
}
