package bearer_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/handlers/bearer"
)

func TestIntrospection(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	i.tokens["opaque"] = i.active(map[string]any{"tenant": "acme", "username": nil, "realm": map[string]any{"roles": []string{"reader"}}})
	got, err := v.Verify(t.Context(), "opaque")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(i.now.Unix(), 0)
	want := &bearer.Token{
		Subject: "alice", ClientID: "app", Scopes: []string{"notes:read", "profile"}, Audience: []string{resource},
		IssuedAt: now, ExpiresAt: now.Add(10 * time.Minute), Claims: map[string]any{"tenant": "acme", "realm": map[string]any{"roles": []any{"reader"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the token (-want +got):\n%s", diff)
	}
	got.Claims["tenant"], got.Scopes[0], got.Audience[0], got.Subject = "evil", "admin", "x", "root"
	realm, _ := got.Claims["realm"].(map[string]any)
	roles, _ := realm["roles"].([]any)
	if len(roles) != 1 {
		t.Fatalf("the roles are %v", realm)
	}
	roles[0], realm["name"] = "admin", "made up"
	again, err := v.Verify(t.Context(), "opaque")
	if diff := cmp.Diff(want, again); diff != "" || err != nil {
		t.Errorf("what a handler changed was kept (-want +got): %v\n%s", err, diff)
	}
}

func TestIntrospectionRefuses(t *testing.T) {
	i := newIssuer(t)
	now := i.now.Unix()
	i.tokens["good"] = i.active(nil)
	v := i.remote()
	if _, err := v.Verify(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]map[string]any{
		"inactive":                 {"active": false},
		"no word":                  {"active": nil},
		"active as text":           {"active": "true"},
		"a refresh token":          {"token_type": "refresh_token"},
		"a refresh token by use":   {"token_use": "refresh_token"},
		"an unknown type":          {"token_type": "N_A"},
		"DPoP without a key":       {"token_type": "DPoP"},
		"another issuer":           {"iss": "https://evil.example"},
		"an empty issuer":          {"iss": ""},
		"another audience":         {"aud": "https://other.example"},
		"no audience":              {"aud": nil},
		"expired":                  {"exp": now - 31},
		"not valid yet":            {"nbf": now + 45},
		"an expiry as text":        {"exp": "soon"},
		"a token type of no form":  {"token_type": 7},
		"nobody":                   {"sub": nil, "client_id": nil},
		"scopes that are a number": {"scope": 7},
	} {
		token := strings.ReplaceAll(name, " ", "-")
		i.change(func() { i.tokens[token] = nil })
		body := i.active(answer)
		i.change(func() { i.tokens[token] = body })
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, bearer.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	long := strings.Repeat("a", 16<<10+1)
	i.change(func() { i.tokens[long] = i.tokens["good"] })
	if _, err := v.Verify(t.Context(), long); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("a token of %d bytes: %v, want ErrInvalid", len(long), err)
	}
	for name, answer := range map[string]map[string]any{
		"no issuer":     {"iss": nil},
		"no expiry":     {"exp": nil, "iat": nil},
		"no token type": {"token_type": nil},
		"lower case":    {"token_type": "bearer"},
		"a client only": {"sub": nil},
		"several":       {"aud": []string{"a", resource}},
	} {
		token := "fine-" + strings.ReplaceAll(name, " ", "-")
		body := i.active(answer)
		i.change(func() { i.tokens[token] = body })
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBoundToken holds that a token bound to a key is known, and no bearer token. RFC 7800 §3.1
func TestBoundToken(t *testing.T) {
	i := newIssuer(t)
	bind := map[string]any{"cnf": map[string]any{"jkt": "x"}}
	i.tokens["opaque"] = i.active(bind)
	mw := bearer.API{Verifier: i.remote(), Logger: quiet}.Require()
	for _, token := range []string{"opaque", i.sign("at+jwt", i.claims(bind))} {
		if w := ask(mw, "Bearer "+token); w.Code != http.StatusUnauthorized {
			t.Errorf("%.10s: %d, want 401", token, w.Code)
		}
	}
	if w := ask(mw, "Bearer "+i.sign("at+jwt", i.claims(nil))); w.Code != http.StatusOK {
		t.Errorf("one that is not bound: %d", w.Code)
	}
}

// TestIntrospectionCache holds how long an answer is used again: a revoked token no
// longer than Cache says, an expired one not at all.
func TestIntrospectionCache(t *testing.T) {
	for _, c := range []struct {
		name     string
		cache    time.Duration
		advance  time.Duration
		requests int
	}{
		{"at once", 0, 0, 1},
		{"by default", 0, 9 * time.Second, 1},
		{"after the default", 0, 11 * time.Second, 2},
		{"the longest", 30 * time.Second, 29 * time.Second, 1},
		{"after the longest", 30 * time.Second, 31 * time.Second, 2},
		{"none", -1, 0, 2},
	} {
		i := newIssuer(t)
		i.tokens["opaque"] = i.active(nil)
		v := i.remote(func(r *bearer.RemoteConfig) { r.Cache = c.cache })
		for range 2 {
			if _, err := v.Verify(t.Context(), "opaque"); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			i.advance(c.advance)
		}
		if got := i.count("/introspect"); got != c.requests {
			t.Errorf("%s: %d requests, want %d", c.name, got, c.requests)
		}
	}

	i := newIssuer(t)
	v := i.remote()
	i.tokens["short"] = i.active(map[string]any{"exp": i.now.Unix() + 3})
	for range 2 {
		if _, err := v.Verify(t.Context(), "short"); err != nil {
			t.Error(err)
		}
		i.advance(4 * time.Second)
	}
	if got := i.count("/introspect"); got != 2 {
		t.Errorf("a token that ended was asked for %d times, want 2", got)
	}
	before := i.count("/introspect")
	for range 50 {
		if _, err := v.Verify(t.Context(), "unknown"); !errors.Is(err, bearer.ErrInvalid) {
			t.Error(err)
		}
	}
	if got := i.count("/introspect") - before; got != 1 {
		t.Errorf("an unknown token was asked for %d times, want 1", got)
	}
	body := i.active(nil)
	i.change(func() { i.tokens["unknown"] = body })
	i.advance(6 * time.Second)
	if _, err := v.Verify(t.Context(), "unknown"); err != nil {
		t.Errorf("known after a moment: %v", err)
	}
}

// TestJunkDrivesNothingOut holds that answers about junk have a place of their own.
func TestJunkDrivesNothingOut(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	i.tokens["opaque"] = i.active(nil)
	if _, err := v.Verify(t.Context(), "opaque"); err != nil {
		t.Fatal(err)
	}
	for n := range 5000 {
		if _, err := v.Verify(t.Context(), fmt.Sprint("junk-", n)); !errors.Is(err, bearer.ErrInvalid) {
			t.Fatal(err)
		}
	}
	before := i.count("/introspect")
	if _, err := v.Verify(t.Context(), "opaque"); err != nil {
		t.Fatal(err)
	}
	if i.count("/introspect") != before {
		t.Error("junk drove the answer about a good token out")
	}
}

// TestIntrospectionUnavailable holds that a failure is no verdict, and is not kept.
func TestIntrospectionUnavailable(t *testing.T) {
	i := newIssuer(t)
	i.tokens["opaque"] = i.active(nil)
	wrong := i.remote(func(c *bearer.RemoteConfig) { c.ClientSecret = "wrong" })
	if _, err := wrong.Verify(t.Context(), "opaque"); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("with wrong credentials: %v, want ErrUnavailable", err)
	}
	v := i.remote()
	for _, status := range []int{http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusFound, http.StatusBadRequest} {
		i.change(func() {
			i.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/introspect" {
					return false
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
				return true
			}
		})
		if w := ask(bearer.API{Verifier: v, Logger: quiet}.Require(), "Bearer opaque"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("the issuer answers %d: %d, want 503", status, w.Code)
		}
	}
	if i.count("/elsewhere") != 0 {
		t.Error("a redirect was followed with the credentials of the API")
	}
	i.change(func() { i.answer = nil })
	if _, err := v.Verify(t.Context(), "opaque"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	i.change(func() { delete(i.document, "introspection_endpoint") })
	if _, err := i.remote().Verify(t.Context(), "opaque"); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("without an endpoint: %v, want ErrUnavailable", err)
	}
	jwtOnly, err := bearer.Remote(i.url, resource)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwtOnly.Verify(t.Context(), "opaque"); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("without credentials: %v, want ErrInvalid", err)
	}
}

// TestIntrospectionByPost holds that credentials go where the issuer wants them.
func TestIntrospectionByPost(t *testing.T) {
	i := newIssuer(t)
	i.document["introspection_endpoint_auth_methods_supported"] = []string{"client_secret_post"}
	told := i.active(nil)
	i.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/introspect" {
			return false
		}
		if _, _, basic := r.BasicAuth(); basic || r.PostFormValue("client_id") != "api" || r.PostFormValue("client_secret") != "a secret/+" {
			t.Errorf("the form is %v", r.PostForm)
		}
		fmt.Fprintf(w, `{"active":true,"aud":%q,"sub":%q}`, told["aud"], told["sub"])
		return true
	}
	if _, err := i.remote().Verify(t.Context(), "opaque"); err != nil {
		t.Error(err)
	}
}

// TestRace has many callers use one verifier; the race detector judges.
func TestRace(t *testing.T) {
	i := newIssuer(t)
	v := i.remote()
	const tokens, callers = 8, 16
	var names []string
	for n := range tokens {
		names = append(names, fmt.Sprint("opaque-", n))
		i.tokens[names[n]] = i.active(map[string]any{"tenant": "acme"})
	}
	names = append(names, "junk", i.sign("at+jwt", i.claims(nil)), signWith(t, newKey(t, "EdDSA"), "at+jwt", i.claims(nil)))
	mw := bearer.API{Verifier: v, Logger: quiet}.Require("notes:read")
	begin := make(chan struct{})
	var wait sync.WaitGroup
	for n := range callers {
		wait.Go(func() {
			<-begin
			for m := range 3 * len(names) {
				at := (m + n) % len(names)
				want := http.StatusOK
				if names[at] == "junk" || at == len(names)-1 {
					want = http.StatusUnauthorized
				}
				if w := ask(mw, "Bearer "+names[at]); w.Code != want {
					t.Errorf("%.12s: %d, want %d: %s", names[at], w.Code, want, w.Body)
				}
				got, err := v.Verify(t.Context(), names[0])
				if err != nil {
					t.Error(err)
					return
				}
				got.Claims["tenant"], got.Scopes[0] = n, "mine"
			}
		})
	}
	close(begin)
	wait.Wait()
	if got := i.count("/introspect"); got != tokens+1 {
		t.Errorf("%d introspections of %d tokens", got, tokens+1)
	}
}
