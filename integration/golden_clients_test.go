package integration

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/doorward/doorward/storage"
)

// goldenRegistrations is how many clients one address may register in an hour. So many are
// registered when a golden database is written.
const goldenRegistrations = 3

func (v *visit) must(r *reply, err error) *reply { v.t.Helper(); return answered(v.t)(r, err) }

// good is must for what has to succeed.
func (v *visit) good(r *reply, err error) *reply {
	v.t.Helper()
	if v.must(r, err); r.status >= http.StatusBadRequest {
		v.t.Fatal(r)
	}
	return r
}

// enter registers a client.
func (v *visit) enter(c storage.Client) *storage.Client {
	v.t.Helper()
	made, secret, err := v.server.Clients().Create(v.t.Context(), c)
	if err != nil {
		v.t.Fatal(err)
	}
	if made.Secret = secret; secret == "" {
		made.Secret = c.Secret
	}
	v.clients[made.ID] = &made
	return &made
}

// app registers a web application of the host's own, changed by each change.
func (v *visit) app(id string, changes ...func(*storage.Client)) string {
	v.t.Helper()
	c := storage.Client{
		ID: id, Name: "The " + id + " app", RedirectURIs: []string{"https://" + id + ".test/cb"}, FirstParty: true,
		Scope: "openid profile email offline_access notes:read notes:write", DefaultScope: "openid",
	}
	for _, change := range changes {
		change(&c)
	}
	return v.enter(c).ID
}

// tokens signs a person in to a client.
func (v *visit) tokens(who *person, client, name string, extra url.Values) *reply {
	v.t.Helper()
	code, verifier, err := v.code(who, client, name, extra)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.good(v.exchange(client, code, verifier, nil))
}

// given is the tokens of an answer, to be kept.
func given(r *reply) map[string]any {
	all := map[string]any{}
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		if value := r.text(name); value != "" {
			all[name] = value
		}
	}
	return all
}

// active says whether a token is.
func (v *visit) active(client, token string) bool {
	v.t.Helper()
	return v.good(v.post("introspect", client, url.Values{"token": {token}})).text("active") == "true"
}

// dead holds the tokens of a grant to be of no use.
func (v *visit) dead(client string, has had) {
	v.t.Helper()
	if v.active(client, has.text("access_token")) {
		v.t.Error("an access token that had ended works again")
	}
	if token, ok := has["refresh_token"]; ok {
		expect(v.t, "a refresh token that had ended", v.must(v.refresh(client, plain(token), nil)), http.StatusBadRequest, "invalid_grant")
	}
}

// same holds an answer, or the claims of a token, to say what it said then.
func (v *visit) same(what string, then any, now map[string]any) {
	v.t.Helper()
	object, _ := then.(map[string]any)
	if len(object) == 0 {
		v.t.Errorf("nothing is known of %s", what)
	}
	for name, value := range object {
		if plain(now[name]) != plain(value) {
			v.t.Errorf("%s has %s in %s, and had %s", what, plain(now[name]), name, plain(value))
		}
	}
}

// object is the body of an answer, or any value by its JSON.
func (v *visit) object(from any) (all map[string]any) {
	v.t.Helper()
	text, err := json.Marshal(from)
	if r, ok := from.(*reply); ok {
		text, err = r.body, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return all
}

// verified is what an ID token says, which has to be one of the provider's of then or now.
func (v *visit) verified(client, raw string) (claims map[string]any) {
	v.t.Helper()
	ctx := oidc.ClientContext(v.t.Context(), &http.Client{Transport: v.transport})
	token, err := oidc.NewVerifier(v.issuer, oidc.NewRemoteKeySet(ctx, v.endpoint("jwks")), &oidc.Config{
		ClientID: client, Now: v.now, SupportedSigningAlgs: []string{oidc.ES256},
	}).Verify(ctx, raw)
	if err == nil {
		err = token.Claims(&claims)
	}
	if err != nil {
		v.t.Errorf("an ID token: %v", err)
	}
	return claims
}

func keptOfClients() []keepsake {
	return []keepsake{
		{"the secrets of clients", func(v *visit) map[string]any {
			for id, c := range map[string]storage.Client{"generated": {}, "turned": {}, "brought": {Secret: "a secret that somebody brought, with + and :"}, "keyed": {TokenEndpointAuthMethod: storage.AuthMethodSecretJWT}} {
				c.ID, c.Scope, c.DefaultScope = id, "notes:read", "notes:read"
				v.enter(c)
			}
			turned, err := v.server.Clients().RotateSecret(v.t.Context(), "turned", 24*time.Hour)
			if err != nil {
				v.t.Fatal(err)
			}
			return map[string]any{"turned": string(turned)}
		}, func(v *visit, has had) {
			secrets := map[string][]string{"turned": {has.text("turned")}}
			for _, id := range []string{"generated", "turned", "brought"} {
				secrets[id] = append(secrets[id], string(v.clients[id].Secret))
			}
			for id, all := range secrets {
				for _, secret := range all {
					for of, status := range map[string]int{secret: http.StatusOK, secret + "x": http.StatusUnauthorized} {
						header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {basicHeader(id, storage.Secret(of))}}
						expect(v.t, "the secret of "+id, v.must(send(v.person().client, http.MethodPost, v.endpoint("token"), header, machineGrant.Encode())), status)
					}
				}
			}
			keyed := hs256(string(v.clients["keyed"].Secret), map[string]any{"iss": "keyed", "sub": "keyed", "aud": v.issuer, "jti": "a-new-one", "exp": v.now().Unix() + 60})
			expect(v.t, "a client that signs with its secret", (&robot{w: v.world}).post(v.t, "token", keyed, machineGrant), http.StatusOK)
		}},
		{"all that is said of clients", func(v *visit) map[string]any {
			all := map[string]any{}
			sector := storage.Client{ID: "sector", SubjectType: storage.SubjectPairwise, RedirectURIs: []string{"https://one.test/cb", "https://two.test/cb"}, Scope: "openid"}
			sector.SectorIdentifierURI = v.docs.URL + "/sector"
			v.docs.say(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, jsonText(sector.RedirectURIs)) })
			for _, c := range append(talkative(), sector) {
				all[c.ID] = v.object(v.enter(c))
			}
			return all
		}, func(v *visit, has had) {
			for id, said := range has {
				c, err := v.server.Clients().Get(v.t.Context(), id)
				if err != nil {
					v.t.Fatal(err)
				}
				v.same("the client "+id, said, v.object(c))
			}
		}},
		{"registrations", func(v *visit) map[string]any {
			secret := v.good(v.registers(http.MethodPost, v.endpoint("register"), "", `{"client_name":"mine","redirect_uris":["https://new.test/cb"],"scope":"openid"}`))
			statement := vouches().sign("JWT", map[string]any{"iss": voucher, "software_id": "vouched-for"})
			vouched := v.good(v.registers(http.MethodPost, v.endpoint("register"), "", `{"redirect_uris":["https://vouched.test/cb"],"scope":"openid","software_statement":`+jsonText(statement)+`}`))
			return map[string]any{"vouched": vouched.text("client_id"), "secret": v.object(secret), "public": v.object(v.good(v.registers(http.MethodPost, v.endpoint("register"), "", registersPublic)))}
		}, func(v *visit, has had) {
			secret := has["secret"].(map[string]any)
			at, token := plain(secret["registration_client_uri"]), plain(secret["registration_access_token"])
			shown := v.must(v.registers(http.MethodGet, at, token, ""))
			expect(v.t, "reading a registration", shown, http.StatusOK, `"mine"`)
			expect(v.t, "reading it without a right", v.must(v.registers(http.MethodGet, at, token+"x", "")), http.StatusUnauthorized)
			changed := `{"client_id":` + jsonText(secret["client_id"]) + `,"client_name":"ours","redirect_uris":["https://new.test/cb"],"scope":"openid"}`
			expect(v.t, "changing it", v.must(v.registers(http.MethodPut, at, token, changed)), http.StatusOK, `"ours"`)
			if c, err := v.server.Clients().Get(v.t.Context(), has.text("vouched")); err != nil || c.Registered == nil || c.Registered.Statement != voucher || c.SoftwareID != "vouched-for" {
				v.t.Errorf("nobody vouches for %+v: %v", c, err)
			}
			again := v.good(v.registers(http.MethodPost, v.endpoint("register"), "", registersPublic))
			v.same("a public client", map[string]any{"client_id": has["public"].(map[string]any)["client_id"]}, v.object(again))
			more := v.must(v.registers(http.MethodPost, v.endpoint("register"), "", strings.ReplaceAll(registersPublic, "phone", "tablet")))
			expect(v.t, "more than one address may register", more, http.StatusTooManyRequests, "registration_limit")
		}},
		{"a client that is known by its document", func(v *visit) map[string]any {
			id := v.docs.id("/app")
			v.docs.publish(v.docs.document(id))
			v.clients[id] = &storage.Client{ID: id, TokenEndpointAuthMethod: storage.AuthMethodNone, RedirectURIs: []string{"https://app.test/cb"}}
			all := given(v.tokens(v.alice, id, "alice", url.Values{"scope": {"openid notes:read offline_access"}}))
			all["client_id"] = id
			return all
		}, func(v *visit, has had) {
			next := v.good(v.refresh(has.text("client_id"), has.text("refresh_token"), nil)) // the document can't be reached any more
			for _, token := range []string{has.text("access_token"), next.text("access_token")} {
				if !v.works(v.t, token) {
					v.t.Error("a token was lost")
				}
			}
		}},
		{"an initial access token", func(v *visit) map[string]any {
			expires := v.now().Add(1000 * time.Hour)
			_, token, err := v.server.Clients().IssueInitialToken(v.t.Context(), storage.InitialToken{Note: "for the partners", Uses: 2, ExpiresAt: expires})
			if err != nil {
				v.t.Fatal(err)
			}
			v.good(v.registers(http.MethodPost, v.endpoint("register"), string(token), registersPrivate))
			return map[string]any{"token": string(token)}
		}, func(v *visit, has had) {
			token := has.text("token")
			expect(v.t, "the second use of two", v.must(v.registers(http.MethodPost, v.endpoint("register"), token, registersPrivate)), http.StatusCreated)
			expect(v.t, "the third use of two", v.must(v.registers(http.MethodPost, v.endpoint("register"), token, registersPrivate)), http.StatusUnauthorized, "initial_token_invalid")
		}},
	}
}

const (
	voucher          = "https://vouches.test" // for clients, in software statements
	registersPublic  = `{"client_name":"a phone","redirect_uris":["https://phone.test/cb"],"token_endpoint_auth_method":"none"}`
	registersPrivate = `{"redirect_uris":["https://partner.test/cb"],"scope":"openid"}`
)

// vouches signs software statements.
func vouches() *robot {
	return &robot{private: ed25519.NewKeyFromSeed([]byte("it is no secret of this fixture:"))}
}

func jsonText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// talkative are clients of whom everything is said that can be.
func talkative() []storage.Client {
	keys := json.RawMessage(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	return []storage.Client{
		{
			ID: "signs", Name: "Signs all", TokenEndpointAuthMethod: storage.AuthMethodPrivateKey, TokenEndpointAuthSigningAlg: "EdDSA", JWKS: keys,
			RequirePushedAuthorizationRequests: true, DPoPBoundAccessTokens: true, RequireDPoPNonce: true, RequireSignedRequestObject: true, RequestObjectSigningAlg: "EdDSA",
			RedirectURIs: []string{"https://signs.test/cb"}, PostLogoutRedirectURIs: []string{"https://signs.test/bye"}, ApplicationType: storage.ApplicationWeb,
			BackchannelLogoutURI: "https://signs.test/out", BackchannelLogoutSessionRequired: true,
			FrontchannelLogoutURI: "https://signs.test/frame", FrontchannelLogoutSessionRequired: true,
			GrantTypes: []string{storage.GrantAuthorizationCode, storage.GrantRefreshToken}, Scope: "openid notes:read", DefaultScope: "openid",
			Audiences: []string{"https://api.test"}, Introspects: []string{"https://api.test"}, AccessTokenFormat: storage.AccessTokenJWT,
			IDTokenSignedResponseAlg: "ES256", UserinfoSignedResponseAlg: "ES256", AuthorizationSignedResponseAlg: "ES256", IntrospectionSignedResponseAlg: "ES256",
			SubjectType: storage.SubjectPairwise, SoftwareID: "software", SoftwareVersion: "1.2",
			ClientURI: "https://signs.test/", LogoURI: "https://signs.test/logo.png", PolicyURI: "https://signs.test/policy", TOSURI: "https://signs.test/terms",
			Contacts: []string{"us@signs.test"}, FirstParty: true, RefreshPolicy: storage.RefreshNone,
			Insecure: storage.InsecureClient{AssertionForTokenEndpoint: true}, ExpiresAt: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
		},
		{ID: "shows", TokenEndpointAuthMethod: storage.AuthMethodPrivateKey, JWKSURI: "https://shows.test/keys", Scope: "notes:read", Disabled: true},
		{ID: "by-name", TokenEndpointAuthMethod: storage.AuthMethodTLS, TLSClientAuthSubjectDN: "CN=by-name,O=Example", Scope: "notes:read", TLSClientCertificateBoundAccessTokens: true},
		{ID: "by-dns", TokenEndpointAuthMethod: storage.AuthMethodTLS, TLSClientAuthSANDNS: "by-dns.test", Scope: "notes:read"},
		{ID: "by-uri", TokenEndpointAuthMethod: storage.AuthMethodTLS, TLSClientAuthSANURI: "https://by-uri.test/", Scope: "notes:read"},
		{ID: "by-ip", TokenEndpointAuthMethod: storage.AuthMethodTLS, TLSClientAuthSANIP: "192.0.2.7", Scope: "notes:read"},
		{ID: "by-mail", TokenEndpointAuthMethod: storage.AuthMethodTLS, TLSClientAuthSANEmail: "us@by-mail.test", Scope: "notes:read"},
		{ID: "skips", RedirectURIs: []string{"https://skips.test/cb"}, Scope: "openid", Insecure: storage.InsecureClient{SkipPKCE: true}},
	}
}
