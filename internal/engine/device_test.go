package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

var tv = engine.Credentials{ClientID: "tv", Method: "none"}

func deviceWorld(t testing.TB) *world {
	w := newWorld(t, func(c *engine.Config) { c.Lifetimes.DeviceCode = 10 * time.Minute })
	w.add(storage.Client{
		ID: "tv", TokenEndpointAuthMethod: storage.AuthMethodNone, Incarnation: "one", Scope: "openid offline_access notes:read notes:write",
		DefaultScope: "notes:read", GrantTypes: []string{storage.GrantDeviceCode, storage.GrantRefreshToken}, Audiences: []string{api, other},
	})
	w.add(publicClient())
	w.backend.applies.Store(0)
	return w
}

func (w *world) begin(by engine.Credentials, pairs ...string) *engine.DeviceResponse {
	w.t.Helper()
	answer, refusal := w.beginDevice(by, pairs...)
	w.fine(refusal)
	return answer
}

func (w *world) beginDevice(by engine.Credentials, pairs ...string) (*engine.DeviceResponse, *engine.Error) {
	return w.BeginDevice(w.t.Context(), engine.DeviceRequest{
		Credentials: by, Form: with(map[string][]string{"scope": {"openid notes:read"}}, pairs...), Address: "192.0.2.7", Agent: "TV",
	})
}

func (w *world) poll(by engine.Credentials, code string, pairs ...string) (*engine.TokenResponse, *engine.Error) {
	form := with(map[string][]string{"grant_type": {storage.GrantDeviceCode}, "device_code": {code}}, pairs...)
	return w.Token(w.t.Context(), engine.TokenRequest{Credentials: by, Form: form})
}

var browser = []byte("the hash of a browser's secret")

func (w *world) claim(userCode string) *engine.Authorization {
	w.t.Helper()
	a, refusal := w.ClaimDevice(w.t.Context(), userCode, browser)
	w.fine(refusal)
	return a
}

func (w *world) alice(a *engine.Authorization) engine.Approval {
	return engine.Approval{Subject: "alice", SessionID: "session-1", AuthTime: w.now().Add(-time.Minute), Scopes: a.Scopes}
}

func (w *world) allow(userCode string) {
	w.t.Helper()
	a := w.claim(userCode)
	w.fine(w.ApproveDevice(w.t.Context(), a, w.alice(a)))
}

// RFC 8628 §3.2, §3.4, §3.5, §6.1
func TestDeviceSignsIn(t *testing.T) {
	w := deviceWorld(t)
	var begun *engine.DeviceResponse
	if n := w.commits(func() { begun = w.begin(tv, "scope", "openid offline_access notes:read", "resource", api) }); n != 1 {
		t.Errorf("the codes took %d commits", n)
	}
	if len(begun.UserCode) != 9 || begun.UserCode[4] != '-' || strings.Trim(begun.UserCode, "BCDFGHJKLMNPQRSTVWXZ-") != "" {
		t.Errorf("the user code is %q", begun.UserCode)
	}
	if !strings.HasPrefix(begun.DeviceCode, "dwd_") || begun.ExpiresIn != 10*time.Minute || begun.Interval != 5*time.Second {
		t.Errorf("begun with %+v", begun)
	}
	_, refusal := w.poll(tv, begun.DeviceCode)
	refused(t, refusal, "authorization_pending", "authorization_pending")

	a := w.claim(strings.ToLower(strings.ReplaceAll(begun.UserCode, "-", " ")))
	if a.Client.ID != "tv" || a.Device.Address != "192.0.2.7" || a.Device.Agent != "TV" || len(a.Audience) != 1 || a.Audience[0] != api {
		t.Errorf("the request is %+v of %+v", a, a.Device)
	}
	w.advance(5 * time.Second)
	_, refusal = w.poll(tv, begun.DeviceCode)
	refused(t, refusal, "authorization_pending", "authorization_pending")
	if n := w.commits(func() { w.fine(w.ApproveDevice(t.Context(), a, w.alice(a))) }); n != 1 {
		t.Errorf("approving took %d commits", n)
	}
	var tokens *engine.TokenResponse
	if n := w.commits(func() { tokens, refusal = w.poll(tv, begun.DeviceCode) }); n != 1 {
		t.Errorf("the tokens took %d commits", n)
	}
	w.fine(refusal)
	claims := payload(t, tokens.IDToken)
	if claims["sub"] != "alice" || claims["aud"] != "tv" || claims["sid"] != "session-1" || claims["auth_time"] == nil {
		t.Errorf("the ID token says %v", claims)
	}
	access, refusal := w.Access(t.Context(), tokens.AccessToken)
	w.fine(refusal)
	if access.Subject != "alice" || access.Audience[0] != api || strings.Join(access.Scopes, " ") != "openid offline_access notes:read" {
		t.Errorf("the access token is %+v", access)
	}
	if _, refusal := w.refresh(tv, tokens.RefreshToken); refusal != nil {
		t.Error(refusal)
	}
	_, refusal = w.poll(tv, begun.DeviceCode)
	refused(t, refusal, "invalid_grant", "device_code_used")
	if !w.works(tokens.AccessToken) {
		t.Error("a poll that came late ended the grant")
	}
	must(t, w.RevokeSession(t.Context(), "session-1"))
	if _, refusal := w.refresh(tv, tokens.RefreshToken); refusal != nil {
		t.Error("a grant for offline use ended with the session:", refusal)
	}
}

func TestDeviceRequestsThatAreRefused(t *testing.T) {
	w := deviceWorld(t)
	for _, c := range []struct {
		by           engine.Credentials
		code, reason string
		pairs        []string
	}{
		{spa, "unauthorized_client", "grant_type_not_allowed", nil},
		{engine.Credentials{ClientID: "nobody", Method: "none"}, "invalid_client", "client_unknown", nil},
		{tv, "invalid_scope", "scope_not_allowed", []string{"scope", "profile"}},
		{tv, "invalid_scope", "scope_unknown", []string{"scope", "everything"}},
		{tv, "invalid_target", "resource_not_allowed", []string{"resource", "https://elsewhere.example"}},
	} {
		if n := w.commits(func() {
			_, refusal := w.beginDevice(c.by, c.pairs...)
			refused(t, refusal, c.code, c.reason)
		}); n != 0 {
			t.Errorf("%s made %d commits", c.reason, n)
		}
	}
}

func TestPollsThatAreRefused(t *testing.T) {
	w := deviceWorld(t)
	foreign := w.addConfidential(storage.Client{ID: "radio", GrantTypes: []string{storage.GrantDeviceCode}})
	begun := w.begin(tv)
	if n := w.commits(func() {
		for range 2 { // neither tells them anything, nor counts
			_, refusal := w.poll(foreign, begun.DeviceCode)
			refused(t, refusal, "invalid_grant", "device_code_other_client")
		}
		_, refusal := w.poll(spa, begun.DeviceCode)
		refused(t, refusal, "unauthorized_client", "grant_type_not_allowed")
		for _, code := range []string{"x", "dwd_", begun.DeviceCode + "A", begun.DeviceCode[:len(begun.DeviceCode)-8] + "AAAAAAAA", begun.UserCode} {
			_, refusal := w.poll(tv, code)
			refused(t, refusal, "invalid_grant", "device_code_unknown")
		}
		_, refusal = w.poll(tv, "")
		refused(t, refusal, "invalid_request", "parameter_missing")
		_, refusal = w.poll(tv, begun.DeviceCode)
		refused(t, refusal, "authorization_pending", "authorization_pending")
	}); n != 0 {
		t.Errorf("refused polls made %d commits", n)
	}
	a := w.claim(begun.UserCode)
	w.fine(w.DenyDevice(t.Context(), a))
	_, refusal := w.poll(tv, begun.DeviceCode)
	refused(t, refusal, "access_denied", "device_denied")
	refused(t, w.ApproveDevice(t.Context(), a, w.alice(a)), "invalid_request", "device_request_answered")
}

// A device that does not wait is slowed down, more each time, and back at its
// interval it is served.
func TestSlowDown(t *testing.T) {
	w := deviceWorld(t)
	begun := w.begin(tv)
	for _, c := range []struct {
		after time.Duration
		code  string
	}{
		{0, "authorization_pending"}, {5 * time.Second, "authorization_pending"}, {time.Second, "slow_down"},
		{5 * time.Second, "slow_down"}, {14 * time.Second, "authorization_pending"}, {15 * time.Second, "authorization_pending"},
		{9 * time.Second, "slow_down"}, {20 * time.Second, "authorization_pending"},
	} {
		w.advance(c.after)
		if _, refusal := w.poll(tv, begun.DeviceCode); refusal == nil || refusal.Code != c.code {
			t.Errorf("%s after the last poll: %v, want %s", c.after, refusal, c.code)
		}
	}
	w.allow(begun.UserCode)
	if _, refusal := w.poll(tv, begun.DeviceCode); refusal != nil {
		t.Errorf("a device that may go on was made to wait: %v", refusal)
	}
}

func TestDeviceCodesExpire(t *testing.T) {
	w := deviceWorld(t)
	begun, late := w.begin(tv), w.begin(tv)
	a, b := w.claim(begun.UserCode), w.claim(late.UserCode)
	w.advance(10*time.Minute - time.Second)
	w.fine(w.ApproveDevice(t.Context(), b, w.alice(b)))
	w.advance(time.Second)
	_, refusal := w.poll(tv, begun.DeviceCode)
	refused(t, refusal, "expired_token", "device_code_expired")
	refused(t, w.ApproveDevice(t.Context(), a, w.alice(a)), "invalid_request", "device_request_expired")
	refused(t, w.DenyDevice(t.Context(), a), "invalid_request", "device_request_expired")
	_, refusal = w.ClaimDevice(t.Context(), begun.UserCode, browser)
	refused(t, refusal, "invalid_request", "user_code_unknown")
	w.advance(30 * time.Second)
	if _, refusal := w.poll(tv, late.DeviceCode); refusal != nil {
		t.Errorf("who answered in the last second was told to go back, but: %v", refusal)
	}
	w.advance(time.Hour)
	_, refusal = w.poll(tv, begun.DeviceCode)
	refused(t, refusal, "invalid_grant", "device_code_unknown")
}

// A code belongs to the browser that typed it first: who sees it over a shoulder, or
// sent it, gets nowhere with it elsewhere.
func TestUserCodeBelongsToOneBrowser(t *testing.T) {
	w := deviceWorld(t)
	begun := w.begin(tv)
	a := w.claim(begun.UserCode)
	if n := w.commits(func() { w.claim(begun.UserCode) }); n != 0 {
		t.Errorf("typing it again made %d commits", n)
	}
	_, refusal := w.ClaimDevice(t.Context(), begun.UserCode, []byte("another browser"))
	refused(t, refusal, "invalid_request", "user_code_unknown")
	_, refusal = w.CheckDevice(t.Context(), a.Device.ID, []byte("another browser"))
	refused(t, refusal, "invalid_request", "device_request_foreign")
	a.Device.Browser = nil
	refused(t, w.ApproveDevice(t.Context(), a, w.alice(a)), "invalid_request", "device_request_foreign")
	for _, code := range []string{"", "BBBB", "BCDF-GHJK", begun.UserCode + "B", "AEIO-UAEI", "ББББ-ББББ"} {
		_, refusal := w.ClaimDevice(t.Context(), code, browser)
		refused(t, refusal, "invalid_request", "user_code_unknown")
	}
	unclaimed := w.begin(tv)
	b := &engine.Authorization{Device: &engine.Device{ID: w.store.Lookup("user code", strings.ReplaceAll(unclaimed.UserCode, "-", ""))}}
	refused(t, w.ApproveDevice(t.Context(), b, w.alice(b)), "invalid_request", "device_request_foreign")
}

// What a grant depends on counts from the moment of the approval on, and what the
// client lost meanwhile it does not get.
func TestDeviceGrantEndsBeforeItsTokens(t *testing.T) {
	for name, end := range map[string]func(w *world) (reason string){
		"session_ended":   func(w *world) string { must(w.t, w.RevokeSession(w.t.Context(), "session-1")); return "session_ended" },
		"subject_revoked": func(w *world) string { must(w.t, w.RevokeSubject(w.t.Context(), "alice")); return "subject_revoked" },
		"app_revoked":     func(w *world) string { must(w.t, w.RevokeApp(w.t.Context(), "alice", "tv")); return "app_revoked" },
		"client replaced": func(w *world) string {
			c, err := w.clients.Get(w.t.Context(), "tv")
			must(w.t, err)
			c.Incarnation = "two"
			must(w.t, w.clients.Put(w.t.Context(), c))
			return "device_code_other_client"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := deviceWorld(t)
			begun := w.begin(tv)
			w.allow(begun.UserCode)
			reason := end(w)
			_, refusal := w.poll(tv, begun.DeviceCode)
			refused(t, refusal, "invalid_grant", reason)
		})
	}
	w := deviceWorld(t)
	begun := w.begin(tv, "scope", "notes:read notes:write")
	a := w.claim(begun.UserCode)
	c, err := w.clients.Get(t.Context(), "tv")
	must(t, err)
	c.Scope = "notes:read"
	must(t, w.clients.Put(t.Context(), c))
	a, refusal := w.CheckDevice(t.Context(), a.Device.ID, browser)
	w.fine(refusal)
	w.fine(w.ApproveDevice(t.Context(), a, w.alice(a)))
	tokens, refusal := w.poll(tv, begun.DeviceCode)
	w.fine(refusal)
	if strings.Join(tokens.Scopes, " ") != "notes:read" {
		t.Errorf("the client got %v", tokens.Scopes)
	}
}

// The hook is asked before anything is written, and its refusal leaves the code.
func TestClaimsHookVetoesDevice(t *testing.T) {
	veto := true
	w := newWorld(t, func(c *engine.Config) {
		c.Lifetimes.DeviceCode = 10 * time.Minute
		c.Claims = func(context.Context, *engine.ClaimsRequest) error {
			if veto {
				return &engine.Denied{Reason: "not today"}
			}
			return nil
		}
	})
	w.add(storage.Client{ID: "tv", TokenEndpointAuthMethod: "none", Scope: "openid notes:read", GrantTypes: []string{storage.GrantDeviceCode}})
	begun := w.begin(tv)
	w.allow(begun.UserCode)
	_, refusal := w.poll(tv, begun.DeviceCode)
	refused(t, refusal, "invalid_grant", "denied")
	veto = false
	tokens, refusal := w.poll(tv, begun.DeviceCode)
	w.fine(refusal)
	if tokens.RefreshToken != "" {
		t.Error("a client that is not registered for it got a refresh token")
	}
}

func TestParallelPolls(t *testing.T) {
	w := deviceWorld(t)
	for range rounds {
		var got outcomes
		begun := w.begin(tv)
		w.allow(begun.UserCode)
		together(func(int) { got.add(w.poll(tv, begun.DeviceCode)) })
		got.check(t)
		if len(got.tokens) != 1 {
			t.Fatalf("a device code was redeemed %d times", len(got.tokens))
		}
	}
	if n := w.store.Exhausted(); n != 0 {
		t.Errorf("%d units of work were given up", n)
	}
}

// The person answers yes and no at once, while the device polls: one answer counts,
// and it is the one that the device gets.
func TestParallelAnswers(t *testing.T) {
	w := deviceWorld(t)
	for range rounds {
		begun := w.begin(tv)
		a := w.claim(begun.UserCode)
		var yes, no int
		counts := make(chan *int, callers)
		together(func(n int) {
			if n%2 == 0 && w.ApproveDevice(t.Context(), a, w.alice(a)) == nil {
				counts <- &yes
			} else if n%2 == 1 && w.DenyDevice(t.Context(), a) == nil {
				counts <- &no
			}
		})
		close(counts)
		for c := range counts {
			*c++
		}
		_, refusal := w.poll(tv, begun.DeviceCode)
		if yes+no != 1 || (refusal == nil) != (yes == 1) {
			t.Fatalf("%d approvals and %d refusals counted; the device is told %v", yes, no, refusal)
		}
	}
}

// An approval that meets the end of the codes either counts or does not.
func TestApprovalMeetsExpiry(t *testing.T) {
	w := deviceWorld(t)
	for range rounds {
		begun := w.begin(tv)
		a := w.claim(begun.UserCode)
		w.advance(10*time.Minute - time.Nanosecond)
		var approved *engine.Error
		together(func(n int) {
			switch n {
			case 0:
				approved = w.ApproveDevice(t.Context(), a, w.alice(a))
			case 1:
				w.advance(time.Nanosecond)
			default:
				_, _ = w.poll(tv, begun.DeviceCode, "resource", "https://elsewhere.example") // never takes the tokens
			}
		})
		_, refusal := w.poll(tv, begun.DeviceCode)
		if (approved == nil) != (refusal == nil) || refusal != nil && refusal.Code != "expired_token" {
			t.Fatalf("the person was told %v, the device %v", approved, refusal)
		}
	}
}

// Nothing of the codes stands in the store as it is.
func TestDeviceCodesAreNotStored(t *testing.T) {
	w := deviceWorld(t)
	begun := w.begin(tv)
	records, err := w.backend.List(t.Context(), storage.Query{Namespace: issuer, Kind: "device", Now: w.now(), Limit: 10})
	must(t, err)
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	stored := records[0].ID + string(records[0].Value)
	for _, secret := range []string{begun.DeviceCode, begun.UserCode, strings.ReplaceAll(begun.UserCode, "-", "")} {
		if strings.Contains(stored, secret) {
			t.Errorf("%s stands in the store", secret)
		}
	}
}
