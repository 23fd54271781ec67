package servertest_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/server/servertest"
	"github.com/doorward/doorward/storage"
)

// accepted says whether a client gets in with a secret. RFC 6749 §2.3.1
func accepted(t *testing.T, p *servertest.Provider, id string, secret storage.Secret) bool {
	t.Helper()
	body := strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {"email"}}.Encode())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Issuer+"/oauth/token", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, url.QueryEscape(string(secret)))
	resp, err := p.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s: %s", id, resp.Status)
	}
	return resp.StatusCode == http.StatusOK
}

// TestSecrets holds that every kind of secret lets its client in, and no other.
func TestSecrets(t *testing.T) {
	const own = storage.Secret("a secret, with + and : in it")
	hash, err := bcrypt.GenerateFromPassword([]byte(own), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	machine := func(id string) storage.Client { return storage.Client{ID: id, Scope: "email"} }
	configured, configuredHash := machine("configured"), machine("configured-hash")
	configured.Secret = own
	configuredHash.Secrets = []storage.ClientSecret{{Hash: string(hash)}}
	p := servertest.New(t, func(c *server.Config) { c.Clients = []storage.Client{configured, configuredHash} })
	brought, hashed := machine("brought"), machine("hashed")
	brought.Secret = own
	hashed.Secrets = []storage.ClientSecret{{Hash: string(hash)}}
	p.Register(brought)
	p.Register(hashed)
	_, generated := p.Register(machine("generated"))
	for id, secret := range map[string]storage.Secret{
		"configured": own, "configured-hash": own, "brought": own, "hashed": own, "generated": generated,
	} {
		if !accepted(t, p, id, secret) {
			t.Errorf("%s: its secret is refused", id)
		}
		if accepted(t, p, id, secret+"x") || accepted(t, p, id, "") {
			t.Errorf("%s: another secret is accepted", id)
		}
	}
}

// TestSecretRotation holds that both secrets work during the overlap, and only then.
func TestSecretRotation(t *testing.T) {
	p := servertest.New(t)
	_, first := p.Register(storage.Client{ID: "machine", Scope: "email"})
	second, err := p.Server.Clients().RotateSecret(t.Context(), "machine", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !accepted(t, p, "machine", first) || !accepted(t, p, "machine", second) {
		t.Error("during the overlap one of the secrets is refused")
	}
	p.Advance(time.Hour)
	if accepted(t, p, "machine", first) {
		t.Error("after the overlap the old secret is accepted")
	}
	if !accepted(t, p, "machine", second) {
		t.Error("after the overlap the new secret is refused")
	}
}

// TestSecretRotationsAtOnce holds that two secrets are valid at most, whoever rotates.
func TestSecretRotationsAtOnce(t *testing.T) {
	p := servertest.New(t)
	p.Register(storage.Client{ID: "machine", Scope: "email"})
	const callers = 3
	secrets := make([]storage.Secret, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			var err error
			if secrets[i], err = p.Server.Clients().RotateSecret(t.Context(), "machine", time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	valid := 0
	for _, secret := range secrets {
		if accepted(t, p, "machine", secret) {
			valid++
		}
	}
	if valid != 2 {
		t.Errorf("%d of %d secrets are valid, want 2", valid, callers)
	}
}

// TestCreateAtOnce holds that an ID is given once.
func TestCreateAtOnce(t *testing.T) {
	p := servertest.New(t)
	const callers = 8
	made := make(chan storage.Secret, callers)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, secret, err := p.Server.Clients().Create(t.Context(), storage.Client{ID: "machine", Scope: "email"}); err == nil {
				made <- secret
			}
		})
	}
	all.Wait()
	close(made)
	if len(made) != 1 {
		t.Fatalf("%d clients were made under one ID", len(made))
	}
	if !accepted(t, p, "machine", <-made) {
		t.Error("the secret of the one that was made is refused")
	}
}

// TestRemovedClient holds that tokens end with their client and that one of the same
// ID revives none. RFC 7592 §2.3
func TestRemovedClient(t *testing.T) {
	p := servertest.New(t)
	app := newApplication(t, p)
	p.SignIn("alice", nil)
	app.login(p.Browser())
	valid := func() bool {
		t.Helper()
		_, err := p.Server.Verify(t.Context(), app.tokens.AccessToken)
		return err == nil
	}
	if !valid() {
		t.Fatal("the token is not valid at first")
	}
	if err := p.Server.Clients().Delete(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if valid() {
		t.Error("the token outlives its client")
	}
	p.Client("app", app.oauth.RedirectURL)
	if valid() {
		t.Error("another client of the same ID revives the token")
	}
	if grants, _, err := p.Server.Grants(t.Context(), "alice", storage.Page{}); err != nil || len(grants) != 0 {
		t.Errorf("%d grants are listed, %v; want none", len(grants), err)
	}
}

// TestIssuerWithPath signs in where issuer and prefix are not the usual ones.
func TestIssuerWithPath(t *testing.T) {
	for _, prefix := range []string{"", "/", "/connect"} {
		p := servertest.New(t, func(c *server.Config) { c.Issuer += "/auth"; c.Prefix = prefix })
		if tokens := p.Tokens("alice", "openid"); tokens.IDToken == "" {
			t.Errorf("prefix %q: no ID token", prefix)
		}
		app := newApplication(t, p)
		p.SignIn("alice", nil)
		app.login(p.Browser())
		if app.claims["iss"] != p.Issuer {
			t.Errorf("prefix %q: the ID token is of %v, want %s", prefix, app.claims["iss"], p.Issuer)
		}
	}
}
