package settings_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/server"
)

func TestRegistration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "idp.yaml")
	load := func(text string) (*settings.Settings, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return settings.Load(settings.Flags{Where: settings.Where{Config: file}})
	}
	s, err := load("registration: {endpoint: open, documents: true, document_hosts: [Apps.example], scopes: [openid], unused: 2h, per_address: 3, statements: [{issuer: https://store.example, jwks_uri: https://store.example/jwks}]}")
	if err != nil {
		t.Fatal(err)
	}
	r := s.Registration
	if r.Endpoint != server.RegistrationOpen || !r.Documents || r.Unused != 2*time.Hour || r.PerAddress != 3 || len(r.Scopes) != 1 || len(r.Statements) != 1 {
		t.Errorf("%+v", r)
	}
	if !r.DocumentHost("apps.example") || r.DocumentHost("evil.example") {
		t.Error("the hosts of documents are not those of the file")
	}
	for _, text := range []string{"registration: {endpoint: off}", "registration: {}", ""} {
		if s, err := load(text); err != nil || s.Registration.Endpoint != server.RegistrationOff || s.Registration.Documents {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := load("registration: {statements: [{issuer: x, jwks_file: /nowhere/keys}]}"); err == nil {
		t.Error("keys that can't be read are passed over")
	}
}
