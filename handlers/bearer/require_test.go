package bearer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/doorward/doorward/handlers/bearer"
)

// good is a verifier whose token opens everything.
func good() verifier {
	return verifier{token: &bearer.Token{Subject: "alice", Scopes: []string{"notes:read", "profile"}, Audience: []string{resource}}}
}

// RFC 6750 §2.1, RFC 9110 §11.4
func TestHeader(t *testing.T) {
	mw := bearer.API{Verifier: good(), Logger: quiet}.Require()
	for _, c := range []struct {
		name   string
		header []string
		want   int
	}{
		{"a token", []string{"Bearer abc"}, 200},
		{"a lower-case scheme", []string{"bearer abc"}, 200},
		{"an upper-case scheme", []string{"BEARER abc"}, 200},
		{"several spaces", []string{"Bearer   abc"}, 200},
		{"every character", []string{"Bearer aZ09-._~+/=="}, 200},
		{"the longest", []string{"Bearer " + strings.Repeat("a", 16<<10)}, 200},
		{"too long", []string{"Bearer " + strings.Repeat("a", 16<<10+1)}, 400},
		{"no header", nil, 401},
		{"an empty header", []string{""}, 401},
		{"the scheme alone", []string{"Bearer"}, 401},
		{"the scheme and a space", []string{"Bearer "}, 401},
		{"no scheme", []string{"abc"}, 401},
		{"Basic", []string{"Basic YTpi"}, 401},
		{"DPoP", []string{"DPoP abc"}, 401},
		{"a longer scheme", []string{"BearerToken abc"}, 401},
		{"a tab", []string{"Bearer\tabc"}, 401},
		{"two headers", []string{"Bearer abc", "Bearer abc"}, 400},
		{"a header of another scheme first", []string{"Basic YTpi", "Bearer abc"}, 400},
		{"two tokens", []string{"Bearer abc, Bearer def"}, 400},
		{"a space inside", []string{"Bearer abc def"}, 400},
		{"a parameter", []string{`Bearer token="abc"`}, 400},
		{"only padding", []string{"Bearer =="}, 400},
		{"padding inside", []string{"Bearer a=b"}, 400},
		{"another alphabet", []string{"Bearer äbc"}, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(mw, c.header...)
			if w.Code != c.want {
				t.Errorf("answered %d, want %d: %s", w.Code, c.want, w.Body)
			}
			scheme := "Bearer"
			if c.name == "DPoP" {
				scheme = "DPoP" // told what is wrong with the proof, or that none is needed
			}
			if challenged := strings.HasPrefix(w.Header().Get("WWW-Authenticate"), scheme); challenged != (c.want != 200) {
				t.Errorf("the challenge is %q", w.Header().Get("WWW-Authenticate"))
			}
		})
	}
}

// TestOtherPlaces holds that a token counts in the header only. RFC 6750 §2.2, §2.3
func TestOtherPlaces(t *testing.T) {
	mw := bearer.API{Verifier: good(), Logger: quiet}.Require()
	query := httptest.NewRequest(http.MethodGet, "/notes?access_token=abc", nil)
	if w := serve(mw, query); w.Code != http.StatusBadRequest {
		t.Errorf("a token in the URL: %d, want 400", w.Code)
	}
	query.Header.Set("Authorization", "Bearer abc")
	if w := serve(mw, query); w.Code != http.StatusBadRequest {
		t.Errorf("a token in both: %d, want 400", w.Code)
	}
	form := httptest.NewRequest(http.MethodPost, "/notes", strings.NewReader("access_token=abc"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := serve(mw, form); w.Code != http.StatusUnauthorized {
		t.Errorf("a token in the body: %d, want 401", w.Code)
	}
	if body := readAll(t, form.Body); body != "access_token=abc" {
		t.Errorf("the body was read, %q is left", body)
	}
}

// RFC 6750 §3, §3.1, RFC 9728 §5.1
func TestChallenges(t *testing.T) {
	metadata := &bearer.Metadata{Resource: resource}
	full := bearer.API{Metadata: metadata, Realm: `the "notes"` + "\n", Logger: quiet}
	const pointer = `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/notes"`
	with := func(a bearer.API, v bearer.Verifier) bearer.API { a.Verifier = v; return a }
	bare := bearer.API{Logger: quiet}
	bound := good()
	bound.token.Claims = map[string]any{"cnf": map[string]any{"jkt": "x"}}
	elsewhere := good()
	elsewhere.token.Audience = []string{"https://other.example"}
	for _, c := range []struct {
		name      string
		api       bearer.API
		header    string
		scopes    []string
		status    int
		code      string
		challenge string
	}{
		{"no token", with(bare, good()), "", nil, 401, "invalid_token", `Bearer`},
		{"no token, all told", with(full, good()), "", []string{"notes:read"}, 401, "invalid_token",
			`Bearer realm="the 'notes'?", scope="notes:read", ` + pointer},
		{"two tokens", with(full, good()), "Bearer a b", []string{"notes:read"}, 400, "invalid_request",
			`Bearer realm="the 'notes'?", error="invalid_request", error_description="The Authorization header is not the word Bearer or DPoP, a space and one access token.", ` + pointer},
		{"invalid", with(bare, verifier{err: fmt.Errorf("%w: why", bearer.ErrInvalid)}), "Bearer a", nil, 401, "invalid_token",
			`Bearer error="invalid_token", error_description="The access token is unknown, expired or revoked."`},
		{"another resource", with(full, elsewhere), "Bearer a", nil, 401, "invalid_token",
			`Bearer realm="the 'notes'?", error="invalid_token", error_description="The access token is meant for another resource.", ` + pointer},
		{"bound to a key", with(bare, bound), "Bearer a", nil, 401, "invalid_token",
			`DPoP error="invalid_token", error_description="The access token is bound to a key, and can't be used as a bearer token: send it with the scheme DPoP and a proof.", algs="RS256 PS256 ES256 EdDSA Ed25519"`},
		{"more scopes", with(full, good()), "Bearer a", []string{"notes:write", "notes:read"}, 403, "insufficient_scope",
			`Bearer realm="the 'notes'?", error="insufficient_scope", error_description="The access token does not have the scopes that this request needs.", scope="notes:write notes:read profile", ` + pointer},
		{"scopes of no form", with(bare, good()), "Bearer a", []string{`a", error="x`, `a"b`, "b c", "", "d"}, 403, "insufficient_scope",
			`Bearer error="insufficient_scope", error_description="The access token does not have the scopes that this request needs.", scope="d notes:read profile"`},
		{"unavailable", with(full, verifier{err: fmt.Errorf("%w: why", bearer.ErrUnavailable)}), "Bearer a", nil, 503, "temporarily_unavailable", ``},
		{"another error", with(full, verifier{err: errors.New("a secret")}), "Bearer a", nil, 500, "server_error", ``},
		{"no answer", with(full, verifier{}), "Bearer a", nil, 500, "server_error", ``},
		{"no verifier", full, "Bearer a", nil, 500, "server_error", ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			if c.header != "" {
				header = []string{c.header}
			}
			w := ask(c.api.Require(c.scopes...), header...)
			if got := w.Header().Get("WWW-Authenticate"); got != c.challenge || w.Code != c.status {
				t.Errorf("%d %s\nwant %d %s", w.Code, got, c.status, c.challenge)
			}
			if got := w.Header().Get("Retry-After"); (got == "5") != (c.status == 503) {
				t.Errorf("Retry-After is %q", got)
			}
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["error"] != c.code || body["error_description"] == "" {
				t.Errorf("the body is %s (%v)", w.Body, err)
			}
			if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("the header is %v", w.Header())
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("CORS is the host's matter, and %s is set", name)
				}
			}
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "why") {
				t.Errorf("the cause is told: %s", w.Body)
			}
		})
	}
}

// owned is a verifier with a resource of its own.
type owned struct{ verifier }

func (owned) Resource() string { return "https://own.example" }

// RFC 8707 §3, RFC 9068 §4
func TestResource(t *testing.T) {
	v := owned{good()}
	for _, c := range []struct {
		name     string
		api      bearer.API
		audience string
		want     int
	}{
		{"the verifier's", bearer.API{Verifier: v}, "https://own.example", 200},
		{"not the verifier's", bearer.API{Verifier: v}, resource, 401},
		{"the API's before the verifier's", bearer.API{Verifier: v, Resource: resource}, resource, 200},
		{"not the API's", bearer.API{Verifier: v, Resource: resource}, "https://own.example", 401},
		{"that of the metadata", bearer.API{Verifier: v, Metadata: &bearer.Metadata{Resource: resource}}, resource, 200},
		{"not that of the metadata", bearer.API{Verifier: v, Metadata: &bearer.Metadata{Resource: resource}}, "https://own.example", 401},
		{"another spelling", bearer.API{Verifier: v, Resource: resource}, resource + "/", 401},
		{"a verifier that judges itself", bearer.API{Verifier: v.verifier}, "anything", 200},
	} {
		c.api.Logger = quiet
		v.token.Audience = []string{c.audience}
		if w := ask(c.api.Require(), "Bearer a"); w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
}

func TestFromContextOutside(t *testing.T) {
	if got := bearer.FromContext(context.Background()); got != nil {
		t.Errorf("a context without a token has %v", got)
	}
}

// TestLog holds that the log says why, and never the token.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	ask(bearer.API{Verifier: verifier{err: fmt.Errorf("%w: the reason", bearer.ErrInvalid)}, Logger: logger}.Require(), "Bearer tokentokentoken")
	if got := log.String(); !strings.Contains(got, "the reason") || !strings.Contains(got, "INFO") || strings.Contains(got, "tokentoken") {
		t.Errorf("the log is %s", got)
	}
	log.Reset()
	ask(bearer.API{Verifier: verifier{err: bearer.ErrUnavailable}, Logger: logger}.Require(), "Bearer tokentokentoken")
	if got := log.String(); !strings.Contains(got, "ERROR") || strings.Contains(got, "tokentoken") {
		t.Errorf("the log is %s", got)
	}
}
