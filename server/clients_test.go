package server_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

var web = storage.Client{ID: "web", Name: "The web", RedirectURIs: []string{"https://app.example.com/cb"}, Scope: "openid"}

func TestCreateClient(t *testing.T) {
	s := start(t, valid(t))
	made, secret, err := s.Clients().Create(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	if len(secret) < 43 {
		t.Errorf("the secret has %d characters, too few for 256 bits", len(secret))
	}
	if made.CreatedAt.IsZero() || made.Incarnation == "" || len(made.Secrets) != 1 || made.Secrets[0].Hash != "" {
		t.Errorf("created was %+v; want a creation time, an incarnation, and one secret without its hash", made)
	}
	got, err := s.Clients().Get(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("Get returns another client than Create (-created +got):\n%s", diff)
	}
	if _, _, err := s.Clients().Create(t.Context(), web); !errors.Is(err, server.ErrExists) {
		t.Errorf("creating it again: %v, want ErrExists", err)
	}
	unnamed := web
	unnamed.ID = ""
	named, _, err := s.Clients().Create(t.Context(), unnamed)
	if err != nil || named.ID == "" {
		t.Errorf("without an ID: %q, %v", named.ID, err)
	}
	for _, c := range []storage.Client{
		{ID: "public", TokenEndpointAuthMethod: "none", RedirectURIs: web.RedirectURIs},
		{ID: "brought", Secret: "a secret of their own", RedirectURIs: web.RedirectURIs},
		{ID: "signing", TokenEndpointAuthMethod: "private_key_jwt", JWKS: []byte(publicKeys), RedirectURIs: web.RedirectURIs},
		{ID: "hashed", Secrets: []storage.ClientSecret{{Hash: bcryptHash}}, RedirectURIs: web.RedirectURIs},
	} {
		if _, secret, err := s.Clients().Create(t.Context(), c); err != nil || secret != "" {
			t.Errorf("%s: a secret of %d bytes, %v; want none", c.ID, len(secret), err)
		}
	}
}

// TestClientThatSigns holds that a client with a key of its own keeps no secret, from
// the moment that it is made one.
func TestClientThatSigns(t *testing.T) {
	s := start(t, valid(t))
	made, _, err := s.Clients().Create(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	made.TokenEndpointAuthMethod, made.JWKS = "private_key_jwt", []byte(publicKeys)
	changed, err := s.Clients().Update(t.Context(), made)
	if err != nil || len(changed.Secrets) != 0 || string(changed.JWKS) != publicKeys {
		t.Errorf("%+v, %v", changed, err)
	}
	if _, err := s.Clients().RotateSecret(t.Context(), "web", 0); !slices.Equal(fields(t, err), []string{"token_endpoint_auth_method"}) {
		t.Errorf("a secret for a client that signs: %v", err)
	}
	config := valid(t)
	config.Clients = []storage.Client{{ID: "web", TokenEndpointAuthMethod: "private_key_jwt", JWKS: []byte(publicKeys), RedirectURIs: web.RedirectURIs}}
	start(t, config)
}

// TestIncarnations holds that a client made anew under its old ID is another one.
func TestIncarnations(t *testing.T) {
	s := start(t, valid(t))
	first, _, err := s.Clients().Create(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Clients().Delete(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Clients().Get(t.Context(), "web"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	if err := s.Clients().Delete(t.Context(), "web"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Delete after Delete: %v, want ErrNotFound", err)
	}
	second, _, err := s.Clients().Create(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	if first.Incarnation == second.Incarnation {
		t.Error("both clients have one incarnation")
	}
}

func TestUpdateClient(t *testing.T) {
	s := start(t, valid(t))
	made, _, err := s.Clients().Create(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	changed := made
	changed.Name, changed.Disabled = "Another name", true
	changed.Incarnation, changed.CreatedAt, changed.Secrets = "forged", time.Time{}, nil
	got, err := s.Clients().Update(t.Context(), changed)
	if err != nil {
		t.Fatal(err)
	}
	want := made
	want.Name, want.Disabled = "Another name", true
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("updated was (-want +got):\n%s", diff)
	}
	public := got
	public.TokenEndpointAuthMethod, public.Secrets = "none", nil
	if got, err = s.Clients().Update(t.Context(), public); err != nil || len(got.Secrets) != 0 {
		t.Errorf("a client made public keeps %d secrets, %v", len(got.Secrets), err)
	}
	if _, err := s.Clients().Update(t.Context(), storage.Client{ID: "other", RedirectURIs: web.RedirectURIs}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("updating what does not exist: %v, want ErrNotFound", err)
	}
	if _, err := s.Clients().Update(t.Context(), storage.Client{ID: "web", Scope: "x"}); !errors.Is(err, server.ErrInvalid) {
		t.Errorf("updating to what is invalid: %v, want ErrInvalid", err)
	}
}

// TestRotateSecret holds that two secrets are valid at most, and the one before only
// for the overlap.
func TestRotateSecret(t *testing.T) {
	now := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	config := valid(t)
	config.Clock = now.Now
	s := start(t, config)
	_, first, err := s.Clients().Create(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	ends := func() (ends []time.Time) {
		t.Helper()
		c, err := s.Clients().Get(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range c.Secrets {
			ends = append(ends, secret.ExpiresAt)
		}
		return ends
	}
	rotate := func(overlap time.Duration) storage.Secret {
		t.Helper()
		secret, err := s.Clients().RotateSecret(t.Context(), "web", overlap)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	if second := rotate(time.Hour); second == first || second == "" {
		t.Error("the new secret is the old one")
	}
	if got, want := ends(), []time.Time{now.now.Add(time.Hour), {}}; !slices.Equal(got, want) {
		t.Errorf("the secrets end at %v, want %v", got, want)
	}
	now.now = now.now.Add(time.Minute)
	rotate(2 * time.Hour)
	if got, want := ends(), []time.Time{now.now.Add(2 * time.Hour), {}}; !slices.Equal(got, want) {
		t.Errorf("after another rotation the secrets end at %v, want %v", got, want)
	}
	rotate(0)
	if got, want := ends(), []time.Time{{}}; !slices.Equal(got, want) {
		t.Errorf("after a rotation without overlap the secrets end at %v, want %v", got, want)
	}
	if _, err := s.Clients().RotateSecret(t.Context(), "web", -1); !errors.Is(err, server.ErrInvalid) {
		t.Errorf("a negative overlap: %v, want ErrInvalid", err)
	}
	if _, err := s.Clients().RotateSecret(t.Context(), "other", 0); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an unknown client: %v, want ErrNotFound", err)
	}
}

// TestConfiguredClients holds that they are seen, and changed in the Config alone.
func TestConfiguredClients(t *testing.T) {
	config := valid(t)
	configured := web
	configured.Secret = "a secret of the configuration"
	config.Clients = []storage.Client{configured}
	s := start(t, config)
	got, err := s.Clients().Get(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != web.Name || got.Secret != "" || len(got.Secrets) != 1 || got.Secrets[0].Hash != "" {
		t.Errorf("Get returns %+v, want the client without its secret or hash", got)
	}
	if !s.Clients().Configured("web") || s.Clients().Configured("other") {
		t.Error("Configured does not tell them apart")
	}
	_, _, create := s.Clients().Create(t.Context(), web)
	if !errors.Is(create, server.ErrExists) {
		t.Errorf("Create: %v, want ErrExists", create)
	}
	_, update := s.Clients().Update(t.Context(), web)
	_, rotate := s.Clients().RotateSecret(t.Context(), "web", 0)
	for name, err := range map[string]error{"Update": update, "RotateSecret": rotate, "Delete": s.Clients().Delete(t.Context(), "web")} {
		if !errors.Is(err, server.ErrConfigured) {
			t.Errorf("%s: %v, want ErrConfigured", name, err)
		}
	}
	got.Name, got.RedirectURIs[0] = "changed", "https://evil.example/cb"
	if again, err := s.Clients().Get(t.Context(), "web"); err != nil || again.Name != web.Name || again.RedirectURIs[0] != web.RedirectURIs[0] {
		t.Errorf("what Get returned is the client itself: %+v, %v", again, err)
	}
}

// TestListClients holds that pages over both kinds of clients skip and repeat none.
func TestListClients(t *testing.T) {
	config := valid(t)
	var want []string
	for i := range 10 {
		c := storage.Client{ID: fmt.Sprintf("client-%d", i), TokenEndpointAuthMethod: "none", RedirectURIs: web.RedirectURIs}
		want = append(want, c.ID)
		if i%3 == 0 {
			config.Clients = append(config.Clients, c)
		}
	}
	s := start(t, config)
	for _, id := range want {
		if !s.Clients().Configured(id) {
			if _, _, err := s.Clients().Create(t.Context(), storage.Client{ID: id, TokenEndpointAuthMethod: "none", RedirectURIs: web.RedirectURIs}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for limit := range 12 {
		for _, descending := range []bool{false, true} {
			var got []string
			page := storage.Page{Limit: limit, Descending: descending}
			for {
				clients, next, err := s.Clients().List(t.Context(), page)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range clients {
					got = append(got, c.ID)
				}
				if next == "" || len(got) > len(want) {
					break
				}
				page.After = next
			}
			if descending {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d, descending %v: %q, want %q", limit, descending, got, want)
			}
		}
	}
}
