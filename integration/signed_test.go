package integration

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// sign makes a JWT of the robot's.
func (r *robot) sign(typ string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		return err.Error()
	}
	input := encoded(`{"alg":"EdDSA","kid":"one","typ":"`+typ+`"}`) + "." + encoded(string(payload))
	return input + "." + encoded(string(ed25519.Sign(r.private, []byte(input))))
}

// TestSignedBothWays: a client that signs its requests and wants every answer signed is
// served from the browser to userinfo and introspection, pushed or not, and whoever changes
// its link changes nothing. RFC 9101 §4, JARM §2.3, RFC 9701 §5, OpenID Connect Core §5.3.2,
// RFC 9701 §4, §6, JARM §3, RFC 9110 §12.5.1
func TestSignedBothWays(t *testing.T) {
	for _, backend := range []string{"memory", "bolt"} {
		r := newRobot(t)
		w := start(t, plan{backend: backend, configure: func(c *server.Config) {
			robot := r.client()
			robot.TokenEndpointAuthMethod, robot.RequireSignedRequestObject = storage.AuthMethodPrivateKey, true
			robot.Audiences, robot.FirstParty, robot.UserinfoSignedResponseAlg = nil, true, "ES256"
			c.Clients, c.Keys.Algorithms = append(c.Clients, robot), []string{"RS256", "ES256"}
		}})
		r.w = w
		ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: w.transport})
		keys := oidc.NewRemoteKeySet(ctx, w.endpoint("jwks"))
		told := func(token string) map[string]any {
			t.Helper()
			payload, err := keys.VerifySignature(ctx, token)
			if err != nil {
				t.Fatalf("%s: %v", token, err)
			}
			claims := map[string]any{}
			if err := json.Unmarshal(payload, &claims); err != nil {
				t.Fatal(err)
			}
			return claims
		}
		for _, pushed := range []bool{false, true} {
			verifier := oauth2.GenerateVerifier()
			object := r.sign("oauth-authz-req+jwt", map[string]any{
				"iss": "robot", "aud": w.issuer, "client_id": "robot", "exp": w.now().Unix() + 60, "response_type": "code", "response_mode": "jwt",
				"redirect_uri": "https://robot.test/cb", "scope": "openid", "state": "mine", "nonce": "n", "max_age": 3600,
				"code_challenge": oauth2.S256ChallengeFromVerifier(verifier), "code_challenge_method": "S256",
			})
			query := url.Values{"client_id": {"robot"}, "request": {object}, "state": {"theirs"}, "redirect_uri": {"https://evil.test/cb"}}
			if pushed {
				var answer struct {
					RequestURI string `json:"request_uri"`
				}
				a := r.post(t, "par", r.assert(nil), url.Values{"request": {object}})
				if err := json.Unmarshal(a.body, &answer); err != nil || a.status != http.StatusCreated {
					t.Fatal(a)
				}
				query = url.Values{"client_id": {"robot"}, "request_uri": {answer.RequestURI}}
			}
			authorize := w.endpoint("authorize") + "?" + query.Encode()
			a, err := w.person().signIn(authorize, "alice")
			if err != nil {
				t.Fatal(err)
			}
			to := a.location()
			if to == nil || !strings.HasPrefix(to.String(), "https://robot.test/cb?response=") || len(to.Query()) != 1 {
				t.Fatalf("the answer goes elsewhere, or says more: %s", a)
			}
			claims := told(to.Query().Get("response"))
			code, _ := claims["code"].(string)
			if claims["iss"] != w.issuer || claims["aud"] != "robot" || claims["state"] != "mine" || code == "" {
				t.Fatalf("it says %v", claims)
			}
			if a, err = w.person().open(authorize); err != nil || !strings.Contains(string(a.body)+a.header.Get("Location"), "used") {
				t.Errorf("the same link once more: %s, %v", a, err)
			}
			a = r.post(t, "token", r.assert(nil), url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}})
			var tokens struct {
				Access string `json:"access_token"`
			}
			if err := json.Unmarshal(a.body, &tokens); err != nil || a.status != http.StatusOK {
				t.Fatal(a)
			}
			a, err = send(&http.Client{Transport: w.transport}, http.MethodGet, w.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + tokens.Access}}, "")
			if err != nil || a.header.Get("Content-Type") != "application/jwt" {
				t.Fatal(a, err)
			}
			if claims = told(string(a.body)); claims["aud"] != "robot" || claims["iss"] != w.issuer || claims["sub"] == "" {
				t.Errorf("userinfo says %v", claims)
			}
			form := url.Values{"token": {tokens.Access}, "client_assertion": {r.assert(nil)}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
			a, err = send(&http.Client{Transport: w.transport}, http.MethodPost, w.endpoint("introspect"), http.Header{
				"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html, application/token-introspection+jwt;q=0.9"},
			}, form.Encode())
			if err != nil || a.header.Get("Content-Type") != "application/token-introspection+jwt" {
				t.Fatal(a, err)
			}
			inner, _ := told(string(a.body))["token_introspection"].(map[string]any)
			if inner["active"] != true || inner["client_id"] != "robot" {
				t.Errorf("introspection says %v", inner)
			}
		}
		plain, _ := w.authorizeURL("robot", nil)
		if a, err := w.person().open(plain); err != nil || a.location() == nil || a.location().Query().Get("error") != "invalid_request" {
			t.Errorf("an unsigned request: %s, %v", a, err)
		}
	}
}

// TestSecretThatSigns: a client that signs with its secret works while it is registered in
// the store, through a rotation of its secret, and the store holds no secret to read.
// OpenID Connect Core §9
func TestSecretThatSigns(t *testing.T) {
	w := start(t, plan{backend: "bolt"})
	ask := func(secret storage.Secret) *reply {
		claims := map[string]any{"iss": "keyed", "sub": "keyed", "aud": w.issuer, "jti": oauth2.GenerateVerifier(), "exp": w.now().Unix() + 60}
		form := url.Values{
			"grant_type": {"client_credentials"}, "client_assertion": {hs256(string(secret), claims)},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}
		a, err := send(&http.Client{Transport: w.transport}, http.MethodPost, w.endpoint("token"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	made, first, err := w.server.Clients().Create(t.Context(), storage.Client{
		ID: "keyed", TokenEndpointAuthMethod: storage.AuthMethodSecretJWT, Scope: "notes:read", DefaultScope: "notes:read",
	})
	if err != nil || first == "" || len(made.Secrets) != 1 || made.Secrets[0].Value != "" {
		t.Fatalf("%+v %v", made, err)
	}
	if a := ask(first); a.status != http.StatusOK {
		t.Fatal(a)
	}
	second, err := w.server.Clients().RotateSecret(t.Context(), "keyed", 60e9)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []storage.Secret{first, second} {
		if a := ask(secret); a.status != http.StatusOK {
			t.Error(a)
		}
	}
	w.advance(61e9)
	if a := ask(first); a.status != http.StatusUnauthorized {
		t.Error(a)
	}
	if a := ask(second); a.status != http.StatusOK {
		t.Error(a)
	}
	// Of a client that shows its secret the hash alone is kept, from now on.
	made.TokenEndpointAuthMethod = "client_secret_basic"
	if _, err := w.server.Clients().Update(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	kept, err := storage.Clients(w.server.Store()).Get(t.Context(), "keyed")
	if err != nil || len(kept.Secrets) == 0 || kept.Secrets[0].Value != "" || kept.Secrets[0].Hash == "" {
		t.Errorf("%+v %v", kept, err)
	}
}

// hs256 signs claims with a secret.
func hs256(secret string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		return err.Error()
	}
	input := encoded(`{"alg":"HS256"}`) + "." + encoded(string(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(input))
	return input + "." + encoded(string(mac.Sum(nil)))
}
