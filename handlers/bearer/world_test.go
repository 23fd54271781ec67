package bearer_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/internal/jws"
)

const resource = "https://api.example.com/notes"

var quiet = slog.New(slog.DiscardHandler)

// verifier is a Verifier that answers what the test says.
type verifier struct {
	token *bearer.Token
	err   error
}

func (v verifier) Verify(context.Context, string) (*bearer.Token, error) { return v.token, v.err }

// issuer is an authorization server that says what the test wants, and counts.
type issuer struct {
	t    *testing.T
	host *httptest.Server
	url  string
	key  jws.Key

	mu       sync.Mutex
	now      time.Time
	asked    map[string]int // requests by path
	document map[string]any
	keys     []jws.Key
	tokens   map[string]map[string]any // answers of the introspection
	answer   func(w http.ResponseWriter, r *http.Request) bool
}

func newKey(t *testing.T, alg string) jws.Key {
	t.Helper()
	signer, err := jws.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	k, err := jws.New(alg, signer)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, key: newKey(t, jws.ES256), asked: map[string]int{}, tokens: map[string]map[string]any{}, now: time.Now()}
	i.host = httptest.NewServer(i)
	t.Cleanup(i.host.Close)
	i.url = i.host.URL
	i.keys = []jws.Key{i.key}
	i.document = map[string]any{"issuer": i.url, "jwks_uri": i.url + "/jwks", "introspection_endpoint": i.url + "/introspect"}
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked[r.URL.Path]++
	if i.answer != nil && i.answer(w, r) {
		return
	}
	var body any
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		body = i.document
	case "/jwks":
		body = map[string]any{"keys": i.public()}
	case "/introspect":
		id, secret, _ := r.BasicAuth()
		if id != "api" || secret != url.QueryEscape("a secret/+") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body = map[string]any{"active": false}
		if told, ok := i.tokens[r.PostFormValue("token")]; ok {
			body = told
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		i.t.Error(err)
	}
}

func (i *issuer) public() []json.RawMessage {
	list := []json.RawMessage{}
	for _, k := range i.keys {
		body, err := jws.PublicJWK(k)
		if err != nil {
			i.t.Error(err)
		}
		list = append(list, body)
	}
	return list
}

func (i *issuer) clock() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *issuer) advance(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = i.now.Add(d)
}

// change alters what the issuer says.
func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) count(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// claims are those of a good token, changed.
func (i *issuer) claims(change map[string]any) map[string]any {
	now := i.clock().Unix()
	c := map[string]any{
		"iss": i.url, "sub": "alice", "client_id": "app", "aud": resource, "scope": "notes:read profile",
		"iat": now, "exp": now + 600, "jti": "one",
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// active is the answer of an introspection.
func (i *issuer) active(change map[string]any) map[string]any {
	c := i.claims(map[string]any{"active": true, "token_type": "Bearer", "jti": nil})
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (i *issuer) sign(typ string, claims any) string {
	i.t.Helper()
	return signWith(i.t, i.key, typ, claims)
}

func signWith(t *testing.T, k jws.Key, typ string, claims any) string {
	t.Helper()
	token, err := jws.Sign(k, typ, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// remote is a verifier of the issuer's tokens.
func (i *issuer) remote(change ...func(*bearer.RemoteConfig)) *bearer.RemoteVerifier {
	i.t.Helper()
	c := bearer.RemoteConfig{Issuer: i.url, Resource: resource, ClientID: "api", ClientSecret: "a secret/+", Clock: i.clock}
	for _, f := range change {
		f(&c)
	}
	v, err := bearer.NewRemote(c)
	if err != nil {
		i.t.Fatal(err)
	}
	return v
}

// ask sends a request with these Authorization headers through the middleware.
func ask(mw func(http.Handler) http.Handler, authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/notes", nil)
	for _, value := range authorization {
		r.Header.Add("Authorization", value)
	}
	return serve(mw, r)
}

func serve(mw func(http.Handler) http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	mw(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", bearer.FromContext(r.Context()).Subject)
	})).ServeHTTP(w, r)
	return w
}

// segment encodes a part of a token.
func segment(v any) string {
	body, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(body)
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
