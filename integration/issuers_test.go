package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// twoIssuers are two providers of one host in one process and one file, with the same
// clients, people and secrets of clients.
type twoIssuers struct{ a, b *world }

func startIssuers(t *testing.T) *twoIssuers {
	t.Helper()
	a := start(t, plan{backend: "bolt", issuer: "https://id.test/one"})
	b := start(t, plan{issuer: "https://id.test/two", between: func(durable) durable { return a.backend.(durable) }})
	return &twoIssuers{a, b}
}

// RoundTrip gives a request to the issuer under whose path it lies.
func (i *twoIssuers) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/two") {
		return i.b.RoundTrip(r)
	}
	return i.a.RoundTrip(r)
}

// TestIssuersInOneFile: nothing that one issuer gave is worth anything at the other, and
// what ends at one goes on at the other.
func TestIssuersInOneFile(t *testing.T) {
	t.Parallel()
	both := startIssuers(t)
	a, b, must := both.a, both.b, answered(t)
	alice := newPerson(a.issuer, both)
	here := a.mustTokens(t, alice, "web")
	there := b.mustTokens(t, newPerson(b.issuer, both), "web")

	t.Run("tokens", func(t *testing.T) {
		access, refresh := here.text("access_token"), here.text("refresh_token")
		if b.works(t, access) || !a.works(t, access) {
			t.Error("an access token works at the other issuer, or not at its own")
		}
		for _, token := range []string{access, refresh} {
			if answer := must(b.post("introspect", "web", url.Values{"token": {token}})); answer.text("active") != "false" {
				t.Errorf("the other issuer says of a token: %s", answer)
			}
			if answer := must(b.post("revoke", "web", url.Values{"token": {token}})); answer.status != http.StatusOK {
				t.Errorf("%s", answer)
			}
		}
		if answer := must(b.refresh("web", refresh, nil)); answer.text("error") != "invalid_grant" {
			t.Errorf("a refresh token at the other issuer: %s", answer)
		}
		if answer := must(a.refresh("web", refresh, nil)); answer.status != http.StatusOK {
			t.Errorf("the other issuer ended a grant: %s", answer)
		}
	})
	t.Run("codes", func(t *testing.T) {
		code, verifier := a.mustCode(t, alice, "web")
		for range 6 { // more than the wrong tries that a code bears
			if answer := must(b.exchange("web", code, verifier, nil)); answer.text("error") != "invalid_grant" {
				t.Errorf("a code at the other issuer: %s", answer)
			}
		}
		if answer := must(a.exchange("web", code, verifier, nil)); answer.status != http.StatusOK {
			t.Errorf("the other issuer used a code up: %s", answer)
		}
	})
	t.Run("pushed requests", func(t *testing.T) {
		var pushed struct {
			RequestURI string `json:"request_uri"`
		}
		answer := must(a.post("par", "web", a.authorizeParams("web", oauth2.GenerateVerifier(), nil)))
		if err := json.Unmarshal(answer.body, &pushed); err != nil || pushed.RequestURI == "" {
			t.Fatalf("%s: %v", answer, err)
		}
		query := "?" + url.Values{"client_id": {"web"}, "request_uri": {pushed.RequestURI}}.Encode()
		if answer := must(newPerson(b.issuer, both).open(b.endpoint("authorize") + query)); answer.status < 400 && answer.location() == nil {
			t.Errorf("a pushed request at the other issuer: %s", answer)
		}
		if answer := must(newPerson(a.issuer, both).open(a.endpoint("authorize") + query)); !answer.has(url.Values{"username": {""}}) {
			t.Errorf("a pushed request at its own: %s", answer)
		}
	})
	t.Run("sessions", func(t *testing.T) { both.sessions(t, alice) })
	t.Run("keys", func(t *testing.T) {
		kids := regexp.MustCompile(`"kid": ?"([^"]+)"`)
		one := must(send(alice.client, http.MethodGet, a.endpoint("jwks"), nil, ""))
		other := must(send(alice.client, http.MethodGet, b.endpoint("jwks"), nil, ""))
		for _, found := range kids.FindAllSubmatch(one.body, -1) {
			if strings.Contains(string(other.body), string(found[1])) {
				t.Errorf("both issuers have the key %s", found[1])
			}
		}
	})
	t.Run("ends", func(t *testing.T) {
		if err := a.server.RevokeSubject(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if a.works(t, here.text("access_token")) || !b.works(t, there.text("access_token")) {
			t.Error("what ended alice's grants at one issuer did not, or did so at the other")
		}
	})
}

// sessions takes the cookies of a browser that is signed in at one issuer to the other, as
// they are and under the names that the other reads.
func (i *twoIssuers) sessions(t *testing.T, alice *person) {
	must := answered(t)
	silent := func(w *world, client *http.Client) *url.URL {
		t.Helper()
		address, _ := w.authorizeURL("web", url.Values{"prompt": {"none"}})
		to := must(send(client, http.MethodGet, address, nil, "")).location()
		if to == nil {
			t.Fatal("there is no answer to the client")
		}
		return to
	}
	if to := silent(i.a, alice.client); !to.Query().Has("code") {
		t.Errorf("alice is not signed in at her own: %s", to)
	}
	if to := silent(i.b, alice.client); to.Query().Get("error") != "login_required" {
		t.Errorf("the session of one issuer counts at the other: %s", to)
	}
	home := &url.URL{Scheme: "https", Host: "id.test", Path: "/"}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	name := func(w *world) string {
		sum := sha256.Sum256([]byte(w.issuer))
		return hex.EncodeToString(sum[:4])
	}
	planted := 0
	for _, c := range alice.client.Jar.Cookies(home) {
		if renamed := strings.Replace(c.Name, name(i.a), name(i.b), 1); renamed != c.Name {
			planted++
			jar.SetCookies(home, []*http.Cookie{{Name: renamed, Value: c.Value, Path: "/", Secure: true}})
		}
	}
	forged := &http.Client{Jar: jar, Transport: i, CheckRedirect: alice.client.CheckRedirect}
	if to := silent(i.b, forged); planted == 0 || to.Query().Get("error") != "login_required" {
		t.Errorf("%d renamed cookies of one issuer count at the other: %s", planted, to)
	}
}
