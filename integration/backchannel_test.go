package integration

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v3"

	"github.com/doorward/doorward/server"
)

// party is a client with an https server of its own that is told of sign-outs, and
// judges what it is told with a library that is not ours.
type party struct {
	*httptest.Server
	w *world

	mu     sync.Mutex
	told   []logoutToken
	raw    []string
	status int           // of its answers
	hang   chan struct{} // not nil: it answers when this is closed
}

// logoutToken is what a client reads of one. OpenID Connect Back-Channel Logout §2.4
type logoutToken struct {
	Issuer    string                     `json:"iss"`
	Audience  string                     `json:"aud"`
	Subject   string                     `json:"sub"`
	SessionID string                     `json:"sid"`
	ID        string                     `json:"jti"`
	IssuedAt  int64                      `json:"iat"`
	ExpiresAt int64                      `json:"exp"`
	Nonce     *string                    `json:"nonce"`
	Events    map[string]json.RawMessage `json:"events"`
}

func newParty(t *testing.T) *party {
	t.Helper()
	p := &party{status: http.StatusOK}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || len(r.PostForm) != 1 {
			t.Errorf("%s with %v, %v", r.Method, r.PostForm, err)
		}
		p.mu.Lock()
		hang, status := p.hang, p.status
		p.raw = append(p.raw, r.PostFormValue("logout_token"))
		p.mu.Unlock()
		if hang != nil {
			<-hang
		}
		if status == http.StatusOK && hang == nil {
			p.read(t, r.Context(), r.PostFormValue("logout_token"))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":"what-the-client-says"}`)
	}))
	t.Cleanup(p.Close)
	return p
}

// read verifies a token with the provider's published keys.
func (p *party) read(t *testing.T, ctx context.Context, raw string) {
	ctx = oidc.ClientContext(ctx, &http.Client{Transport: p.w.transport})
	payload, err := oidc.NewRemoteKeySet(ctx, p.w.endpoint("jwks")).VerifySignature(ctx, raw)
	if err != nil {
		t.Errorf("the signature of a logout token: %v", err)
		return
	}
	var token logoutToken
	if err := json.Unmarshal(payload, &token); err != nil {
		t.Errorf("a logout token: %v", err)
		return
	}
	if parsed, err := jose.ParseSigned(raw); err != nil || parsed.Signatures[0].Header.ExtraHeaders["typ"] != "logout+jwt" {
		t.Errorf("the header of a logout token: %v", err)
	}
	if string(token.Events["http://schemas.openid.net/event/backchannel-logout"]) != "{}" || token.Nonce != nil || token.ID == "" ||
		token.ExpiresAt-token.IssuedAt != 120 || token.Issuer != p.w.issuer {
		t.Errorf("a logout token says %s", payload)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, token)
}

// answer changes how it answers.
func (p *party) answer(status int, hang chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.hang = status, hang
}

// tokens takes what it was told since the last call, by audience.
func (p *party) tokens() []logoutToken {
	p.mu.Lock()
	defer p.mu.Unlock()
	told := p.told
	p.told = nil
	slices.SortFunc(told, func(a, b logoutToken) int { return strings.Compare(a.Audience, b.Audience) })
	return told
}

func (p *party) host() string { return strings.TrimPrefix(p.URL, "https://") }

// configure lets clients of a world be told at this party.
func (p *party) configure(c *server.Config) {
	for i := range c.Clients {
		if slices.Contains([]string{"web", "other", "own"}, c.Clients[i].ID) {
			c.Clients[i].BackchannelLogoutURI = p.URL + "/logout?at=" + c.Clients[i].ID
		}
	}
	c.Roots = x509.NewCertPool()
	c.Roots.AddCert(p.Certificate())
	c.Insecure.FetchHosts = []string{p.host()}
}

// tokensOf signs a person in to a client and returns its tokens.
func tokensOf(t *testing.T, w *world, who *person, client, name string) *reply {
	t.Helper()
	code, verifier, err := w.code(who, client, name, url.Values{"scope": {"openid offline_access"}})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := w.exchange(client, code, verifier, nil)
	if err != nil || tokens.status != http.StatusOK {
		t.Fatalf("%v %s", err, tokens)
	}
	return tokens
}

func sidOf(t *testing.T, tokens *reply) string {
	t.Helper()
	var claims struct {
		SessionID string `json:"sid"`
	}
	parsed, err := jose.ParseSigned(tokens.text("id_token"))
	if err != nil || json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims) != nil || claims.SessionID == "" {
		t.Fatalf("no sid in %s: %v", tokens, err)
	}
	return claims.SessionID
}

func deliver(t *testing.T, w *world) {
	t.Helper()
	if err := w.server.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestBackchannelLogout tells the clients of one session, and nobody else, however the
// session ends. OpenID Connect Back-Channel Logout §2.4, §2.5, §2.6, §2.7
func TestBackchannelLogout(t *testing.T) {
	for _, backend := range []string{"memory", "bolt", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			p := newParty(t)
			p.w = start(t, plan{backend: backend, configure: p.configure})
			backchannel(t, p)
		})
	}
}

func backchannel(t *testing.T, p *party) {
	t.Helper()
	w := p.w
	alice, again, bob := w.person(), w.person(), w.person()
	first := tokensOf(t, w, alice, "web", "alice")
	tokensOf(t, w, alice, "web", "alice") // a second time, and told once all the same
	tokensOf(t, w, alice, "other", "alice")
	second := tokensOf(t, w, again, "web", "alice")
	third := tokensOf(t, w, bob, "web", "bob")

	out, err := alice.open(w.endpoint("logout") + "?id_token_hint=" + first.text("id_token"))
	if err != nil || out.status != http.StatusOK {
		t.Fatalf("%v %s", err, out)
	}
	if told := p.tokens(); len(told) != 0 {
		t.Errorf("told in the request itself: %v", told)
	}
	deliver(t, w)
	told := p.tokens()
	if len(told) != 2 || told[0].Audience != "other" || told[1].Audience != "web" {
		t.Fatalf("told %v", told)
	}
	for _, one := range told {
		if one.Subject != "alice" || one.SessionID != sidOf(t, first) {
			t.Errorf("told %v; the sid is %s", one, sidOf(t, first))
		}
	}
	if !w.seen("logout_told") {
		t.Error("no event")
	}

	if err := w.server.RevokeSession(t.Context(), sidOf(t, second)); err != nil {
		t.Fatal(err)
	}
	if err := w.server.RevokeSubject(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	deliver(t, w)
	told = p.tokens()
	slices.SortFunc(told, func(a, b logoutToken) int { return strings.Compare(a.Subject, b.Subject) })
	if len(told) != 2 || told[0].Subject != "alice" || told[0].SessionID != sidOf(t, second) || told[1].Subject != "bob" || told[1].SessionID != sidOf(t, third) {
		t.Errorf("told %v", told)
	}
	deliver(t, w)
	if told := p.tokens(); len(told) != 0 {
		t.Errorf("told twice: %v", told)
	}
	refusesLogoutToken(t, w, p, w.person())
}

// refusesLogoutToken shows a logout token where an ID token or an access token belongs.
func refusesLogoutToken(t *testing.T, w *world, p *party, who *person) {
	t.Helper()
	p.mu.Lock()
	at := slices.IndexFunc(p.raw, func(raw string) bool { // the tokens of another client are refused anyway
		parsed, err := jose.ParseSigned(raw)
		return err == nil && strings.Contains(string(parsed.UnsafePayloadWithoutVerification()), `"aud":"web"`)
	})
	if at < 0 {
		t.Fatal("no logout token is for web")
	}
	raw := p.raw[at]
	p.mu.Unlock()
	out, err := who.open(w.endpoint("logout") + "?" + url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {"https://web.test/bye"}}.Encode())
	if err != nil || out.status != http.StatusBadRequest {
		t.Errorf("as a hint at sign-out: %v %s", err, out)
	}
	address, _ := w.authorizeURL("web", url.Values{"id_token_hint": {raw}, "prompt": {"none"}})
	answer, err := who.open(address)
	if err != nil || answer.location() == nil || answer.location().Query().Get("error") != "invalid_request" {
		t.Errorf("as a hint at sign-in: %v %s", err, answer)
	}
	if _, err := w.server.Verify(t.Context(), raw); err == nil {
		t.Error("it passes for an access token")
	}
}

// TestBackchannelRestart kills a provider whose client can't be reached; the next one
// over the same file tells it, by another token. OpenID Connect Back-Channel Logout §2.8
func TestBackchannelRestart(t *testing.T) {
	p, dir := newParty(t), t.TempDir()
	w, err := newWorld(plan{backend: "bolt", dir: dir, configure: p.configure})
	if err != nil {
		t.Fatal(err)
	}
	p.w = w
	alice := w.person()
	tokens := tokensOf(t, w, alice, "web", "alice")
	p.answer(http.StatusBadRequest, nil)
	if _, err := alice.open(w.endpoint("logout") + "?id_token_hint=" + tokens.text("id_token")); err != nil {
		t.Fatal(err)
	}
	deliver(t, w)
	if log := string(w.journal.all()); strings.Contains(log, "what-the-client-says") || !strings.Contains(log, "the client refused the logout token") {
		t.Error("the log has what the client said, or not why it failed")
	}
	p.mu.Lock()
	if strings.Contains(string(w.journal.all()), p.raw[0]) {
		t.Error("the log has a logout token")
	}
	p.mu.Unlock()
	if err := w.backend.Close(); err != nil {
		t.Fatal(err)
	}
	p.answer(http.StatusOK, nil)
	next := start(t, plan{backend: "bolt", dir: dir, configure: p.configure})
	p.w = next
	deliver(t, next)
	if told := p.tokens(); len(told) != 0 {
		t.Errorf("tried again before it was due: %v", told)
	}
	next.advance(10 * time.Second)
	deliver(t, next)
	if told := p.tokens(); len(told) != 1 || told[0].SessionID != sidOf(t, tokens) {
		t.Errorf("told %v", told)
	}
	if p.raw[0] == p.raw[1] {
		t.Error("the same token was sent twice")
	}
}

// TestBackchannelSlow has a client that does not answer: nobody who signs out waits for
// it, and the others are told by Run meanwhile.
func TestBackchannelSlow(t *testing.T) {
	slow, quick := newParty(t), newParty(t)
	free := make(chan struct{})
	slow.answer(http.StatusOK, free)
	w := start(t, plan{configure: func(c *server.Config) {
		slow.configure(c)
		c.Roots.AddCert(quick.Certificate())
		c.Insecure.FetchHosts = append(c.Insecure.FetchHosts, quick.host())
		for i := range c.Clients {
			if c.Clients[i].ID == "other" {
				c.Clients[i].BackchannelLogoutURI = quick.URL + "/logout"
			}
		}
	}})
	slow.w, quick.w = w, w
	ctx, end := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = w.server.Run(ctx) })
	const people = 6
	least := time.Hour
	for range people {
		alice := w.person()
		tokens := tokensOf(t, w, alice, "web", "alice")
		tokensOf(t, w, alice, "other", "alice")
		began := time.Now()
		if _, err := alice.open(w.endpoint("logout") + "?id_token_hint=" + tokens.text("id_token")); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(began))
	}
	if least > 4*time.Second { // a client that does not answer is given up after 5
		t.Errorf("signing out took %v at least", least)
	}
	told := 0
	for until := time.Now().Add(ample); told < people && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		told += len(quick.tokens())
	}
	if told != people {
		t.Errorf("%d of %d were told of", told, people)
	}
	end()
	close(free)
	run.Wait()
}

// TestBackchannelInside registers a client at an address that is not on the open
// Internet and not allowed: nothing arrives there.
func TestBackchannelInside(t *testing.T) {
	p := newParty(t)
	w := start(t, plan{configure: func(c *server.Config) {
		p.configure(c)
		c.Insecure.FetchHosts = nil
	}})
	p.w = w
	alice := w.person()
	tokensOf(t, w, alice, "web", "alice")
	if err := w.server.RevokeSubject(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	deliver(t, w)
	for range 40 { // until it is given up
		w.advance(7 * time.Hour)
		deliver(t, w)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.raw) != 0 {
		t.Errorf("%d tokens arrived", len(p.raw))
	}
	if !w.seen("logout_given_up") {
		t.Error("no event that it was given up")
	}
}
