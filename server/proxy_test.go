package server_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/doorward/doorward/storage"
)

// TestBehindProxy holds that the issuer alone decides URLs and cookies: plain HTTP
// behind a proxy, with no forwarded header and with lying ones.
func TestBehindProxy(t *testing.T) {
	config := valid(t)
	config.Issuer = "https://id.example.com/auth"
	config.Clients = []storage.Client{{
		ID: "spa", TokenEndpointAuthMethod: "none", Scope: "openid", RedirectURIs: []string{"https://spa.example.com/cb"},
	}}
	s := start(t, config)
	challenge := sha256.Sum256([]byte(strings.Repeat("v", 43)))
	query := url.Values{
		"response_type": {"code"}, "client_id": {"spa"}, "redirect_uri": {"https://spa.example.com/cb"}, "scope": {"openid"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	for name, headers := range map[string][]string{
		"none":  nil,
		"lying": {"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.example;proto=http"},
	} {
		got := request(s.Handler(), http.MethodGet, "http://10.1.2.3:8080/auth/oauth/authorize?"+query, headers...)
		if got.Code != http.StatusSeeOther {
			t.Fatalf("%s: %d: %s", name, got.Code, got.Body)
		}
		to, err := url.Parse(got.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if to.Host != "" && (to.Host != "id.example.com" || to.Scheme != "https") || !strings.HasPrefix(to.Path, "/auth/oauth/interaction/") {
			t.Errorf("%s: the browser is sent to %s", name, to)
		}
		cookies := got.Result().Cookies()
		if len(cookies) == 0 {
			t.Errorf("%s: no cookie binds the browser", name)
		}
		for _, c := range cookies {
			if !c.Secure || !c.HttpOnly || !strings.HasPrefix(c.Name, "__Host-") {
				t.Errorf("%s: the cookie is %s", name, c)
			}
		}
	}
}

// TestOrigins holds which web pages may read what. Fetch standard, CORS protocol
func TestOrigins(t *testing.T) {
	config := valid(t)
	config.Clients = []storage.Client{{
		ID: "spa", TokenEndpointAuthMethod: "none", Scope: "openid", RedirectURIs: []string{"https://spa.example.com/cb"},
	}}
	h := start(t, config).Handler()
	const own, other = "https://spa.example.com", "https://other.example.com"
	ask := func(method, path, origin, form string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RequestURI = path
		if method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		}
		w := serve(h, r)
		if w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s: credentials are allowed", method, path)
		}
		return w.Header().Get("Access-Control-Allow-Origin")
	}
	const refresh = "grant_type=refresh_token&refresh_token=x&client_id=spa"
	for _, c := range []struct{ method, path, origin, form, want string }{
		{"GET", "/oauth/jwks", other, "", "*"},
		{"OPTIONS", "/oauth/jwks", other, "", "*"},
		{"OPTIONS", "/oauth/token", other, "", other},
		{"POST", "/oauth/token", own, refresh, own},
		{"POST", "/oauth/token", other, refresh, ""},
		{"POST", "/oauth/revoke", own, "token=x&client_id=spa", own},
		{"POST", "/oauth/revoke", other, "token=x&client_id=spa", ""},
		{"OPTIONS", "/oauth/authorize", own, "", ""},
		{"GET", "/oauth/authorize?client_id=spa", own, "", ""},
		{"OPTIONS", "/oauth/introspect", own, "", ""},
		{"OPTIONS", "/oauth/logout", own, "", ""},
	} {
		if got := ask(c.method, c.path, c.origin, c.form); got != c.want {
			t.Errorf("%s %s from %s: allowed for %q, want %q", c.method, c.path, c.origin, got, c.want)
		}
	}
}
