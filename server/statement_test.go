package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
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
	} {
		if w := r.send("192.0.2.1", "", with(c.statement)); w.Code != http.StatusBadRequest || said(t, w)["error"] != c.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
