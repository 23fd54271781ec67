package integration

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// badge is a further grant of the host's.
const badge = "urn:example:badge"

// announced is a provider with everything on, and what it tells of itself.
type announced struct {
	*secured
	t    *testing.T
	doc  map[string]any
	keys map[string]any // of the clients that sign, by algorithm
	jwks map[string]any // and their public parts, by client
	docs *publisher     // where a client publishes its document
	told *party         // where clients are told of sign-outs
}

func announce(t *testing.T) *announced {
	t.Helper()
	a := &announced{t: t, keys: map[string]any{}, jwks: map[string]any{}, docs: newPublisher(t), told: newParty(t)}
	alias := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }))
	alias.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	alias.StartTLS()
	t.Cleanup(alias.Close)
	a.secured = startSecured(t, func(c *server.Config) {
		withDevices(c)
		a.told.configure(c)
		c.Roots.AddCert(a.docs.Certificate())
		c.Registration.Documents = true
		c.Insecure.FetchHosts = append(c.Insecure.FetchHosts, a.docs.host)
		c.MutualTLS.Alias = alias.URL
		c.Login = newcomers{handlers.PasswordLogin{Verify: verifyPassword}}
		c.Claims = func(_ context.Context, r *handlers.ClaimsRequest) error {
			for _, name := range []string{
				"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate",
				"zoneinfo", "locale", "email", "phone_number",
			} {
				r.User[name] = "their " + name
			}
			r.User["email_verified"], r.User["updated_at"] = true, 1700000000
			return nil
		}
		c.Keys.Algorithms = []string{"RS256", "ES256", "EdDSA"}
		c.Resources = []server.Resource{{ID: "https://api.test"}, {ID: "https://notes.test/v2"}}
		c.Grants = []handlers.Grant{{Type: badge, Exchange: func(_ context.Context, r *handlers.GrantRequest) (*handlers.GrantResult, error) {
			return &handlers.GrantResult{Subject: handlers.Subject{ID: "alice"}, Scopes: r.Scopes}, nil
		}}}
		for i := range c.Clients {
			switch c.Clients[i].ID {
			case "machine":
				c.Clients[i].Audiences = []string{"https://api.test", "https://notes.test/v2"}
			case "other":
				c.Clients[i].FrontchannelLogoutURI, c.Clients[i].FrontchannelLogoutSessionRequired = "https://other.test/out", true
			}
		}
		for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA", "Ed25519"} {
			signs, knows := signer(t, "by-"+alg, alg)
			signs.RedirectURIs = []string{"https://signs.test/cb"}
			key, err := x509.ParsePKCS8PrivateKey(knows.Key)
			if err != nil {
				t.Fatal(err)
			}
			var set struct{ Keys []map[string]any }
			if err := json.Unmarshal(signs.JWKS, &set); err != nil {
				t.Fatal(err)
			}
			for _, beside := range []string{"kid", "alg", "use"} {
				delete(set.Keys[0], beside)
			}
			a.keys[alg], a.jwks[signs.ID] = key, set.Keys[0]
			signs.GrantTypes = []string{"authorization_code", "client_credentials"}
			c.Clients = append(c.Clients, signs)
		}
		for _, alg := range c.Keys.Algorithms {
			c.Clients = append(c.Clients, storage.Client{
				ID: "told-" + alg, Secret: "secret-of-told-0123456789abcdef", RedirectURIs: []string{"https://told.test/cb"}, Scope: "openid",
				IDTokenSignedResponseAlg: alg, UserinfoSignedResponseAlg: alg, AuthorizationSignedResponseAlg: alg, IntrospectionSignedResponseAlg: alg,
			})
		}
		c.Clients = append(c.Clients,
			storage.Client{ID: "keyed", TokenEndpointAuthMethod: storage.AuthMethodSecretJWT, Secret: "secret-of-keyed-0123456789abcdef", Scope: "notes:read"},
			storage.Client{ID: "reader", Secret: "secret-of-reader-0123456789abcdef", GrantTypes: []string{badge}, Scope: "notes:read"})
	})
	a.told.w = a.world
	a.doc = a.metadata(t)
	return a
}

// metadata is what a provider tells of itself, the same at both places.
func (w *world) metadata(t *testing.T) map[string]any {
	t.Helper()
	var found []*reply
	for _, name := range []string{"openid-configuration", "oauth-authorization-server"} {
		found = append(found, answered(t)(send(&http.Client{Transport: w.transport}, http.MethodGet, w.endpoint("/.well-known/"+name), nil, "")))
	}
	doc := map[string]any{}
	if err := json.Unmarshal(found[0].body, &doc); err != nil || !bytes.Equal(found[0].body, found[1].body) {
		t.Fatalf("%v: %s and %s", err, found[0], found[1])
	}
	return doc
}

// values are those of a list.
func values(list any) (found []string) {
	all, _ := list.([]any)
	for _, value := range all {
		text, _ := value.(string)
		found = append(found, text)
	}
	return found
}

// signWith makes a JWT. The key says how: a slice of bytes is a secret.
func signWith(t *testing.T, alg string, key any, header, claims map[string]any) string {
	t.Helper()
	head := map[string]any{"alg": alg}
	maps.Copy(head, header)
	first, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	input := encoded(string(first)) + "." + encoded(string(body))
	sum, signature := sha256.Sum256([]byte(input)), []byte(nil)
	switch key := key.(type) {
	case []byte:
		m := hmac.New(sha256.New, key)
		m.Write([]byte(input))
		signature = m.Sum(nil)
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(input))
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, key, sum[:])
		if err = e; err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case *rsa.PrivateKey:
		if alg == "PS256" {
			signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		}
	}
	if err != nil || signature == nil {
		t.Fatalf("no signature by %T: %v", key, err)
	}
	return input + "." + encoded(string(signature))
}

// keyFor is the key of a client that signs by an algorithm, any for one that nobody takes.
func (a *announced) keyFor(alg string) (client string, key any) {
	if key, known := a.keys[alg]; known {
		return "by-" + alg, key
	}
	return "by-ES256", a.keys["ES256"]
}

// asks has alice go through what a client asks for, and returns what the client gets.
func (a *announced) asks(client string, extra url.Values) (answer *reply, verifier string) {
	a.t.Helper()
	address, verifier := a.authorizeURL(client, extra)
	return answered(a.t)(a.person().signIn(address, "alice")), verifier
}

// back is what a client is told in its link.
func back(r *reply) url.Values {
	if to := r.location(); to != nil {
		return to.Query()
	}
	return url.Values{}
}

// refusesAt wants a client to be told of this error.
func (a *announced) refusesAt(what, client, code string, extra url.Values) {
	a.t.Helper()
	if r, _ := a.asks(client, extra); back(r).Get("error") != code && !strings.Contains(string(r.body), code) {
		a.t.Errorf("%s: want %s, got %s", what, code, r)
	}
}

// tokens are those that a client with a secret gets.
func (a *announced) tokens(client string, extra url.Values) *reply {
	a.t.Helper()
	r, verifier := a.asks(client, extra)
	code := back(r).Get("code")
	if code == "" {
		a.t.Fatalf("%s got no code: %s", client, r)
	}
	tokens := answered(a.t)(a.exchange(client, code, verifier, nil))
	expect(a.t, client, tokens, http.StatusOK, "access_token")
	return tokens
}

// claimsOf verifies a JWT of the provider's and wants it signed by an algorithm.
func (a *announced) claimsOf(token, alg string) map[string]any {
	a.t.Helper()
	ctx := oidc.ClientContext(a.t.Context(), &http.Client{Transport: a.transport})
	payload, err := oidc.NewRemoteKeySet(ctx, a.endpoint("jwks")).VerifySignature(ctx, token)
	if err != nil {
		a.t.Errorf("%s: %s: %v", alg, token, err)
		return nil
	}
	var header struct{ Alg string }
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		a.t.Error(err)
	}
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil || json.Unmarshal(head, &header) != nil || header.Alg != alg {
		a.t.Errorf("want %s, got %s: %v", alg, header.Alg, err)
	}
	return claims
}

// proven sends a form as a client that is known by a method, and signs by an algorithm
// where the method does.
func (a *announced) proven(method, alg, place string, fields url.Values) *reply {
	a.t.Helper()
	sent, header, cert := maps.Clone(fields), http.Header{}, (*tls.Certificate)(nil)
	assert := func(client string, key any) {
		sent.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		sent.Set("client_assertion", signWith(a.t, alg, key, map[string]any{"kid": "one"}, map[string]any{
			"iss": client, "sub": client, "aud": a.issuer, "jti": rand.Text(), "exp": a.now().Unix() + 60, "iat": a.now().Unix(),
		}))
	}
	switch method {
	case "client_secret_basic":
		header.Set("Authorization", basicHeader("machine", a.clients["machine"].Secret))
	case "client_secret_post":
		sent.Set("client_id", "machine")
		sent.Set("client_secret", string(a.clients["machine"].Secret))
	case storage.AuthMethodSecretJWT:
		assert("keyed", []byte(a.clients["keyed"].Secret))
	case storage.AuthMethodPrivateKey:
		assert(a.keyFor(alg))
	case storage.AuthMethodTLS:
		sent.Set("client_id", "billing")
		cert = a.billing
	case storage.AuthMethodSelfSigned:
		sent.Set("client_id", "own-cert")
		cert = a.own
	case storage.AuthMethodNone:
		sent.Set("client_id", "spa")
	default:
		a.t.Errorf("no client is known by %s", method)
	}
	return a.secured.post(a.t, place, cert, header, sent)
}

// formFor is what an endpoint takes of such a client.
func (a *announced) formFor(place, method string) url.Values {
	switch {
	case place != "token":
		return url.Values{"token": {"dwa_nonsense"}}
	case method == storage.AuthMethodNone:
		r, verifier := a.asks("spa", url.Values{"scope": {"openid"}})
		return url.Values{"grant_type": {"authorization_code"}, "code": {back(r).Get("code")}, "redirect_uri": {a.redirectURI("spa")}, "code_verifier": {verifier}}
	default:
		return url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}}
	}
}

// TestAnnounced tries every value of every list of the metadata, each switch, and each
// endpoint; what stands in no list is refused. A member that nobody tries is an error, so
// nothing is told in passing. RFC 8414 §2, OpenID Connect Discovery §3
func TestAnnounced(t *testing.T) {
	a := announce(t)
	lists, switches, places := a.lists(), a.switches(), a.places()
	for _, name := range slices.Sorted(maps.Keys(a.doc)) {
		t.Run(name, func(t *testing.T) {
			a.t = t
			switch value := a.doc[name].(type) {
			case []any:
				list, ok := lists[name]
				if !ok || len(value) == 0 {
					t.Fatalf("nobody tries %v", value)
				}
				for _, one := range values(value) {
					list.works(one)
				}
				for _, one := range list.beside {
					if slices.Contains(values(value), one) {
						t.Errorf("%s is told", one)
					}
					list.refused(one)
				}
			case bool:
				try, ok := switches[name]
				if !ok {
					t.Fatal("nobody tries it")
				}
				try(value)
			default:
				try, ok := places[name]
				if !ok {
					t.Fatalf("nobody tries %v", value)
				}
				try(value)
			}
		})
	}
	t.Run("all of it is there", func(t *testing.T) {
		for _, names := range [][]string{slices.Collect(maps.Keys(lists)), slices.Collect(maps.Keys(switches)), slices.Collect(maps.Keys(places))} {
			for _, name := range names {
				if _, ok := a.doc[name]; !ok {
					t.Errorf("it does not tell %s", name)
				}
			}
		}
	})
}
