package settings_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(config string) settings.Flags {
	return settings.Flags{Where: settings.Where{Config: config}}
}

func TestEverythingWrongIsToldAtOnce(t *testing.T) {
	path := write(t, "idp.yaml", `issuer: https://id.example.com
lisen: localhost:8080
lifetimes: {code: 5x}
clients:
  - client_id: web
    colour: red
    response_types: [token]
    redirect_uris: https://app.example/cb
users:
  - username: alice
    password: short
  - username: bob
    email: nobody
proxies: [10.0.0.0/99]
log: {level: loud}
tls: {cert: cert.pem}
features: {demo: maybe}
lifetimes: {code: 1m}
`)
	_, err := settings.Load(flags(path))
	var found *settings.Problems
	if !errors.As(err, &found) {
		t.Fatalf("the error is %v", err)
	}
	var got []string
	for _, p := range found.List {
		if p.Want == "" || p.Line == 0 {
			t.Errorf("a problem without a line or without advice: %+v", p)
		}
		got = append(got, p.Field)
	}
	want := []string{
		"lisen", "lifetimes.code", "clients[0].colour", "clients[0].response_types", "clients[0].redirect_uris",
		"users[0].password", "users[1].password", "users[1].email", "proxies[0]", "log.level", "tls", "features.demo", "lifetimes",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s\n%v", diff, err)
	}
}

func TestUnknownKeysAreNamedWithLineAndAdvice(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"issuer: http://localhost:8080\ncolour: x\n", ":2: colour: found a key that is not known; write one of admin_socket, clients, "},
		{"lisen: localhost:1\n", ":1: lisen: found a key that is not known; write listen"},
		{"tls:\n  certificate: x\n  key: y\n", ":2: tls.certificate: found a key that is not known; write one of cert, key"},
		{"clients:\n- client_id: a\n  redirect_uri: x\n", ":3: clients[0].redirect_uri: found a key that is not known; write redirect_uris"},
		{"clients:\n- client_id: a\n  incarnation: x\n", ":3: clients[0].incarnation: found a key that is not known"},
		{"a: [", ":1: YAML: "},
	} {
		path := write(t, "idp.yaml", c.text)
		_, err := settings.Load(flags(path))
		if err == nil || !strings.Contains(err.Error(), path+c.want) {
			t.Errorf("%q: the error is\n%v\nand does not hold %q", c.text, err, c.want)
		}
	}
}

func TestClientsAreReadInTheNamesOfRFC7591(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"secret":       "from-a-file-0123456789\n",
		"clients.json": `{"clients": [{"client_id": "web", "client_name": "Web", "client_secret_file": "secret", "redirect_uris": ["https://app.example/cb"], "response_types": ["code"], "refresh_policy": "strict", "insecure": {"skip_pkce": true}}]}`,
		"outside.yaml": "clients: clients.json\n",
		"inline.yaml":  "clients:\n- client_id: web\n  client_name: Web\n  client_secret: from-a-file-0123456789\n  redirect_uris: [https://app.example/cb]\n  refresh_policy: strict\n  insecure: {skip_pkce: true}\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []storage.Client{{
		ID: "web", Name: "Web", Secret: "from-a-file-0123456789", RedirectURIs: []string{"https://app.example/cb"},
		RefreshPolicy: storage.RefreshStrict, Insecure: storage.InsecureClient{SkipPKCE: true},
		Scope: "openid profile email offline_access",
	}}
	for _, name := range []string{"outside.yaml", "inline.yaml"} {
		s, err := settings.Load(flags(filepath.Join(folder, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, s.Clients); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAClientThatSigns is read with its keys as they stand there.
func TestAClientThatSigns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "idp.yaml")
	text := "clients:\n- client_id: robot\n  token_endpoint_auth_method: private_key_jwt\n  token_endpoint_auth_signing_alg: EdDSA\n" +
		"  grant_types: [client_credentials]\n  insecure: {assertion_for_token_endpoint: true}\n" +
		"  jwks:\n    keys:\n    - {kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}\n" +
		"- client_id: far\n  token_endpoint_auth_method: private_key_jwt\n  jwks_uri: https://far.example/jwks\n" +
		"insecure:\n  fetch_hosts: [\"far.example:443\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := settings.Load(flags(file))
	if err != nil {
		t.Fatal(err)
	}
	robot, far := s.Clients[0], s.Clients[1]
	if got := string(robot.JWKS); got != `{"keys":[{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}` {
		t.Errorf("the keys are %s", got)
	}
	if robot.TokenEndpointAuthMethod != storage.AuthMethodPrivateKey || robot.TokenEndpointAuthSigningAlg != "EdDSA" || !robot.Insecure.AssertionForTokenEndpoint {
		t.Errorf("read as %+v", robot)
	}
	if far.JWKSURI != "https://far.example/jwks" || len(s.Insecure.FetchHosts) != 1 {
		t.Errorf("read as %+v, %v", far, s.Insecure)
	}
}

// TestResources are read, and what the server says of them is told in the names of
// the file.
func TestResources(t *testing.T) {
	path := write(t, "idp.yaml", "issuer: https://id.example.com\nlifetimes: {jwt_access_token: 5m}\nresources:\n"+
		"- id: https://api.example.com\n  access_token_format: jwt\n  access_token_lifetime: 90s\n- id: https://mcp.example.com/mcp\n"+
		"clients:\n- client_id: m\n  client_secret: 0123456789abcdef\n  access_token_format: jwt\n  audiences: [https://mcp.example.com/mcp/]\n")
	s, err := settings.Load(flags(path))
	if err != nil {
		t.Fatal(err)
	}
	want := []server.Resource{
		{ID: "https://api.example.com", AccessTokenFormat: storage.AccessTokenJWT, AccessTokenLifetime: 90 * time.Second},
		{ID: "https://mcp.example.com/mcp"},
	}
	if diff := cmp.Diff(want, s.Resources); diff != "" || s.Lifetimes.JWTAccessToken != 5*time.Minute || s.Clients[0].AccessTokenFormat != storage.AccessTokenJWT {
		t.Errorf("resources (-want +got):\n%s%v, %+v", diff, s.Lifetimes, s.Clients[0])
	}
	s.Resources[0].AccessTokenFormat, s.Lifetimes.JWTAccessToken = "saml", 30*24*time.Hour
	_, err = server.New(t.Context(), server.Config{Issuer: s.Issuer, Clients: s.Clients, Resources: s.Resources, Lifetimes: s.Lifetimes})
	told := s.Explain(err).Error()
	for _, want := range []string{
		":2: lifetimes.jwt_access_token: found 30 days; ", ":5: resources[0].access_token_format: found \"saml\"; ",
		":12: clients[0] \"m\": audiences[0]: found \"https://mcp.example.com/mcp/\"; write \"https://mcp.example.com/mcp\", as in resources: only the slash",
	} {
		if !strings.Contains(told, path+want) {
			t.Errorf("the problems are\n%s\nand do not hold %q", told, want)
		}
	}
}

func TestAProblemInAnotherFileNamesThatFile(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"idp.yaml": "users: users.yaml\n", "users.yaml": "- username: alice\n- username: bob\n  pasword: x\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := settings.Load(flags(filepath.Join(folder, "idp.yaml")))
	if want := "users.yaml:3: users[1].pasword: found a key that is not known; write password"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is\n%v\nand does not hold %q", err, want)
	}
}

func TestFlagsWinOverTheFileAndTheFileOverDefaults(t *testing.T) {
	path := write(t, "idp.yaml", "issuer: http://localhost:1000\nlisten: localhost:1000\nstore: {path: a.db}\nlog: {level: debug}\nproxies: [10.0.0.0/8, 192.168.1.1]\nlifetimes: {refresh_idle: 7d12h}\n")
	f := flags(path)
	f.Listen, f.LogLevel = "localhost:2000", "warn"
	s, err := settings.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	if s.Issuer != "http://localhost:1000" || s.Listen != "localhost:2000" || s.LogLevel != slog.LevelWarn {
		t.Errorf("issuer %s, listen %s, level %v", s.Issuer, s.Listen, s.LogLevel)
	}
	if want := filepath.Join(filepath.Dir(path), "a.db"); s.Store != want {
		t.Errorf("the store is %s, want it beside the file: %s", s.Store, want)
	}
	if s.Lifetimes.RefreshIdle != (7*24+12)*time.Hour {
		t.Errorf("refresh_idle is %v", s.Lifetimes.RefreshIdle)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.1/32")}
	if len(s.Proxies) != 2 || s.Proxies[0] != want[0] || s.Proxies[1] != want[1] {
		t.Errorf("proxies are %v, want %v", s.Proxies, want)
	}
	if s.Demo {
		t.Error("a configuration file alone switched the demo on")
	}
	if s, err = settings.Load(settings.Flags{}); err != nil || s.Listen != "localhost:8080" || s.Store != "doorward.db" || !s.Demo {
		t.Errorf("defaults: %+v %v", s, err)
	}
}

func TestTheDemoIsOnWhereNobodyElseSeesIt(t *testing.T) {
	yes := true
	for _, c := range []struct {
		issuer string
		flag   *bool
		want   bool
	}{
		{"", nil, true}, {"http://127.0.0.1:80", nil, true}, {"https://id.example.com", nil, false}, {"https://id.example.com", &yes, true},
	} {
		s, err := settings.Load(settings.Flags{Where: settings.Where{Issuer: c.issuer}, Serving: settings.Serving{Demo: c.flag}})
		if err != nil || s.Demo != c.want {
			t.Errorf("%q: the demo is %v, %v", c.issuer, s.Demo, err)
		}
	}
}

func TestTheIssuerFollowsTheAddress(t *testing.T) {
	for _, c := range []struct {
		issuer, listen, cert, want string
		port                       int
	}{
		{"", "localhost:0", "", "http://localhost:4711", 4711},
		{"", "127.0.0.1:0", "", "http://127.0.0.1:4711", 4711},
		{"", "[::1]:0", "", "http://[::1]:4711", 4711},
		{"", ":8080", "", "http://localhost:8080", 8080},
		{"", "localhost:443", "cert.pem", "https://localhost", 443},
		{"", "localhost:80", "", "http://localhost", 80},
		{"https://id.example.com/auth", "localhost:0", "", "https://id.example.com/auth", 4711},
		{"http://localhost:9000", "", "", "http://localhost:9000", 9000},
	} {
		f := settings.Flags{Where: settings.Where{Issuer: c.issuer}, Serving: settings.Serving{Listen: c.listen, TLSCert: c.cert, TLSKey: c.cert}}
		s, err := settings.Load(f)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if got := s.IssuerAt(c.port); got != c.want {
			t.Errorf("%+v: the issuer is %s", c, got)
		}
		if c.listen == "" && s.Listen != "localhost:9000" {
			t.Errorf("a loopback issuer listens on %s", s.Listen)
		}
	}
	if _, err := settings.Load(settings.Flags{Serving: settings.Serving{Listen: "192.0.2.1:80"}}); err == nil {
		t.Error("an address that others reach needs no issuer")
	}
}

func TestProblemsOfTheServerAreToldInTheNamesOfTheFile(t *testing.T) {
	path := write(t, "idp.yaml", "issuer: http://localhost:8080\nlifetimes:\n  id_token: 400d\nclients:\n- client_id: web\n  scope: openid\n")
	s, err := settings.Load(flags(path))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Explain(errors.Join(
		&server.Problem{Field: "Lifetimes.IDToken", Found: "x", Want: "y"},
		&server.Problem{Field: `Clients[0] "web": scope`, Found: "z", Want: "add it to Config.Scopes"},
	))
	want := path + ":3: lifetimes.id_token: found x; y\n" + path + `:6: clients[0] "web": scope: found z; add it to scopes`
	if err.Error() != want {
		t.Errorf("explained as\n%v\nwant\n%v", err, want)
	}
	if got := s.Explain(context.Canceled); !errors.Is(got, context.Canceled) {
		t.Errorf("another error became %v", got)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0} {
		if got, err := settings.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "5", "1d1", "70000d"} {
		if got, err := settings.ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

const dsn = "postgres://doorward:hunter2-hunter2@db.internal:5433/product"

func TestTheStateIsInPostgreSQL(t *testing.T) {
	secret := write(t, "secret", strings.Repeat("0123456789abcdef", 2)+"\n")
	named := write(t, "dsn", dsn+"\n")
	for what, f := range map[string]settings.Flags{
		"in the file":            flags(write(t, "idp.yaml", "store: {postgres: '"+dsn+"', secret_files: ["+secret+"]}\nadmin_socket: a.sock\n")),
		"in a file of its own":   flags(write(t, "idp.yaml", "store: {postgres_file: '"+named+"', secret_files: ["+secret+"]}\n")),
		"by flags":               {Where: settings.Where{Postgres: dsn, SecretFiles: []string{secret}}},
		"by flags and two files": {Where: settings.Where{PostgresFile: named, SecretFiles: []string{secret}}},
		"by a flag over a file":  {Where: settings.Where{Config: write(t, "idp.yaml", "store: {path: a.db, secret_files: ["+secret+"]}\n"), Postgres: dsn}},
	} {
		s, err := settings.Load(f)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if s.Postgres != dsn || s.Store != "" || len(s.Secrets) != 1 || len(s.Secrets[0]) != 32 {
			t.Errorf("%s: store %q, postgres %q, %d secrets", what, s.Store, s.Postgres, len(s.Secrets))
		}
		if got := s.Place(); got != `the database "product" at db.internal:5433` {
			t.Errorf("%s: it is told as %s", what, got)
		}
		if what == "in the file" && s.AdminSocket != filepath.Join(filepath.Dir(f.Config), "a.sock") {
			t.Errorf("the socket is %s", s.AdminSocket)
		}
	}
	back := settings.Flags{Where: settings.Where{Config: write(t, "idp.yaml", "store: {postgres: '"+dsn+"', secret_files: ["+secret+"]}\n"), Store: "a.db"}}
	if s, err := settings.Load(back); err != nil || s.Store != "a.db" || s.Postgres != "" || s.Place() != "a.db" {
		t.Errorf("a file by a flag over PostgreSQL: %+v, %v", s, err)
	}
}

func TestWhatIsWrongWithAPostgreSQLStore(t *testing.T) {
	secret := write(t, "secret", strings.Repeat("0123456789abcdef", 2))
	for text, want := range map[string]string{
		"store:\n  postgres: " + dsn + "\n":                                                                    `:1: store.secret_files: found no secret for the database "product" at db.internal:5433; write a secret of 32 random bytes or more into a file`,
		"store:\n  postgres: " + dsn + "\n  path: a.db\n  secret_files: [" + secret + "]\n":                    ":2: store.postgres: found store.path and store.postgres; leave one of them",
		"store:\n  postgres: " + dsn + "\n  postgres_file: " + secret + "\n  secret_files: [" + secret + "]\n": ":3: store.postgres_file: found store.postgres and store.postgres_file; leave one of them",
		"store:\n  postgres: postgres://a:hunter2-hunter2@b:x/c\n  secret_files: [" + secret + "]\n":           ":2: store.postgres: postgres: the DSN can't be read",
		"store:\n  postgres_file: nowhere\n  secret_files: [" + secret + "]\n":                                 ":2: store.postgres_file: open ",
		"store:\n  postgres: " + dsn + "\n  secret_files: [nowhere]\n":                                         ":3: store.secret_files[0]: open ",
	} {
		_, err := settings.Load(flags(write(t, "idp.yaml", text)))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\nis refused with\n%v\nwithout %q, or with the password", text, err, want)
		}
	}
	_, err := settings.Load(settings.Flags{Where: settings.Where{Store: "a.db", Postgres: dsn, SecretFiles: []string{secret}}})
	if err == nil || !strings.Contains(err.Error(), "--postgres: found --store and --postgres; leave one of them") {
		t.Errorf("two flags: %v", err)
	}
}
