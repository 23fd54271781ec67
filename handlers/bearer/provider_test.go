package bearer_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/server/servertest"
	"github.com/doorward/doorward/storage"
)

// TestInProcess requires tokens of a real provider, which is the verifier itself.
func TestInProcess(t *testing.T) {
	p := servertest.New(t, func(c *server.Config) { c.DefaultAudience = resource })
	tokens := p.Tokens("alice", "openid", "offline_access", "notes:read")
	idp := p.Server
	mw := bearer.API{Verifier: idp, Logger: quiet}.Require("notes:read")
	expect := func(name string, mw func(http.Handler) http.Handler, token string, want int) {
		t.Helper()
		if w := ask(mw, "Bearer "+token); w.Code != want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, want, w.Body)
		}
	}
	expect("the token", mw, tokens.AccessToken, 200)
	expect("the refresh token", mw, tokens.RefreshToken, 401)
	expect("the ID token", mw, tokens.IDToken, 401)
	expect("without the scope", mw, p.Token("alice", "openid"), 403)
	expect("a changed token", mw, tokens.AccessToken+"A", 401)
	neighbour := bearer.API{Verifier: idp, Resource: "https://neighbour.example", Logger: quiet}
	expect("at the neighbour", neighbour.Require(), tokens.AccessToken, 401)

	p.FailStore(true)
	expect("a failing store", mw, tokens.AccessToken, 503)
	p.FailStore(false)
	expect("a healthy store", mw, tokens.AccessToken, 200)
	if err := idp.RevokeSubject(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	expect("a revoked token, at once", mw, tokens.AccessToken, 401)

	short := p.Token("bob", "notes:read")
	expect("another person's token", mw, short, 200)
	p.Advance(61 * time.Minute)
	expect("an expired token", mw, short, 401)
}

// TestElsewhere introspects the tokens of a real provider, on issuers with and without
// a path. RFC 7662 §2
func TestElsewhere(t *testing.T) {
	for _, path := range []string{"", "/tenant"} {
		p := servertest.New(t, func(c *server.Config) {
			c.Issuer += path
			c.DefaultAudience = resource
		})
		_, secret := p.Register(storage.Client{ID: "notes:api+1", GrantTypes: []string{"client_credentials"}, Introspects: []string{resource}})
		v, err := bearer.NewRemote(bearer.RemoteConfig{
			Issuer: p.Issuer, Resource: resource, ClientID: "notes:api+1", ClientSecret: string(secret), HTTP: p.HTTP, Clock: p.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		tokens := p.Tokens("alice", "openid", "offline_access", "notes:read")
		got, err := v.Verify(t.Context(), tokens.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		if got.Subject != "alice" || got.ClientID != "servertest" || !got.Allows("notes:read") || !got.MeantFor(resource) || got.ExpiresAt.IsZero() {
			t.Errorf("the token is %+v", got)
		}
		for name, bad := range map[string]string{"refresh": tokens.RefreshToken, "ID": tokens.IDToken, "changed": tokens.AccessToken + "A"} {
			if _, err := v.Verify(t.Context(), bad); !errors.Is(err, bearer.ErrInvalid) {
				t.Errorf("the %s token: %v, want ErrInvalid", name, err)
			}
		}
		if err := p.Server.RevokeSubject(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		p.Advance(11 * time.Second)
		if _, err := v.Verify(t.Context(), tokens.AccessToken); !errors.Is(err, bearer.ErrInvalid) {
			t.Errorf("a revoked token after the cache: %v, want ErrInvalid", err)
		}
		another := p.Tokens("bob", "openid", "notes:read").AccessToken // one that the store has to be asked about
		p.FailStore(true)
		if _, err := v.Verify(t.Context(), another); !errors.Is(err, bearer.ErrUnavailable) {
			t.Errorf("a failing store: %v, want ErrUnavailable", err)
		}
		p.FailStore(false)
	}
}

// TestKeysOfTheProvider verifies nothing, and reads the real documents: an unknown
// key is a verdict only after the key set was read.
func TestKeysOfTheProvider(t *testing.T) {
	p := servertest.New(t)
	v, err := bearer.NewRemote(bearer.RemoteConfig{Issuer: p.Issuer, Resource: resource, HTTP: p.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	i := newIssuer(t)
	if _, err := v.Verify(t.Context(), i.sign("at+jwt", i.claims(map[string]any{"iss": p.Issuer}))); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("a stranger's key: %v, want ErrInvalid", err)
	}
}
