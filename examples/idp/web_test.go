package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// What can only be looked at takes no other method. RFC 9110 §15.5.6
func TestPagesAreReadOnly(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	for _, path := range []string{"/", "/healthz", "/readyz", "/idp.css", "/favicon.ico"} {
		for method, want := range map[string]int{
			http.MethodGet: http.StatusOK, http.MethodHead: http.StatusOK, http.MethodPost: http.StatusMethodNotAllowed,
			http.MethodDelete: http.StatusMethodNotAllowed, http.MethodOptions: http.StatusMethodNotAllowed,
		} {
			req, err := http.NewRequestWithContext(t.Context(), method, r.issuer+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if allow := resp.Header.Get("Allow"); resp.StatusCode != want || want != http.StatusOK && allow != "GET, HEAD" {
				t.Errorf("%s %s: %s, Allow %q", method, path, resp.Status, allow)
			}
			if resp.Header.Get("Strict-Transport-Security") != "" {
				t.Errorf("%s: plain HTTP asks for HTTPS", path)
			}
		}
	}
}

func TestPathsOfTheDemoAreAsTheyStand(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	still := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, path := range []string{"/demo//evil.example", "/demo/../x", "/demo/./callback", "/demo/callback/"} {
		resp, err := still.Get(r.issuer + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s to %q", path, resp.Status, resp.Header.Get("Location"))
		}
	}
}

// A browser is asked to come back by HTTPS where TLS ends here, but never on loopback. RFC
// 6797 §7.1
func TestStrictTransport(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://id.example.com": "max-age=31536000", "https://localhost:8443": "", "https://127.0.0.1": "", "http://id.example.com": "",
	} {
		w := httptest.NewRecorder()
		strict(http.NotFoundHandler(), issuer).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q", issuer, got)
		}
	}
}

// A request with Transfer-Encoding is the last one of its connection, so that nothing
// behind it passes for another request. RFC 9112 §6.1
func TestChunkedRequestsEndTheirConnection(t *testing.T) {
	server := httptest.NewServer(closeAfterChunks(http.NotFoundHandler()))
	defer server.Close()
	for body, want := range map[io.Reader]bool{
		strings.NewReader("x=y"):                      false, // with a Content-Length
		struct{ io.Reader }{strings.NewReader("x=y")}: true,
	} {
		r, err := server.Client().Post(server.URL, "application/x-www-form-urlencoded", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.Close != want {
			t.Errorf("the connection is closed: %v, want %v", r.Close, want)
		}
	}
}

func TestTheAccessLogKeepsSecretsOut(t *testing.T) {
	var out bytes.Buffer
	from := func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.7") }
	h := accessLog(http.NotFoundHandler(), from, slog.New(slog.NewTextHandler(&out, nil)))
	for path, gone := range map[string]string{
		"/oauth/userinfo/eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxMDAxIn0.c2lnbmF0dXJl": "eyJzdWIi",
		"/oauth/interaction/dwi_AZrAbCdEfghijklmnopqrstuvwx":                    "fghijk",
		"/" + strings.Repeat("a/", 30_000):                                      strings.Repeat("a/", 200),
		"/oauth/token?code=secret":                                              "secret",
	} {
		out.Reset()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		if line := out.String(); strings.Contains(line, gone) || !strings.Contains(line, "from=192.0.2.7") {
			t.Errorf("%.80s is logged as %.500s", path, line)
		}
	}
}

// The log and the limits read addresses by the same code.
func TestTheAccessLogBelievesListedProxies(t *testing.T) {
	config := filepath.Join(t.TempDir(), "idp.yaml")
	writeFile(t, config, "issuer: http://"+freeAddress(t)+"\nstore: {path: x.db}\nproxies: [127.0.0.0/8]\n")
	r := start(t, "--config", config)
	for _, forwarded := range []string{"192.0.2.7:4711", "2001:db8::7%eth0"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.issuer+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", forwarded)
		newBrowser(t).read(http.DefaultClient.Do(req))
	}
	r.stop() // a line is written after its answer
	for _, want := range []string{"from=192.0.2.7\n", "from=2001:db8::7\n"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, r.log)
		}
	}
}

// A username and an e-mail address are one account to who guesses.
func TestGuessingByEitherName(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	b := newBrowser(t)
	b.get(r.issuer + "/demo").submit()
	for i := range 11 {
		b.submit("username", []string{"demo", "demo@example.com"}[i%2], "password", "a wrong password")
	}
	b.submit("username", "demo@example.com", "password", r.printed("Password"))
	if b.code != http.StatusTooManyRequests {
		t.Errorf("the twelfth try: %d", b.code)
	}
}
