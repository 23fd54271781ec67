package server_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/server"
)

// voucher signs software statements.
type voucher struct {
	key  jws.Key
	jwks json.RawMessage
}

func newVoucher(t *testing.T) *voucher {
	t.Helper()
	signer, err := jws.Generate(jws.ES256)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jws.New(jws.ES256, signer)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jws.PublicJWK(key)
	if err != nil {
		t.Fatal(err)
	}
	return &voucher{key, json.RawMessage(`{"keys":[` + string(public) + `]}`)}
}

func (v *voucher) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	token, err := jws.Sign(v.key, "JWT", claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// RFC 7591 §2.3, §3.1.1
func TestSoftwareStatement(t *testing.T) {
	trusted, stranger := newVoucher(t), newVoucher(t)
	r := newRegistrant(t, func(c *server.Config) {
		c.Registration.Statements = []server.StatementIssuer{{Issuer: "https://store.example", JWKS: trusted.jwks}}
		c.Registration.RequireStatement = true
	})
	with := func(statement string) string {
		return fmt.Sprintf(`{"client_name":"My own words","redirect_uris":["https://mine.test/cb"],"software_statement":%q}`, statement)
	}
	claims := map[string]any{
		"iss": "https://store.example", "client_name": "The approved app", "redirect_uris": []string{"https://approved.test/cb"},
		"software_id": "4711", "exp": r.now.Add(time.Hour).Unix(),
	}
	statement := trusted.sign(t, claims)
	w := r.send("192.0.2.1", "", with(statement))
	told := said(t, w)
	if w.Code != http.StatusCreated || told["client_name"] != "The approved app" || fmt.Sprint(told["redirect_uris"]) != "[https://approved.test/cb]" ||
		told["software_id"] != "4711" || told["software_statement"] != statement {
		t.Errorf("%d %v", w.Code, told)
	}
	for name, c := range map[string]struct {
		statement, code string
	}{
		"another key":    {stranger.sign(t, claims), "invalid_software_statement"},
		"another issuer": {trusted.sign(t, map[string]any{"iss": "https://other.example"}), "unapproved_software_statement"},
		"no issuer":      {trusted.sign(t, map[string]any{"client_name": "x"}), "unapproved_software_statement"},
		"expired":        {trusted.sign(t, map[string]any{"iss": "https://store.example", "exp": r.now.Add(-time.Hour).Unix()}), "invalid_software_statement"},
		"to come":        {trusted.sign(t, map[string]any{"iss": "https://store.example", "nbf": r.now.Add(time.Hour).Unix()}), "invalid_software_statement"},
		"changed":        {statement[:strings.LastIndexByte(statement, '.')+1] + strings.Repeat("A", 86), "invalid_software_statement"},
		"none":           {"", "invalid_software_statement"},
		"no JWT":         {"abc", "invalid_software_statement"},
		"for another":    {trusted.sign(t, map[string]any{"iss": "https://store.example", "aud": "https://other.example"}), "invalid_software_statement"},
		"for others":     {trusted.sign(t, map[string]any{"iss": "https://store.example", "aud": []string{"https://other.example", ""}}), "invalid_software_statement"},
		"for nobody":     {trusted.sign(t, map[string]any{"iss": "https://store.example", "aud": []string{}}), "invalid_software_statement"},
	} {
		if w := r.send("192.0.2.1", "", with(c.statement)); w.Code != http.StatusBadRequest || said(t, w)["error"] != c.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// A statement that is for several servers is for each of them, and an issuer's new key is
// asked for when a statement names it. RFC 7591 §2.3, RFC 7519 §4.1.3
func TestStatementsOfAPublishedKey(t *testing.T) {
	old, next := newVoucher(t), newVoucher(t)
	var published atomic.Value
	published.Store(old.jwks)
	var asked atomic.Int64
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(published.Load().(json.RawMessage))
	}))
	defer host.Close()
	r := newRegistrant(t, func(c *server.Config) {
		c.Roots = x509.NewCertPool()
		c.Roots.AddCert(host.Certificate())
		c.Insecure.FetchHosts = []string{strings.TrimPrefix(host.URL, "https://")}
		c.Registration.Statements = []server.StatementIssuer{{Issuer: "https://store.example", JWKSURI: host.URL + "/jwks"}}
	})
	register := func(by *voucher) int {
		statement := by.sign(t, map[string]any{"iss": "https://store.example", "aud": []string{"https://other.example", "https://id.example.com"}})
		return r.send("192.0.2.1", "", fmt.Sprintf(`{"redirect_uris":["https://mine.test/cb"],"software_statement":%q}`, statement)).Code
	}
	for range 3 {
		if code := register(old); code != http.StatusCreated {
			t.Fatalf("with the key that is published: %d", code)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	published.Store(next.jwks)
	r.now = r.now.Add(2 * time.Minute)
	if code := register(next); code != http.StatusCreated {
		t.Errorf("with the new key: %d", code)
	}
	before := asked.Load()
	for range 20 {
		if code := register(newVoucher(t)); code != http.StatusBadRequest {
			t.Errorf("with a key of nobody: %d", code)
		}
	}
	if n := asked.Load() - before; n > 1 {
		t.Errorf("unknown keys made the server fetch %d times within a minute", n)
	}
}
