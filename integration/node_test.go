package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	case "EdDSA":
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

// TestNodeClients has openid-client and oauth4webapi, by which most programs in
// JavaScript sign in, go through all that they can do.
func TestNodeClients(t *testing.T) {
	program := node(t)
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
		for _, c := range c.Clients {
			if c.Secret != "" {
				known[c.ID] = told{Secret: string(c.Secret)}
			}
		}
	})
	api := httptest.NewUnstartedServer(nil)
	address := "http://" + api.Listener.Addr().String()
	api.Config.Handler = bearer.API{Verifier: w.server, BaseURL: address, Logger: slog.New(slog.DiscardHandler), NonceSecret: []byte("a-secret-of-the-api-0123456789abcdef")}.Require()(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(out, "hello %s", bearer.FromContext(r.Context()).Subject)
	}))
	api.Start()
	t.Cleanup(api.Close)
	input, err := json.Marshal(map[string]any{"issuer": w.issuer, "people": people, "clients": known, "api": address + "/notes"})
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), program, "--test-reporter=tap", filepath.Join("npm", "relying.mjs"))
	run.Stdin, run.WaitDelay = bytes.NewReader(input), time.Minute
	output, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, w.journal.all())
	}
	// A script that tested nothing would end well too.
	if !strings.Contains(string(output), "\n# pass 21\n") {
		t.Errorf("not all of it was tested:\n%s", output)
	}
}
