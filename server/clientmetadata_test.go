package server_test

import (
	"crypto/x509"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestRegistrationTellsWhatIsRegistered: each member that a client may say of itself comes
// back as it was taken, when it is registered, read and replaced, and so does what the
// server made of those that were left out. RFC 7591 §2, §3.2.1, RFC 7592 §2.1, §2.2, §3,
// OpenID Connect Registration §3.2
func TestRegistrationTellsWhatIsRegistered(t *testing.T) {
	sector := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`["https://a.test/cb", "https://b.test/cb"]`))
	}))
	defer sector.Close()
	r := newRegistrant(t, func(c *server.Config) {
		c.Roots = x509.NewCertPool()
		c.Roots.AddCert(sector.Certificate())
		c.Insecure.FetchHosts = []string{strings.TrimPrefix(sector.URL, "https://")}
		c.MutualTLS = server.MutualTLS{Accept: true, Roots: x509.NewCertPool()}
		c.Keys.Algorithms = []string{"ES256", "EdDSA"}
	})
	left := map[string]any{ // what is registered of who says nothing
		"application_type": "web", "response_types": []any{"code"}, "grant_types": []any{"authorization_code"}, "token_endpoint_auth_method": "client_secret_basic",
		"scope": "openid offline_access notes:read notes:write", "subject_type": "public", "id_token_signed_response_alg": "ES256",
	}
	native := maps.Clone(left)
	native["application_type"] = "native"
	certificate := func(name, value string) string {
		return `{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"tls_client_auth","` + name + `":"` + value + `"}`
	}
	covered := map[string]bool{}
	for name, c := range map[string]struct {
		body string
		left map[string]any
	}{
		"nothing":                       {`{"redirect_uris":["https://a.test/cb"]}`, left},
		"a public page":                 {`{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"none"}`, left},
		"nulls":                         {`{"redirect_uris":["https://a.test/cb"],"client_name":null,"application_type":null,"jwks":null}`, left},
		"a device":                      {`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`, native},
		"a device's app":                {`{"redirect_uris":["https://a.test/cb","com.example.app:/cb"],"token_endpoint_auth_method":"none"}`, native},
		"an app with a host of its own": {`{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"none","application_type":"native"}`, left},
		"all": {`{"redirect_uris":["https://a.test/cb","https://b.test/cb"],"application_type":"web","token_endpoint_auth_method":"private_key_jwt",
			"token_endpoint_auth_signing_alg":"EdDSA","grant_types":["authorization_code","refresh_token"],"client_name":"Notes","client_uri":"https://a.test/",
			"logo_uri":"https://a.test/logo.png","scope":"openid notes:read","contacts":["ops@a.test"],"tos_uri":"https://a.test/terms","policy_uri":"https://a.test/privacy",
			"jwks":` + publicKeys + `,"software_id":"notes","software_version":"2.1","post_logout_redirect_uris":["https://a.test/bye"],
			"backchannel_logout_uri":"https://a.test/out","backchannel_logout_session_required":true,"frontchannel_logout_uri":"https://a.test/gone","frontchannel_logout_session_required":true,
			"subject_type":"pairwise","sector_identifier_uri":"` + sector.URL + `/s","id_token_signed_response_alg":"EdDSA","userinfo_signed_response_alg":"ES256",
			"authorization_signed_response_alg":"ES256","introspection_signed_response_alg":"EdDSA","request_object_signing_alg":"ES256","require_signed_request_object":true,
			"require_pushed_authorization_requests":true,"dpop_bound_access_tokens":true,"tls_client_certificate_bound_access_tokens":true}`, left},
		"keys at a URL": {`{"redirect_uris":["https://a.test/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.test/jwks"}`, left},
		"a subject":     {certificate("tls_client_auth_subject_dn", "CN=a.test"), left},
		"a host":        {certificate("tls_client_auth_san_dns", "a.test"), left},
		"a URI":         {certificate("tls_client_auth_san_uri", "https://a.test/"), left},
		"an address":    {certificate("tls_client_auth_san_ip", "192.0.2.7"), left},
		"a person":      {certificate("tls_client_auth_san_email", "ops@a.test"), left},
	} {
		want := maps.Clone(c.left)
		sent := map[string]any{}
		if err := json.Unmarshal([]byte(c.body), &sent); err != nil {
			t.Fatal(err)
		}
		for member, value := range sent {
			if covered[member] = true; value != nil {
				want[member] = value
			}
		}
		w := r.send("192.0.2.1", "", c.body)
		made := said(t, w)
		if w.Code != http.StatusCreated {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		method := want["token_endpoint_auth_method"]
		of := map[string]bool{
			"client_id": true, "client_id_issued_at": true,
			"client_secret": method == "client_secret_basic", "client_secret_expires_at": method == "client_secret_basic",
			"registration_access_token": method != "none", "registration_client_uri": method != "none",
		}
		checkTold(t, name+" registered", made, want, of)
		if method == "none" { // nobody's own
			continue
		}
		read := httptest.NewRequest(http.MethodGet, made["registration_client_uri"].(string), nil)
		read.Header.Set("Authorization", "Bearer "+made["registration_access_token"].(string))
		of["client_secret"], of["client_secret_expires_at"] = false, false // told once
		checkTold(t, name+" read", said(t, serve(r.handler, read)), want, of)
		sent["client_id"] = made["client_id"]
		again, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		checkTold(t, name+" replaced", said(t, r.change(made, string(again))), want, of)
	}
	for _, member := range server.ClientMetadata() {
		if !covered[member] {
			t.Errorf("no client of this test says %s", member)
		}
	}
}

// checkTold compares what a client is told with the metadata that it has, and with what else
// must be there, or must not.
func checkTold(t *testing.T, name string, told, want map[string]any, of map[string]bool) {
	t.Helper()
	rest := maps.Clone(told)
	for member, there := range of {
		if _, is := rest[member]; is != there {
			t.Errorf("%s: %s is there: %t", name, member, is)
		}
		delete(rest, member)
	}
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("%s: the metadata are not those that were registered:\n%s", name, diff)
	}
}

// Where a client says it runs binds it to what can be there. OpenID Connect
// Registration §2, RFC 8252 §7
func TestApplicationTypes(t *testing.T) {
	const web, native = storage.ApplicationWeb, storage.ApplicationNative
	for _, c := range []struct {
		issuer string
		kind   storage.ApplicationType
		uri    string
		want   string
	}{
		{"https://id.example.com", web, "https://a.test/cb", ""},
		{"https://id.example.com", web, "http://localhost/cb", "redirect_uris[0]"},
		{"https://id.example.com", web, "https://localhost/cb", "redirect_uris[0]"},
		{"https://id.example.com", web, "http://127.0.0.1:8080/cb", "redirect_uris[0]"},
		{"https://id.example.com", web, "http://[::1]/cb", "redirect_uris[0]"},
		{"https://id.example.com", web, "com.example.app:/cb", "redirect_uris[0]"},
		{"https://id.example.com", native, "https://a.test/cb", ""}, // RFC 8252 §7.2
		{"https://id.example.com", native, "http://localhost/cb", ""},
		{"https://id.example.com", native, "http://127.0.0.1:8080/cb", ""},
		{"https://id.example.com", native, "com.example.app:/cb", ""},
		{"https://id.example.com", "", "com.example.app:/cb", ""},
		{"https://id.example.com", "Web", "https://a.test/cb", "application_type"},
		{"http://localhost:8080", web, "http://localhost:3000/cb", ""}, // where people develop
		{"http://localhost:8080", web, "com.example.app:/cb", "redirect_uris[0]"},
	} {
		config := valid(t)
		config.Issuer = c.issuer
		_, _, err := start(t, config).Clients().Create(t.Context(), storage.Client{
			ID: "app", TokenEndpointAuthMethod: storage.AuthMethodNone, ApplicationType: c.kind, RedirectURIs: []string{c.uri},
		})
		if got := strings.Join(fields(t, err), " "); got != c.want {
			t.Errorf("at %s, %s of %q: the problems are %q, want %q: %v", c.issuer, c.uri, c.kind, got, c.want, err)
		}
	}
}
