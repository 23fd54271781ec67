package handlers

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

const verifier = "dBjftJeZ4CVP-mBM2P3VSUl-9GGkwRQvJqhMfaUgvjxP" // of the challenge that authorize sends

func (b *browser) token(form url.Values) page {
	b.w.t.Helper()
	return b.post("/oauth/token", form)
}

// signedIn returns the answer of the token endpoint for a client of the host's own.
func (b *browser) signedIn(username string) map[string]any {
	b.w.t.Helper()
	place := b.get(b.w.authorize("own", "scope", "openid", "code_challenge", challengeOf(verifier))).to(b.w.t)
	got := b.post(place+"?step=login", url.Values{"username": {username}, "password": {"right"}}).answer(b.w.t, "https://own.example/cb")
	answer := b.token(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"own"}, "code": {got.Get("code")},
		"redirect_uri": {"https://own.example/cb"}, "code_verifier": {verifier},
	})
	answer.shows(b.w.t, http.StatusOK)
	return answer.json(b.w.t)
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (p page) json(t *testing.T) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(p.body), &body); err != nil {
		t.Fatalf("the answer is no JSON: %v\n%s", err, p.body)
	}
	return body
}

// RFC 6749 §5.1, OpenID Connect Core §3.1.3.3
func TestCodeToUserInfo(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	tokens := b.signedIn("alice")
	for _, name := range []string{"access_token", "id_token", "refresh_token", "scope"} {
		if s, _ := tokens[name].(string); s == "" {
			t.Errorf("the answer lacks %s: %v", name, tokens)
		}
	}
	if tokens["token_type"] != "Bearer" || tokens["expires_in"] != float64(3600) {
		t.Errorf("the answer is %v", tokens)
	}
	access, _ := tokens["access_token"].(string)
	r, _ := http.NewRequest(http.MethodGet, w.url+"/oauth/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+access)
	r.Header.Set("Origin", "https://own.example")
	got := b.send(r)
	got.shows(t, http.StatusOK, `"sub":"sub-alice"`)
	if got.Header.Get("Access-Control-Allow-Origin") != "https://own.example" || got.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("the client's own page may not read it: %v", got.Header)
	}
	r.Header.Set("Origin", "https://evil.example")
	if got := b.send(r); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("any page may read it: %v", got.Header)
	}
	b.post("/oauth/userinfo", url.Values{"access_token": {access}}).shows(t, http.StatusOK, "sub-alice")
	for _, header := range []string{"", "Bearer nonsense"} {
		r, _ := http.NewRequest(http.MethodGet, w.url+"/oauth/userinfo", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		got := b.send(r)
		challenge := got.Header.Get("WWW-Authenticate")
		if got.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer ") || strings.Contains(challenge, "error=") != (header != "") {
			t.Errorf("Authorization %q is answered with %s and challenge %q", header, got.Status, challenge)
		}
	}
	b.post("/oauth/revoke", url.Values{"client_id": {"own"}, "token": {access}}).shows(t, http.StatusOK)
	b.post("/oauth/userinfo", url.Values{"access_token": {access}}).shows(t, http.StatusUnauthorized, "invalid_token")
}

func TestErrorsOfPrograms(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	got := b.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {"own"}, "code": {"none\"\\\u20ac"}})
	body := got.json(t)
	if got.StatusCode != http.StatusBadRequest || body["error"] != "invalid_grant" || body["error_uri"] != w.url+"/errors#invalid_grant" {
		t.Errorf("the answer is %s %v", got.Status, body)
	}
	if d, _ := body["error_description"].(string); !regexp.MustCompile(`^[\x20-\x21\x23-\x5b\x5d-\x7e]+$`).MatchString(d) {
		t.Errorf("the description is %q", d)
	}
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the headers are %v", got.Header)
	}
	id := got.Header.Get("X-Request-Id")
	if id == "" || strings.Count(w.logged(), "request_id="+id) != 1 {
		t.Errorf("request %q does not have exactly one line in the log:\n%s", id, w.logged())
	}
	got = b.token(url.Values{"grant_type": {"x"}, "client_id": {"nobody"}, "client_secret": {"very-secret"}})
	if strings.Contains(w.logged()+got.body, "very-secret") {
		t.Error("a secret is shown")
	}
	r, _ := http.NewRequest(http.MethodPost, w.url+"/oauth/token", strings.NewReader("grant_type=client_credentials"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("nobody", "x")
	if got := b.send(r); got.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("a wrong client is answered with %s %v", got.Status, got.Header)
	}
}

func TestTheGateOverHTTP(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	for place, allow := range map[string]string{
		"/oauth/token": "POST", "/oauth/introspect": "POST", "/oauth/revoke": "POST", "/oauth/userinfo": "GET, POST",
		"/oauth/authorize": "GET, POST", "/oauth/jwks": "GET, HEAD", "/oauth/logout": "GET, POST",
	} {
		r, _ := http.NewRequest(http.MethodDelete, w.url+place, nil)
		if got := b.send(r); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != allow {
			t.Errorf("DELETE %s is answered with %s and Allow %q", place, got.Status, got.Header.Get("Allow"))
		}
	}
	large := b.post("/oauth/token", url.Values{"x": {strings.Repeat("x", maxBody)}})
	large.shows(t, http.StatusRequestEntityTooLarge, "invalid_request")
	b.post(b.get(w.authorize("own")).to(t), url.Values{"x": {strings.Repeat("x", maxBody)}}).shows(t, http.StatusRequestEntityTooLarge, "64 KiB")

	address := strings.TrimPrefix(w.url, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /oauth/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /errors HTTP/1.1\r\nHost: x\r\n\r\n", address)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	answers := 0
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "HTTP/1.1 ") {
			answers++
			if !strings.HasPrefix(lines.Text(), "HTTP/1.1 4") {
				t.Errorf("a request with two lengths is answered with %s", lines.Text())
			}
		}
	}
	if answers != 1 {
		t.Errorf("a request with two lengths got %d answers", answers)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	for _, place := range []string{"/oauth/jwks", "/oauth/token", "/oauth/authorize", "/errors", "/oauth/interaction/x", "/oauth/logout", "/oauth/userinfo", "/oauth/assets/style.css", "/oauth/assets/none"} {
		got := b.get(place)
		referrer := "no-referrer"
		if strings.Contains(place, "/interaction/") {
			referrer = "same-origin" // its forms say where they come from
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": referrer, "Content-Security-Policy": "frame-ancestors 'none'", "X-Request-Id": "",
		} {
			if v := got.Header.Get(name); v == "" || !strings.Contains(v, want) {
				t.Errorf("%s: %s is %q", place, name, v)
			}
		}
		if strings.Contains(got.Header.Get("Content-Security-Policy"), "form-action") {
			t.Errorf("%s has form-action, which breaks the way back to the client", place)
		}
	}
}

// Browsers without Sec-Fetch-Site send the origin of a form by the policy of its page,
// and who leaves tells nobody where they were. Fetch standard §3.2
func TestFormsOfBrowsersWithoutFetchMetadata(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own", "response_mode", "form_post")).to(t)
	// form is sent as such a browser does.
	form := func(from page) page {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, w.absolute(place+"?step=login"), strings.NewReader(alice().Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", w.url)
		if from.Header.Get("Referrer-Policy") == "no-referrer" {
			r.Header.Set("Origin", "null")
		}
		return b.send(r)
	}
	answer := form(b.get(place))
	answer.shows(t, http.StatusOK, `name="code"`)
	if got := answer.Header.Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("the page with the code has the policy %q", got)
	}
	if got := b.get(w.authorize("own")); got.StatusCode != http.StatusSeeOther || got.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%s with the policy %q", got.Status, got.Header.Get("Referrer-Policy"))
	}
	place = b.get(w.authorize("own", "prompt", "login")).to(t)
	form(page{Response: &http.Response{Header: http.Header{"Referrer-Policy": {"no-referrer"}}}}).shows(t, http.StatusForbidden)
}

// Fetch standard, CORS protocol
func TestPreflight(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	for place, want := range map[string]string{
		"/oauth/token": "https://any.example", "/oauth/revoke": "https://any.example", "/oauth/userinfo": "https://any.example",
		"/oauth/jwks": "*", "/oauth/authorize": "", "/oauth/introspect": "", "/oauth/logout": "",
	} {
		r, _ := http.NewRequest(http.MethodOptions, w.url+place, nil)
		r.Header.Set("Origin", "https://any.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		got := b.send(r)
		if got.Header.Get("Access-Control-Allow-Origin") != want || got.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s allows %q, want %q", place, got.Header.Get("Access-Control-Allow-Origin"), want)
		}
	}
}

// RFC 9110 §13.1.2
func TestWhatIsPublicIsCached(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	first := b.get("/oauth/jwks")
	first.shows(t, http.StatusOK, `"kid"`)
	if first.Header.Get("Access-Control-Allow-Origin") != "*" || first.Header.Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("the headers are %v", first.Header)
	}
	r, _ := http.NewRequest(http.MethodGet, w.url+"/oauth/jwks", nil)
	r.Header.Set("If-None-Match", first.Header.Get("ETag"))
	b.send(r).shows(t, http.StatusNotModified)
	r, _ = http.NewRequest(http.MethodHead, w.url+"/oauth/jwks", nil)
	if got := b.send(r); got.StatusCode != http.StatusOK || got.body != "" {
		t.Errorf("HEAD is answered with %s %q", got.Status, got.body)
	}
}

func TestErrorsOfPeople(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	got := b.get(w.authorize("own", "redirect_uri", "https://own.example/cb/"))
	got.shows(t, http.StatusBadRequest, "not registered", "https://own.example/cb", got.Header.Get("X-Request-Id"))
	if !strings.Contains(w.logged(), "redirect_uri_mismatch") || got.Header.Get("Location") != "" {
		t.Errorf("the mismatch is not logged, or somebody is redirected to %q", got.Header.Get("Location"))
	}
	b.get(w.authorize("own", "client_id", "nobody")).shows(t, http.StatusBadRequest, "<h1>")
	r, _ := http.NewRequest(http.MethodGet, w.absolute(w.authorize("own")), nil)
	r.Host = strings.Replace(r.URL.Host, "127.0.0.1", "localhost", 1)
	b.send(r).shows(t, http.StatusBadRequest, r.Host, r.URL.Host, "two different hosts")
	if !strings.Contains(w.logged(), "two different hosts") {
		t.Error("the log does not say so")
	}
	twice := b.get(w.authorize("own")+"&nonce=1&nonce=2").answer(t, "https://own.example/cb")
	if twice.Get("error") != "invalid_request" || !strings.Contains(twice.Get("error_description"), "nonce") {
		t.Errorf("a parameter that came twice is answered with %v", twice)
	}
	b.get(w.authorize("own")+"&redirect_uri=https://evil.example").shows(t, http.StatusBadRequest)
}

func TestPanicsAreClean(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t)
	got := b.post(place+"?step=login", url.Values{"username": {"panic"}, "password": {"secret-of-panic"}})
	got.shows(t, http.StatusInternalServerError, "Something went wrong", got.Header.Get("X-Request-Id"))
	if strings.Contains(got.body, "a bug of the host") || strings.Contains(w.logged(), "secret-of-panic") {
		t.Errorf("the panic is shown:\n%s", got.body)
	}
	b.post(place+"?step=login", url.Values{"username": {"broken"}, "password": {"x"}}).shows(t, http.StatusServiceUnavailable, "try again")
	b.post(place+"?step=login", alice()).answer(t, "https://own.example/cb")
}

func TestAFailingStoreIs503(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	if err := w.backend.Close(); err != nil {
		t.Fatal(err)
	}
	for _, got := range []page{
		b.get(w.authorize("own")), b.get("/oauth/interaction/dwi_" + strings.Repeat("A", 51)),
		b.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {"own"}, "code": {"x"}, "code_verifier": {verifier}}),
	} {
		if got.StatusCode == http.StatusOK || got.StatusCode >= 500 && (got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "") {
			t.Errorf("%s is answered with %s, Retry-After %q", got.Request.URL.Path, got.Status, got.Header.Get("Retry-After"))
		}
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	place := b.get(w.authorize("own")).to(t) + "?step=login"
	wrong := func(username string) page {
		return b.post(place, url.Values{"username": {username}, "password": {"wrong"}})
	}
	var texts []string
	for _, name := range []string{"alice", "nobody"} {
		got := wrong(name)
		got.shows(t, http.StatusUnprocessableEntity, "don’t match")
		texts = append(texts, strings.ReplaceAll(got.body, name, "x"))
	}
	if texts[0] != texts[1] {
		t.Error("a wrong password and an unknown name are told apart")
	}
	for _, spelling := range []string{"ALICE", " alice ", "ａlice", "Alice"} { // the same account
		wrong(spelling).shows(t, http.StatusUnprocessableEntity)
	}
	for range defaultLimit - 5 {
		wrong("alice").shows(t, http.StatusUnprocessableEntity)
	}
	wrong("alice").shows(t, http.StatusUnprocessableEntity) // one more, and then it must wait
	got := b.post(place, alice())
	got.shows(t, http.StatusTooManyRequests, "Please wait")
	if got.Header.Get("Retry-After") == "" {
		t.Error("nobody is told how long")
	}
	wrong("bob").shows(t, http.StatusUnprocessableEntity) // another account is free
	w.advance(2 * time.Second)
	b.post(place, alice()).answer(t, "https://own.example/cb") // the owner is never locked out
}

// OpenID Connect RP-Initiated Logout §2, §3
func TestLogout(t *testing.T) {
	w := newWorld(t, options{})
	w.clients["own"].PostLogoutRedirectURIs = []string{"https://own.example/bye?x=1"}
	b := w.browser()
	logout := func(change ...string) string {
		params := url.Values{}
		for i := 0; i < len(change); i += 2 {
			params.Set(change[i], change[i+1])
		}
		return "/oauth/logout?" + params.Encode()
	}
	gone := func() {
		t.Helper()
		if got := b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb"); got.Get("error") != "login_required" {
			t.Errorf("the person is still signed in: %v", got)
		}
	}
	tokens := b.signedIn("alice")
	hint, _ := tokens["id_token"].(string)
	w.advance(3 * time.Hour) // the ID token has expired
	got := b.get(logout("id_token_hint", hint, "post_logout_redirect_uri", "https://own.example/bye?x=1", "state", "a b"))
	if to := got.to(t); to != "https://own.example/bye?x=1&state=a+b" {
		t.Errorf("the browser is sent to %s", to)
	}
	gone()
	refresh, _ := tokens["refresh_token"].(string)
	b.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {"own"}, "refresh_token": {refresh}}).shows(t, http.StatusBadRequest, "invalid_grant")
	if !strings.Contains(w.logged(), "session_ended") {
		t.Error("the log does not say why the refresh token is dead")
	}

	b.signIn("alice")
	place := b.get(logout()).to(t)
	b.get(place).shows(t, http.StatusOK, "Sign out?", "alice")
	if got := b.post(place+"?step=nonsense", url.Values{}); got.StatusCode != http.StatusOK {
		t.Errorf("a form without a decision is answered with %s", got.Status)
	}
	b.post(place+"?step=logout", decide("stay")).shows(t, http.StatusOK, "still signed in")
	if got := b.get(w.authorize("own", "prompt", "none")).answer(t, "https://own.example/cb"); got.Get("code") == "" {
		t.Errorf("the person chose to stay, and is signed out: %v", got)
	}
	place = b.get(logout("client_id", "own", "post_logout_redirect_uri", "https://own.example/bye?x=1")).to(t)
	b.get(place).shows(t, http.StatusOK, "Own")
	if to := b.post(place+"?step=logout", decide("signout")).to(t); to != "https://own.example/bye?x=1" {
		t.Errorf("the browser is sent to %s", to)
	}
	if to := b.post(place+"?step=logout", decide("signout")).to(t); to != "https://own.example/bye?x=1" {
		t.Errorf("a second click is sent to %s", to)
	}
	gone()

	b.signIn("bob") // the hint is of somebody else: ask
	b.get(b.get(logout("id_token_hint", hint)).to(t)).shows(t, http.StatusOK, "Sign out?", "bob")
	posted := b.post("/oauth/logout", url.Values{"id_token_hint": {hint}}).to(t)
	b.get(posted).shows(t, http.StatusOK, "Sign out?")
	for _, wrong := range []string{
		logout("post_logout_redirect_uri", "https://own.example/bye?x=1"),
		logout("client_id", "own", "post_logout_redirect_uri", "https://own.example/bye"),
		logout("client_id", "notes", "id_token_hint", hint),
		logout("client_id", "nobody"),
		logout("client_id", "own") + "&client_id=own",
		logout("id_token_hint", "nonsense", "post_logout_redirect_uri", "https://evil.example"),
	} {
		if got := b.get(wrong); got.StatusCode != http.StatusBadRequest || got.Header.Get("Location") != "" {
			t.Errorf("%s is answered with %s and sent to %q", wrong, got.Status, got.Header.Get("Location"))
		}
	}
}

// RFC 6265bis §4.1.3.2
func TestCookies(t *testing.T) {
	for issuer, secure := range map[string]bool{"https://id.example/auth": true, "http://localhost:8080": false} {
		j := newJar(issuer)
		c := j.cookie(sessionCookie, "x", time.Hour)
		if c.Secure != secure || strings.HasPrefix(c.Name, "__Host-") != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("%s: the cookie is %v", issuer, c)
		}
	}
	if newJar("https://id.example/a").prefix == newJar("https://id.example/b").prefix {
		t.Error("two issuers on one host share their cookies")
	}
}

func TestIntrospectionNeedsASecret(t *testing.T) {
	w := newWorld(t, options{})
	b := w.browser()
	access, _ := b.signedIn("alice")["access_token"].(string)
	b.post("/oauth/introspect", url.Values{"client_id": {"own"}, "token": {access}}).shows(t, http.StatusUnauthorized, "invalid_client")
	r, _ := http.NewRequest(http.MethodPost, w.url+"/oauth/introspect", strings.NewReader("token="+access))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+access)
	b.send(r).shows(t, http.StatusUnauthorized, "invalid_client")
}
