package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"golang.org/x/oauth2"

	"github.com/doorward/doorward/server"
)

// TestPushedAlone: where pushing is required the metadata say so, a plain request is
// answered by an error to its client, and a pushed one brings a person to tokens.
// RFC 9126 §5
func TestPushedAlone(t *testing.T) {
	for _, backend := range []string{"memory", "bolt"} {
		w := start(t, plan{backend: backend, configure: func(c *server.Config) { c.RequirePushed = true }})
		answer, err := send(w.person().client, http.MethodGet, w.endpoint("/.well-known/oauth-authorization-server"), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		var told struct {
			Endpoint string `json:"pushed_authorization_request_endpoint"`
			Required bool   `json:"require_pushed_authorization_requests"`
		}
		if err := json.Unmarshal(answer.body, &told); err != nil || told.Endpoint != w.endpoint("par") || !told.Required {
			t.Errorf("the metadata tell %+v, %v", told, err)
		}
		plain, _ := w.authorizeURL("web", nil)
		if answer, err = w.person().open(plain); err != nil {
			t.Fatal(err)
		}
		if to := answer.location(); to == nil || to.Query().Get("error") != "invalid_request" || to.Query().Get("iss") != w.issuer {
			t.Errorf("a plain request: %s", answer)
		}
		verifier := oauth2.GenerateVerifier()
		params := w.authorizeParams("web", verifier, nil)
		params.Del("client_id")
		if answer, err = w.post("par", "web", params); err != nil {
			t.Fatal(err)
		}
		var pushed struct {
			RequestURI string `json:"request_uri"`
		}
		if err := json.Unmarshal(answer.body, &pushed); err != nil || answer.status != http.StatusCreated {
			t.Fatalf("%s: %v", answer, err)
		}
		query := url.Values{"client_id": {"web"}, "request_uri": {pushed.RequestURI}}
		if answer, err = w.person().signIn(w.endpoint("authorize")+"?"+query.Encode(), "alice"); err != nil {
			t.Fatal(err)
		}
		to := answer.location()
		if to == nil || to.Query().Get("code") == "" || to.Query().Get("state") != "state-1" {
			t.Fatalf("a pushed request: %s", answer)
		}
		answer, err = w.post("token", "web", url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "code_verifier": {verifier}})
		if err != nil || answer.status != http.StatusOK {
			t.Errorf("%s, %v", answer, err)
		}
	}
}
