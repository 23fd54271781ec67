package attack

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// stage is a server that is attacked over real connections, with all that it logged and
// all that must stay secret.
type stage struct {
	*shared
	t testing.TB
}

// shared is one issuer of a run.
type shared struct {
	*run
	issuer   string
	server   *server.Server
	signedIn map[string]*browser
}

// run is what all issuers of one process have in common.
type run struct {
	listener *httptest.Server
	outside  *outside
	robot    ed25519.PrivateKey // of the client that signs
	offset   atomic.Int64
	log      journal
	store    storage.Backend
	first    atomic.Pointer[http.Handler]
	second   atomic.Pointer[http.Handler] // of the issuer below /two
	beside   *shared                      // that issuer

	mu       sync.Mutex
	verdicts map[string]string
	secrets  map[string]bool
}

// people may sign in; the values are their passwords.
var people = map[string]string{
	"alice": "wonderland-7781-looking-glass", "bob": "yes-we-can-4420-hard-hat", "victim": "nobody-knows-this-9121-at-all",
	"carol": "silent-night-3310-chimes", "dora": "explores-6604-the-map",
}

const (
	secretOfWeb   = "secret-of-web-0123456789abcdef"
	secretOfOther = "secret-of-other-0123456789abcdef"
	secretOfAPI   = "secret-of-api-0123456789abcdef"
	api           = "https://api.test"
)

// cast are the clients. All are first-party but "asks", which people are asked about.
func (s *run) cast() []storage.Client {
	const all = "openid profile email offline_access notes:read notes:write"
	confidential := func(id, secret string) storage.Client {
		return storage.Client{
			ID: id, Name: "The " + id + " app", Secret: storage.Secret(secret), FirstParty: true, Scope: all, DefaultScope: "openid",
			GrantTypes:   []string{"authorization_code", "refresh_token", "client_credentials", storage.GrantDeviceCode},
			RedirectURIs: []string{"https://" + id + ".test/cb"}, PostLogoutRedirectURIs: []string{"https://" + id + ".test/bye"},
		}
	}
	web, other, asks := confidential("web", secretOfWeb), confidential("other", secretOfOther), confidential("asks", "secret-of-asks-0123456789abcdef")
	asks.FirstParty = false
	strict, jwt := confidential("strict", "secret-of-strict-0123456789abcdef"), confidential("jwt", "secret-of-jwt-0123456789abcdef")
	strict.RefreshPolicy, jwt.AccessTokenFormat = storage.RefreshStrict, storage.AccessTokenJWT
	public := func(id string, uris ...string) storage.Client {
		return storage.Client{
			ID: id, Name: "The " + id + " app", TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: uris, Scope: all, FirstParty: true,
			GrantTypes: []string{"authorization_code", "refresh_token", storage.GrantDeviceCode},
		}
	}
	robot := confidential("robot", "")
	robot.TokenEndpointAuthMethod, robot.JWKS = storage.AuthMethodPrivateKey, jwks(s.robot)
	return []storage.Client{
		web, other, asks, strict, jwt, robot, public("spa", "https://spa.test/cb"), public("cli", "http://127.0.0.1/cb"),
		public("app", "test.app:/cb"), public("query", "https://query.test/cb?tenant=1", "https://query.test/a/b/cb"),
		{ID: "holder", TokenEndpointAuthMethod: storage.AuthMethodSelfSigned, JWKSURI: "https://holder.test/jwks", Scope: "notes:read", GrantTypes: []string{"client_credentials"}},
		{ID: "proving", Secret: "secret-of-proving-0123456789abcdef", Scope: "notes:read", DefaultScope: "notes:read", GrantTypes: []string{"client_credentials"}, DPoPBoundAccessTokens: true, RequireDPoPNonce: true},
		{ID: api, Secret: secretOfAPI, Scope: "notes:read", GrantTypes: []string{"client_credentials"}},
	}
}

// newStage starts a server.
func newStage(t testing.TB, secure bool, configure ...func(*server.Config)) *stage {
	t.Helper()
	_, robot, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{verdicts: map[string]string{}, secrets: map[string]bool{}, robot: robot, store: memory.New(), outside: newOutside(t)}
	t.Cleanup(func() { _ = r.store.Close() })
	for _, password := range people {
		r.secrets[password] = true
	}
	r.listener = httptest.NewUnstartedServer(r)
	r.listener.Config.ErrorLog = slog.NewLogLogger(r.logger().Handler(), slog.LevelError)
	if secure {
		r.listener.StartTLS()
	} else {
		r.listener.Start()
	}
	t.Cleanup(r.listener.Close)
	s := &stage{shared: r.issue(t, "", &r.first, configure...), t: t}
	r.beside = r.issue(t, neighbourPath, &r.second, configure...)
	return s
}

// ServeHTTP gives a request to the issuer whose path it has.
func (r *run) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	to := r.first.Load()
	if strings.HasPrefix(req.URL.Path, neighbourPath+"/") || strings.HasSuffix(req.URL.Path, neighbourPath) {
		to = r.second.Load()
	}
	(*to).ServeHTTP(w, req)
}

func (r *run) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// issue starts an issuer with this path.
func (r *run) issue(t testing.TB, path string, at *atomic.Pointer[http.Handler], configure ...func(*server.Config)) *shared {
	t.Helper()
	s := &shared{run: r, issuer: r.listener.URL + path, signedIn: map[string]*browser{}}
	config := server.Config{
		Issuer: s.issuer, Store: r.store, Login: handlers.PasswordLogin{Verify: verify}, Clients: s.cast(), DefaultAudience: api, DeviceGrant: true,
		Scopes: []server.Scope{{Name: "profile"}, {Name: "email"}, {Name: "notes:read", Description: "Read your notes"}, {Name: "notes:write"}},
		Keys:   server.Keys{Algorithms: []string{"RS256", "ES256"}}, Logger: r.logger(), Clock: r.now,
		Limits: server.Limits{Begun: -1, Grants: -1}, Registration: server.Registration{Endpoint: server.RegistrationOpen, Documents: true, PerAddress: 1 << 20, InAll: 1 << 20},
		MutualTLS: server.MutualTLS{Accept: true, Header: "Client-Cert"}, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	config.Roots, config.Insecure.FetchHosts = x509.NewCertPool(), []string{r.outside.host()}
	config.Roots.AddCert(r.outside.Certificate())
	for i := range config.Clients {
		if secret := config.Clients[i].Secret; secret != "" {
			r.keep(string(secret))
		}
	}
	for _, change := range configure {
		change(&config)
	}
	var err error
	if s.server, err = server.New(context.Background(), config); err != nil {
		t.Fatal(err)
	}
	handler := s.server.Handler()
	at.Store(&handler)
	return s
}

// within is the stage in a test of its own.
func (s *stage) within(t testing.TB) *stage { return &stage{shared: s.shared, t: t} }

func (s *run) now() time.Time { return time.Now().Add(time.Duration(s.offset.Load())) }

func verify(_ context.Context, username, password string) (handlers.Subject, error) {
	if right, known := people[username]; !known || right != password {
		return handlers.Subject{}, handlers.ErrWrongPassword
	}
	return handlers.Subject{ID: username, Name: username + "@people.test", AMR: []string{"pwd"}}, nil
}

// keep remembers what must not be told to anybody but by the answer that gives it out.
func (s *run) keep(secrets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) >= 16 {
			s.secrets[secret] = true
		}
	}
}

var changing = regexp.MustCompile(`(interaction|register)/[^/?" ]+|req_[A-Za-z0-9_-]+`)

// note keeps what came of an attack, without what differs between two runs.
func (s *stage) note(what string, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := a.verdict(s.issuer)
	if before, known := s.verdicts[what]; known && before != told {
		s.t.Errorf("two attacks have the name %q", what)
	}
	s.verdicts[what] = changing.ReplaceAllString(told, "$1/...")
}

// after looks at the log of the whole run: no panic, no secret, nothing that the server
// could not answer.
func (s *stage) after() {
	log := s.log.all()
	s.mu.Lock()
	secrets := make([]string, 0, len(s.secrets))
	for secret := range s.secrets {
		secrets = append(secrets, secret)
	}
	s.mu.Unlock()
	slices.Sort(secrets)
	if len(log) == 0 || len(secrets) < 20 {
		s.t.Errorf("%d bytes of log and %d secrets: the run was not kept", len(log), len(secrets))
	}
	for _, secret := range secrets {
		if i := bytes.Index(log, []byte(secret)); i >= 0 {
			s.t.Errorf("the log holds a secret: %s", around(log, i))
		}
	}
	for line := range bytes.Lines(log) {
		for _, word := range []string{"panic", "goroutine ", `"level":"ERROR"`, "superfluous"} {
			if bytes.Contains(line, []byte(word)) && !bytes.Contains(line, []byte("TLS handshake")) {
				s.t.Errorf("the log says: %.500s", line)
			}
		}
	}
}

func around(text []byte, at int) string {
	return strings.TrimSpace(string(text[max(0, at-200):min(len(text), at+120)]))
}

// journal keeps what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) all() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.text.Bytes())
}
