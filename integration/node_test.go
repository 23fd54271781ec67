package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// node is the program that runs scripts, with what they need beside it.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join("npm", "node_modules", "openid-client"))
	}
	if err != nil {
		const missing = "node or openid-client is not there; install Node.js 20 or later, and run npm ci --prefix integration/npm"
		if os.Getenv("DOORWARD_REQUIRE") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return path
}

// told is what a script knows of a client: what the client itself would.
type told struct {
	Secret string `json:"secret,omitempty"`
	Key    []byte `json:"key,omitempty"` // PKCS #8
	Alg    string `json:"alg,omitempty"`
}

// newKey makes a private key for an algorithm, and its public part as a JWK.
func newKey(t *testing.T, alg string) (private any, jwk map[string]any) {
	t.Helper()
	var err error
	switch alg {
	case "ES256":
		var key *ecdsa.PrivateKey
		var point []byte
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			point, err = key.PublicKey.Bytes() // 4, x, y
		}
		if err == nil {
			private, jwk = key, map[string]any{"kty": "EC", "crv": "P-256", "x": encoded(string(point[1:33])), "y": encoded(string(point[33:]))}
		}
	case "EdDSA", "Ed25519":
		var public ed25519.PublicKey
		public, private, err = ed25519.GenerateKey(rand.Reader)
		jwk = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encoded(string(public))}
	default:
		var key *rsa.PrivateKey
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
			private, jwk = key, map[string]any{"kty": "RSA", "e": "AQAB", "n": encoded(string(key.N.Bytes()))}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	jwk["kid"], jwk["alg"], jwk["use"] = "one", alg, "sig"
	return private, jwk
}

// signer is a client with a key of this algorithm.
func signer(t *testing.T, id, alg string) (storage.Client, told) {
	t.Helper()
	private, jwk := newKey(t, alg)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(map[string]any{"keys": []any{jwk}})
	if err != nil {
		t.Fatal(err)
	}
	return storage.Client{
		ID: id, TokenEndpointAuthMethod: storage.AuthMethodPrivateKey, JWKS: jwks, RedirectURIs: []string{"https://" + id + ".test/cb"},
		Scope: "openid profile email offline_access notes:read", DefaultScope: "openid", IDTokenSignedResponseAlg: "ES256",
	}, told{Key: key, Alg: alg}
}

// foreigners is what a script knows of the provider.
type foreigners struct {
	Issuer       string                 `json:"issuer"`
	People       map[string]string      `json:"people"`
	Clients      map[string]told        `json:"clients,omitempty"`
	APIs         map[string]string      `json:"apis,omitempty"` // by who verifies their tokens
	CA           string                 `json:"ca,omitempty"`   // PEM; empty: the provider speaks http
	Certificates map[string]certificate `json:"certificates,omitempty"`
}

// certificate is one of a client, in PEM.
type certificate struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// runNode has a script go through all its tests, of which there are this many.
func runNode(t *testing.T, w *world, script string, input any, tests int) {
	t.Helper()
	known, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), node(t), "--test-reporter=tap", filepath.Join("npm", script))
	run.Stdin, run.WaitDelay = bytes.NewReader(known), time.Minute
	output, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, w.journal.all())
	}
	// A script that tested nothing would end well too.
	if !strings.Contains(string(output), fmt.Sprintf("\n# pass %d\n", tests)) {
		t.Errorf("not all of it was tested:\n%s", output)
	}
}

// nodeAPIs are two APIs: one in the provider's own process, and one elsewhere.
func nodeAPIs(t *testing.T, verifiers map[string]bearer.Verifier) map[string]string {
	t.Helper()
	apis := map[string]string{}
	for where, v := range verifiers {
		api := httptest.NewUnstartedServer(nil)
		address := "http://" + api.Listener.Addr().String()
		api.Config.Handler = bearer.API{Verifier: v, BaseURL: address, Logger: slog.New(slog.DiscardHandler), NonceSecret: []byte("a-secret-of-the-api-0123456789abcdef")}.Require()(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(out, "hello %s", bearer.FromContext(r.Context()).Subject)
		}))
		api.Start()
		t.Cleanup(api.Close)
		apis[where] = address + "/notes"
	}
	return apis
}

// secretsOf is what clients know whose secrets are no secret here.
func secretsOf(w *world, known map[string]told) map[string]told {
	for _, c := range w.clients {
		if c.Secret != "" {
			known[c.ID] = told{Secret: string(c.Secret)}
		}
	}
	return known
}

// TestNodeClients has openid-client and oauth4webapi, by which most programs in
// JavaScript sign in, go through all that they can do.
func TestNodeClients(t *testing.T) {
	node(t)
	known := map[string]told{}
	w := onLoopback(t, func(c *server.Config) {
		withDevices(c)
		for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
			strict, knows := signer(t, "signs-"+strings.ToLower(alg), alg)
			strict.RequireSignedRequestObject = true
			strict.UserinfoSignedResponseAlg, strict.IntrospectionSignedResponseAlg = "ES256", "ES256"
			known[strict.ID] = knows
			c.Clients = append(c.Clients, strict)
		}
		bound, knows := signer(t, "nonces", "ES256")
		bound.DPoPBoundAccessTokens, bound.RequireDPoPNonce = true, true
		known[bound.ID] = knows
		keyed := storage.Client{ID: "keyed", TokenEndpointAuthMethod: storage.AuthMethodSecretJWT, Secret: "secret-of-keyed-0123456789abcdef", Scope: "notes:read", DefaultScope: "notes:read"}
		machine := storage.Client{ID: "jwt-machine", Secret: "secret-of-jwt-machine-0123456789abcdef", AccessTokenFormat: storage.AccessTokenJWT, Scope: "notes:read", DefaultScope: "notes:read"}
		c.Clients = append(c.Clients, bound, keyed, machine)
	})
	runNode(t, w, "relying.mjs", foreigners{
		Issuer: w.issuer, People: people, Clients: secretsOf(w, known),
		APIs: nodeAPIs(t, map[string]bearer.Verifier{"in this process": w.server, "elsewhere": remoteAPI(t, w, nil)}),
	}, 23)
}

// TestNodeFAPI2 has openid-client push, sign, prove and verify all at once, at a provider
// that is held to the profile. FAPI 2.0 Security Profile §5.3, FAPI 2.0 Message Signing §5.3
func TestNodeFAPI2(t *testing.T) {
	node(t)
	known := map[string]told{}
	w := onLoopback(t, func(c *server.Config) {
		c.FAPI2, c.Clients, c.RequireSigned = true, nil, true
		for _, alg := range []string{"PS256", "ES256", "EdDSA"} {
			bank, knows := signer(t, "bank-"+strings.ToLower(alg), alg)
			bank.DPoPBoundAccessTokens, bank.RequireDPoPNonce, bank.AccessTokenFormat = true, true, storage.AccessTokenJWT
			bank.UserinfoSignedResponseAlg, bank.IntrospectionSignedResponseAlg = "ES256", "ES256"
			known[bank.ID] = knows
			c.Clients = append(c.Clients, bank)
		}
	})
	remote, err := bearer.Remote(w.issuer, "https://api.test")
	if err != nil {
		t.Fatal(err)
	}
	runNode(t, w, "fapi.mjs", foreigners{
		Issuer: w.issuer, People: people, Clients: known,
		APIs: nodeAPIs(t, map[string]bearer.Verifier{"in this process": w.server, "elsewhere": remote}),
	}, len(known))
}

// written is a certificate as a script reads it.
func written(t *testing.T, c *tls.Certificate) certificate {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{
		Cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		Key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}
}

// TestNodeCertificates has openid-client come with TLS certificates, to an origin of the
// provider that alone asks for them, and to APIs. RFC 8705 §2, §3, §5
func TestNodeCertificates(t *testing.T) {
	node(t)
	var s *secured
	asked := map[string]bool{}
	var mu sync.Mutex
	alias := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path] = true
		mu.Unlock()
		s.handler.ServeHTTP(w, r)
	}))
	alias.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	alias.StartTLS()
	t.Cleanup(alias.Close)
	s = startSecured(t, func(c *server.Config) {
		c.MutualTLS.Alias = alias.URL
		for i := range c.Clients {
			if c.Clients[i].ID == "own-cert" {
				c.Clients[i].TLSClientCertificateBoundAccessTokens, c.Clients[i].AccessTokenFormat = true, storage.AccessTokenJWT
			}
		}
	})
	s.transport = s.by(nil).Transport
	apis := map[string]string{}
	for where, v := range map[string]bearer.Verifier{"in this process": s.server, "elsewhere": remoteAPI(t, s.world, s.transport)} {
		api := httptest.NewUnstartedServer(bearer.API{Verifier: v, Logger: slog.New(slog.DiscardHandler)}.Require()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("hello"))
		})))
		api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		api.StartTLS()
		t.Cleanup(api.Close)
		apis[where] = api.URL + "/notes"
	}
	runNode(t, s.world, "certificates.mjs", foreigners{
		Issuer: s.issuer, People: people, Clients: secretsOf(s.world, map[string]told{}), APIs: apis,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.listener.Certificate().Raw})),
		Certificates: map[string]certificate{
			"billing": written(t, s.billing), "own-cert": written(t, s.own), "native": written(t, (*authority)(nil).issue(t, clientTemplate("phone.test"))),
			"thief": written(t, (*authority)(nil).issue(t, clientTemplate("billing.test"))),
		},
	}, 3)
	mu.Lock()
	defer mu.Unlock()
	for _, place := range []string{"token", "par", "userinfo", "introspect", "revoke", "device_authorization"} {
		if !asked["/oauth/"+place] {
			t.Errorf("no client went to the other origin for %s", place)
		}
	}
}
