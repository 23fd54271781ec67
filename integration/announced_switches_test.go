package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// switches are the trials of what is on or off.
func (a *announced) switches() map[string]func(on bool) {
	required := func(on bool) {
		if on {
			a.t.Error("it is told to be required")
		}
		a.signsIn(nil)
	}
	return map[string]func(on bool){
		"authorization_response_iss_parameter_supported": func(on bool) {
			for _, extra := range []url.Values{nil, {"scope": {"unheard"}}} {
				if r, _ := a.asks("web", extra); (back(r).Get("iss") == a.issuer) != on {
					a.t.Errorf("%v: %s", extra, r)
				}
			}
		},
		"claims_parameter_supported": func(on bool) {
			tokens := a.tokens("web", url.Values{"scope": {"openid"}, "claims": {`{"id_token":{"email":null}}`}})
			if (a.claimsOf(tokens.text("id_token"), "RS256")["email"] != nil) != on {
				a.t.Errorf("%s", tokens)
			}
		},
		"request_parameter_supported": func(on bool) {
			if r := a.signed("ES256"); (back(r).Get("code") != "") != on {
				a.t.Errorf("%s", r)
			}
		},
		"request_uri_parameter_supported": func(on bool) {
			if on {
				a.t.Error("nobody tries that it is on")
			}
			a.refusesAt("a link to a request", "web", "request_uri_not_supported", url.Values{"request_uri": {"https://web.test/request.jwt"}})
		},
		"require_request_uri_registration":      required,
		"require_signed_request_object":         required,
		"require_pushed_authorization_requests": required,
		"tls_client_certificate_bound_access_tokens": func(on bool) {
			token := a.token(a.t, "billing", a.billing).text("access_token")
			if told := answered(a.t)(a.site.post("introspect", "https://api.test", url.Values{"token": {token}})); (told.text("cnf.x5t#S256") != "") != on {
				a.t.Errorf("%s", told)
			}
		},
		"client_id_metadata_document_supported": a.readsDocuments,
		"backchannel_logout_supported":          a.tellsOfSignOuts,
		"backchannel_logout_session_supported":  a.tellsOfSignOuts,
		"frontchannel_logout_supported":         a.signsOutInFrames,
		"frontchannel_logout_session_supported": a.signsOutInFrames,
	}
}

func (a *announced) readsDocuments(on bool) {
	id := a.docs.id("/announced.json")
	a.docs.publish(a.docs.document(id))
	a.knows(id, "https://app.test/cb")
	if r, _ := a.asks(id, url.Values{"scope": {"openid notes:read"}}); (back(r).Get("code") != "") != on {
		a.t.Errorf("%s", r)
	}
}

// leaves signs alice in to a client, and out again by its hint.
func (a *announced) leaves(client string) (tokens, farewell *reply) {
	alice := a.person()
	tokens = tokensOf(a.t, a.world, alice, client, "alice")
	return tokens, answered(a.t)(alice.open(a.endpoint("logout") + "?" + url.Values{"id_token_hint": {tokens.text("id_token")}}.Encode()))
}

func (a *announced) tellsOfSignOuts(on bool) {
	tokens, _ := a.leaves("web")
	deliver(a.t, a.world)
	if told := a.told.tokens(); (len(told) == 1 && told[0].SessionID == sidOf(a.t, tokens)) != on {
		a.t.Errorf("the client was told %+v", told)
	}
}

func (a *announced) signsOutInFrames(on bool) {
	tokens, farewell := a.leaves("other")
	if strings.Contains(string(farewell.body), "https://other.test/out?iss="+url.QueryEscape(a.issuer)+"&amp;sid="+sidOf(a.t, tokens)) != on {
		a.t.Errorf("%s", farewell)
	}
	deliver(a.t, a.world) // it is told so too
	a.told.tokens()
}

// places are the trials of what is one text, or one object.
func (a *announced) places() map[string]func(value any) {
	places := map[string]func(any){
		"issuer": func(v any) {
			if v != a.issuer {
				a.t.Errorf("%v", v)
			}
		},
		"service_documentation": func(v any) { expect(a.t, "the page", a.ask(v.(string), nil, nil), http.StatusOK, "invalid_grant") },
		"jwks_uri":              func(v any) { expect(a.t, "the keys", a.ask(v.(string), nil, nil), http.StatusOK, `"keys"`) },
		"mtls_endpoint_aliases": func(v any) {
			at := v.(map[string]any)
			for name, place := range at {
				if r := answered(a.t)(send(a.by(a.billing), http.MethodGet, place.(string), nil, "")); r.status == http.StatusNotFound {
					a.t.Errorf("%s: %s", name, r)
				}
			}
			token := a.secured.post(a.t, at["token_endpoint"].(string), a.billing, nil, url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}})
			expect(a.t, "by a certificate", token, http.StatusOK, "access_token")
		},
		"registration_endpoint": func(v any) {
			header := http.Header{"Content-Type": {"application/json"}}
			r := answered(a.t)(send(&http.Client{Transport: a.transport}, http.MethodPost, v.(string), header, `{"redirect_uris":["https://new.test/cb"]}`))
			expect(a.t, "a client", r, http.StatusCreated, "client_id")
		},
	}
	works := func(name, client, want string, status int, fields url.Values) {
		places[name] = func(v any) { expect(a.t, name, answered(a.t)(a.site.post(v.(string), client, fields)), status, want) }
	}
	works("token_endpoint", "machine", "access_token", http.StatusOK, url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}})
	works("revocation_endpoint", "web", "", http.StatusOK, url.Values{"token": {"dwa_nonsense"}})
	works("introspection_endpoint", "web", `"active":false`, http.StatusOK, url.Values{"token": {"dwa_nonsense"}})
	works("device_authorization_endpoint", "tv", "user_code", http.StatusOK, url.Values{"scope": {"openid"}})
	works("pushed_authorization_request_endpoint", "web", "request_uri", http.StatusCreated, a.authorizeParams("web", strings.Repeat("x", 43), nil))
	for name, want := range map[string]string{"authorization_endpoint": "client_id", "end_session_endpoint": "", "userinfo_endpoint": ""} {
		places[name] = func(v any) {
			if r := a.ask(v.(string), nil, nil); r.status == http.StatusNotFound || !strings.Contains(string(r.body), want) {
				a.t.Errorf("%s", r)
			}
		}
	}
	return places
}

// TestSilentWhereOff: what a host did not turn on is not told, and does not work.
func TestSilentWhereOff(t *testing.T) {
	w := start(t, plan{configure: func(c *server.Config) { c.Registration = server.Registration{} }})
	doc := w.metadata(t)
	for _, name := range []string{
		"device_authorization_endpoint", "registration_endpoint", "client_id_metadata_document_supported", "mtls_endpoint_aliases", "protected_resources",
	} {
		if doc[name] != nil {
			t.Errorf("it tells %s: %v", name, doc[name])
		}
	}
	if doc["tls_client_certificate_bound_access_tokens"] != false {
		t.Error("it binds tokens to certificates")
	}
	for name, silent := range map[string][]string{
		"grant_types_supported": {storage.GrantDeviceCode, badge}, "prompt_values_supported": {"create"},
		"token_endpoint_auth_methods_supported": {storage.AuthMethodTLS, storage.AuthMethodSelfSigned}, "id_token_signing_alg_values_supported": {"RS256", "EdDSA"},
	} {
		for _, v := range values(doc[name]) {
			for _, not := range silent {
				if v == not {
					t.Errorf("%s tells %s", name, v)
				}
			}
		}
	}
	ask := func(what, place, client string, fields url.Values, status int, word string) {
		t.Helper()
		expect(t, what, answered(t)(w.post(place, client, fields)), status, word)
	}
	ask("a device", "device_authorization", "web", url.Values{"scope": {"openid"}}, http.StatusNotFound, "")
	ask("a device code", "token", "web", url.Values{"grant_type": {storage.GrantDeviceCode}, "device_code": {"x"}}, http.StatusBadRequest, "unsupported_grant_type")
	ask("a grant of the host's", "token", "web", url.Values{"grant_type": {badge}}, http.StatusBadRequest, "unsupported_grant_type")
	ask("another resource", "token", "machine", url.Values{"grant_type": {"client_credentials"}, "resource": {"https://notes.test/v2"}}, http.StatusBadRequest, "invalid_target")
	if r := answered(t)(w.registers(http.MethodPost, w.endpoint("register"), "", `{"redirect_uris":["https://new.test/cb"]}`)); r.status != http.StatusNotFound {
		t.Errorf("a registration: %s", r)
	}
	published := w.endpoint("authorize") + "?" + url.Values{"client_id": {"https://app.test/client.json"}, "redirect_uri": {"https://app.test/cb"}, "response_type": {"code"}}.Encode()
	if r := answered(t)(w.person().open(published)); r.status != http.StatusBadRequest || !strings.Contains(string(r.body), "client_unknown") {
		t.Errorf("a client of a document: %s", r)
	}
	create, _ := w.authorizeURL("web", url.Values{"prompt": {"create"}})
	if r := answered(t)(w.person().open(create)); back(r).Get("error") != "invalid_request" {
		t.Errorf("a new account: %s", r)
	}
	for _, c := range []storage.Client{
		{ID: "tls", TokenEndpointAuthMethod: storage.AuthMethodTLS, TLSClientAuthSubjectDN: "CN=a"}, {ID: "bound", TLSClientCertificateBoundAccessTokens: true},
		{ID: "rsa", IDTokenSignedResponseAlg: "RS256"}, {ID: "tv", GrantTypes: []string{storage.GrantDeviceCode}},
	} {
		if _, _, err := w.server.Clients().Create(t.Context(), c); err == nil {
			t.Errorf("a client may be registered for what is off: %s", c.ID)
		}
	}
}

// TestToldToBeRequired: what is told to be required is.
func TestToldToBeRequired(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*server.Config)
		extra  url.Values
	}{
		"require_pushed_authorization_requests": {change: func(c *server.Config) { c.RequirePushed = true }},
		"require_signed_request_object":         {change: func(c *server.Config) { c.RequireSigned = true }},
	} {
		w := start(t, plan{configure: c.change})
		if doc := w.metadata(t); doc[name] != true {
			t.Errorf("it does not tell %s", name)
		}
		link, _ := w.authorizeURL("web", nil)
		if r := answered(t)(w.person().open(link)); back(r).Get("error") != "invalid_request" {
			t.Errorf("%s: a plain link: %s", name, r)
		}
	}
}
