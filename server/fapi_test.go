package server_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestFAPI2: what the profile forbids is found at start, of the server and of its clients,
// and what it leaves open is as everywhere. FAPI 2.0 Security Profile §5.3.2, §5.4.1, FAPI 2.0
// Security Profile §5.3.2.1, §5.3.2.2
func TestFAPI2(t *testing.T) {
	good := func() storage.Client {
		return storage.Client{
			ID: "bank", TokenEndpointAuthMethod: storage.AuthMethodPrivateKey, JWKSURI: "https://bank.example/jwks", DPoPBoundAccessTokens: true,
			RedirectURIs: []string{"https://bank.example/cb"}, Scope: "openid notes:read",
		}
	}
	with := func(change func(*storage.Client)) []storage.Client {
		c := good()
		change(&c)
		return []storage.Client{c}
	}
	const at = `Clients[0] "bank": `
	for _, c := range []struct {
		name   string
		change func(*server.Config)
		want   []string
	}{
		{"nothing", func(*server.Config) {}, nil},
		{"algorithms left open", func(c *server.Config) { c.Keys.Algorithms = nil }, nil},
		{"a good client", func(c *server.Config) { c.Clients = []storage.Client{good()} }, nil},
		{"certificates", func(c *server.Config) {
			c.MutualTLS.Accept = true
			c.Clients = with(func(c *storage.Client) {
				c.DPoPBoundAccessTokens, c.TLSClientCertificateBoundAccessTokens = false, true
			})
		}, nil},
		{"RS256", func(c *server.Config) { c.Keys.Algorithms = []string{"ES256", "RS256"} }, []string{"Keys.Algorithms[1]"}},
		{"slow codes", func(c *server.Config) { c.Lifetimes.Code = 2 * time.Minute }, []string{"Lifetimes.Code"}},
		{"rotation", func(c *server.Config) { c.Refresh.Policy = storage.RefreshStrict }, []string{"Refresh.Policy"}},
		{"a secret", func(c *server.Config) {
			c.Clients = with(func(c *storage.Client) {
				c.TokenEndpointAuthMethod, c.JWKSURI, c.Secret = "", "", "secret-0123456789abcdef-0123456789"
			})
		}, []string{at + "token_endpoint_auth_method"}},
		{"a secret that signs", func(c *server.Config) {
			c.Clients = with(func(c *storage.Client) {
				c.TokenEndpointAuthMethod, c.JWKSURI, c.Secret = storage.AuthMethodSecretJWT, "", "secret-0123456789abcdef-0123456789"
			})
		}, []string{at + "token_endpoint_auth_method"}},
		{"a public client", func(c *server.Config) {
			c.Clients = with(func(c *storage.Client) { c.TokenEndpointAuthMethod, c.JWKSURI = storage.AuthMethodNone, "" })
		}, []string{at + "token_endpoint_auth_method"}},
		{"tokens of anybody", func(c *server.Config) { c.Clients = with(func(c *storage.Client) { c.DPoPBoundAccessTokens = false }) }, []string{at + "dpop_bound_access_tokens"}},
		{"RS256 of a client", func(c *server.Config) {
			c.Clients = with(func(c *storage.Client) { c.TokenEndpointAuthSigningAlg, c.RequestObjectSigningAlg = "RS256", "RS256" })
		}, []string{at + "token_endpoint_auth_signing_alg", at + "request_object_signing_alg"}},
		{"a loopback redirect", func(c *server.Config) {
			c.Clients = with(func(c *storage.Client) { c.RedirectURIs = []string{"http://127.0.0.1/cb"} })
		}, []string{at + "redirect_uris[0]"}},
		{"a loopback redirect of a loopback issuer", func(c *server.Config) {
			c.Issuer = "http://localhost:8080"
			c.Clients = with(func(c *storage.Client) { c.RedirectURIs = []string{"http://127.0.0.1/cb", "http://localhost:3000/cb"} })
		}, nil},
		{"an app's own scheme with a loopback issuer", func(c *server.Config) {
			c.Issuer = "http://localhost:8080"
			c.Clients = with(func(c *storage.Client) { c.RedirectURIs = []string{"com.example.app:/cb"} })
		}, []string{at + "redirect_uris[0]", at + "redirect_uris[0]"}},
		{"no PKCE", func(c *server.Config) { c.Clients = with(func(c *storage.Client) { c.Insecure.SkipPKCE = true }) }, []string{at + "insecure"}},
		{"rotation of a client", func(c *server.Config) {
			c.Clients = with(func(c *storage.Client) { c.RefreshPolicy = storage.RefreshWindow })
		}, []string{at + "refresh_policy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := valid(t)
			config.FAPI2 = true
			c.change(&config)
			_, err := server.New(t.Context(), config)
			if got := fields(t, err); !slices.Equal(got, c.want) {
				t.Errorf("the problems are %q, want %q: %v", got, c.want, err)
			}
		})
	}
	config := valid(t)
	config.FAPI2, config.Keys.Algorithms = true, nil
	var told struct {
		Methods    []string `json:"token_endpoint_auth_methods_supported"`
		Assertions []string `json:"token_endpoint_auth_signing_alg_values_supported"`
		Proofs     []string `json:"dpop_signing_alg_values_supported"`
		IDTokens   []string `json:"id_token_signing_alg_values_supported"`
		Pushed     bool     `json:"require_pushed_authorization_requests"`
	}
	answer := request(start(t, config).Handler(), "GET", "https://id.example.com/.well-known/openid-configuration")
	if err := json.Unmarshal(answer.Body.Bytes(), &told); err != nil {
		t.Fatal(err)
	}
	strong := []string{"PS256", "ES256", "EdDSA", "Ed25519"}
	if !slices.Equal(told.Methods, []string{"private_key_jwt"}) || !slices.Equal(told.Assertions, strong) || !slices.Equal(told.Proofs, strong) ||
		!slices.Equal(told.IDTokens, []string{"ES256"}) || !told.Pushed {
		t.Errorf("the metadata tell %+v", told)
	}
}

// A client that was stored before the profile was turned on is disabled until it is changed,
// and the log tells which field it is about.
func TestFAPI2OfStoredClients(t *testing.T) {
	config := valid(t)
	before := start(t, config)
	stored, secret, err := before.Clients().Create(t.Context(), storage.Client{ID: "old", Scope: "notes:read", GrantTypes: []string{"client_credentials"}})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(s *server.Server) int {
		r := httptest.NewRequest(http.MethodPost, "https://id.example.com/oauth/token", strings.NewReader("grant_type=client_credentials&scope=notes:read"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(stored.ID, string(secret))
		return serve(s.Handler(), r).Code
	}
	if code := answer(before); code != http.StatusOK {
		t.Fatalf("without the profile it is answered %d", code)
	}
	var log bytes.Buffer
	config.FAPI2, config.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
	after := start(t, config)
	for range 3 {
		if code := answer(after); code != http.StatusUnauthorized {
			t.Errorf("with the profile it is answered %d", code)
		}
	}
	if n := strings.Count(log.String(), "a stored client is refused"); n != 1 {
		t.Errorf("the log warns %d times in an hour", n) // whoever knows its ID could fill the disk
	}
	for _, field := range []string{"client_id=old", "token_endpoint_auth_method", "dpop_bound_access_tokens"} {
		if !strings.Contains(log.String(), field) {
			t.Errorf("the log does not name %s:\n%s", field, log.String())
		}
	}
	if code := request(after.Handler(), http.MethodGet, "https://id.example.com/oauth/logout?client_id=old").Code; code != http.StatusOK {
		t.Errorf("signing out at it is answered %d", code) // what was granted must still be ended
	}
	changed := stored
	changed.TokenEndpointAuthMethod, changed.JWKSURI, changed.DPoPBoundAccessTokens = storage.AuthMethodPrivateKey, "https://old.example/jwks", true
	if _, err := after.Clients().Update(t.Context(), changed); err != nil {
		t.Errorf("it can't be changed: %v", err)
	}
}
