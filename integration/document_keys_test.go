package integration

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
)

// overTLS makes the world reachable by connections, in place of calls.
func (w *world) overTLS(t *testing.T) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }))
	t.Cleanup(s.Close)
	transport := s.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // as its certificate says
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	w.transport = transport
}

// TestDocumentWithKeys: a client that nobody registered proves who it is by its key, which
// stands in its document or behind a URL there, at every endpoint; nobody gets along without
// the key, and another key takes its place. OAuth Client ID Metadata Document §6.2,
// §6.3.1, RFC 7523 §2.2
func TestDocumentWithKeys(t *testing.T) {
	for _, form := range []string{"jwks", "jwks_uri"} {
		t.Run(form, func(t *testing.T) { documentWithKeys(t, form) })
	}
}

func documentWithKeys(t *testing.T, form string) {
	p := newPublisher(t)
	var config server.Config
	w := start(t, plan{backend: "bolt", configure: func(c *server.Config) {
		p.takesDocuments(c)
		config = *c
	}})
	w.overTLS(t)
	id := p.id("/client.json")
	w.knows(id, "https://app.test/cb")
	first, second := newRobot(t), newRobot(t)
	first.w, second.w = w, w
	var current atomic.Pointer[robot]
	var keySets atomic.Int64
	current.Store(first)
	p.say(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Cache-Control", "max-age=300")
		if r.URL.Path == "/jwks" {
			keySets.Add(1)
			_, _ = rw.Write(current.Load().keys())
			return
		}
		d := p.document(id)
		d["token_endpoint_auth_method"], d["token_endpoint_auth_signing_alg"] = "private_key_jwt", "EdDSA"
		if form == "jwks" {
			d["jwks"] = current.Load().keys()
		} else {
			d["jwks_uri"] = p.URL + "/jwks"
		}
		_ = json.NewEncoder(rw).Encode(d)
	})
	as := map[string]any{"iss": id, "sub": id}
	alice := w.person()
	const scope = "openid notes:read offline_access"

	// Pushed, by its key and by no other.
	params := w.authorizeParams(id, "v-0123456789-0123456789-0123456789-0123456789", url.Values{"scope": {scope}})
	bare, err := w.post("par", id, params)
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]*reply{
		"no assertion": bare, "one by another key": first.post(t, "par", second.assert(as), params), "one of another client": first.post(t, "par", first.assert(nil), params),
	} {
		if a.status != http.StatusUnauthorized || a.text("error") != "invalid_client" {
			t.Errorf("pushed with %s: %s", name, a)
		}
	}
	pushed := first.post(t, "par", first.assert(as), params)
	if pushed.status != http.StatusCreated {
		t.Fatal(pushed)
	}
	if _, err := alice.open(w.endpoint("authorize") + "?" + url.Values{"client_id": {id}, "request_uri": {pushed.text("request_uri")}}.Encode()); err != nil {
		t.Fatal(err)
	}
	page, err := alice.submit(url.Values{"username": {"alice"}, "password": {people["alice"]}})
	if err != nil || !strings.Contains(string(page.body), p.host) {
		t.Fatalf("the consent page does not name the host: %v %s", err, page)
	}
	back, err := alice.submit(url.Values{"decision": {"allow"}})
	if err != nil || back.location() == nil || back.location().Query().Get("code") == "" {
		t.Fatalf("%v %s", err, back)
	}
	exchange := url.Values{"grant_type": {"authorization_code"}, "code": {back.location().Query().Get("code")}, "redirect_uri": {"https://app.test/cb"}, "code_verifier": {"v-0123456789-0123456789-0123456789-0123456789"}}
	// A code is worth nothing without the key, though PKCE is right.
	if a, err := w.post("token", id, exchange); err != nil || a.status != http.StatusUnauthorized {
		t.Errorf("a code without the key: %v %s", err, a)
	}
	if a := first.post(t, "token", second.assert(as), exchange); a.status != http.StatusUnauthorized {
		t.Errorf("a code with another key: %s", a)
	}
	used := first.assert(as)
	tokens := first.post(t, "token", used, exchange)
	if tokens.status != http.StatusOK || !w.userinfo(t, tokens) {
		t.Fatal(tokens)
	}
	refresh := func(by *robot, assertion string) *reply {
		return by.post(t, "token", assertion, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}})
	}
	if a := refresh(first, used); a.status != http.StatusUnauthorized || !strings.Contains(string(a.body), "assertion_replayed") {
		t.Errorf("an assertion twice: %s", a)
	}

	// Started anew, the server knows the client by what it kept, and its keys by asking.
	again, err := server.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	w.server, w.handler = again, again.Handler()
	before := p.requests.Load()
	if tokens = refresh(first, first.assert(as)); tokens.status != http.StatusOK {
		t.Fatal(tokens)
	}
	if asked, want := p.requests.Load()-before, int64(strings.Count(form, "_uri")); asked != want {
		t.Errorf("a refresh after a restart made %d requests, want %d", asked, want)
	}

	// Another key takes the place of the first.
	current.Store(second)
	w.advance(10 * time.Minute) // nothing is fresh any more
	if form == "jwks" {         // it stands in the document, which is looked at when somebody asks for something new
		address, _ := w.authorizeURL(id, url.Values{"scope": {"openid"}, "prompt": {"none"}})
		if a, err := send(alice.client, http.MethodGet, address, nil, ""); err != nil || a.location() == nil {
			t.Fatalf("%v %s", err, a)
		}
	}
	if a := refresh(first, first.assert(as)); a.status != http.StatusUnauthorized {
		t.Errorf("the key that was taken away: %s", a)
	}
	w.advance(2 * time.Minute)
	if tokens = refresh(second, second.assert(as)); tokens.status != http.StatusOK {
		t.Errorf("the key that took its place: %s", tokens)
	}
	if a := second.post(t, "introspect", second.assert(as), url.Values{"token": {tokens.text("access_token")}}); a.status != http.StatusOK || a.text("active") != "true" {
		t.Errorf("introspection of its own token: %s", a)
	}
	if a := second.post(t, "revoke", second.assert(as), url.Values{"token": {tokens.text("refresh_token")}}); a.status != http.StatusOK || w.userinfo(t, tokens) {
		t.Errorf("revocation of its grant: %s", a)
	}
	if (keySets.Load() > 0) != (form == "jwks_uri") {
		t.Errorf("the set of keys was fetched %d times", keySets.Load())
	}
}

// TestDocumentWithKeysInside: a document may not make the server fetch keys from where it
// would not fetch the document. OAuth Client ID Metadata Document §6.5, WB-08
func TestDocumentWithKeysInside(t *testing.T) {
	p, inside := newPublisher(t), newPublisher(t)
	inside.say(http.NotFound)
	w := start(t, plan{configure: p.takesDocuments})
	w.overTLS(t)
	id := p.id("/client.json")
	r := &robot{w: w, private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	d := p.document(id)
	d["token_endpoint_auth_method"], d["jwks_uri"] = "private_key_jwt", inside.URL+"/jwks"
	p.publish(d)
	w.knows(id, "https://app.test/cb")
	a := r.post(t, "par", r.assert(map[string]any{"iss": id, "sub": id}), w.authorizeParams(id, "v-0123456789-0123456789-0123456789-0123456789", nil))
	if a.status != http.StatusUnauthorized || strings.Contains(string(a.body), inside.host) {
		t.Errorf("%s", a)
	}
	if p.requests.Load() != 1 || inside.connections.Load() != 0 {
		t.Errorf("the document was asked for %d times, the machine inside was connected to %d times", p.requests.Load(), inside.connections.Load())
	}
}
