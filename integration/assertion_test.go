package integration

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// robot is a client that signs, by the standard library alone.
type robot struct {
	w       *world
	private ed25519.PrivateKey
}

func newRobot(t testing.TB) *robot {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &robot{private: private}
}

// keys is the robot's JWK Set.
func (r *robot) keys() json.RawMessage {
	x := base64.RawURLEncoding.EncodeToString(r.private.Public().(ed25519.PublicKey))
	return json.RawMessage(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"one","x":"` + x + `"}]}`)
}

// client is how it is registered.
func (r *robot) client() storage.Client {
	return storage.Client{
		ID: "robot", TokenEndpointAuthMethod: "private_key_jwt", JWKS: r.keys(), Scope: "openid notes:read notes:write", DefaultScope: "notes:read",
		GrantTypes: []string{"client_credentials", "authorization_code"}, RedirectURIs: []string{"https://robot.test/cb"}, Audiences: []string{"https://api.test"},
	}
}

// start makes a world with the robot in it.
func (r *robot) start(t testing.TB, p plan) *robot {
	t.Helper()
	p.configure = func(c *server.Config) { c.Clients = append(c.Clients, r.client()) }
	r.w = start(t, p)
	return r
}

// assert signs an assertion with these changes, a nil taking a claim away.
func (r *robot) assert(changes map[string]any) string {
	now := r.w.now().Unix()
	claims := map[string]any{"iss": "robot", "sub": "robot", "aud": r.w.issuer, "jti": rand.Text(), "iat": now, "exp": now + 60}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		return err.Error()
	}
	input := encoded(`{"alg":"EdDSA","kid":"one","typ":"client-authentication+jwt"}`) + "." + encoded(string(payload))
	return input + "." + encoded(string(ed25519.Sign(r.private, []byte(input))))
}

func encoded(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// post sends a form with an assertion.
func (r *robot) post(t testing.TB, place, assertion string, fields url.Values) *reply {
	t.Helper()
	form := url.Values{"client_assertion": {assertion}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	maps.Copy(form, fields)
	answer, err := send(&http.Client{Transport: r.w.transport}, http.MethodPost, r.w.endpoint(place),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

var machineGrant = url.Values{"grant_type": {"client_credentials"}}

// TestAssertionAtEveryEndpoint: one assertion opens one door, once, whichever it is.
// RFC 7523 §3, RFC 7009 §2.1, RFC 7662 §2.1, RFC 8628 §3.1, RFC 9126 §2
func TestAssertionAtEveryEndpoint(t *testing.T) {
	r := newRobot(t)
	r.w = start(t, plan{configure: func(c *server.Config) {
		client := r.client()
		client.GrantTypes = append(client.GrantTypes, storage.GrantDeviceCode)
		c.DeviceGrant, c.Clients = true, append(c.Clients, client)
	}})
	doors := map[string]url.Values{"token": machineGrant, "revoke": {"token": {"x"}}, "introspect": {"token": {"x"}}, "device_authorization": {"scope": {"openid"}}, "par": {
		"response_type": {"code"}, "redirect_uri": {"https://robot.test/cb"}, "scope": {"openid"}, "code_challenge_method": {"S256"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
	}}
	for place, fields := range doors {
		assertion := r.assert(nil)
		if a := r.post(t, place, assertion, fields); a.status != http.StatusOK && a.status != http.StatusCreated {
			t.Fatalf("%s: %s", place, a)
		}
		for other, fields := range doors {
			a := r.post(t, other, assertion, fields)
			if a.status != http.StatusUnauthorized || !strings.Contains(string(a.body), "assertion_replayed") || !strings.Contains(string(a.body), "invalid_client") {
				t.Errorf("%s after %s: %s", other, place, a)
			}
		}
		if a := r.post(t, place, r.assert(map[string]any{"aud": "https://elsewhere.test"}), fields); !strings.Contains(string(a.body), "assertion_audience") {
			t.Errorf("%s, aud of another server: %s", place, a)
		}
		if a := r.post(t, place, r.assert(nil), url.Values{"client_id": {"web"}, "token": {"x"}, "grant_type": {"client_credentials"}}); a.status != http.StatusUnauthorized {
			t.Errorf("%s, as another client: %s", place, a)
		}
	}
}

// TestAssertionAfterRestart: what was used stays used when the server is started anew.
func TestAssertionAfterRestart(t *testing.T) {
	r, dir := newRobot(t), t.TempDir()
	add := func(c *server.Config) { c.Clients = append(c.Clients, r.client()) }
	first, err := newWorld(plan{backend: "bolt", dir: dir, configure: add})
	if err != nil {
		t.Fatal(err)
	}
	r.w = first
	assertion := r.assert(nil)
	if a := r.post(t, "token", assertion, machineGrant); a.status != http.StatusOK {
		t.Fatal(a)
	}
	if err := first.backend.Close(); err != nil {
		t.Fatal(err)
	}
	r.start(t, plan{backend: "bolt", dir: dir})
	if a := r.post(t, "token", assertion, machineGrant); !strings.Contains(string(a.body), "assertion_replayed") {
		t.Errorf("after a restart: %s", a)
	}
	if a := r.post(t, "token", r.assert(nil), machineGrant); a.status != http.StatusOK {
		t.Error(a)
	}
}

// TestAssertionRace: twenty requests with one assertion are one success.
func TestAssertionRace(t *testing.T) {
	for _, backend := range []string{"memory", "bolt"} {
		r := newRobot(t).start(t, plan{backend: backend})
		assertion := r.assert(nil)
		var won atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				switch a := r.post(t, "token", assertion, machineGrant); a.status {
				case http.StatusOK:
					won.Add(1)
				case http.StatusUnauthorized:
				default:
					t.Errorf("%s: %s", backend, a)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%s: %d requests won", backend, won.Load())
		}
	}
}

// TestKeysAtAURL: keys are fetched from where the client publishes them, and from
// nowhere inside unless it is allowed. RFC 7591 §2
func TestKeysAtAURL(t *testing.T) {
	r := newRobot(t)
	var asked atomic.Int64
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(r.keys())
	}))
	defer keys.Close()
	roots := x509.NewCertPool()
	roots.AddCert(keys.Certificate())
	for _, allowed := range []bool{false, true} {
		r.w = start(t, plan{configure: func(c *server.Config) {
			client := r.client()
			client.JWKS, client.JWKSURI, c.Roots = nil, keys.URL+"/jwks", roots
			c.Clients = append(c.Clients, client)
			if allowed {
				c.Insecure.FetchHosts = []string{strings.TrimPrefix(keys.URL, "https://")}
			}
		}})
		a := r.post(t, "token", r.assert(nil), machineGrant)
		if (a.status == http.StatusOK) != allowed || (asked.Load() > 0) != allowed {
			t.Errorf("allowed %v: %s after %d requests", allowed, a, asked.Load())
		}
		if strings.Contains(string(a.body), "127.0.0.1") || strings.Contains(fmt.Sprint(a.header), keys.URL) {
			t.Errorf("the client is told where the server looked: %s", a)
		}
	}
}
