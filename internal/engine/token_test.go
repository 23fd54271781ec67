package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

func TestTokenRequestRefusals(t *testing.T) {
	w := newWorld(t, nil)
	by := w.addConfidential(storage.Client{ID: "m", GrantTypes: []string{"client_credentials"}})
	w.add(publicClient())
	for _, c := range []struct {
		name         string
		by           engine.Credentials
		form         url.Values
		code, reason string
	}{
		{"empty", spa, nil, "invalid_request", "parameter_missing"},
		{"grant_type without value", spa, url.Values{"grant_type": {""}}, "invalid_request", "parameter_missing"},
		{"unknown", spa, url.Values{"grant_type": {"password"}}, "unsupported_grant_type", "grant_type_unknown"},
		{"two at once", spa, url.Values{"grant_type": {"authorization_code refresh_token"}}, "unsupported_grant_type", "grant_type_unknown"},
		{"of another case", spa, url.Values{"grant_type": {"Authorization_Code"}}, "unsupported_grant_type", "grant_type_unknown"},
		{"twice", spa, url.Values{"grant_type": {"refresh_token", "refresh_token"}}, "invalid_request", "parameter_repeated"},
		{"not allowed", by, url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, "unauthorized_client", "grant_type_not_allowed"},
		{"public client", spa, url.Values{"grant_type": {"client_credentials"}}, "unauthorized_client", "grant_type_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			response, refusal := w.Token(t.Context(), engine.TokenRequest{Credentials: c.by, Form: c.form})
			refused(t, refusal, c.code, c.reason)
			if response != nil {
				t.Errorf("answered %+v", response)
			}
		})
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "scope": {"a"}}
	_, _ = w.Token(t.Context(), engine.TokenRequest{Credentials: spa, Form: form})
	if len(form) != 3 || form.Get("scope") != "a" {
		t.Errorf("the caller's form was changed to %v", form)
	}
}

func TestClientCredentials(t *testing.T) {
	w := newWorld(t, nil)
	by := w.addConfidential(storage.Client{
		ID: "m", GrantTypes: []string{"client_credentials", "refresh_token"}, Scope: "openid offline_access notes:read notes:write",
		DefaultScope: "openid notes:read", Audiences: []string{api, other}, Incarnation: "one",
	})
	var tokens *engine.TokenResponse
	if n := w.commits(func() {
		var refusal *engine.Error
		tokens, refusal = w.ask(by, "scope", "", "resource", other)
		w.fine(refusal)
	}); n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	if tokens.RefreshToken != "" || tokens.IDToken != "" || !cmp.Equal(tokens.Scopes, []string{"notes:read"}) {
		t.Errorf("the response is %+v", tokens)
	}
	a, refusal := w.Access(t.Context(), tokens.AccessToken)
	w.fine(refusal)
	if a.Subject != "m" || a.ClientID != "m" || a.Grant != "" || !cmp.Equal(a.Audience, []string{other}) {
		t.Errorf("the access is %+v", a)
	}
	_, refusal = w.UserInfo(t.Context(), a)
	refused(t, refusal, "insufficient_scope", "openid_missing")
	for _, c := range []struct{ scope, reason string }{
		{"openid", "scope_needs_person"}, {"notes:read offline_access", "scope_needs_person"},
		{"profile", "scope_not_allowed"}, {"zebra", "scope_unknown"}, {"a\"b", "scope_malformed"},
	} {
		_, refusal := w.ask(by, "scope", c.scope)
		refused(t, refusal, "invalid_scope", c.reason)
	}
	_, refusal = w.ask(by, "resource", issuer)
	refused(t, refusal, "invalid_target", "resource_not_allowed")

	odd := publicClient()
	odd.ID, odd.GrantTypes = "odd", []string{"client_credentials"}
	w.add(odd)
	_, refusal = w.ask(engine.Credentials{ClientID: "odd", Method: "none"})
	refused(t, refusal, "unauthorized_client", "client_public")

	off := storage.Client{ID: "m", Incarnation: "one", Disabled: true}
	w.add(off)
	_, refusal = w.Access(t.Context(), tokens.AccessToken)
	refused(t, refusal, "invalid_token", "client_disabled")

	// A client that is made again under the same ID inherits nothing.
	w.addConfidential(storage.Client{ID: "m", Incarnation: "two"})
	_, refusal = w.Access(t.Context(), tokens.AccessToken)
	refused(t, refusal, "invalid_token", "client_replaced")
}

const further = "urn:example:further"

// RFC 6749 §4.5
func TestFurtherGrant(t *testing.T) {
	var result *engine.GrantResult
	var fail error
	var asked *engine.GrantRequest
	w := newWorld(t, func(c *engine.Config) {
		c.Grants = []engine.Grant{{Type: further, Exchange: func(_ context.Context, r *engine.GrantRequest) (*engine.GrantResult, error) {
			asked = r
			if fail == nil && result == nil {
				panic("no result")
			}
			return result, fail
		}}}
	})
	by := w.addConfidential(storage.Client{ID: "m", GrantTypes: []string{further, "refresh_token"}, Scope: "openid notes:read", Incarnation: "one"})
	exchange := func() (*engine.TokenResponse, *engine.Error) {
		return w.Token(t.Context(), engine.TokenRequest{Credentials: by, Form: url.Values{"grant_type": {further}, "scope": {"notes:read"}, "x": {"y"}}})
	}
	result = &engine.GrantResult{
		Approval: engine.Approval{Subject: "bob", Scopes: []string{"openid", "notes:read"}}, Refresh: true, Extra: map[string]any{"a": "b"},
	}
	var tokens *engine.TokenResponse
	if n := w.commits(func() {
		var refusal *engine.Error
		tokens, refusal = exchange()
		w.fine(refusal)
	}); n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	if asked.Form.Get("x") != "y" || asked.Client.ID != "m" || !cmp.Equal(asked.Scopes, []string{"notes:read"}) || !cmp.Equal(asked.Audience, []string{issuer}) {
		t.Errorf("asked for %+v", asked)
	}
	if tokens.Extra["a"] != "b" || payload(t, tokens.IDToken)["sub"] != "bob" {
		t.Errorf("the response is %+v", tokens)
	}
	again, refusal := w.refresh(by, tokens.RefreshToken)
	w.fine(refusal)
	must(t, w.RevokeSubject(t.Context(), "bob"))
	if w.works(tokens.AccessToken) || w.works(again.AccessToken) {
		t.Error("the tokens outlived their subject")
	}
	for _, c := range []struct {
		name         string
		result       *engine.GrantResult
		err          error
		code, reason string
	}{
		{"denied", nil, fmt.Errorf("wrapped: %w", &engine.Denied{Reason: "no"}), "invalid_grant", "denied"},
		{"its own refusal", nil, &engine.Error{Code: "slow_down", Reason: "slow_down"}, "slow_down", "slow_down"},
		{"store", nil, storage.ErrUnavailable, "temporarily_unavailable", "store_unavailable"},
		{"other", nil, errors.New("boom"), "server_error", "grant_failed"},
		{"panic", nil, nil, "server_error", "panic"},
		{"nobody", &engine.GrantResult{}, nil, "server_error", "approval_invalid"},
		{"too much", &engine.GrantResult{Approval: engine.Approval{Subject: "bob", Scopes: []string{"email"}}}, nil, "server_error", "approval_invalid"},
	} {
		result, fail = c.result, c.err
		n := w.commits(func() {
			_, refusal := exchange()
			refused(t, refusal, c.code, c.reason)
		})
		if n != 0 {
			t.Errorf("%s: %d commits", c.name, n)
		}
	}
}

func TestNewReportsWhatIsMissing(t *testing.T) {
	if _, err := engine.New(engine.Config{}); err == nil {
		t.Error("an empty configuration is accepted")
	}
	config := newWorld(t, nil).config
	config.Grants = []engine.Grant{{Type: "refresh_token", Exchange: func(context.Context, *engine.GrantRequest) (*engine.GrantResult, error) { return nil, nil }}}
	if _, err := engine.New(config); err == nil {
		t.Error("a grant type of ours can be replaced")
	}
}

// A form full of words must not cost more than it cost to send, least of all before
// anybody has authenticated.
func TestTooManyWordsAreRefusedAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	many := strings.TrimSpace(strings.Repeat("scope ", 102))
	for _, parameter := range []string{"scope", "audience"} {
		_, refusal := w.Token(t.Context(), engine.TokenRequest{
			Credentials: engine.Credentials{ClientID: "nobody", Method: "none"},
			Form:        url.Values{"grant_type": {"client_credentials"}, parameter: {many}},
		})
		if refusal == nil || refusal.Reason != "parameter_malformed" {
			t.Errorf("102 words of %s: %v", parameter, refusal)
		}
	}
}
