package bearer_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/server/servertest"
	"github.com/doorward/doorward/storage"
)

// TestSigned verifies the JWTs of a real provider by its keys, without asking it.
func TestSigned(t *testing.T) {
	p := servertest.New(t, func(c *server.Config) {
		c.DefaultAudience = resource
		c.Resources = []server.Resource{{ID: resource, AccessTokenFormat: storage.AccessTokenJWT}}
	})
	remote := func(resource string) *bearer.RemoteVerifier {
		v, err := bearer.NewRemote(bearer.RemoteConfig{Issuer: p.Issuer, Resource: resource, HTTP: p.HTTP, Clock: p.Now})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := remote(resource)
	tokens := p.Tokens("alice", "openid", "offline_access", "notes:read")
	got, err := v.Verify(t.Context(), tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != "alice" || got.ClientID != "servertest" || !got.Allows("notes:read") || !slices.Equal(got.Audience, []string{resource}) {
		t.Errorf("the token is %+v", got)
	}
	if life := got.ExpiresAt.Sub(p.Now()); life > 10*time.Minute || life < 9*time.Minute {
		t.Errorf("it lives for %s", life)
	}
	here, err := p.Server.Verify(t.Context(), tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if here.Subject != got.Subject || here.ClientID != got.ClientID || !slices.Equal(here.Scopes, got.Scopes) ||
		!slices.Equal(here.Audience, got.Audience) || !here.ExpiresAt.Equal(got.ExpiresAt) || here.Grant == "" {
		t.Errorf("here the token is %+v, elsewhere %+v", here, got)
	}
	for name, bad := range map[string]string{"refresh": tokens.RefreshToken, "ID": tokens.IDToken, "changed": tokens.AccessToken + "A"} {
		if _, err := v.Verify(t.Context(), bad); !errors.Is(err, bearer.ErrInvalid) {
			t.Errorf("the %s token: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := remote("https://neighbour.example").Verify(t.Context(), tokens.AccessToken); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("at the neighbour: %v, want ErrInvalid", err)
	}

	p.RotateKeys()
	p.Advance(2 * time.Minute) // an unknown key makes the set be read again, once a minute
	second := p.Refresh(tokens.RefreshToken)
	for name, token := range map[string]string{"of the retired key": tokens.AccessToken, "of the new key": second.AccessToken} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("the token %s: %v", name, err)
		}
	}
	if err := p.Server.RevokeSubject(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Server.Verify(t.Context(), second.AccessToken); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("a revoked token, here: %v, want ErrInvalid", err)
	}
	if _, err := v.Verify(t.Context(), second.AccessToken); err != nil {
		t.Errorf("a revoked token is known elsewhere: %v; tell so in docs/resource-servers.md", err)
	}
	p.Advance(11 * time.Minute)
	if _, err := v.Verify(t.Context(), second.AccessToken); !errors.Is(err, bearer.ErrInvalid) {
		t.Errorf("an expired token: %v, want ErrInvalid", err)
	}
}

// TestSignedForLong holds that a key is published for as long as a token that it
// signed can live, wherever that life was set.
func TestSignedForLong(t *testing.T) {
	for name, configure := range map[string]func(*server.Config){
		"resource": func(c *server.Config) { c.Resources[0].AccessTokenLifetime = 6 * time.Hour },
		"all":      func(c *server.Config) { c.Lifetimes.JWTAccessToken = 6 * time.Hour },
	} {
		p := servertest.New(t, func(c *server.Config) {
			c.DefaultAudience, c.Lifetimes = resource, server.Lifetimes{IDToken: time.Minute, AccessToken: time.Minute}
			c.Resources = []server.Resource{{ID: resource, AccessTokenFormat: storage.AccessTokenJWT}}
			configure(c)
		})
		token := p.Token("alice", "notes:read")
		p.RotateKeys()
		p.Advance(5 * time.Hour)
		v, err := bearer.NewRemote(bearer.RemoteConfig{Issuer: p.Issuer, Resource: resource, HTTP: p.HTTP, Clock: p.Now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.Server.Verify(t.Context(), token); err != nil {
			t.Errorf("%s, here: %v", name, err)
		}
	}
}
