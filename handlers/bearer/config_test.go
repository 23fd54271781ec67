package bearer_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers/bearer"
)

func TestRemoteConfig(t *testing.T) {
	for _, c := range []struct {
		config bearer.RemoteConfig
		fields []string
	}{
		{bearer.RemoteConfig{Issuer: "https://id.example.com", Resource: resource}, nil},
		{bearer.RemoteConfig{Issuer: "https://id.example.com/tenant", Resource: "api", ClientID: "a", ClientSecret: "b", Cache: 30 * time.Second}, nil},
		{bearer.RemoteConfig{Issuer: "http://localhost:8080", Resource: resource}, nil},
		{bearer.RemoteConfig{Issuer: "http://[::1]:8080", Resource: resource}, nil},
		{bearer.RemoteConfig{}, []string{"Issuer", "Resource"}},
		{bearer.RemoteConfig{Issuer: "http://id.example.com", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "http://localhost.example.com", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "http://127.0.0.1.example.com", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "https://id.example.com?a=b", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "https://id.example.com#a", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "https://a:b@id.example.com", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "https:id.example.com", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "id.example.com", Resource: resource}, []string{"Issuer"}},
		{bearer.RemoteConfig{Issuer: "https://id.example.com", Resource: resource, ClientID: "a", Cache: time.Minute}, []string{"ClientSecret", "Cache"}},
		{bearer.RemoteConfig{Issuer: "https://id.example.com", Resource: resource, ClientSecret: "a"}, []string{"ClientSecret"}},
	} {
		v, err := bearer.NewRemote(c.config)
		if (err == nil) != (c.fields == nil) || (v == nil) != (err != nil) {
			t.Errorf("%+v: %v", c.config, err)
		}
		for _, field := range c.fields {
			if !strings.Contains(fmt.Sprint(err), "bearer: RemoteConfig."+field+": found") {
				t.Errorf("%+v: %v says nothing of %s", c.config, err, field)
			}
		}
		if lines := strings.Count(fmt.Sprint(err), "found"); lines != len(c.fields) {
			t.Errorf("%+v: %d problems, want %d", c.config, lines, len(c.fields))
		}
	}
}

func TestSecretIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("config", "remote", bearer.RemoteConfig{Issuer: "https://id.example.com", ClientID: "api", ClientSecret: "very secret"})
	if got := log.String(); strings.Contains(got, "very secret") || !strings.Contains(got, "remote.client_id=api") {
		t.Errorf("the log is %s", got)
	}
}

// TestKeyLife holds the bounds within which the issuer says how long its keys may be
// kept. RFC 9111 §5.2.2
func TestKeyLife(t *testing.T) {
	for _, c := range []struct {
		header string
		life   time.Duration
	}{
		{"", 5 * time.Minute},
		{"public", 5 * time.Minute},
		{"max-age=600", 10 * time.Minute},
		{"public, MAX-AGE=600, must-revalidate", 10 * time.Minute},
		{`max-age="600"`, 10 * time.Minute},
		{"max-age=0", time.Minute},
		{"max-age=-5", 5 * time.Minute},
		{"max-age=soon", 5 * time.Minute},
		{"max-age=86400", time.Hour},
		{"max-age=99999999999999999999999", time.Hour},
		{"no-store", time.Minute},
		{"max-age=600, no-cache", time.Minute},
	} {
		i := newIssuer(t)
		i.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if c.header != "" && r.URL.Path == "/jwks" {
				w.Header().Set("Cache-Control", c.header)
			}
			return false
		}
		v := i.remote()
		verify := func() {
			t.Helper()
			if _, err := v.Verify(t.Context(), i.sign("at+jwt", i.claims(nil))); err != nil {
				t.Fatal(err)
			}
		}
		verify()
		i.advance(c.life - time.Second)
		verify()
		if got := i.count("/jwks"); got != 1 {
			t.Errorf("%q: read %d times within %v", c.header, got, c.life)
		}
		i.advance(2 * time.Second)
		verify()
		if got := i.count("/jwks"); got != 2 {
			t.Errorf("%q: read %d times after %v, want 2", c.header, got, c.life)
		}
	}
}

// TestOpenIDDiscovery holds that an issuer with a path which has only the document of
// OpenID Connect is found, also behind a page that answers to every path.
func TestOpenIDDiscovery(t *testing.T) {
	i := newIssuer(t)
	origin := i.url
	i.url += "/tenant"
	i.document = map[string]any{"issuer": i.url, "jwks_uri": origin + "/jwks"}
	i.answer = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/tenant/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.document["issuer"], i.document["jwks_uri"])
		case "/jwks":
			return false
		default:
			fmt.Fprint(w, "<!doctype html>")
		}
		return true
	}
	if _, err := i.remote().Verify(t.Context(), i.sign("at+jwt", i.claims(nil))); err != nil {
		t.Error(err)
	}
	if i.count("/.well-known/oauth-authorization-server/tenant") != 1 {
		t.Errorf("the issuer was asked %v", i.asked)
	}
}

// TestGivenClient holds that the caller's http.Client stays as it is.
func TestGivenClient(t *testing.T) {
	i := newIssuer(t)
	given := &http.Client{}
	v := i.remote(func(c *bearer.RemoteConfig) { c.HTTP = given })
	if _, err := v.Verify(t.Context(), i.sign("at+jwt", i.claims(nil))); err != nil {
		t.Fatal(err)
	}
	if given.Timeout != 0 || given.CheckRedirect != nil {
		t.Error("the client was changed")
	}
}
