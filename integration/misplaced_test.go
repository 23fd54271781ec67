package integration

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestSecretsInTheWrongPlace sends tokens and secrets as what they are not. The log,
// the events, and what is told the client shorten them. RFC 9700 §4.3
func TestSecretsInTheWrongPlace(t *testing.T) {
	w := start(t, plan{backend: "memory"})
	alice := newPerson(w.issuer, w)
	code, verifier := w.mustCode(t, alice, "web")
	tokens, err := w.exchange("web", code, verifier, nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := &secrets{known: map[string]string{}}
	kept.addTokens(tokens)
	kept.add("a secret", "dws_"+strings.Repeat("s3cr3tOfAClient-", 3))
	if len(kept.known) != 4 {
		t.Fatalf("the secrets are %v", kept.known)
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	swapped := form.Clone()
	for value, what := range kept.known {
		swapped.Set("Authorization", basicHeader(value, "web"))
		query := func(name string) string {
			q := url.Values{
				"client_id": {"web"}, "response_type": {"code"}, "redirect_uri": {w.clients["web"].RedirectURIs[0]}, "scope": {"openid"}, "state": {"x"},
				"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
			}
			q.Set(name, value)
			return "authorize?" + q.Encode()
		}
		for _, r := range []struct {
			method, place string
			body          url.Values
			header        http.Header
		}{
			{http.MethodPost, "token", url.Values{"grant_type": {"client_credentials"}}, swapped},
			{http.MethodPost, "token", url.Values{"grant_type": {"client_credentials"}, "scope": {value}}, basicOf(w, "machine")},
			{http.MethodPost, "token", url.Values{"grant_type": {"client_credentials"}, "resource": {value}}, basicOf(w, "machine")},
			{http.MethodPost, "token", url.Values{"grant_type": {"client_credentials"}, "resource": {"https://api.example/" + value}}, basicOf(w, "machine")},
			{http.MethodPost, "token", url.Values{"grant_type": {value}}, basicOf(w, "machine")},
			{http.MethodPost, "token", url.Values{"grant_type": {"client_credentials"}, value: {"x", "x"}}, basicOf(w, "machine")},
			{http.MethodPost, "introspect", url.Values{"token": {"x"}, "client_id": {value}}, form},
			{http.MethodGet, query("scope"), nil, nil},
			{http.MethodGet, query("client_id"), nil, nil},
			{http.MethodGet, query("redirect_uri"), nil, nil},
			{http.MethodGet, query("response_type"), nil, nil},
			{http.MethodGet, query("response_mode"), nil, nil},
			{http.MethodGet, query("prompt"), nil, nil},
			{http.MethodGet, query("max_age"), nil, nil},
			{http.MethodGet, query("resource"), nil, nil},
			{http.MethodGet, "logout?client_id=web&post_logout_redirect_uri=" + url.QueryEscape("https://web.example/?t="+value), nil, nil},
			{http.MethodGet, "logout?client_id=" + value, nil, nil},
			{http.MethodGet, "userinfo", nil, http.Header{"Authorization": {value + " x"}}},
		} {
			body := ""
			if r.body != nil {
				body = r.body.Encode()
			}
			answer, err := send(&http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
				r.method, w.endpoint(r.place), r.header, body)
			if err != nil {
				t.Fatal(err)
			}
			if to := answer.header.Get("Location"); strings.Contains(to, "error_description") && strings.Contains(to, value) {
				t.Errorf("%s as of %s is sent on in %s", what, r.place, to)
			}
			if answer.status < 400 && answer.status != http.StatusSeeOther {
				t.Errorf("%s %s: %d", r.method, r.place, answer.status)
			}
		}
	}
	text := w.journal.all()
	for value, what := range kept.known {
		for _, part := range []string{value, url.QueryEscape(value), value[len(value)-20:], value[len(value)/2 : len(value)/2+20]} {
			if i := bytes.Index(text, []byte(part)); i >= 0 {
				line := text[bytes.LastIndexByte(text[:i], '\n')+1:]
				t.Errorf("%s stands in the log: %s", what, line[:bytes.IndexByte(line, '\n')])
			}
		}
		w.mu.Lock()
		for _, e := range w.events {
			if strings.Contains(e.ClientID, value) {
				t.Errorf("%s is the client of an event", what)
			}
		}
		w.mu.Unlock()
	}
}

func basicOf(w *world, client string) http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {basicHeader(client, w.clients[client].Secret)}}
}
