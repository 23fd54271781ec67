package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestStolenStore: who has the database without its secret has no token, code, secret,
// cookie or private key, neither one that is good at the moment nor one that was, and
// learns no more of people than docs/operate.md says. RFC 6819 §5.1.4.1
func TestStolenStore(t *testing.T) {
	for _, backend := range []string{"bolt", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			p := plan{backend: backend}
			if backend == "bolt" {
				p.dir = t.TempDir()
			} else {
				p.dsn = databases.Database(t)
			}
			v := newVictim(t, p)
			v.live()
			v.keys(p)
			loot := stolenFile
			if backend == "postgres" {
				loot = stolenTables
			}
			text := loot(t, p)
			sought := newTracker(v.kept.known)
			for _, found := range sought.in(text) {
				t.Errorf("a thief finds %s", found)
			}
			v.readable(text)
			t.Logf("%d secrets were looked for in %d bytes", len(v.kept.known), len(text))
		})
	}
}

// stolenFile reads the files of a bolt database, but for the one with its secret.
func stolenFile(t *testing.T, p plan) (loot []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, ".key") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		loot = append(loot, text...)
	}
	return loot
}

// stolenTables reads every column of every table in a PostgreSQL database as its bytes.
func stolenTables(t *testing.T, p plan) []byte {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var loot bytes.Buffer
	for _, table := range tables {
		if _, err := conn.PgConn().CopyTo(ctx, &loot, "COPY "+table+" TO STDOUT (FORMAT binary)"); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
	}
	return loot.Bytes()
}

// victim is a provider whose database is stolen, and all that the thief must not find.
type victim struct {
	*world
	t     *testing.T
	kept  *secrets
	known map[string]bool // the IDs of clients
	robot *robot

	secret []byte // of the store
}

// The names of people as the host knows them are long enough to be looked for.
func subjectOf(username string) string { return "subject-of-" + username + "-40817" }

func newVictim(t *testing.T, p plan) *victim {
	t.Helper()
	v := &victim{t: t, known: map[string]bool{}, kept: &secrets{known: map[string]string{}}, robot: newRobot(t)}
	p.configure = func(c *server.Config) {
		withDevices(c)
		client := v.robot.client()
		client.FirstParty = true
		c.Clients = append(c.Clients, client)
		for i := range c.Clients {
			if c.Clients[i].ID == "other" {
				c.Clients[i].BackchannelLogoutURI = "https://other.test/logout"
			}
		}
		c.Keys.Algorithms = []string{"RS256", "ES256", "EdDSA"}
		c.Limits.Logins = 1
		c.Login = handlers.PasswordLogin{Verify: func(ctx context.Context, username, password string) (handlers.Subject, error) {
			s, err := verifyPassword(ctx, username, password)
			s.ID = subjectOf(username)
			return s, err
		}}
	}
	v.world = start(t, p)
	v.robot.w = v.world
	for _, c := range v.clients {
		v.kept.add("the secret of "+c.ID, string(c.Secret))
		v.known[c.ID] = true
	}
	for name, password := range people {
		v.kept.add("the password of "+name, password)
		v.guessable("the subject of "+name, subjectOf(name))
		v.guessable("the e-mail address of "+name, name+"@people.test")
	}
	v.guessable("the address of a network", "192.0.2.1")
	v.kept.add("the e-mail address of somebody", "@people.test")
	v.kept.add("a redirect URI", "https://generated.test/cb")
	v.kept.add("the name of a client", "The generated app")
	v.kept.add("a scope", "notes:read")
	return v
}

// guessable adds what a thief might find by trying all there are, if no key were needed
// to compare a guess.
func (v *victim) guessable(what, value string) {
	sum := sha256.Sum256([]byte(value))
	v.kept.add(what, value)
	v.kept.add(what+" as its SHA-256", string(sum[:16])) // a part is enough to compare
}

// live does everything that leaves something in the store, once to its end and once not.
func (v *victim) live() {
	v.t.Helper()
	v.signIns()
	v.proofs()
	v.requests()
	v.devices()
	v.registrations()
	v.strangers()
	bob := listening(v.t, v.world, v.kept)
	code, verifier, err := v.code(bob, "other", "bob", nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.got(answered(v.t)(v.exchange("other", code, verifier, nil)))
	if err := v.server.RevokeSubject(v.t.Context(), subjectOf("bob")); err != nil {
		v.t.Fatal(err)
	}
}

// got adds what came with an answer, which must be a good one.
func (v *victim) got(r *reply) *reply {
	v.t.Helper()
	if r.status >= 400 {
		v.t.Fatal(r)
	}
	v.kept.addTokens(r)
	for what, name := range map[string]string{
		"a device code": "device_code", "a request_uri": "request_uri", "a client secret": "client_secret",
		"a registration access token": "registration_access_token",
	} {
		v.kept.add(what, r.text(name))
	}
	if code := r.text("user_code"); code != "" {
		v.guessable("a user code", code)
		v.guessable("a user code without its dash", strings.ReplaceAll(code, "-", ""))
	}
	return r
}

// begin signs alice in, whose browser is new.
func (v *victim) begin(client string, extra url.Values) (code, verifier string) {
	v.t.Helper()
	code, verifier, err := v.code(listening(v.t, v.world, v.kept), client, "alice", extra)
	if err != nil {
		v.t.Fatal(err)
	}
	v.kept.add("a code", code)
	v.kept.add("a verifier", verifier)
	return code, verifier
}

// signIns leaves sessions, grants, codes and an interaction that waits for a password.
func (v *victim) signIns() {
	v.t.Helper()
	must := answered(v.t)
	v.begin("web", nil) // its code waits
	code, verifier := v.begin("web", nil)
	tokens := v.got(must(v.exchange("web", code, verifier, nil)))
	for range 2 { // the second is a repeat
		v.got(must(v.refresh("web", tokens.text("refresh_token"), nil)))
	}
	waiting := url.Values{"state": {rand.Text()}, "nonce": {rand.Text()}, "login_hint": {"alice@people.test"}}
	for name, values := range waiting {
		v.kept.add("the parameter "+name, values[0])
	}
	address, _ := v.authorizeURL("web", waiting)
	must(listening(v.t, v.world, v.kept).open(address))

	code, verifier = v.begin("apart", nil) // its access tokens are JWTs
	tokens = v.got(must(v.exchange("apart", code, verifier, nil)))
	v.got(must(v.post("revoke", "apart", url.Values{"token": {tokens.text("access_token")}})))
	v.got(must(v.post("token", "machine", machineGrant)))
}

// proofs leaves what is known of assertions and of proofs of a key.
func (v *victim) proofs() {
	v.t.Helper()
	h := newHolder(v.t, v.site, v.now)
	code, verifier := v.begin("spa", nil)
	jti := rand.Text()
	v.kept.add("the jti of a proof", jti)
	proof := h.proof(http.MethodPost, v.endpoint("token"), "", map[string]any{"jti": jti})
	v.kept.add("a proof", proof)
	v.got(h.post(v.t, "token", "spa", proof, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {v.redirectURI("spa")}, "code_verifier": {verifier},
	}))
	v.got(v.robot.post(v.t, "token", v.asserted("robot", v.robot.assert), machineGrant))

	_, secret, err := v.server.Clients().Create(v.t.Context(), storage.Client{
		ID: "keyed", TokenEndpointAuthMethod: storage.AuthMethodSecretJWT, Scope: "notes:read", DefaultScope: "notes:read",
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.known["keyed"] = true
	v.kept.add("the secret of a client that signs with it", string(secret))
	kept, err := storage.Clients(v.server.Store()).Get(v.t.Context(), "keyed")
	if err != nil || len(kept.Secrets) != 1 || kept.Secrets[0].Value != secret {
		v.t.Fatalf("the secret is not in its sealed record; this test does not see it: %v", err)
	}
	v.got(v.robot.post(v.t, "token", v.asserted("keyed", func(claims map[string]any) string { return hs256(string(secret), claims) }), machineGrant))
}

// asserted returns an assertion whose jti is looked for.
func (v *victim) asserted(client string, sign func(map[string]any) string) string {
	jti := rand.Text()
	signed := sign(map[string]any{"iss": client, "sub": client, "aud": v.issuer, "jti": jti, "exp": v.now().Unix() + 60})
	v.kept.add("the jti of an assertion", jti)
	v.kept.add("an assertion", signed)
	return signed
}

// requests leaves pushed requests and a request object, used and not.
func (v *victim) requests() {
	v.t.Helper()
	must := answered(v.t)
	for _, used := range []bool{false, true} {
		verifier := oauth2.GenerateVerifier()
		v.kept.add("a verifier", verifier)
		params := v.authorizeParams("web", verifier, nil)
		params.Del("client_id")
		pushed := v.got(must(v.post("par", "web", params)))
		if used {
			query := url.Values{"client_id": {"web"}, "request_uri": {pushed.text("request_uri")}}
			v.got(must(listening(v.t, v.world, v.kept).signIn(v.endpoint("authorize")+"?"+query.Encode(), "alice")))
		}
	}
	jti := rand.Text()
	object := v.robot.sign("oauth-authz-req+jwt", map[string]any{
		"iss": "robot", "aud": v.issuer, "client_id": "robot", "exp": v.now().Unix() + 60, "response_type": "code", "jti": jti,
		"redirect_uri": "https://robot.test/cb", "scope": "openid", "state": "mine",
		"code_challenge": oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier()), "code_challenge_method": "S256",
	})
	v.kept.add("the jti of a request object", jti)
	v.kept.add("a request object", object)
	query := url.Values{"client_id": {"robot"}, "request": {object}}
	v.got(must(listening(v.t, v.world, v.kept).signIn(v.endpoint("authorize")+"?"+query.Encode(), "alice")))
}

// devices leaves one device that waits and one that has its tokens.
func (v *victim) devices() {
	v.t.Helper()
	must := answered(v.t)
	ask := func() *reply {
		return v.got(must(v.post("device_authorization", "tv", url.Values{"scope": {"openid offline_access"}})))
	}
	ask()
	begun := ask()
	if err := listening(v.t, v.world, v.kept).answerDevice(v.world, begun.text("verification_uri_complete"), "allow"); err != nil {
		v.t.Fatal(err)
	}
	v.got(must(v.post("token", "tv", url.Values{"grant_type": {storage.GrantDeviceCode}, "device_code": {begun.text("device_code")}})))
}

// registrations leaves clients that were made and that registered themselves.
func (v *victim) registrations() {
	v.t.Helper()
	must, ctx, clients := answered(v.t), v.t.Context(), v.server.Clients()
	_, secret, err := clients.Create(ctx, storage.Client{
		ID: "generated", Name: "The generated app", Scope: "openid notes:read", RedirectURIs: []string{"https://generated.test/cb"},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.kept.add("a generated secret", string(secret))
	if secret, err = clients.RotateSecret(ctx, "generated", time.Hour); err != nil {
		v.t.Fatal(err)
	}
	v.kept.add("a generated secret", string(secret))
	_, initial, err := clients.IssueInitialToken(ctx, storage.InitialToken{Note: "for the partners", Uses: 5})
	if err != nil {
		v.t.Fatal(err)
	}
	v.kept.add("an initial access token", string(initial))
	v.kept.add("a note", "for the partners")
	v.known["generated"] = true
	const body = `{"redirect_uris":["https://new.test/cb"],"scope":"openid"}`
	const public = `{"redirect_uris":["https://new.test/cb"],"token_endpoint_auth_method":"none"}`
	for body, token := range map[string]string{body: string(initial), body + " ": "", public: ""} {
		v.known[v.got(must(v.registers(http.MethodPost, v.endpoint("register"), token, body))).text("client_id")] = true
	}
}

// strangers leaves counters of wrong passwords and codes.
func (v *victim) strangers() {
	v.t.Helper()
	must := answered(v.t)
	const typed = "a-password-typed-as-a-name"
	v.guessable("what was typed as a name", typed)
	v.kept.add("a wrong password", "a-wrong-password-of-nobody")
	for range 2 {
		mallory := listening(v.t, v.world, v.kept)
		address, _ := v.authorizeURL("web", nil)
		must(mallory.open(address))
		must(mallory.submit(url.Values{"username": {typed}, "password": {"a-wrong-password-of-nobody"}}))
	}
	must(send(v.person().client, http.MethodPost, v.endpoint("device"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "user_code=BBBB-BBBB"))
}

// keys adds the private keys that sign, those that seal, and the secret that wraps these.
func (v *victim) keys(p plan) {
	v.t.Helper()
	ctx := v.t.Context()
	type keyset struct {
		Keys []struct{ Private []byte }
	}
	signing, err := storage.Collect(v.server.Store(), "keys", 1, func(*keyset) storage.Meta { return storage.Meta{ID: "signing"} }).Get(ctx, "signing")
	if err != nil || len(signing.Keys) < 6 {
		v.t.Fatalf("there are no signing keys: %v", err)
	}
	for _, k := range signing.Keys {
		v.private(k.Private)
	}

	v.secret = []byte(wrapping)
	if p.backend == "bolt" {
		line, err := os.ReadFile(filepath.Join(p.dir, "doorward.db.key"))
		if err != nil {
			v.t.Fatal(err)
		}
		if v.secret, err = hex.DecodeString(strings.TrimSpace(string(line))); err != nil {
			v.t.Fatal(err)
		}
	}
	v.kept.add("the secret of the store", string(v.secret))
	found, err := v.backend.Get(ctx, storage.Key{Namespace: v.issuer, Kind: "envelope", ID: "keys"})
	if err != nil {
		v.t.Fatal(err)
	}
	var envelope struct{ Wrapped []byte }
	var keys struct {
		Data   map[string][]byte
		Lookup []byte
	}
	if err := json.Unmarshal(found[0].Value, &envelope); err != nil {
		v.t.Fatal(err)
	}
	if err := json.Unmarshal(v.unwrap(envelope.Wrapped), &keys); err != nil || len(keys.Data) == 0 || len(keys.Lookup) != chacha20poly1305.KeySize {
		v.t.Fatalf("there are no data keys: %v", err)
	}
	v.kept.add("the lookup key", string(keys.Lookup))
	for _, key := range keys.Data {
		v.kept.add("a data key", string(key))
	}
}

// unwrap opens what the secret of the store wraps: as a thief could who has both.
func (v *victim) unwrap(wrapped []byte) []byte {
	v.t.Helper()
	key, err := hkdf.Key(sha256.New, v.secret, nil, "doorward wrapping key v1", chacha20poly1305.KeySize)
	if err != nil {
		v.t.Fatal(err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		v.t.Fatal(err)
	}
	box := wrapped[sealHeader:]
	plain, err := aead.Open(nil, box[:aead.NonceSize()], box[aead.NonceSize():], []byte(v.issuer+"\x00envelope"))
	if err != nil {
		v.t.Fatal(err)
	}
	return plain
}

// sealHeader is a version, which is 1, and the number of the key that sealed.
const sealHeader = 1 + 4

// private adds what is private of a key in PKCS #8.
func (v *victim) private(der []byte) {
	v.t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		v.t.Fatal(err)
	}
	v.kept.add("a private key", string(der))
	switch key := key.(type) {
	case *rsa.PrivateKey:
		v.kept.add("d of an RSA key", string(key.D.Bytes()))
		for _, prime := range key.Primes {
			v.kept.add("a prime of an RSA key", string(prime.Bytes()))
		}
	case *ecdsa.PrivateKey:
		d, err := key.Bytes()
		if err != nil {
			v.t.Fatal(err)
		}
		v.kept.add("d of an EC key", string(d))
	case ed25519.PrivateKey:
		v.kept.add("the seed of an Ed25519 key", string(key.Seed()))
	default:
		v.t.Fatalf("a key of the type %T", key)
	}
}
