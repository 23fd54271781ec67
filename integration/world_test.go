package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/pgtest"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/postgres"
)

// plan is what a world is made by.
type plan struct {
	backend   string // memory, bolt or postgres
	dir       string // of the bolt file
	dsn       string // of the PostgreSQL database
	schema    string // in it; empty: that of the backend itself
	issuer    string
	configure func(*server.Config)
	between   func(durable) durable // stands before the backend
	ahead     time.Duration         // what its clock is ahead of this machine's
	at        time.Time             // where its clock stands, but for what it is advanced; zero: it goes
}

const (
	defaultIssuer = "https://id.test"

	// wrapping is the configured secret of stores that keep none.
	wrapping = "fK2p9QxLw7Vn4Rz1Tb6Yc8Hd3Jm5Gs0A"

	// connections of one PostgreSQL backend. Many worlds share a server.
	connections = 8
)

// databases is the PostgreSQL server of all tests that need one.
var databases pgtest.Server

// world is a provider in this process, with a clock that can be moved, a store that
// can be made to fail, and everything it logs and emits kept.
type world struct {
	*site
	server  *server.Server
	handler http.Handler
	backend storage.Backend
	gate    *gate

	at       time.Time // zero: the clock goes
	offset   atomic.Int64
	patience atomic.Int64 // nanoseconds that a request may take; 0: as long as it does
	journal  journal

	mu       sync.Mutex
	events   []handlers.Event
	disabled map[string]bool
}

// site is a provider as its clients know it.
type site struct {
	issuer    string
	clients   map[string]*storage.Client // with their secrets
	entering  sync.RWMutex               // held where clients enter while others work
	transport http.RoundTripper          // reaches it
}

// people may sign in; the values are their passwords.
var people = map[string]string{"alice": "wonderland-7781", "bob": "yes-we-can-4420"}

// cast are the clients of every world. Secrets stand here because the tests are the
// clients.
func cast() []storage.Client {
	const all = "openid profile email offline_access notes:read notes:write"
	confidential := func(id string) storage.Client {
		return storage.Client{
			ID: id, Name: "The " + id + " app", Secret: storage.Secret("secret-of-" + id + "-0123456789abcdef"),
			RedirectURIs:           []string{"https://" + id + ".test/cb"},
			PostLogoutRedirectURIs: []string{"https://" + id + ".test/bye"}, Scope: all, DefaultScope: "openid",
		}
	}
	web, other, own, legacy, pinned := confidential("web"), confidential("other"), confidential("own"), confidential("legacy"), confidential("pinned")
	strict, until, fixed := confidential("strict"), confidential("until"), confidential("fixed")
	own.FirstParty, legacy.Insecure.SkipPKCE = true, true
	pinned.TokenEndpointAuthMethod = "client_secret_basic"
	strict.RefreshPolicy, until.RefreshPolicy, fixed.RefreshPolicy = storage.RefreshStrict, storage.RefreshUntilUsed, storage.RefreshNone
	pair, mate, apart := confidential("pair"), confidential("mate"), confidential("apart") // the first two in one sector
	mate.SectorIdentifierURI, apart.AccessTokenFormat = "https://pair.test/sector.json", storage.AccessTokenJWT
	for _, c := range []*storage.Client{&pair, &mate, &apart} {
		c.SubjectType = storage.SubjectPairwise
	}
	for _, c := range []*storage.Client{&strict, &until, &fixed, &pair, &mate, &apart} {
		c.FirstParty = true
	}
	public := func(id string, uris ...string) storage.Client {
		return storage.Client{ID: id, Name: "The " + id + " app", TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: uris, Scope: all}
	}
	machine := storage.Client{ID: "machine", Secret: "secret-of-machine-0123456789abcdef", Scope: "notes:read notes:write", DefaultScope: "notes:read"}
	api := storage.Client{ID: "https://api.test", Secret: "secret-of-api-0123456789abcdef", Scope: "notes:read"}
	return []storage.Client{
		web, other, own, legacy, pinned, strict, until, fixed, pair, mate, apart, machine, api,
		public("spa", "https://spa.test/cb"),
		public("cli", "http://127.0.0.1/cb", "http://localhost/cb"),
		public("app", "test.app:/cb"), public("desk", "http://127.0.0.1/cb"),
	}
}

// newWorld makes a world. The caller closes it.
func newWorld(p plan) (*world, error) {
	w := &world{site: &site{issuer: p.issuer, clients: map[string]*storage.Client{}}, disabled: map[string]bool{}, at: p.at}
	w.transport = w
	w.advance(p.ahead)
	if w.issuer == "" {
		w.issuer = defaultIssuer
	}
	log := slog.New(slog.NewJSONHandler(&w.journal, &slog.HandlerOptions{Level: slog.LevelDebug}))
	switch p.backend {
	case "", "memory":
		w.backend = memory.New()
	case "bolt":
		b, err := bolt.OpenWith(filepath.Join(p.dir, "doorward.db"), bolt.Options{Logger: log, InsecureAllowNetworkMount: true})
		if err != nil {
			return nil, err
		}
		w.backend = b
	case "postgres":
		b, err := postgres.OpenWith(context.Background(), p.dsn, postgres.Options{Logger: log, Schema: p.schema, MaxConns: connections})
		if err != nil {
			return nil, err
		}
		w.backend = b
	default:
		return nil, fmt.Errorf("there is no backend %q", p.backend)
	}
	w.gate = &gate{durable: w.backend.(durable)}
	if p.between != nil {
		w.gate.durable = p.between(w.gate.durable)
	}
	config := server.Config{
		Issuer: w.issuer, Store: w.gate.whole(), Login: handlers.PasswordLogin{Verify: verifyPassword}, Claims: w.claims, OnEvent: w.observe,
		Clients: cast(), DefaultAudience: "https://api.test",
		Scopes: []server.Scope{
			{Name: "profile", Description: "See your name"}, {Name: "email", Description: "See your e-mail address"},
			{Name: "notes:read", Description: "Read your notes"}, {Name: "notes:write", Description: "Write notes"},
		},
		Keys: server.Keys{Algorithms: []string{"ES256"}}, Logger: log, Clock: w.now,
		Limits: server.Limits{Begun: -1, Grants: -1}, // everybody has one address here, and few people sign in often
	}
	config.Registration = server.Registration{Endpoint: server.RegistrationOpen, PerAddress: 10_000, InAll: 10_000}
	if p.backend == "postgres" { // it keeps no secret beside itself
		config.Secrets = [][]byte{[]byte(wrapping)}
	}
	if p.configure != nil {
		p.configure(&config)
	}
	for i := range config.Clients {
		w.clients[config.Clients[i].ID] = config.Clients[i].Clone()
	}
	s, err := server.New(context.Background(), config)
	if err != nil {
		return nil, errors.Join(err, w.backend.Close())
	}
	w.server, w.handler = s, s.Handler()
	return w, nil
}

// start makes a world that ends with its test.
func start(t testing.TB, p plan) *world {
	t.Helper()
	if p.dir == "" && p.backend == "bolt" {
		p.dir = t.TempDir()
	}
	if p.dsn == "" && p.backend == "postgres" {
		p.dsn = databases.Database(t)
	}
	w, err := newWorld(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.backend.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
		if n := w.server.Store().Exhausted(); n != 0 {
			t.Errorf("%d requests gave up after their reruns; a healthy server has none", n)
		}
	})
	return w
}

func (w *world) now() time.Time {
	at := w.at
	if at.IsZero() {
		at = time.Now()
	}
	return at.Add(time.Duration(w.offset.Load()))
}

func (w *world) advance(d time.Duration) { w.offset.Add(int64(d)) }

func verifyPassword(_ context.Context, username, password string) (handlers.Subject, error) {
	if right, known := people[username]; !known || right != password {
		return handlers.Subject{}, handlers.ErrWrongPassword
	}
	return handlers.Subject{ID: username, Name: username + "@people.test", AMR: []string{"pwd"}, ACR: "basic"}, nil
}

// claims is the Claims hook.
func (w *world) claims(_ context.Context, c *handlers.ClaimsRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.disabled[c.Subject] {
		return handlers.Refuse("the account is disabled")
	}
	maps.Copy(c.User, map[string]any{
		"name": strings.ToUpper(c.Subject[:1]) + c.Subject[1:], "email": c.Subject + "@people.test", "email_verified": true, "team": "blue",
		"birthdate": "1852-05-04", "phone_number": "+441632960961",
	})
	return nil
}

// newcomers is a Login that takes in new people: whoever asks to is called carol.
type newcomers struct{ handlers.PasswordLogin }

func (newcomers) ServeSignUp(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
	if !in.Interactive() {
		return
	}
	if r.Method == http.MethodPost {
		in.Accept(w, r, handlers.Subject{ID: r.PostFormValue("newcomer")})
		return
	}
	_, _ = fmt.Fprintf(w, `<h1>Create your account</h1><form method="post" action="%s"><input name="newcomer" value="carol"></form>`, in.Action)
}

func (w *world) observe(_ context.Context, e handlers.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// seen says whether an event of a type was delivered since the last call with it.
func (w *world) seen(eventType string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := func(e handlers.Event) bool { return string(e.Type) == eventType }
	found := slices.ContainsFunc(w.events, is)
	w.events = slices.DeleteFunc(w.events, is)
	return found
}

// RoundTrip carries a request to the provider without a network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	u, err := url.Parse(w.issuer)
	if err != nil {
		return nil, err
	}
	if r.URL.Host != u.Host {
		return nil, fmt.Errorf("%s is not the provider", r.URL.Host)
	}
	ctx := r.Context()
	if patience := time.Duration(w.patience.Load()); patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	in := r.Clone(ctx)
	in.RequestURI, in.Host, in.RemoteAddr = r.URL.RequestURI(), r.URL.Host, "192.0.2.1:4711"
	in.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, in)
	answer := out.Result()
	answer.Request = r
	return answer, nil
}

// durable is what every backend of ours can do.
type durable interface {
	storage.Backend
	storage.ClockWitness
}

// gate makes a store fail on demand, and counts.
type gate struct {
	durable
	reads  atomic.Bool // fail
	writes atomic.Bool // fail
	count  atomic.Int64
	asked  atomic.Int64 // Gets
}

// whole is the gate with what its backend can do beyond that.
func (g *gate) whole() storage.Backend {
	if keeper, ok := g.durable.(storage.SecretKeeper); ok {
		return struct {
			*gate
			storage.SecretKeeper
		}{g, keeper}
	}
	return g
}

// Unwrap shows what else the backend can do: list what it holds, say.
func (g *gate) Unwrap() storage.Backend { return g.durable }

var errTold = fmt.Errorf("%w: the test made the store fail", storage.ErrUnavailable)

func (g *gate) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	if g.reads.Load() {
		return nil, errTold
	}
	g.asked.Add(1)
	return g.durable.Get(ctx, keys...)
}

func (g *gate) Apply(ctx context.Context, b storage.Batch) error {
	if g.writes.Load() {
		return errTold
	}
	err := g.durable.Apply(ctx, b)
	if err == nil {
		g.count.Add(1)
	}
	return err
}

// journal keeps what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	mark int
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// all returns everything.
func (j *journal) all() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.text.Bytes())
}

// turn begins a new request.
func (j *journal) turn() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mark = j.text.Len()
}

// since returns what was logged since the last turn.
func (j *journal) since() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text.Bytes()[j.mark:])
}

// reasons returns the reasons of what was refused since the last turn.
func (j *journal) reasons() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []string
	for line := range bytes.Lines(j.text.Bytes()[j.mark:]) {
		var entry struct{ Reason string }
		if json.Unmarshal(line, &entry) == nil && entry.Reason != "" {
			found = append(found, entry.Reason)
		}
	}
	return found
}
