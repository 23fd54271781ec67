package main

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// What the configuration file ends has ended, as if it were done by a command.
func TestTheFileEndsWhatWasGranted(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "idp.yaml")
	issuer := "http://" + freeAddress(t)
	const (
		web   = "- client_id: web\n  client_secret: 0123456789abcdef\n  scope: openid offline_access\n  first_party: true\n  redirect_uris: [https://web.example/cb]\n"
		other = "- client_id: other\n  client_secret: 0123456789abcdef\n  scope: openid\n  redirect_uris: [https://other.example/cb]\n"
		alice = "- {username: alice, password: alices password}\n"
		bob   = "- {username: bob, sub: '1002', password: bobs password}\n"
		carol = "- {username: carol, password: carols password}\n"
	)
	var r *running
	restart := func(clients, users string) {
		t.Helper()
		if r != nil {
			r.stop()
		}
		writeFile(t, config, "issuer: "+issuer+"\nstore: {path: x.db}\nclients:\n"+clients+"users:\n"+users)
		r = start(t, "--config", config)
	}
	restart(web+other, alice+bob+carol)
	browsers, tokens := map[string]*browser{}, map[string]*oauth2.Token{}
	begin := func(name, password string) {
		t.Helper()
		browsers[name] = newBrowser(t)
		tokens[name] = signInToWeb(t, browsers[name], issuer, name, password)
	}
	begin("alice", "alices password")
	begin("bob", "bobs password")
	begin("carol", "carols password")
	check := func(when string, alive ...string) {
		t.Helper()
		for name, token := range tokens {
			want := strings.Contains(strings.Join(alive, " "), name)
			if got := isActive(t, issuer, token.AccessToken); got != want {
				t.Errorf("%s, the access token of %s is active: %v", when, name, got)
			}
			if got := isActive(t, issuer, token.RefreshToken); got != want {
				t.Errorf("%s, the refresh token of %s is active: %v", when, name, got)
			}
			if got := knows(t, browsers[name], issuer); got != want {
				t.Errorf("%s, the session of %s lives: %v", when, name, got)
			}
		}
	}
	check("at first", "alice", "bob", "carol")
	restart(web+other, alice+bob+carol)
	check("after a restart", "alice", "bob", "carol")
	// A command that does not know the file ends nothing.
	r.stop()
	must(t, "", "user", "list", "--store", filepath.Join(folder, "x.db"))
	restart(web+other, alice+"- {username: bob, sub: '1002', password: bobs password, disabled: true}\n"+"- {username: carol, password: a new password}\n")
	check("disabled and changed", "alice")
	restart(web+other, alice+bob+carol)
	check("as before", "alice")
	begin("bob", "bobs password")
	check("signed in again", "alice", "bob")
	restart(web+other, alice)
	check("removed", "alice")
	restart(other, alice+bob)
	restart(web+other, alice+bob)
	if isActive(t, issuer, tokens["alice"].AccessToken) || isActive(t, issuer, tokens["alice"].RefreshToken) {
		t.Error("a client that was put back inherits tokens")
	}
	begin("alice", "alices password")
	restart(web, alice)
	check("the client stays", "alice")
	if log := r.log.String(); strings.Contains(log, "alices password") {
		t.Errorf("the log says a password:\n%s", log)
	}
}

// signInToWeb redeems a code of the client web.
func signInToWeb(t *testing.T, b *browser, issuer, username, password string) *oauth2.Token {
	t.Helper()
	client := webClient(issuer)
	b.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "web.example" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	verifier := oauth2.GenerateVerifier()
	b.get(client.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)))
	b.submit("username", username, "password", password)
	if b.to == nil {
		t.Fatalf("%s is not signed in:\n%s", username, b.body)
	}
	token, err := client.Exchange(t.Context(), b.to.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func webClient(issuer string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: "web", ClientSecret: "0123456789abcdef", RedirectURL: "https://web.example/cb", Scopes: []string{"openid", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: issuer + "/oauth/authorize", TokenURL: issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
}

// knows says whether the provider signs a browser in without a page.
func knows(t *testing.T, b *browser, issuer string) bool {
	t.Helper()
	b.get(webClient(issuer).AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()), oauth2.SetAuthURLParam("prompt", "none")))
	return b.to != nil && b.to.Query().Get("code") != ""
}

func isActive(t *testing.T, issuer, token string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/oauth/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("web", "0123456789abcdef")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b := newBrowser(t)
	b.read(b.http.Do(req))
	var answer struct{ Active bool }
	parse(t, b.body, &answer)
	return answer.Active
}
