package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// hooked is a world whose Claims hook is hook, with its calls counted.
func hooked(t *testing.T, hook func(ctx context.Context, c *engine.ClaimsRequest) error) (w *world, calls *int) {
	t.Helper()
	calls = new(int)
	w = newWorld(t, func(c *engine.Config) {
		c.Claims = func(ctx context.Context, r *engine.ClaimsRequest) error {
			*calls++
			return hook(ctx, r)
		}
	})
	w.add(publicClient())
	return w, calls
}

// OpenID Connect Core §5.4
func TestClaims(t *testing.T) {
	var seen []engine.ClaimsRequest
	w, calls := hooked(t, func(_ context.Context, c *engine.ClaimsRequest) error {
		seen = append(seen, *c)
		c.User["name"], c.User["email"], c.User["role"] = "Alice", "a@example", "admin"
		c.IDToken["only_id"], c.UserInfo["only_info"], c.AccessToken["only_access"] = 1, 2, 3
		c.Scopes[0] = "email" // its own copy
		c.Subject = "mallory"
		return nil
	})
	answer := w.approveAs(request(), engine.Approval{Org: "acme"})
	tokens, refusal := w.redeem(spa, answer.Params.Get("code"))
	w.fine(refusal)
	id := payload(t, tokens.IDToken)
	for name, want := range map[string]any{
		"name": "Alice", "role": "admin", "only_id": 1.0, "email": nil, "only_info": nil, "iss": issuer, "sub": "alice", "aud": "spa",
		"nonce": "n", "azp": nil, "jti": nil, "acr": nil, "amr": nil, "sid": "session-1", "active": nil, "scope": nil, "client_id": nil,
	} {
		if id[name] != want {
			t.Errorf("%s of the ID token is %v, want %v", name, id[name], want)
		}
	}
	a, refusal := w.Access(t.Context(), tokens.AccessToken)
	w.fine(refusal)
	if diff := cmp.Diff(map[string]any{"only_access": json.Number("3")}, a.Claims); diff != "" {
		t.Errorf("the access token's claims differ:\n%s", diff)
	}
	if a.Org != "acme" {
		t.Errorf("the org is %q", a.Org)
	}
	info, refusal := w.UserInfo(t.Context(), a)
	w.fine(refusal)
	if diff := cmp.Diff(map[string]any{"sub": "alice", "name": "Alice", "role": "admin", "only_info": 2}, info); diff != "" {
		t.Errorf("userinfo differs:\n%s", diff)
	}
	w.mustRefresh(tokens.RefreshToken)
	if *calls != 3 || seen[0].GrantType != "authorization_code" || seen[1].GrantType != "" || seen[2].GrantType != "refresh_token" {
		t.Errorf("%d calls: %+v", *calls, seen)
	}
	if s := seen[0]; s.Subject != "alice" || s.ClientID != "spa" || s.Grant == "" || s.Org != "acme" {
		t.Errorf("the hook saw %+v", s)
	}
}

// A name that the protocol owns is the server's to say, in whatever case. RFC 7519 §4.1
func TestReservedClaims(t *testing.T) {
	var name string
	var at func(*engine.ClaimsRequest) map[string]any
	w, _ := hooked(t, func(_ context.Context, c *engine.ClaimsRequest) error {
		if name != "" {
			at(c)[name] = "evil"
		}
		return nil
	})
	code, tokens := w.approve(request()), w.signIn()
	a, refusal := w.Access(t.Context(), tokens.AccessToken)
	w.fine(refusal)
	for _, at = range []func(*engine.ClaimsRequest) map[string]any{
		func(c *engine.ClaimsRequest) map[string]any { return c.User },
		func(c *engine.ClaimsRequest) map[string]any { return c.IDToken },
		func(c *engine.ClaimsRequest) map[string]any { return c.UserInfo },
		func(c *engine.ClaimsRequest) map[string]any { return c.AccessToken },
	} {
		for _, name = range []string{
			"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "auth_time", "acr", "amr", "azp", "at_hash", "c_hash", "sid", "cnf", "act",
			"client_id", "scope", "active", "events", "gid", "cin", "Sub", "EXP",
		} {
			n := w.commits(func() {
				_, refusal := w.redeem(spa, code)
				refused(t, refusal, "server_error", "claims_reserved")
				if refusal != nil && !strings.Contains(refusal.Detail, name) {
					t.Errorf("the log does not name %s: %s", name, refusal.Detail)
				}
			})
			_, refusal := w.UserInfo(t.Context(), a)
			refused(t, refusal, "server_error", "claims_reserved")
			if n != 0 {
				t.Errorf("%s: %d commits", name, n)
			}
		}
	}
	name = ""
	_, refusal = w.redeem(spa, code)
	w.fine(refusal)
}

func TestUserInfoNeedsOpenID(t *testing.T) {
	w, calls := hooked(t, func(context.Context, *engine.ClaimsRequest) error { return nil })
	a, refusal := w.Access(t.Context(), w.signIn("scope", "notes:read").AccessToken)
	w.fine(refusal)
	*calls = 0
	_, refusal = w.UserInfo(t.Context(), a)
	refused(t, refusal, "insufficient_scope", "openid_missing")
	if *calls != 0 {
		t.Error("the hook was asked in vain")
	}
}

// What a hook returns decides, and nothing is written when it refuses: the code and
// the refresh token are still good.
func TestClaimsRefuse(t *testing.T) {
	var fail error
	w, _ := hooked(t, func(context.Context, *engine.ClaimsRequest) error {
		if fail != nil && fail.Error() == "panic" {
			panic("at the hook")
		}
		return fail
	})
	code := w.approve(request())
	tokens := w.signIn()
	a, refusal := w.Access(t.Context(), tokens.AccessToken)
	w.fine(refusal)
	for _, c := range []struct {
		err                error
		code, reason, info string
	}{
		{fmt.Errorf("wrapped: %w", &engine.Denied{Reason: "disabled"}), "invalid_grant", "denied", "invalid_token"},
		{errors.New("boom"), "server_error", "claims_failed", "server_error"},
		{errors.New("panic"), "server_error", "panic", "server_error"},
		{fmt.Errorf("quota of the host: %w", storage.ErrLimit), "server_error", "claims_failed", "server_error"},
		{fmt.Errorf("ldap: %w", storage.ErrUnavailable), "temporarily_unavailable", "store_unavailable", "temporarily_unavailable"},
	} {
		fail = c.err
		n := w.commits(func() {
			_, refusal := w.redeem(spa, code)
			refused(t, refusal, c.code, c.reason)
			_, refusal = w.refresh(spa, tokens.RefreshToken)
			refused(t, refusal, c.code, c.reason)
			_, refusal = w.UserInfo(t.Context(), a)
			refused(t, refusal, c.info, c.reason)
		})
		if n != 0 {
			t.Errorf("%v: %d commits", c.err, n)
		}
	}
	fail = nil
	_, refusal = w.redeem(spa, code)
	w.fine(refusal)
	w.mustRefresh(tokens.RefreshToken)
}

// The hook is called once though the unit of work is run again, and its own writes
// are not part of it.
func TestClaimsRunOnce(t *testing.T) {
	var w *world
	w, calls := hooked(t, func(ctx context.Context, _ *engine.ClaimsRequest) error {
		return w.clients.Put(ctx, &storage.Client{ID: "seen"})
	})
	tokens := w.signIn()
	_, err := w.clients.Get(t.Context(), "seen")
	must(t, err)
	*calls = 0
	first := true
	w.backend.beforeApply = func() { // the hook's own commit comes first
		w.backend.beforeApply = func() {
			if first {
				first = false
				_, refusal := w.refresh(spa, tokens.RefreshToken)
				w.fine(refusal)
			}
		}
	}
	_, refusal := w.refresh(spa, tokens.RefreshToken)
	w.fine(refusal)
	if *calls != 2 || first { // one for each of the two requests, the outer one having run twice
		t.Errorf("%d calls, raced: %v", *calls, !first)
	}
}

// A hook that panics after the commit changes nothing of it.
func TestEventHookPanics(t *testing.T) {
	log := &bytes.Buffer{}
	const token = "dwa_AaIVnZ13mPJGjkJlcUzRZoTbywT1DFgky07R_ShxIibB81TM8UU"
	w := newWorld(t, func(c *engine.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
		c.Emit = func(context.Context, engine.Event) { panic("no audit of " + token) }
	})
	w.add(publicClient())
	if tokens := w.signIn(); !w.works(tokens.AccessToken) {
		t.Error("the token does not work")
	}
	if said := log.String(); !strings.Contains(said, "no audit of dwa_") || strings.Contains(said, token) {
		t.Errorf("the log says:\n%s", said)
	}
}

// What a hook says after its deadline is refused, also when it did not look at its context.
func TestClaimsThatComeTooLate(t *testing.T) {
	w, _ := hooked(t, func(ctx context.Context, c *engine.ClaimsRequest) error {
		<-ctx.Done()
		c.User["name"] = "Alice"
		return nil
	})
	config := w.config
	config.HookTime = 20 * time.Millisecond
	var err error
	w.Engine, err = engine.New(config)
	must(t, err)
	_, refusal := w.redeem(spa, w.approveAs(request(), engine.Approval{}).Params.Get("code"))
	refused(t, refusal, "temporarily_unavailable", "hook_deadline")
}

// TestHookChangesItsOwnOnly: what the server keeps of a token and its grant between two
// requests is not what a hook was given.
func TestHookChangesItsOwnOnly(t *testing.T) {
	var given []string
	w, _ := hooked(t, func(_ context.Context, c *engine.ClaimsRequest) error {
		told, err := json.Marshal([]any{c.Scopes, c.Audience, c.Asked})
		if err != nil {
			return err
		}
		given = append(given, string(told))
		for i := range c.Scopes {
			c.Scopes[i] = "changed"
		}
		for i := range c.Audience {
			c.Audience[i] = "changed"
		}
		for _, asked := range c.Asked.UserInfo {
			for _, value := range append(asked.Values, asked.Value) {
				if members, ok := value.(map[string]any); ok {
					members["country"] = "changed"
				}
			}
		}
		clear(c.Asked.UserInfo)
		return nil
	})
	tokens := w.signIn("claims", `{"userinfo":{"address":{"value":{"country":"CH"}},"other":{"values":[{"country":"FR"}]}}}`)
	given = nil
	for range 3 { // from the second on the token is known
		a, refusal := w.Access(t.Context(), tokens.AccessToken)
		w.fine(refusal)
		_, refusal = w.UserInfo(t.Context(), a)
		w.fine(refusal)
	}
	if len(given) != 3 || !strings.Contains(given[0], `"CH"`) || !strings.Contains(given[0], `"FR"`) || given[1] != given[0] || given[2] != given[0] {
		t.Errorf("the hook was given %q", given)
	}
}
