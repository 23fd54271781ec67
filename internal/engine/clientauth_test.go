package engine_test

import (
	"context"
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

func (w *world) ask(by engine.Credentials, pairs ...string) (*engine.TokenResponse, *engine.Error) {
	form := with(url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}}, pairs...)
	return w.Token(w.t.Context(), engine.TokenRequest{Credentials: by, Form: form})
}

// RFC 6749 §2.1, §2.3, §2.3.1, §3.2.1
func TestClientAuthentication(t *testing.T) {
	w := newWorld(t, nil)
	machine := []string{"client_credentials"}
	free := w.addConfidential(storage.Client{ID: "free", GrantTypes: machine})
	pinned := w.addConfidential(storage.Client{ID: "pinned", GrantTypes: machine, TokenEndpointAuthMethod: "client_secret_post"})
	off := w.addConfidential(storage.Client{ID: "off", GrantTypes: machine, Disabled: true})
	w.add(storage.Client{ID: "empty", GrantTypes: machine})
	w.add(publicClient())
	by := func(id string, secret storage.Secret, method string) engine.Credentials {
		return engine.Credentials{ClientID: id, Secret: secret, Method: method}
	}
	const basic, post, none = "client_secret_basic", "client_secret_post", "none"
	for _, c := range []struct {
		name   string
		by     engine.Credentials
		reason string // "" is right
		told   string // what the client may read about it
	}{
		{"basic", by("free", free.Secret, basic), "", ""},
		{"post", by("free", free.Secret, post), "", ""},
		{"pinned", by("pinned", pinned.Secret, post), "", ""},
		{"nobody", by("", "", none), "client_id_missing", "client_id_missing"},
		{"unknown", by("unknown", free.Secret, basic), "client_unknown", "invalid_client"},
		{"unknown and public", by("unknown", "", none), "client_unknown", "invalid_client"},
		{"wrong secret", by("free", "wrong", basic), "client_secret_wrong", "invalid_client"},
		{"another client's secret", by("free", pinned.Secret, post), "client_secret_wrong", "invalid_client"},
		{"empty secret", by("free", "", basic), "client_secret_wrong", "invalid_client"},
		{"no secret set, none sent", by("empty", "", basic), "client_secret_wrong", "invalid_client"},
		{"no secret", by("free", "", none), "client_secret_missing", "invalid_client"},
		{"public with a secret", by("spa", "secret", post), "client_secret_unexpected", "invalid_client"},
		{"public with an empty secret", by("spa", "", basic), "client_secret_unexpected", "invalid_client"},
		{"wrong method, right secret", by("pinned", pinned.Secret, basic), "client_method_wrong", "client_method_wrong"},
		{"wrong method, wrong secret", by("pinned", "wrong", basic), "client_secret_wrong", "invalid_client"},
		{"disabled, right secret", by("off", off.Secret, basic), "client_disabled", "client_disabled"},
		{"disabled, wrong secret", by("off", "wrong", basic), "client_secret_wrong", "invalid_client"},
		{"unknown method", by("free", free.Secret, "kerberos"), "client_method_unknown", "client_method_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed := w.count(engine.EventAuthFailed)
			_, refusal := w.ask(c.by)
			if c.reason == "" {
				w.fine(refusal)
				return
			}
			refused(t, refusal, "invalid_client", c.reason)
			if refusal.Anchor() != c.told || refusal.Status != 401 {
				t.Errorf("the client is told %s with status %d", refusal.Anchor(), refusal.Status)
			}
			if (refusal.Challenge == "Basic") != (c.by.Method == basic) {
				t.Errorf("the challenge is %q", refusal.Challenge)
			}
			if n := w.count(engine.EventAuthFailed) - failed; n != 1 {
				t.Errorf("%d events, want 1", n)
			}
		})
	}
	// Strangers can't tell one failure from another.
	_, unknown := w.ask(by("unknown", "x", basic))
	_, wrong := w.ask(by("free", "x", basic))
	if unknown.Description != wrong.Description || unknown.Anchor() != wrong.Anchor() {
		t.Errorf("%q differs from %q", unknown.Description, wrong.Description)
	}
	// Who holds the secret is told what to change.
	_, method := w.ask(by("pinned", pinned.Secret, basic))
	if method.Setting != "token_endpoint_auth_method" {
		t.Errorf("the setting is %q", method.Setting)
	}
}

// Who sends nothing is told apart by what was expected, in the log alone. RFC 7591 §2
func TestMissingCredentials(t *testing.T) {
	w := newWorld(t, func(c *engine.Config) { c.Certificates.Accept = true })
	machine := []string{"client_credentials"}
	w.addConfidential(storage.Client{ID: "free", GrantTypes: machine})
	for _, method := range []string{"client_secret_post", storage.AuthMethodSecretJWT} {
		w.addConfidential(storage.Client{ID: method, GrantTypes: machine, TokenEndpointAuthMethod: method})
	}
	w.addSigner(storage.Client{ID: storage.AuthMethodPrivateKey, GrantTypes: machine})
	w.add(storage.Client{ID: storage.AuthMethodSelfSigned, GrantTypes: machine, TokenEndpointAuthMethod: storage.AuthMethodSelfSigned})
	told := ""
	for id, c := range map[string]struct{ reason, method, lacks string }{
		"free":                       {"client_secret_missing", "client_secret_basic or client_secret_post", "no secret came"},
		"client_secret_post":         {"client_secret_missing", "client_secret_post", "no secret came"},
		storage.AuthMethodSecretJWT:  {"assertion_missing", storage.AuthMethodSecretJWT, "no client_assertion came"},
		storage.AuthMethodPrivateKey: {"assertion_missing", storage.AuthMethodPrivateKey, "no client_assertion came"},
		storage.AuthMethodSelfSigned: {"certificate_missing", storage.AuthMethodSelfSigned, "no certificate came"},
	} {
		_, refusal := w.ask(engine.Credentials{ClientID: id, Method: "none"})
		refused(t, refusal, "invalid_client", c.reason)
		for _, part := range []string{"'" + id + "'", "is registered for " + c.method, c.lacks} {
			if !strings.Contains(refusal.Detail, part) {
				t.Errorf("%s: the detail %q lacks %q", id, refusal.Detail, part)
			}
		}
		if told == "" {
			told = refusal.Description
		}
		if refusal.Anchor() != "invalid_client" || refusal.Description != told {
			t.Errorf("%s: the client is told %s: %s", id, refusal.Anchor(), refusal.Description)
		}
	}
	// So is who proves it in another way.
	_, refusal := w.ask(engine.Credentials{ClientID: storage.AuthMethodPrivateKey, Secret: "x", Method: "client_secret_basic"})
	refused(t, refusal, "invalid_client", "client_secret_wrong")
	if want := "is registered for private_key_jwt and authenticated by client_secret_basic"; !strings.Contains(refusal.Detail, want) {
		t.Errorf("the detail %q lacks %q", refusal.Detail, want)
	}
}

// A token that is bound to a certificate and comes without one is not said to have come
// with another. RFC 8705 §3
func TestMissingCertificates(t *testing.T) {
	w := newWorld(t, nil)
	for detail, from := range map[string]engine.Sender{
		"no certificate came":                 {},
		"the SHA-256 of the one that came is": {Certificates: []*x509.Certificate{{Raw: []byte("another")}}},
	} {
		_, refusal := w.CheckSender(t.Context(), &engine.Access{Confirmation: storage.Confirmation{X5T: "bound"}}, "token", "Bearer", from)
		refused(t, refusal, "invalid_token", "certificate_other")
		if !strings.HasPrefix(refusal.Detail, detail) || strings.Contains(refusal.Detail, "''") {
			t.Errorf("the detail is %q, want %q", refusal.Detail, detail)
		}
	}
}

// Two secrets are valid while one is rotated, each until its end; brought ones are
// checked as well.
func TestClientSecrets(t *testing.T) {
	w := newWorld(t, nil)
	first, one := w.secrets.Generate(w.now())
	second, two := w.secrets.Generate(w.now())
	brought, err := w.secrets.Bring("correct horse battery staple", w.now())
	must(t, err)
	one.ExpiresAt = w.now().Add(time.Hour)
	w.add(storage.Client{ID: "c", Scope: "notes:read", GrantTypes: []string{"client_credentials"}, Secrets: []storage.ClientSecret{one, two}})
	w.add(storage.Client{ID: "b", Scope: "notes:read", GrantTypes: []string{"client_credentials"}, Secrets: []storage.ClientSecret{brought}})
	try := func(id string, s storage.Secret) bool {
		_, refusal := w.ask(engine.Credentials{ClientID: id, Secret: s, Method: "client_secret_post"})
		return refusal == nil
	}
	if !try("c", first) || !try("c", second) || !try("b", "correct horse battery staple") || try("b", "correct horse") {
		t.Error("a live secret is refused, or a wrong one is taken")
	}
	w.advance(time.Hour)
	if try("c", first) || !try("c", second) {
		t.Error("an ended secret is taken, or the other one refused")
	}
	if len(first) < 43 || one.Hash == two.Hash || w.secrets.Keyed(first).Hash != one.Hash {
		t.Errorf("a generated secret is %q with the hash %q", first, one.Hash)
	}
}

// A store that fails is no wrong password, and an answer that can't be stored is
// none. RFC 9110 §15.6.4
func TestUnavailable(t *testing.T) {
	w := newWorld(t, nil)
	by := w.addConfidential(storage.Client{ID: "m", GrantTypes: []string{"client_credentials"}})
	w.add(publicClient())
	tokens := w.signIn()
	code := w.approve(request())
	calls := map[string]func() *engine.Error{
		"client credentials": func() *engine.Error { _, e := w.ask(by); return e },
		"code":               func() *engine.Error { _, e := w.redeem(spa, code); return e },
		"refresh":            func() *engine.Error { _, e := w.refresh(spa, tokens.RefreshToken); return e },
		"revoke":             func() *engine.Error { return w.Revoke(t.Context(), spa, tokens.AccessToken) },
		"revoke refresh":     func() *engine.Error { return w.Revoke(t.Context(), spa, tokens.RefreshToken) },
		"introspect":         func() *engine.Error { _, e := w.Introspect(t.Context(), by, tokens.AccessToken); return e },
		"access":             func() *engine.Error { _, e := w.Access(t.Context(), tokens.AccessToken); return e },
	}
	for name, call := range calls {
		w.backend.failGet.Store(true)
		e := call()
		w.backend.failGet.Store(false)
		refused(t, e, "temporarily_unavailable", "store_unavailable")
		if name == "introspect" || name == "access" {
			continue
		}
		w.backend.failApply.Store(true)
		e = call()
		w.backend.failApply.Store(false)
		refused(t, e, "temporarily_unavailable", "store_unavailable")
		if e.Status != 503 || e.RetryAfter == 0 {
			t.Errorf("%s: %d, retry after %v", name, e.Status, e.RetryAfter)
		}
	}
	if !w.works(tokens.AccessToken) {
		t.Error("something happened that was not stored")
	}
	w.mustRefresh(tokens.RefreshToken)
	_, refusal := w.redeem(spa, code)
	w.fine(refusal)
}

// A lookup of clients that fails is not one that found nothing.
func TestClientLookupFails(t *testing.T) {
	var broken error
	w := newWorld(t, func(c *engine.Config) {
		c.Client = func(context.Context, string) (*storage.Client, error) { return nil, broken }
	})
	for err, want := range map[error][2]string{
		storage.ErrUnavailable: {"temporarily_unavailable", "store_unavailable"},
		storage.ErrDamaged:     {"server_error", "internal"},
		storage.ErrNotFound:    {"invalid_client", "client_unknown"},
	} {
		broken = err
		_, refusal := w.ask(spa)
		refused(t, refusal, want[0], want[1])
		_, refusal = w.CheckAuthorize(t.Context(), request())
		refused(t, refusal, want[0], want[1])
	}
}
