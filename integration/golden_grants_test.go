package integration

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/doorward/doorward/storage"
)

// askedClaims are claims that are asked for one by one.
const askedClaims = `{"id_token":{"email":{"essential":true},"team":{"values":["blue","red"]}},"userinfo":{"birthdate":null,"team":{"value":"blue"}}}`

func withPolicy(p storage.RefreshPolicy) func(*storage.Client) {
	return func(c *storage.Client) { c.RefreshPolicy = p }
}

func withFormat(f storage.AccessTokenFormat) func(*storage.Client) {
	return func(c *storage.Client) { c.AccessTokenFormat = f }
}

func keptOfGrants() []keepsake {
	return []keepsake{
		{"a code", func(v *visit) map[string]any {
			code, verifier, err := v.code(v.alice, v.app("coded"), "alice", url.Values{"claims": {askedClaims}})
			if err != nil {
				v.t.Fatal(err)
			}
			v.must(v.exchange("coded", code, verifier+"x", nil)) // a wrong try
			return map[string]any{"code": code, "verifier": verifier}
		}, func(v *visit, has had) {
			tokens := v.good(v.exchange("coded", has.text("code"), has.text("verifier"), nil))
			v.same("the ID token", map[string]any{"sub": "alice", "nonce": "nonce-1", "acr": "basic", "email": "alice@people.test", "team": "blue"}, v.verified("coded", tokens.text("id_token")))
			expect(v.t, "a code that was used", v.must(v.exchange("coded", has.text("code"), has.text("verifier"), nil)), http.StatusBadRequest, "invalid_grant")
		}},
		{"a code that was guessed at", func(v *visit) map[string]any {
			code, verifier, err := v.code(v.alice, v.app("tried"), "alice", nil)
			if err != nil {
				v.t.Fatal(err)
			}
			for range 10 { // more than are allowed
				v.must(v.exchange("tried", code, verifier+"x", nil))
			}
			return map[string]any{"code": code, "verifier": verifier}
		}, func(v *visit, has had) {
			expect(v.t, "the right verifier", v.must(v.exchange("tried", has.text("code"), has.text("verifier"), nil)), http.StatusBadRequest, "invalid_grant")
		}},
		{"a used code", func(v *visit) map[string]any {
			code, verifier, err := v.code(v.alice, v.app("used"), "alice", nil)
			if err != nil {
				v.t.Fatal(err)
			}
			all := given(v.good(v.exchange("used", code, verifier, nil)))
			all["code"], all["verifier"] = code, verifier
			return all
		}, func(v *visit, has had) {
			if !v.active("used", has.text("access_token")) {
				v.t.Error("an access token was lost")
			}
			expect(v.t, "a code that was used", v.must(v.exchange("used", has.text("code"), has.text("verifier"), nil)), http.StatusBadRequest, "invalid_grant")
			v.dead("used", has)
		}},
		{"an access token", func(v *visit) map[string]any {
			tokens := v.tokens(v.alice, v.app("opened"), "alice", url.Values{"scope": {"openid email notes:read offline_access"}})
			return map[string]any{"tokens": given(tokens), "said": v.object(v.good(v.post("introspect", "opened", url.Values{"token": {tokens.text("access_token")}})))}
		}, func(v *visit, has had) {
			token := plain(has["tokens"].(map[string]any)["access_token"])
			v.same("an access token", has["said"], v.object(v.good(v.post("introspect", "opened", url.Values{"token": {token}}))))
			if !v.works(v.t, token) {
				v.t.Error("it does not work")
			}
			for found, page := false, (storage.Page{}); !found; {
				grants, next, err := v.server.Grants(v.t.Context(), "alice", page)
				if found = slices.ContainsFunc(grants, func(g storage.Grant) bool { return g.ClientID == "opened" }); err != nil || !found && next == "" {
					v.t.Fatalf("its grant is not listed: %v", err)
				}
				page.After = next
			}
		}},
		{"a token of a client", func(v *visit) map[string]any {
			v.enter(storage.Client{ID: "machine", Scope: "notes:read", DefaultScope: "notes:read"})
			return given(v.good(v.post("token", "machine", machineGrant)))
		}, func(v *visit, has had) {
			if !v.active("machine", has.text("access_token")) {
				v.t.Error("it does not work")
			}
		}},
		{"access tokens that are JWTs", func(v *visit) map[string]any {
			client, who := v.app("signed", withFormat(storage.AccessTokenJWT)), v.alice
			lives, revoked := v.tokens(who, client, "alice", nil), v.tokens(who, client, "alice", nil)
			v.good(v.post("revoke", client, url.Values{"token": {revoked.text("access_token")}}))
			return map[string]any{"lives": lives.text("access_token"), "revoked": revoked.text("access_token")}
		}, func(v *visit, has had) {
			if !v.active("signed", has.text("lives")) || v.active("signed", has.text("revoked")) {
				v.t.Error("one that was revoked is as good as one that was not")
			}
		}},
		{"refresh tokens", func(v *visit) map[string]any {
			all := map[string]any{}
			for client, policy := range map[string]storage.RefreshPolicy{"window": storage.RefreshWindow, "strict": storage.RefreshStrict, "until": storage.RefreshUntilUsed, "fixed": storage.RefreshNone} {
				all[client] = given(v.tokens(v.alice, v.app(client, withPolicy(policy)), "alice", nil))
			}
			return all
		}, func(v *visit, has had) {
			for client, tokens := range has {
				next := v.good(v.refresh(client, plain(tokens.(map[string]any)["refresh_token"]), nil))
				v.good(v.refresh(client, next.text("refresh_token"), nil))
				if !v.active(client, next.text("access_token")) {
					v.t.Errorf("the new access token of %s does not work", client)
				}
			}
		}},
		{"a refresh token that is repeated", func(v *visit) map[string]any {
			first := v.tokens(v.alice, v.app("twice"), "alice", nil).text("refresh_token")
			next := v.good(v.refresh("twice", first, nil)).text("refresh_token")
			for range mostRepeats - 1 {
				v.good(v.refresh("twice", first, nil))
			}
			return map[string]any{"refresh_token": first, "next": next}
		}, func(v *visit, has had) {
			if again := v.good(v.refresh("twice", has.text("refresh_token"), nil)); again.text("refresh_token") != has.text("next") {
				v.t.Errorf("another successor: %s", again)
			}
			expect(v.t, "more repeats than there may be", v.must(v.refresh("twice", has.text("refresh_token"), nil)), http.StatusBadRequest, "invalid_grant")
			v.good(v.refresh("twice", has.text("next"), nil))
		}},
		{"a refresh token that was used", func(v *visit) map[string]any {
			first := v.tokens(v.alice, v.app("once", withPolicy(storage.RefreshStrict)), "alice", nil).text("refresh_token")
			second := v.good(v.refresh("once", first, nil)).text("refresh_token")
			all := given(v.good(v.refresh("once", second, nil)))
			all["used"] = first
			return all
		}, func(v *visit, has had) {
			if !v.active("once", has.text("access_token")) || !v.active("once", has.text("refresh_token")) {
				v.t.Error("the newest tokens were lost")
			}
			v.seen("refresh_reuse")
			expect(v.t, "a used refresh token", v.must(v.refresh("once", has.text("used"), nil)), http.StatusBadRequest, "invalid_grant")
			if !v.seen("refresh_reuse") {
				v.t.Error("the theft was not noticed")
			}
			v.dead("once", has)
		}},
		{"a revoked grant", func(v *visit) map[string]any {
			tokens := v.tokens(v.alice, v.app("revoked"), "alice", nil)
			v.good(v.post("revoke", "revoked", url.Values{"token": {tokens.text("refresh_token")}}))
			return given(tokens)
		}, func(v *visit, has had) { v.dead("revoked", has) }},
		{"a pairwise subject", func(v *visit) map[string]any {
			tokens := v.tokens(v.alice, v.app("paired", func(c *storage.Client) { c.SubjectType = storage.SubjectPairwise }), "alice", nil)
			return map[string]any{"refresh_token": tokens.text("refresh_token"), "sub": v.verified("paired", tokens.text("id_token"))["sub"]}
		}, func(v *visit, has had) {
			for _, tokens := range []*reply{v.good(v.refresh("paired", has.text("refresh_token"), nil)), v.tokens(v.alice, "paired", "alice", nil)} {
				v.same("an ID token", map[string]any{"sub": has["sub"]}, v.verified("paired", tokens.text("id_token")))
			}
		}},
		{"bound tokens", func(v *visit) map[string]any {
			v.app("bound", func(c *storage.Client) { c.TokenEndpointAuthMethod = storage.AuthMethodNone })
			h := newHolder(v.t, v.site, v.now)
			proof := h.proof(http.MethodPost, v.endpoint("token"), "", nil)
			all := given(v.good(h.post(v.t, "token", "bound", proof, h.redeem(v.t, "bound", nil)), nil))
			code := h.redeem(v.t, "bound", url.Values{"dpop_jkt": {h.thumbprint()}})
			all["key"], all["proof"], all["code"] = privateText(v, h.key), proof, code.Encode()
			return all
		}, func(v *visit, has had) {
			thief, h := newHolder(v.t, v.site, v.now), &holder{site: v.site, now: v.now}
			h.key, _ = privateOf(v, has).(*ecdsa.PrivateKey)
			refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {has.text("refresh_token")}}
			code, err := url.ParseQuery(has.text("code"))
			if err != nil {
				v.t.Fatal(err)
			}
			expect(v.t, "a proof that was used", h.post(v.t, "token", "bound", has.text("proof"), refresh), http.StatusBadRequest, "dpop_replayed")
			expect(v.t, "another key", thief.prove(v.t, "token", "bound", refresh), http.StatusBadRequest, "dpop_key_other")
			expect(v.t, "another key for the code", thief.prove(v.t, "token", "bound", code), http.StatusBadRequest, "dpop_key_other")
			at, access := v.endpoint("userinfo"), has.text("access_token")
			expect(v.t, "userinfo", h.show(v.t, "DPoP", access, h.proof(http.MethodGet, at, access, nil)), http.StatusOK, `"alice"`)
			expect(v.t, "a refresh", h.prove(v.t, "token", "bound", refresh), http.StatusOK, `"DPoP"`)
			expect(v.t, "the code", h.prove(v.t, "token", "bound", code), http.StatusOK, `"DPoP"`)
		}},
		{"tokens that are bound to a certificate", func(v *visit) map[string]any {
			v.app("certified", func(c *storage.Client) {
				c.TokenEndpointAuthMethod, c.TLSClientCertificateBoundAccessTokens = storage.AuthMethodNone, true
			})
			code, verifier, err := v.code(v.alice, "certified", "alice", nil)
			if err != nil {
				v.t.Fatal(err)
			}
			cert := newCertificate(v, "ours.test")
			all := given(v.good(v.certified("certified", cert, url.Values{
				"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {v.redirectURI("certified")}, "code_verifier": {verifier},
			}), nil))
			all["certificate"] = cert
			return all
		}, func(v *visit, has had) {
			for cert, status := range map[string]int{newCertificate(v, "theirs.test"): http.StatusBadRequest, has.text("certificate"): http.StatusOK} {
				next := v.certified("certified", cert, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {has.text("refresh_token")}})
				expect(v.t, "a refresh", next, status)
				at := http.Header{"Authorization": {"Bearer " + has.text("access_token")}, "Client-Cert": {":" + cert + ":"}}
				shown := v.must(send(v.person().client, http.MethodGet, v.endpoint("userinfo"), at, ""))
				if (shown.status == http.StatusOK) != (status == http.StatusOK) {
					v.t.Errorf("userinfo: %s", shown)
				}
			}
		}},
	}
}

// certified sends a form of a public client with a certificate, as the proxy passes it on.
func (v *visit) certified(client, cert string, fields url.Values) *reply {
	v.t.Helper()
	fields.Set("client_id", client)
	return v.must(send(v.person().client, http.MethodPost, v.endpoint("token"), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Client-Cert": {":" + cert + ":"},
	}, fields.Encode()))
}

func newCertificate(v *visit, name string) string {
	v.t.Helper()
	template := clientTemplate(name)
	template.NotAfter = time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	return base64.StdEncoding.EncodeToString((*authority)(nil).issue(v.t, template).Certificate[0])
}

func privateText(v *visit, key any) string {
	v.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		v.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// privateOf is the private key of a client.
func privateOf(v *visit, has had) any {
	v.t.Helper()
	der, err := base64.StdEncoding.DecodeString(has.text("key"))
	if err != nil {
		v.t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		v.t.Fatal(err)
	}
	return key
}

func keptOfKeys() []keepsake {
	return []keepsake{
		{"the keys that sign", func(v *visit) map[string]any {
			client := v.app("reads")
			retired := v.tokens(v.alice, client, "alice", nil).text("id_token")
			if err := v.server.RotateKeys(v.t.Context()); err != nil {
				v.t.Fatal(err)
			}
			set := v.good(send(v.person().client, http.MethodGet, v.endpoint("jwks"), nil, ""))
			return map[string]any{"set": v.object(set), "retired": retired, "id_token": v.tokens(v.alice, client, "alice", nil).text("id_token")}
		}, func(v *visit, has had) {
			now := v.good(send(v.person().client, http.MethodGet, v.endpoint("jwks"), nil, ""))
			v.same("the key set", has["set"], v.object(now))
			for _, name := range []string{"retired", "id_token"} {
				v.same("an ID token", map[string]any{"sub": "alice"}, v.verified("reads", has.text(name)))
			}
		}},
		{"what clients have signed", func(v *visit) map[string]any {
			r := newRobot(v.t)
			r.w = v.world
			c := r.client()
			c.FirstParty = true
			v.enter(c)
			assertion, object := r.assert(nil), r.sign("oauth-authz-req+jwt", map[string]any{
				"iss": "robot", "aud": v.issuer, "client_id": "robot", "exp": v.now().Unix() + 600, "response_type": "code", "jti": "the-only-one",
				"redirect_uri": "https://robot.test/cb", "scope": "openid", "code_challenge": oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier()), "code_challenge_method": "S256",
			})
			v.good(r.post(v.t, "token", assertion, machineGrant), nil)
			v.good(v.alice.signIn(v.endpoint("authorize")+"?"+url.Values{"client_id": {"robot"}, "request": {object}}.Encode(), "alice"))
			return map[string]any{"key": privateText(v, r.private), "assertion": assertion, "object": object}
		}, func(v *visit, has had) {
			r := &robot{w: v.world}
			r.private, _ = privateOf(v, has).(ed25519.PrivateKey)
			expect(v.t, "an assertion that was used", r.post(v.t, "token", has.text("assertion"), machineGrant), http.StatusUnauthorized, "assertion_replayed")
			expect(v.t, "a new assertion", r.post(v.t, "token", r.assert(nil), machineGrant), http.StatusOK)
			again := v.must(v.person().open(v.endpoint("authorize") + "?" + url.Values{"client_id": {"robot"}, "request": {has.text("object")}}.Encode()))
			if again.has(url.Values{"username": {""}}) {
				v.t.Errorf("a request object that was used: %s", again)
			}
		}},
	}
}
