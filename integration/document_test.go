package integration

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// publisher is a site that publishes documents of clients.
type publisher struct {
	*httptest.Server
	host        string
	roots       *x509.CertPool
	answer      atomic.Value // http.HandlerFunc
	connections atomic.Int64
	requests    atomic.Int64
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{roots: x509.NewCertPool()}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		p.answer.Load().(http.HandlerFunc)(w, r)
	}))
	p.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			p.connections.Add(1)
		}
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	p.roots.AddCert(p.Certificate())
	p.host = strings.TrimPrefix(p.URL, "https://")
	return p
}

// id is the client of a path.
func (p *publisher) id(path string) string { return p.URL + path }

// publish answers every request with a document.
func (p *publisher) publish(members map[string]any, headers ...string) {
	encoded, _ := json.Marshal(members)
	p.say(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write(encoded)
	})
}

func (p *publisher) say(answer http.HandlerFunc) { p.answer.Store(answer) }

// document is a good one.
func (p *publisher) document(id string) map[string]any {
	return map[string]any{
		"client_id": id, "client_name": "Published <script>alert(1)</script>", "redirect_uris": []string{"https://app.test/cb", "http://127.0.0.1/cb"},
		"token_endpoint_auth_method": "none", "grant_types": []string{"authorization_code", "refresh_token"}, "scope": "openid notes:read offline_access",
	}
}

// takesDocuments lets the provider fetch from the publisher.
func (p *publisher) takesDocuments(c *server.Config) {
	c.Registration.Documents, c.Roots = true, p.roots
	c.Insecure.FetchHosts = append(c.Insecure.FetchHosts, p.host)
}

// knows lets the world's helpers act for the client.
func (w *world) knows(id string, uris ...string) {
	w.clients[id] = &storage.Client{ID: id, TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: uris}
}

// TestClientOfADocument: a client that nobody registered is asked about, gets tokens, and
// goes on when its document is gone and the server was started anew. Acceptance 2
func TestClientOfADocument(t *testing.T) {
	for _, backend := range []string{"memory", "bolt", "postgres"} {
		t.Run(backend, func(t *testing.T) { documentRound(t, backend) })
	}
}

func documentRound(t *testing.T, backend string) {
	p := newPublisher(t)
	var config server.Config
	w := start(t, plan{backend: backend, configure: func(c *server.Config) {
		p.takesDocuments(c)
		config = *c
	}})
	id := p.id("/client.json")
	p.publish(p.document(id), "Cache-Control", "max-age=600")
	w.knows(id, "https://app.test/cb")

	metadata, err := send(w.person().client, http.MethodGet, w.endpoint("/.well-known/oauth-authorization-server"), nil, "")
	if err != nil || metadata.text("client_id_metadata_document_supported") != "true" {
		t.Errorf("the metadata do not tell: %v %s", err, metadata)
	}
	alice := w.person()
	address, verifier := w.authorizeURL(id, url.Values{"scope": {"openid notes:read"}})
	if _, err := alice.open(address); err != nil {
		t.Fatal(err)
	}
	page, err := alice.submit(url.Values{"username": {"alice"}, "password": {people["alice"]}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(page.body)
	if !strings.Contains(text, "published by <strong>"+p.host) && !strings.Contains(text, p.host) || !strings.Contains(text, "It returns you to") || strings.Contains(text, "<script>alert") || !strings.Contains(text, "&lt;script&gt;") {
		t.Errorf("the consent page does not show who asks, or shows more: %s", text)
	}
	back, err := alice.submit(url.Values{"decision": {"allow"}})
	if err != nil || back.location() == nil || back.location().Query().Get("iss") != w.issuer {
		t.Fatalf("%v %s", err, back)
	}
	tokens, err := w.exchange(id, back.location().Query().Get("code"), verifier, nil)
	if err != nil || tokens.status != http.StatusOK {
		t.Fatalf("%v %s", err, tokens)
	}
	if n := p.requests.Load(); n != 1 {
		t.Errorf("the document was fetched %d times", n)
	}
	// Asked again, nobody is asked again.
	silent, _ := w.authorizeURL(id, url.Values{"prompt": {"none"}, "scope": {"openid notes:read"}})
	if again, err := send(alice.client, http.MethodGet, silent, nil, ""); err != nil || again.location() == nil || again.location().Query().Get("code") == "" {
		t.Errorf("the consent is not remembered: %v %s", err, again)
	}
	p.Close()
	restarted, err := server.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	w.server, w.handler = restarted, restarted.Handler()
	for _, later := range []time.Duration{0, 25 * time.Hour, 24 * time.Hour} {
		w.advance(later)
		tokens = refreshed(t, w, id, tokens)
		if !w.userinfo(t, tokens) {
			t.Error("the access token does not work")
		}
	}
	if answer, err := send(w.person().client, http.MethodGet, silent, nil, ""); err != nil || answer.status != http.StatusBadRequest {
		t.Errorf("a new request without a document: %v %s", err, answer)
	}
	for range 3 { // a month in all
		w.advance(10 * 24 * time.Hour)
		answer, err := w.post("token", id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}})
		if err != nil {
			t.Fatal(err)
		}
		if tokens = answer; answer.status != http.StatusOK {
			break
		}
	}
	if tokens.status != http.StatusUnauthorized {
		t.Errorf("a document that is gone for a month is not missed: %s", tokens)
	}
}

func refreshed(t *testing.T, w *world, id string, tokens *reply) *reply {
	t.Helper()
	answer, err := w.post("token", id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}})
	if err != nil || answer.status != http.StatusOK {
		t.Fatalf("refresh: %v %s", err, answer)
	}
	return answer
}

func (w *world) userinfo(t *testing.T, tokens *reply) bool {
	t.Helper()
	answer, err := send(w.person().client, http.MethodGet, w.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + tokens.text("access_token")}}, "")
	if err != nil {
		t.Fatal(err)
	}
	return answer.status == http.StatusOK
}

// TestRefusedDocuments: what is wrong is named, to the author alone, and nothing of it is
// kept. OAuth Client ID Metadata Document §3, §4; acceptance 24
func TestRefusedDocuments(t *testing.T) {
	p := newPublisher(t)
	w := start(t, plan{configure: p.takesDocuments})
	n := 0
	with := func(change func(id string, d map[string]any)) func(string) {
		return func(id string) {
			d := p.document(id)
			change(id, d)
			p.publish(d)
		}
	}
	body := func(status int, media, text string) func(string) {
		return func(string) {
			p.say(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", media)
				w.WriteHeader(status)
				_, _ = w.Write([]byte(text))
			})
		}
	}
	for name, c := range map[string]struct {
		publish      func(id string)
		reason, text string
	}{
		"another client_id":   {with(func(_ string, d map[string]any) { d["client_id"] = "https://other.test/c" }), "document_invalid", "client_id: found"},
		"no client_id":        {with(func(_ string, d map[string]any) { delete(d, "client_id") }), "document_invalid", "client_id: found"},
		"one slash more":      {with(func(id string, d map[string]any) { d["client_id"] = id + "/" }), "document_invalid", "client_id: found"},
		"a secret":            {with(func(_ string, d map[string]any) { d["client_secret"] = "x" }), "document_invalid", "client_secret: found"},
		"end of a secret":     {with(func(_ string, d map[string]any) { d["client_secret_expires_at"] = 0 }), "document_invalid", "client_secret_expires_at"},
		"basic":               {with(func(_ string, d map[string]any) { d["token_endpoint_auth_method"] = "client_secret_basic" }), "document_invalid", "token_endpoint_auth_method"},
		"a secret that signs": {with(func(_ string, d map[string]any) { d["token_endpoint_auth_method"] = "client_secret_jwt" }), "document_invalid", "token_endpoint_auth_method"},
		"a key that is none":  {with(func(_ string, d map[string]any) { d["token_endpoint_auth_method"] = "private_key_jwt" }), "document_invalid", "jwks"},
		"javascript":          {with(func(_ string, d map[string]any) { d["redirect_uris"] = []string{"javascript:alert(1)"} }), "document_invalid", "redirect_uris[0]"},
		"no redirect":         {with(func(_ string, d map[string]any) { delete(d, "redirect_uris") }), "document_invalid", "redirect_uris"},
		"hidden characters":   {with(func(_ string, d map[string]any) { d["client_name"] = "a\u202eb" }), "document_invalid", "client_name"},
		"not found":           {body(404, "application/json", "{}"), "document_fetch", "could not be fetched"},
		"server error":        {body(500, "application/json", "secret of an intranet"), "document_fetch", "could not be fetched"},
		"created":             {body(201, "application/json", "{}"), "document_fetch", "could not be fetched"},
		"HTML":                {body(200, "text/html", "<html>"), "document_fetch", "could not be fetched"},
		"no JSON":             {body(200, "application/json", "secret of an intranet"), "document_invalid", "no JSON object"},
		"large":               {body(200, "application/json", `{"x":"`+strings.Repeat("x", 10<<10)+`"}`), "document_fetch", "could not be fetched"},
		"redirect": {func(string) {
			p.say(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) })
		}, "document_fetch", "could not be fetched"},
	} {
		n++
		id := p.id(fmt.Sprintf("/client-%d.json", n))
		c.publish(id)
		w.knows(id, "https://app.test/cb")
		for range 2 { // an error is not kept: the second time asks again
			address, _ := w.authorizeURL(id, nil)
			before := p.requests.Load()
			w.journal.turn()
			answer, err := send(w.person().client, http.MethodGet, address, nil, "")
			if err != nil || answer.status != http.StatusBadRequest || answer.location() != nil {
				t.Fatalf("%s: %v %s", name, err, answer)
			}
			if p.requests.Load() != before+1 {
				t.Errorf("%s: %d requests", name, p.requests.Load()-before)
			}
			if got := w.journal.reasons(); len(got) != 1 || got[0] != c.reason {
				t.Errorf("%s: the reasons are %v, want %s", name, got, c.reason)
			}
			if !strings.Contains(string(answer.body), c.text) || strings.Contains(string(answer.body), "secret of an intranet") {
				t.Errorf("%s: the page does not say %q: %s", name, c.text, answer)
			}
		}
		p.publish(p.document(id))
		address, _ := w.authorizeURL(id, nil)
		if answer, err := send(w.person().client, http.MethodGet, address, nil, ""); err != nil || answer.location() == nil {
			t.Errorf("%s: corrected, it is refused still: %v %s", name, err, answer)
		}
	}
}

// TestURLsThatAreNoClient: nothing is fetched for them. OAuth Client ID Metadata Document §3
func TestURLsThatAreNoClient(t *testing.T) {
	p := newPublisher(t)
	p.say(http.NotFound)
	w := start(t, plan{configure: func(c *server.Config) {
		p.takesDocuments(c)
		c.Registration.DocumentHost = func(host string) bool { return host != "denied.test" }
	}})
	for id, reason := range map[string]string{
		p.URL:                          "document_url", // no path
		p.URL + "/a/../b":              "document_url",
		p.URL + "/./b":                 "document_url",
		p.URL + "/a/%2e%2E/b":          "document_url",
		p.URL + "/a#b":                 "document_url",
		"https://u@" + p.host + "/a":   "document_url",
		"https://u:p@" + p.host + "/a": "document_url",
		"https:///a":                   "document_url",
		"https://a.test/" + strings.Repeat("x", 300): "document_url",
		"http://" + p.host + "/a":                    "client_unknown",
		"HTTPS://" + p.host + "/a":                   "client_unknown",
		"ftp://" + p.host + "/a":                     "client_unknown",
		"https://denied.test/a":                      "document_host",
	} {
		w.knows(id, "https://app.test/cb")
		address, _ := w.authorizeURL(id, nil)
		w.journal.turn()
		answer, err := send(w.person().client, http.MethodGet, address, nil, "")
		if err != nil || answer.status != http.StatusBadRequest {
			t.Errorf("%s: %v %s", id, err, answer)
		}
		if got := w.journal.reasons(); len(got) != 1 || got[0] != reason {
			t.Errorf("%s: the reasons are %v, want %s", id, got, reason)
		}
	}
	if n := p.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestDocumentsOfThisMachine: a client_id that leads to an address of the server's own
// network is never connected to. WB-08, acceptance 24
func TestDocumentsOfThisMachine(t *testing.T) {
	p := newPublisher(t)
	p.publish(p.document(p.id("/c")))
	w := start(t, plan{configure: func(c *server.Config) { c.Registration.Documents, c.Roots = true, p.roots }})
	_, port, _ := net.SplitHostPort(p.host)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "10.0.0.1", "169.254.169.254", "[fc00::1]", "100.64.0.1", "[64:ff9b::7f00:1]"} {
		id := "https://" + host + ":" + port + "/c"
		w.knows(id, "https://app.test/cb")
		address, _ := w.authorizeURL(id, nil)
		began := time.Now()
		answer, err := send(w.person().client, http.MethodGet, address, nil, "")
		if err != nil || answer.status != http.StatusBadRequest || time.Since(began) > 30*time.Second {
			t.Errorf("%s: %v %s after %v", id, err, answer, time.Since(began))
		}
		if strings.Contains(string(answer.body), "open Internet: ") || strings.Contains(string(answer.body), "refused") {
			t.Errorf("%s: the page tells what is there: %s", id, answer)
		}
	}
	if n := p.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestManyDocumentsOfOneAddress: who makes the server fetch is slowed down.
func TestManyDocumentsOfOneAddress(t *testing.T) {
	p := newPublisher(t)
	p.say(http.NotFound)
	w := start(t, plan{configure: p.takesDocuments})
	limited := 0
	for i := range 130 {
		id := p.id(fmt.Sprintf("/%d", i))
		w.knows(id, "https://app.test/cb")
		address, _ := w.authorizeURL(id, nil)
		answer, err := send(w.person().client, http.MethodGet, address, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if answer.status == http.StatusTooManyRequests && answer.header.Get("Retry-After") != "" {
			limited++
		}
	}
	if limited != 30 || p.requests.Load() != 100 {
		t.Errorf("%d were slowed down, %d fetched", limited, p.requests.Load())
	}
}

// TestChangedDocument: a change counts when what was kept is no longer fresh, and people
// are asked again when the name or the host is another.
func TestChangedDocument(t *testing.T) {
	p := newPublisher(t)
	w := start(t, plan{configure: p.takesDocuments})
	id := p.id("/client.json")
	p.publish(p.document(id), "Cache-Control", "max-age=300")
	w.knows(id, "https://app.test/cb")
	alice := w.person()
	code, verifier, err := w.code(alice, id, "alice", url.Values{"scope": {"openid"}})
	if err != nil {
		t.Fatal(err)
	}
	if tokens, err := w.exchange(id, code, verifier, nil); err != nil || tokens.status != http.StatusOK {
		t.Fatalf("%v %s", err, tokens)
	}
	asked := func() string {
		silent, _ := w.authorizeURL(id, url.Values{"prompt": {"none"}, "scope": {"openid"}})
		answer, err := send(alice.client, http.MethodGet, silent, nil, "")
		if err != nil || answer.location() == nil {
			t.Fatalf("%v %s", err, answer)
		}
		return answer.location().Query().Get("error")
	}
	changed := p.document(id)
	changed["client_name"] = "Another name"
	p.publish(changed, "Cache-Control", "max-age=300")
	if got := asked(); got != "" {
		t.Errorf("before the cache has ended: %s", got)
	}
	w.advance(301 * time.Second)
	if got := asked(); got != "consent_required" {
		t.Errorf("another name: %q", got)
	}
	// The operator keeps it out, and lets it in again.
	c, err := w.server.Clients().Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c.Disabled = true
	if _, err := w.server.Clients().Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	silent, _ := w.authorizeURL(id, nil)
	if answer, err := send(alice.client, http.MethodGet, silent, nil, ""); err != nil || answer.status != http.StatusBadRequest {
		t.Errorf("a disabled client: %v %s", err, answer)
	}
}

// TestRemovedDocument: removing the client ends what it holds, also when it comes again.
func TestRemovedDocument(t *testing.T) {
	p := newPublisher(t)
	w := start(t, plan{configure: p.takesDocuments})
	id := p.id("/client.json")
	p.publish(p.document(id))
	w.knows(id, "https://app.test/cb")
	alice := w.person()
	tokensOf := func() *reply {
		code, verifier, err := w.code(alice, id, "alice", url.Values{"scope": {"openid"}})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := w.exchange(id, code, verifier, nil)
		if err != nil || tokens.status != http.StatusOK {
			t.Fatalf("%v %s", err, tokens)
		}
		return tokens
	}
	before := tokensOf()
	if err := w.server.Clients().Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if all, _, err := w.server.Clients().List(t.Context(), storage.Page{}); err != nil || len(all) != len(cast()) {
		t.Errorf("%d clients are listed, %v", len(all), err)
	}
	after := tokensOf()
	if w.userinfo(t, before) || !w.userinfo(t, after) {
		t.Error("a token of before works, or one of after does not")
	}
	answer, err := w.post("token", id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {before.text("refresh_token")}})
	if err != nil || answer.status == http.StatusOK {
		t.Errorf("a refresh token of before: %v %s", err, answer)
	}
}

// TestEnteredAfterItsDocument: a client that is entered under the URL of a document comes
// before it, though the document was used.
func TestEnteredAfterItsDocument(t *testing.T) {
	for _, configured := range []bool{false, true} {
		p := newPublisher(t)
		var config server.Config
		w := start(t, plan{configure: func(c *server.Config) {
			p.takesDocuments(c)
			config = *c
		}})
		id := p.id("/client.json")
		p.publish(p.document(id))
		w.knows(id, "https://app.test/cb")
		code, verifier, err := w.code(w.person(), id, "alice", url.Values{"scope": {"openid"}})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := w.exchange(id, code, verifier, nil)
		if err != nil || tokens.status != http.StatusOK {
			t.Fatalf("%v %s", err, tokens)
		}
		entered := storage.Client{ID: id, Name: "Entered", TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: []string{"https://app.test/cb"}, Scope: "openid"}
		if configured {
			config.Clients = append(slices.Clone(config.Clients), entered)
			if w.server, err = server.New(t.Context(), config); err == nil {
				w.handler = w.server.Handler()
			}
		} else {
			_, _, err = w.server.Clients().Create(t.Context(), entered)
		}
		if err != nil {
			t.Fatalf("configured %t: %v", configured, err)
		}
		if c, err := w.server.Clients().Get(t.Context(), id); err != nil || c.Name != "Entered" || c.Registered != nil {
			t.Errorf("configured %t: %+v, %v", configured, c, err)
		}
		if !configured && w.userinfo(t, tokens) {
			t.Error("a client that was made inherits the tokens of its document")
		}
	}
}
