package handlers

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

func formRequest(body string, header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, values := range header {
		r.Header[name] = values
	}
	return r
}

func basicHeader(userinfo string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))}}
}

// RFC 6749 §2.3.1
func TestCredentialsAreRead(t *testing.T) {
	for _, c := range []struct {
		name, body string
		header     http.Header
		want       engine.Credentials
	}{
		{"empty ones are left out", "client_id=&client_secret=&client_assertion=", basicHeader("a:s"), engine.Credentials{ClientID: "a", Secret: "s", Method: "client_secret_basic"}},
		{"an empty secret is none", "client_id=a&client_secret=", nil, engine.Credentials{ClientID: "a", Method: "none"}},
		{"in the body", "client_id=a&client_secret=s", nil, engine.Credentials{ClientID: "a", Secret: "s", Method: "client_secret_post"}},
		{"in the header", "", basicHeader("a:s"), engine.Credentials{ClientID: "a", Secret: "s", Method: "client_secret_basic"}},
		{"in the header, id in the body too", "client_id=a", basicHeader("a:s"), engine.Credentials{ClientID: "a", Secret: "s", Method: "client_secret_basic"}},
		{"none", "client_id=a", nil, engine.Credentials{ClientID: "a", Method: "none"}},
		{"encoded", "", basicHeader(url.QueryEscape("https://a.example/x y") + ":" + url.QueryEscape("p+%:ö")), engine.Credentials{ClientID: "https://a.example/x y", Secret: "p+%:ö", Method: "client_secret_basic"}},
		{"a raw colon in the secret", "", basicHeader("a:s:t"), engine.Credentials{ClientID: "a", Secret: "s:t", Method: "client_secret_basic"}},
		{"raw characters that are not encoded", "", basicHeader("a/b~:!$&"), engine.Credentials{ClientID: "a/b~", Secret: "!$&", Method: "client_secret_basic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, form, e := authenticated(formRequest(c.body+"&x=1", c.header))
			if e != nil {
				t.Fatal(e)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("credentials are %+v (secret %q), want %+v", got, string(got.Secret), c.want)
			}
			if form.Has("client_secret") || form.Has("client_id") || form.Get("x") != "1" {
				t.Errorf("the form is %v, want the rest without credentials", form)
			}
		})
	}
}

func TestConfusingRequestsAreRefused(t *testing.T) {
	form := "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, reason string
		r            *http.Request
	}{
		{"JSON", "content_type", formRequest("{}", http.Header{"Content-Type": {"application/json"}})},
		{"multipart", "content_type", formRequest("x", http.Header{"Content-Type": {"multipart/form-data; boundary=x"}})},
		{"no type", "content_type", formRequest("client_id=a", http.Header{"Content-Type": nil})},
		{"two types", "content_type", formRequest("client_id=a", http.Header{"Content-Type": {form, form}})},
		{"another charset", "content_type", formRequest("client_id=a", http.Header{"Content-Type": {form + "; charset=utf-16"}})},
		{"a parameter twice", "parameter_repeated", formRequest("client_id=a&code=1&code=2", nil)},
		{"an empty parameter twice", "parameter_repeated", formRequest("client_id=a&code=&code=", nil)},
		{"a broken escape", "malformed_parameters", formRequest("client_id=%zz", nil)},
		{"a semicolon", "malformed_parameters", formRequest("client_id=a;code=1", nil)},
		{"a zero byte", "control_characters", formRequest("client_id=a%00b", nil)},
		{"a line break", "control_characters", formRequest("client_id=a&x=%0d%0aSet-Cookie:", nil)},
		{"not UTF-8", "control_characters", formRequest("client_id=%ff", nil)},
		{"no client", "client_missing", formRequest("grant_type=x", nil)},
		{"header and body", "several_credentials", formRequest("client_secret=s", basicHeader("a:s"))},
		{"secret and assertion", "several_credentials", formRequest("client_id=a&client_secret=s&client_assertion=x", nil)},
		{"header and assertion", "several_credentials", formRequest("client_assertion=x", basicHeader("a:s"))},
		{"header and assertion type", "several_credentials", formRequest("client_assertion_type=x", basicHeader("a:s"))},
		{"secret and assertion type", "several_credentials", formRequest("client_id=a&client_secret=s&client_assertion_type=x", nil)},
		{"assertion of another type", "assertion_type_unknown", formRequest("client_id=a&client_assertion=x&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Asaml2-bearer", nil)},
		{"assertion without type", "parameter_missing", formRequest("client_id=a&client_assertion=x", nil)},
		{"type without assertion", "parameter_missing", formRequest("client_id=a&client_assertion_type="+jwtBearer, nil)},
		{"empty assertion", "parameter_missing", formRequest("client_id=a&client_assertion=&client_assertion_type="+jwtBearer, nil)},
		{"assertion of nobody", "client_missing", formRequest("client_assertion=x&client_assertion_type="+jwtBearer, nil)},
		{"assertion twice", "parameter_repeated", formRequest("client_assertion=x&client_assertion=y&client_assertion_type="+jwtBearer, nil)},
		{"two headers", "several_credentials", formRequest("", http.Header{"Authorization": {"Basic YTpi", "Basic YTpi"}})},
		{"another client in the body", "mixed_client", formRequest("client_id=b", basicHeader("a:s"))},
		{"another scheme", "authorization_scheme", formRequest("client_id=a", http.Header{"Authorization": {"Bearer x"}})},
		{"no base64", "basic_malformed", formRequest("", http.Header{"Authorization": {"Basic ***"}})},
		{"no colon", "basic_malformed", formRequest("", basicHeader("a"))},
		{"no name", "basic_malformed", formRequest("", basicHeader(":s"))},
		{"a broken escape in the header", "basic_malformed", formRequest("", basicHeader("a:%zz"))},
		{"a control character in the header", "basic_malformed", formRequest("", basicHeader("a:%00"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, e := authenticated(c.r)
			if e == nil || e.Reason != c.reason {
				t.Fatalf("refused with %v, want reason %s", e, c.reason)
			}
		})
	}
	r := formRequest("client_id=a", nil)
	r.URL.RawQuery = "client_secret=hidden"
	if _, _, e := authenticated(r); e == nil || e.Reason != "query_parameters" || strings.Contains(e.Description, "hidden") {
		t.Errorf("a secret in the query is answered with %v", e)
	}
}

const jwtBearer = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"

// TestAssertionIsTaken: an assertion names its client, unless client_id does, and
// nothing of it is left in the form. RFC 7521 §4.2, RFC 7523 §2.2
func TestAssertionIsTaken(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.AA" // of sub a
	for body, want := range map[string]string{"": "a", "client_id=b&": "b"} {
		c, form, e := authenticated(formRequest(body+"grant_type=x&client_assertion="+token+"&client_assertion_type="+jwtBearer, nil))
		if e != nil || c.ClientID != want || c.Method != "private_key_jwt" || c.Assertion != token || c.Secret != "" {
			t.Errorf("%q: %+v, %v", body, c, e)
		}
		if len(form) != 1 || form.Get("grant_type") != "x" {
			t.Errorf("%q: the form is %v", body, form)
		}
	}
}

// RFC 8707 §2
func TestResourceMayRepeat(t *testing.T) {
	_, form, e := authenticated(formRequest("client_id=a&resource=https://a.example&resource=https://b.example", nil))
	if e != nil || len(form["resource"]) != 2 {
		t.Errorf("two resources give %v and %v", form, e)
	}
}

// RFC 6750 §2
func TestBearerToken(t *testing.T) {
	bearer := http.Header{"Authorization": {"Bearer abc"}}
	for _, c := range []struct {
		name   string
		r      *http.Request
		want   string
		reason string
	}{
		{"header", formRequest("", bearer), "abc", ""},
		{"lower case", formRequest("", http.Header{"Authorization": {"bearer abc"}}), "abc", ""},
		{"body", formRequest("access_token=abc", nil), "abc", ""},
		{"both", formRequest("access_token=abc", bearer), "", "several_credentials"},
		{"none", formRequest("", nil), "", "token_missing"},
		{"DPoP in any case", formRequest("", http.Header{"Authorization": {"dpop abc"}}), "abc", ""},
		{"another scheme", formRequest("", basicHeader("a:b")), "", "authorization_scheme"},
		{"JSON body", formRequest("{}", http.Header{"Content-Type": {"application/json"}}), "", "content_type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got, e := presentedToken(c.r)
			if got != c.want || (e == nil) != (c.reason == "") || e != nil && (e.Reason != c.reason || e.Challenge != "Bearer") {
				t.Errorf("got %q and %v, want %q and reason %q", got, e, c.want, c.reason)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/userinfo?access_token=abc", nil)
	if _, _, e := presentedToken(r); e == nil || e.Reason != "token_in_query" {
		t.Errorf("a token in the query is answered with %v", e)
	}
}

func TestOriginsOfAClient(t *testing.T) {
	client := &storage.Client{RedirectURIs: []string{"https://app.example/cb", "http://localhost/cb", "com.app:/cb", "https://eight.example:8443/cb"}}
	for origin, want := range map[string]bool{
		"https://app.example":          true,
		"https://app.example:443":      true,
		"http://localhost:5173":        true,
		"https://eight.example:8443":   true,
		"https://eight.example":        false,
		"http://app.example":           false,
		"https://app.example.evil":     false,
		"https://evil.app.example":     false,
		"https://localhost":            false,
		"http://127.0.0.1:5173":        false,
		"null":                         false,
		"com.app:":                     false,
		"https://app.example/":         false,
		"https://user@app.example":     false,
		"https://app.example:8443":     false,
		"http://localhost.evil.com:80": false,
	} {
		if got := ownsOrigin(client, origin); got != want {
			t.Errorf("origin %s: %v, want %v", origin, got, want)
		}
	}
}

// Unicode Technical Standard #39
func TestStrangersTextIsMadeReadable(t *testing.T) {
	for in, want := range map[string]string{
		"Notes":                  "Notes",
		"No\u202etes\u200b":      "Notes",
		"a\x00b\nc\t d":          "ab c d",
		"  spaced   out ":        "spaced out",
		"\u3164\u200d":           "",
		strings.Repeat("x", 100): strings.Repeat("x", 9) + "…",
		"Ünïcödé":                "Ünïcödé",
	} {
		if got := readable(in, 10); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// Memory for a body is taken as it comes: who only promises one must not make the server
// keep room for it.
func TestPromisedBodyTakesNoRoom(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("a=b"))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = maxBody
	got, e := readBody(r)
	if e != nil || string(got) != "a=b" || cap(got) > 8<<10 {
		t.Errorf("%q, %v: %d bytes of memory for %d", got, e, cap(got), len(got))
	}
}
