package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/keyring"
	"github.com/doorward/doorward/internal/secrethash"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

const (
	issuer   = "https://issuer.example"
	api      = "https://api.example"
	other    = "https://other.example"
	callback = "https://app.example/cb"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// world is an engine over a store in memory whose clock moves by hand and whose
// calls can be counted and made to fail.
type world struct {
	*engine.Engine
	t       testing.TB
	store   *storage.Store
	backend *faulty
	secrets *engine.ClientSecrets
	keys    *keyring.Ring
	config  engine.Config
	clients *storage.Collection[storage.Client]
	grants  *storage.Collection[storage.Grant]
	shift   atomic.Int64

	mu     sync.Mutex
	events []engine.Event
}

var start = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func (w *world) now() time.Time          { return start.Add(time.Duration(w.shift.Load())) }
func (w *world) advance(d time.Duration) { w.shift.Add(int64(d)) }

// faulty is a memory backend whose calls are counted and can be replaced.
type faulty struct {
	*memory.Backend
	gets, applies atomic.Int64
	failGet       atomic.Bool
	failApply     atomic.Bool
	beforeApply   func() // runs once, before the next Apply
}

var errDown = errors.New("the disk is on fire")

func (f *faulty) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	f.gets.Add(1)
	if f.failGet.Load() {
		return nil, errDown
	}
	return f.Backend.Get(ctx, keys...)
}

func (f *faulty) Apply(ctx context.Context, b storage.Batch) error {
	f.applies.Add(1)
	if hook := f.beforeApply; hook != nil {
		f.beforeApply = nil
		hook()
	}
	if f.failApply.Load() {
		return errDown
	}
	return f.Backend.Apply(ctx, b)
}

// newWorld makes an engine; change may alter its configuration before.
func newWorld(t testing.TB, change func(*engine.Config)) *world {
	t.Helper()
	w := &world{t: t, backend: &faulty{Backend: memory.New()}}
	var err error
	w.store, err = storage.Open(t.Context(), w.backend, storage.Options{Namespace: issuer, Clock: w.now})
	must(t, err)
	w.keys = w.ring("ES256", "EdDSA")
	w.secrets = engine.NewClientSecrets(w.store, secrethash.NewChecker(1))
	w.clients, w.grants = storage.Clients(w.store), storage.Grants(w.store)
	w.config = engine.Config{
		Issuer: issuer, TokenURL: issuer + "/oauth/token", Store: w.store, Keys: w.keys,
		Client: w.clients.Get, Secrets: w.secrets, DefaultAudience: issuer,
		Scopes: []string{"openid", "offline_access", "profile", "email", "notes:read", "notes:write"},
		Lifetimes: engine.Lifetimes{
			Code: time.Minute, AccessToken: time.Hour, IDToken: time.Hour, RefreshIdle: 30 * 24 * time.Hour, RefreshAbsolute: 90 * 24 * time.Hour,
		},
		Refresh: engine.RefreshRules{Policy: storage.RefreshWindow, Window: 30 * time.Second, Repeats: 10},
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
		Emit: func(_ context.Context, e engine.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	if change != nil {
		change(&w.config)
	}
	w.Engine, err = engine.New(w.config)
	must(t, err)
	w.backend.gets.Store(0)
	w.backend.applies.Store(0)
	return w
}

// ring opens the signing keys of the store.
func (w *world) ring(algorithms ...string) *keyring.Ring {
	w.t.Helper()
	keys, err := keyring.Open(w.t.Context(), w.store, keyring.Options{
		Algorithms: algorithms, Rotation: 90 * 24 * time.Hour, CacheTime: time.Hour, TokenLife: time.Hour,
	})
	must(w.t, err)
	return keys
}

// publicClient and webClient are the clients of most tests.
func publicClient() storage.Client {
	return storage.Client{
		ID: "spa", TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: []string{callback}, Incarnation: "one",
		Scope: "openid offline_access profile email notes:read notes:write", DefaultScope: "notes:read", IDTokenSignedResponseAlg: "ES256",
	}
}

func (w *world) add(c storage.Client) *storage.Client {
	w.t.Helper()
	if c.IDTokenSignedResponseAlg == "" {
		c.IDTokenSignedResponseAlg = "ES256"
	}
	must(w.t, w.clients.Put(w.t.Context(), &c))
	return &c
}

// addConfidential adds a client with a generated secret and returns its credentials.
func (w *world) addConfidential(c storage.Client) engine.Credentials {
	w.t.Helper()
	plain, hash := w.secrets.Generate(w.now())
	c.Secrets = append(c.Secrets, hash)
	if c.Scope == "" {
		c.Scope = "notes:read notes:write"
	}
	w.add(c)
	return engine.Credentials{ClientID: c.ID, Secret: plain, Method: "client_secret_basic"}
}

var spa = engine.Credentials{ClientID: "spa", Method: "none"}

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is a good authorize request of the public client; pairs change it, an
// empty value takes a parameter away.
func request(pairs ...string) url.Values {
	return with(url.Values{
		"client_id": {"spa"}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"xyz"},
		"scope": {"openid profile notes:read"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}, "nonce": {"n"},
	}, pairs...)
}

func with(form url.Values, pairs ...string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			form.Del(pairs[i])
		} else {
			form.Set(pairs[i], pairs[i+1])
		}
	}
	return form
}

// approve lets alice approve a request and returns the code.
func (w *world) approve(form url.Values) string {
	w.t.Helper()
	answer := w.approveAs(form, engine.Approval{})
	return answer.Params.Get("code")
}

func (w *world) approveAs(form url.Values, ok engine.Approval) *engine.Answer {
	w.t.Helper()
	a, refusal := w.CheckAuthorize(w.t.Context(), form)
	w.fine(refusal)
	if ok.Subject == "" {
		ok.Subject = "alice"
	}
	if ok.SessionID == "" {
		ok.SessionID = "session-1"
	}
	if ok.AuthTime.IsZero() {
		ok.AuthTime = w.now().Add(-time.Minute)
	}
	if ok.Scopes == nil {
		ok.Scopes = a.Scopes
	}
	answer, refusal := w.Approve(w.t.Context(), a, ok)
	w.fine(refusal)
	return answer
}

func redemption(code string, pairs ...string) url.Values {
	return with(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}, pairs...)
}

func (w *world) redeem(by engine.Credentials, code string, pairs ...string) (*engine.TokenResponse, *engine.Error) {
	return w.Token(w.t.Context(), engine.TokenRequest{Credentials: by, Form: redemption(code, pairs...)})
}

func (w *world) refresh(by engine.Credentials, token string, pairs ...string) (*engine.TokenResponse, *engine.Error) {
	form := with(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, pairs...)
	return w.Token(w.t.Context(), engine.TokenRequest{Credentials: by, Form: form})
}

// signIn brings alice through the public client to her first tokens.
func (w *world) signIn(pairs ...string) *engine.TokenResponse {
	w.t.Helper()
	tokens, refusal := w.redeem(spa, w.approve(request(pairs...)))
	w.fine(refusal)
	return tokens
}

// fine fails the test when a request was refused.
func (w *world) fine(refusal *engine.Error) {
	w.t.Helper()
	if refusal != nil {
		w.t.Fatalf("refused: %v", refusal)
	}
}

// refused checks code and reason of a refusal.
func refused(t testing.TB, refusal *engine.Error, code, reason string) {
	t.Helper()
	if refusal == nil {
		t.Errorf("not refused, want %s (%s)", code, reason)
	} else if refusal.Code != code || refusal.Reason != reason {
		t.Errorf("refused with %v, want %s (%s)", refusal, code, reason)
	}
}

func (w *world) works(token string) bool {
	_, refusal := w.Access(w.t.Context(), token)
	return refusal == nil
}

func (w *world) count(event string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if e.Type == event {
			n++
		}
	}
	return n
}

// commits returns how many batches fn applied.
func (w *world) commits(fn func()) int64 {
	before := w.backend.applies.Load()
	fn()
	return w.backend.applies.Load() - before
}

// payload returns the claims of a JWT without checking it.
func payload(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	var claims map[string]any
	must(t, json.Unmarshal(raw, &claims))
	return claims
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
