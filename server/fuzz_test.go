package server_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/redirect"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// metadataSeeds are what clients say of themselves, well and badly.
var metadataSeeds = []string{
	`{"redirect_uris":["https://a.test/cb"],"client_name":"A","scope":"openid","grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`,
	`{"redirect_uris":["http://127.0.0.1:4711/cb","http://[::1]:1/cb","http://localhost:99999/cb"],"token_endpoint_auth_method":"none"}`,
	`{"redirect_uris":["javascript:alert(1)","data:,x","com.example.app:/cb","https://u@a.test/","https://a.test/cb#x"]}`,
	`{"redirect_uris":"https://a.test/cb","client_name":7,"contacts":[null],"dpop_bound_access_tokens":"yes"}`,
	`{"redirect_uris":null,"grant_types":[],"response_types":["token"],"scope":"  "}`,
	`{"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]},"redirect_uris":["https://a.test/"]}`,
	`{"jwks_uri":"https://10.0.0.1/","jwks":{},"redirect_uris":["https://a.test/"],"software_statement":"eyJhbGciOiJFUzI1NiJ9.e30.AA"}`,
	`{"subject_type":"pairwise","redirect_uris":["https://a.test/","https://b.test/"],"id_token_signed_response_alg":"none"}`,
	`{"client_name":"\u202e\u0000","client_uri":"javascript:x","redirect_uris":["https://a.test/cb"],"first_party":true,"insecure":{"skip_pkce":true}}`,
	`{"frontchannel_logout_uri":"http://x","backchannel_logout_uri":"https://[::1]/","tls_client_auth_subject_dn":"CN=","redirect_uris":["https://a.test/cb"]}`,
	`{"redirect_uris":["https://a.test/cb"],"redirect_uris":["https://b.test/cb"]}`, `[]`, `{}`, `null`, `"x"`, `{`, ``, "\xff",
}

// fuzzed is a server that takes clients nobody entered and says nothing.
func fuzzed(f *testing.F, now func() time.Time) *server.Server {
	f.Helper()
	s, err := server.New(f.Context(), server.Config{
		Issuer: "https://id.example.com", Store: memory.New(), Login: handlers.LoginFunc(nobody), Clock: now,
		Scopes: []server.Scope{{Name: "notes:read"}}, Keys: server.Keys{Algorithms: []string{"ES256"}},
		Registration: server.Registration{Endpoint: server.RegistrationOpen, Documents: true, PerAddress: 1 << 30, InAll: 1 << 30},
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// strict says what no client that nobody entered may be.
func strict(t *testing.T, c *storage.Client) {
	t.Helper()
	if c.FirstParty || c.Insecure != (storage.InsecureClient{}) || len(c.Introspects) > 0 || len(c.Audiences) > 0 || c.Disabled {
		t.Errorf("it has what only the host gives: %+v", c)
	}
	for _, uri := range c.RedirectURIs {
		if err := redirect.Validate(uri, c.Public()); err != nil {
			t.Errorf("%q was taken: %v", uri, err)
		}
	}
	for _, grant := range c.Grants() {
		if grant != storage.GrantAuthorizationCode && grant != storage.GrantRefreshToken {
			t.Errorf("it may use %s", grant)
		}
	}
	for _, scope := range c.Scopes() {
		if scope != "openid" && scope != "offline_access" && scope != "notes:read" {
			t.Errorf("it may ask for %s", scope)
		}
	}
}

// FuzzRegistration: whatever is sent is registered within the rules or refused with words.
func FuzzRegistration(f *testing.F) {
	for _, seed := range metadataSeeds {
		f.Add([]byte(seed))
	}
	s := fuzzed(f, nil)
	r := &registrant{Server: s, handler: s.Handler()}
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Contains(body, []byte("sector_identifier")) {
			return // it would be fetched
		}
		w := r.send("192.0.2.1", "", string(body))
		switch w.Code {
		case http.StatusCreated:
			id, _ := said(t, w)["client_id"].(string)
			c, err := s.Clients().Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			strict(t, &c)
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if told := said(t, w); told["error_description"] == "" || told["error"] == "" {
				t.Errorf("%v", told)
			}
		case http.StatusTooManyRequests:
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzDocument: whatever stands at a client_id is a client within the rules, under this
// very ID and without a secret, or it is refused with words.
func FuzzDocument(f *testing.F) {
	const id = "https://app.test/client.json"
	for _, seed := range metadataSeeds {
		f.Add([]byte(seed))
		if len(seed) > 2 && seed[0] == '{' {
			f.Add([]byte(`{"client_id":"` + id + `","token_endpoint_auth_method":"none",` + seed[1:]))
		}
	}
	s := fuzzed(f, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Contains(body, []byte("sector_identifier")) {
			return
		}
		c, err := server.JudgeDocument(t.Context(), s, id, body)
		if refusal := (*engine.Error)(nil); err != nil {
			if !errors.As(err, &refusal) || refusal.Description == "" || refusal.Status != http.StatusBadRequest {
				t.Errorf("%v", err)
			}
			return
		}
		if c.ID != id || c.TakesSecret() || len(c.Secrets) > 0 || !c.FromDocument() {
			t.Errorf("%+v", c)
		}
		strict(t, c)
	})
}
