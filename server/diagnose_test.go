package server_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// proxied is a server behind a proxy that changes requests and answers.
type proxied struct {
	handler http.Handler
	request func(*http.Request) *http.Response // nil, or nil returned: pass on
	answer  func(*http.Request, *http.Response)
}

func (p *proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.request != nil {
		if w := p.request(r); w != nil {
			return w, nil
		}
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1234"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	p.handler.ServeHTTP(rec, in)
	w := rec.Result()
	w.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if p.answer != nil {
		p.answer(r, w)
	}
	return w, nil
}

func answers(status int, media, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {media}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

// TestDiagnose: a healthy deployment has no problem, and of each thing that proxies do
// wrong the walk says what it is and which setting to change. OpenID Connect Discovery §4.3,
// RFC 8414 §3.3
func TestDiagnose(t *testing.T) {
	const issuer = "https://id.example.com/auth"
	c := valid(t)
	c.Issuer, c.Prefix = issuer, "/connect"
	c.Login = handlers.PasswordLogin{Verify: func(context.Context, string, string) (handlers.Subject, error) {
		return handlers.Subject{}, handlers.ErrWrongPassword
	}}
	c.Clients = []storage.Client{{ID: "web", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"https://app.example.com/cb?a=b"}, Scope: "openid"}}
	handler := start(t, c).Handler()
	walk := func(p *proxied) []server.Finding {
		p.handler = handler
		return server.Diagnose(t.Context(), server.Deployment{
			Issuer: issuer, ClientID: "web", RedirectURI: "https://app.example.com/cb?a=b", HTTP: &http.Client{Transport: p},
		})
	}
	healthy := walk(&proxied{})
	if len(healthy) != 13 {
		t.Errorf("%d looks: %+v", len(healthy), healthy)
	}
	for _, f := range healthy {
		if f.Problem != "" || f.Remedy != "" {
			t.Errorf("a healthy server: %+v", f)
		}
	}
	at := func(path string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.URL.Path == path }
	}
	set := func(is func(*http.Request) bool, name, value string) *proxied {
		return &proxied{answer: func(r *http.Request, w *http.Response) {
			if is(r) {
				w.Header.Set(name, value)
			}
		}}
	}
	instead := func(is func(*http.Request) bool, w func() *http.Response) *proxied {
		return &proxied{request: func(r *http.Request) *http.Response {
			if is(r) {
				return w()
			}
			return nil
		}}
	}
	rewrite := func(is func(*http.Request) bool, before, after string) *proxied {
		return &proxied{answer: func(r *http.Request, w *http.Response) {
			if !is(r) {
				return
			}
			body, err := io.ReadAll(w.Body)
			if err != nil {
				t.Error(err)
			}
			w.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(body, []byte(before), []byte(after))))
		}}
	}
	const metadata, token, keys, authorize = "/auth/.well-known/openid-configuration", "/auth/connect/token", "/auth/connect/jwks", "/auth/connect/authorize"
	missing := func() *http.Response { return answers(404, "text/plain", "no") }
	signIn := func(r *http.Request) bool { return r.URL.Path == authorize && r.URL.Query().Has("client_id") }
	cookies := func(change func(string) string) *proxied {
		return &proxied{answer: func(_ *http.Request, w *http.Response) {
			for i, c := range w.Header["Set-Cookie"] {
				w.Header["Set-Cookie"][i] = change(c)
			}
		}}
	}
	for _, c := range []struct {
		what, name, problem string
		p                   *proxied
	}{
		{"nothing is mounted there", "metadata", "answers 404", instead(at(metadata), missing)},
		{"the proxy redirects", "metadata", "answers 301", instead(at(metadata), func() *http.Response { return answers(301, "text/html", "") })},
		{"another issuer", "metadata", `names the issuer "http://id`, rewrite(at(metadata), `"issuer":"https://`, `"issuer":"http://`)},
		{"the root is another's", "metadata in every form", "answers 404", instead(at("/.well-known/oauth-authorization-server/auth"), missing)},
		{"inside addresses", "endpoints", "which is not on https://id.example.com", rewrite(at(metadata), `"token_endpoint":"https://id.example.com`, `"token_endpoint":"http://10.0.0.7`)},
		{"the clock is wrong", "clock", "apart from the one here", set(at(metadata), "Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))},
		{"CORS headers of the proxy's", "other origins", "not with one *", &proxied{answer: func(_ *http.Request, w *http.Response) { w.Header.Add("Access-Control-Allow-Origin", "*") }}},
		{"preflights answered outside", "other origins", "the preflight of the token endpoint is refused", instead(func(r *http.Request) bool { return r.Method == http.MethodOptions }, func() *http.Response { return answers(403, "text/plain", "") })},
		{"keys that no cache keeps", "keys", `Cache-Control "no-store"`, set(at(keys), "Cache-Control", "no-store")},
		{"keys with a cookie", "keys", "come with a cookie", set(at(keys), "Set-Cookie", "lb=1")},
		{"PKCE is not told", "PKCE and issuer in answers", "code_challenge_methods_supported", rewrite(at(metadata), `["S256"]`, `[]`)},
		{"the Authorization header is lost", "token endpoint", "does not reach the server", &proxied{request: func(r *http.Request) *http.Response { r.Header.Del("Authorization"); return nil }}},
		{"errors are pages of the proxy's", "token endpoint", "clients expect JSON", instead(func(r *http.Request) bool { return r.URL.Path == token && r.Method == http.MethodPost }, func() *http.Response { return answers(502, "text/html", "<h1>oops</h1>") })},
		{"a challenge is dropped", "token endpoint", "WWW-Authenticate", &proxied{answer: func(_ *http.Request, w *http.Response) { w.Header.Del("WWW-Authenticate") }}},
		{"form-action", "pages", "nobody could return", &proxied{answer: func(_ *http.Request, w *http.Response) {
			w.Header.Add("Content-Security-Policy", "form-action 'self'")
		}}},
		{"framing", "pages", "may be framed", &proxied{answer: func(_ *http.Request, w *http.Response) { w.Header.Del("Content-Security-Policy") }}},
		{"redirects are rewritten", "answer to the client", "not to https://app.example.com/cb", &proxied{answer: func(r *http.Request, w *http.Response) {
			if signIn(r) {
				w.Header.Set("Location", strings.Replace(w.Header.Get("Location"), "https://app.", "http://app.", 1))
			}
		}}},
		{"the sign-in leads inside", "sign-in page", "which is not on https://id.example.com", &proxied{answer: func(r *http.Request, w *http.Response) {
			if to := w.Header.Get("Location"); signIn(r) && strings.HasPrefix(to, "/") {
				w.Header.Set("Location", "http://10.0.0.7"+to)
			}
		}}},
		{"cookies are dropped", "sign-in page", "gets no cookie", &proxied{answer: func(_ *http.Request, w *http.Response) { w.Header.Del("Set-Cookie") }}},
		{"cookies are not Secure", "sign-in page", "is not Secure", cookies(func(c string) string { return strings.Replace(c, "; Secure", "", 1) })},
		{"cookies have another path", "sign-in page", `Path "/auth"`, cookies(func(c string) string { return strings.Replace(c, "Path=/", "Path=/auth", 1) })},
		{"cookies are strict", "sign-in page", "SameSite=Lax", cookies(func(c string) string { return strings.Replace(c, "SameSite=Lax", "SameSite=Strict", 1) })},
		{"cookies do not come back", "sign-in page", "forward cookies", &proxied{request: func(r *http.Request) *http.Response { r.Header.Del("Cookie"); return nil }}},
	} {
		t.Run(c.what, func(t *testing.T) {
			found := walk(c.p)
			i := slices.IndexFunc(found, func(f server.Finding) bool { return f.Problem != "" })
			if i < 0 {
				t.Fatal("nothing was found")
			}
			if f := found[i]; f.Name != c.name || !strings.Contains(f.Problem+f.Remedy, c.problem) || f.Remedy == "" {
				t.Errorf("found %+v", f)
			}
		})
	}
}

// TestDiagnoseAddresses: what is no issuer is told before anything is sent, and a client
// that is not registered ends the walk with a word about it.
func TestDiagnoseAddresses(t *testing.T) {
	s := start(t, valid(t))
	p := &proxied{handler: s.Handler()}
	for issuer, problem := range map[string]string{
		"": "nothing", "https://id.example.com/": "ends in a slash", "http://id.example.com": "https", "https://id.example.com?x=y": "query",
	} {
		found := server.Diagnose(t.Context(), server.Deployment{Issuer: issuer, HTTP: &http.Client{Transport: p}})
		if len(found) != 1 || !strings.Contains(found[0].Problem, problem) {
			t.Errorf("%q: %+v", issuer, found)
		}
	}
	found := server.Diagnose(t.Context(), server.Deployment{Issuer: "https://id.example.com", ClientID: "nobody", RedirectURI: "https://app.example.com/cb", HTTP: &http.Client{Transport: p}})
	if last := found[len(found)-1]; last.Name != "answer to the client" || !strings.Contains(last.Remedy, "registered") {
		t.Errorf("%+v", last)
	}
}

// TestBehindATLSProxy: a server that speaks plain HTTP behind a proxy which ends TLS and
// tells nothing of it serves https URLs and Secure cookies, since the issuer alone counts.
func TestBehindATLSProxy(t *testing.T) {
	front := httptest.NewUnstartedServer(nil)
	front.StartTLS()
	defer front.Close()
	c := valid(t)
	c.Issuer = front.URL + "/auth"
	c.Clients = []storage.Client{{ID: "web", TokenEndpointAuthMethod: "none", RedirectURIs: []string{"https://app.example.com/cb"}, Scope: "openid"}}
	c.Login = handlers.PasswordLogin{Verify: func(context.Context, string, string) (handlers.Subject, error) {
		return handlers.Subject{}, handlers.ErrWrongPassword
	}}
	back := httptest.NewServer(start(t, c).Handler())
	defer back.Close()
	to, err := url.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	front.Config.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }} // nothing forwarded
	found := server.Diagnose(t.Context(), server.Deployment{
		Issuer: c.Issuer, ClientID: "web", RedirectURI: "https://app.example.com/cb", HTTP: front.Client(),
	})
	if len(found) != 13 {
		t.Errorf("%d looks", len(found))
	}
	for _, f := range found {
		if f.Problem != "" {
			t.Errorf("%+v", f)
		}
	}
}
