package handlers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// world is a server of the endpoints alone, over HTTP on loopback, with a clock
// that the test moves.
type world struct {
	t       *testing.T
	h       *Handlers
	backend *memory.Backend
	store   *storage.Store
	url     string // issuer
	log     *strings.Builder
	mux     *http.ServeMux
	clients map[string]*storage.Client

	mu  sync.Mutex
	now time.Time
}

// options change the world before it is made.
type options struct {
	login   Login
	consent Consent
	steps   []Step
	several int
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	w := &world{t: t, backend: memory.New(), log: &strings.Builder{}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.clients = map[string]*storage.Client{
		"notes": {ID: "notes", Name: "Notes", RedirectURIs: []string{"https://notes.example/cb"}, Scope: "openid profile notes",
			TokenEndpointAuthMethod: "none", PostLogoutRedirectURIs: []string{"https://notes.example/bye"}},
		"own":   {ID: "own", Name: "Own", RedirectURIs: []string{"https://own.example/cb"}, Scope: "openid", TokenEndpointAuthMethod: "none", FirstParty: true},
		"cli":   {ID: "cli", Name: "Tool", RedirectURIs: []string{"http://127.0.0.1/cb"}, Scope: "openid", TokenEndpointAuthMethod: "none", FirstParty: true},
		"phone": {ID: "phone", Name: "Phone", RedirectURIs: []string{"com.example.phone:/cb"}, Scope: "openid", TokenEndpointAuthMethod: "none"},
	}
	mux := http.NewServeMux()
	w.mux = mux
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.open(o)
	for place, endpoint := range map[string]func(http.ResponseWriter, *http.Request){
		"/oauth/authorize": w.route((*Handlers).Authorize), "/oauth/token": w.route((*Handlers).Token), "/oauth/userinfo": w.route((*Handlers).UserInfo),
		"/oauth/jwks": w.route((*Handlers).JWKS), "/oauth/interaction/": w.route((*Handlers).Interact), "/oauth/logout": w.route((*Handlers).Logout),
		"/oauth/assets/": w.route((*Handlers).Assets), "/errors": w.route((*Handlers).Errors), "/oauth/introspect": w.route((*Handlers).Introspect),
		"/oauth/revoke": w.route((*Handlers).Revoke),
	} {
		mux.HandleFunc(place, endpoint)
	}
	return w
}

func (w *world) route(endpoint func(*Handlers, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) { endpoint(w.h, rw, r) }
}

// open makes the endpoints over the backend, as a process that starts does.
func (w *world) open(o options) {
	w.t.Helper()
	ctx := w.t.Context()
	clock := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	log := slog.New(slog.NewTextHandler(io.MultiWriter(w.t.Output(), locked{w}), nil))
	store, err := storage.Open(ctx, w.backend, storage.Options{Namespace: w.url, Clock: clock})
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := keyring.Open(ctx, store, keyring.Options{Algorithms: []string{"ES256"}, Rotation: 720 * time.Hour, CacheTime: time.Hour, TokenLife: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	client := func(_ context.Context, id string) (*storage.Client, error) {
		if c := w.clients[id]; c != nil {
			return c.Clone(), nil
		}
		return nil, storage.ErrNotFound
	}
	e, err := engine.New(engine.Config{
		Issuer: w.url, TokenURL: w.url + "/oauth/token", Store: store, Keys: keys, Client: client, Secrets: engine.NewClientSecrets(store, secrethash.NewChecker(1)),
		Scopes: []string{"openid", "profile", "notes", "offline_access"}, DefaultAudience: w.url, Logger: log,
		Lifetimes: engine.Lifetimes{Code: time.Minute, AccessToken: time.Hour, IDToken: time.Hour, RefreshIdle: 720 * time.Hour, RefreshAbsolute: 2160 * time.Hour, DeviceCode: 10 * time.Minute},
		Refresh:   engine.RefreshRules{Policy: storage.RefreshWindow, Window: 30 * time.Second, Repeats: 10},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	set, err := pages.New(pages.Config{Name: "Example"})
	if err != nil {
		w.t.Fatal(err)
	}
	if o.login == nil {
		o.login = PasswordLogin{Verify: verifyAlice}
	}
	w.store = store
	w.h, err = New(Config{
		Issuer: w.url, Base: w.url + "/oauth", Store: store, Engine: e, Keys: keys, Client: client, Login: o.login, Consent: o.consent, Steps: o.steps, Accounts: o.several,
		Scopes: []ScopeView{{Name: "notes", Description: "Read your notes"}}, Pages: set, Development: true, Logger: log,
		Lifetimes: Lifetimes{Interaction: time.Hour, Consent: 2160 * time.Hour, SessionIdle: 336 * time.Hour, SessionAbsolute: 2160 * time.Hour, SessionBrief: 8 * time.Hour},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// locked writes to the log of a world.
type locked struct{ w *world }

func (l locked) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(p)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func verifyAlice(_ context.Context, username, password string) (Subject, error) {
	switch {
	case username == "broken":
		return Subject{}, errors.New("the directory is down")
	case username == "panic":
		panic("a bug of the host")
	case slices.Contains([]string{"alice", "bob"}, username) && password == "right":
		return Subject{ID: "sub-" + username, Name: username, AMR: []string{"pwd"}}, nil
	}
	return Subject{}, ErrWrongPassword
}

// browser follows nothing by itself, so that a test sees every step.
type browser struct {
	w      *world
	client *http.Client
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is an answer with its body read.
type page struct {
	*http.Response
	body string
}

func (b *browser) send(r *http.Request) page {
	b.w.t.Helper()
	answer, err := b.client.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return page{answer, string(body)}
}

func (b *browser) get(place string) page {
	b.w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.w.absolute(place), nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return b.send(r)
}

func (b *browser) post(place string, form url.Values) page {
	b.w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.w.absolute(place), strings.NewReader(form.Encode()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

func (w *world) absolute(place string) string {
	if strings.HasPrefix(place, "/") {
		return w.url + place
	}
	return place
}

// authorize is the URL of a request of a client; change overrides parameters, an
// empty value removes one.
func (w *world) authorize(client string, change ...string) string {
	params := url.Values{
		"client_id": {client}, "response_type": {"code"}, "redirect_uri": {w.clients[client].RedirectURIs[0]}, "scope": {"openid"}, "state": {"state-of-" + client},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(change); i += 2 {
		params.Set(change[i], change[i+1])
		if change[i+1] == "" {
			params.Del(change[i])
		}
	}
	return "/oauth/authorize?" + params.Encode()
}

// to returns where a redirect leads.
func (p page) to(t *testing.T) string {
	t.Helper()
	if p.StatusCode != http.StatusSeeOther {
		t.Fatalf("the answer is %s and no redirect:\n%s", p.Status, p.body)
	}
	return p.Header.Get("Location")
}

// answer returns the parameters that a redirect to a client carries.
func (p page) answer(t *testing.T, redirectURI string) url.Values {
	t.Helper()
	to := p.to(t)
	rest, ok := strings.CutPrefix(to, redirectURI+"?")
	if !ok {
		t.Fatalf("the redirect leads to %s, not to %s", to, redirectURI)
	}
	params, err := url.ParseQuery(rest)
	if err != nil {
		t.Fatal(err)
	}
	return params
}

// shows fails unless the page has this status and these words.
func (p page) shows(t *testing.T, status int, words ...string) {
	t.Helper()
	if p.StatusCode != status {
		t.Fatalf("the status is %s, want %d:\n%s\n%s", p.Status, status, p.Header.Get("Location"), p.body)
	}
	for _, word := range words {
		if !strings.Contains(p.body, word) {
			t.Errorf("the page lacks %q:\n%s", word, p.body)
		}
	}
}

func alice() url.Values {
	return url.Values{"username": {"alice"}, "password": {"right"}}
}

func decide(what string) url.Values { return url.Values{"decision": {what}} }

// signIn gives the browser a session through the client that needs no consent.
func (b *browser) signIn(username string) {
	b.w.t.Helper()
	place := b.get(b.w.authorize("own", "prompt", "login")).to(b.w.t)
	b.post(place+"?step=login", url.Values{"username": {username}, "password": {"right"}}).answer(b.w.t, "https://own.example/cb")
}
