package engine_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/doorward/doorward/internal/engine"
)

// Whoever can't be trusted to be the client's own address is shown a page, and the
// log says what is registered. RFC 6749 §3.1.2.4
func TestAuthorizeWithoutRedirect(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	off := publicClient()
	off.ID, off.Disabled = "off", true
	w.add(off)
	two := publicClient()
	two.ID, two.RedirectURIs = "two", []string{callback, callback + "2"}
	w.add(two)
	for _, c := range []struct {
		name         string
		form         url.Values
		code, reason string
		detail       []string
	}{
		{"no client", request("client_id", ""), "invalid_request", "parameter_missing", nil},
		{"unknown client", request("client_id", "nobody"), "invalid_client", "client_unknown", []string{"nobody"}},
		{"a client_id that can't be one", request("client_id", "a\x00b"), "invalid_client", "client_unknown", nil},
		{"disabled client", request("client_id", "off"), "invalid_client", "client_disabled", nil},
		{"unregistered", request("redirect_uri", callback+"/"), "invalid_request", "redirect_uri_mismatch", []string{callback + "/", `"` + callback + `"`, "slash"}},
		{"another host", request("redirect_uri", "https://evil.example/cb"), "invalid_request", "redirect_uri_mismatch", []string{"evil.example", callback}},
		{"left out with openid", request("redirect_uri", ""), "invalid_request", "parameter_missing", nil},
		{"left out with two", request("client_id", "two", "redirect_uri", "", "scope", "notes:read"), "invalid_request", "parameter_missing", []string{callback + "2"}},
		{"client twice", url.Values{"client_id": {"spa", "off"}}, "invalid_request", "parameter_repeated", nil},
		{"redirect twice", url.Values{"client_id": {"spa"}, "redirect_uri": {callback, callback}}, "invalid_request", "parameter_repeated", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, refusal := w.CheckAuthorize(t.Context(), c.form)
			refused(t, refusal, c.code, c.reason)
			if a.RedirectURI != "" {
				t.Errorf("the answer would go to %q", a.RedirectURI)
			}
			for _, part := range c.detail {
				if !strings.Contains(refusal.Detail, part) {
					t.Errorf("the detail %q lacks %q", refusal.Detail, part)
				}
			}
		})
	}
}

// Leaving out PKCE is advised to nobody whose registration may not have it.
// FAPI 2.0 Security Profile §5.3.2
func TestAdviceAboutPKCE(t *testing.T) {
	for _, c := range []struct {
		name            string
		public, strict  bool
		setting, detail string
	}{
		{"a client with a secret", false, false, "insecure.skip_pkce", ""},
		{"a public client", true, false, "", "turn PKCE on in the client"},
		{"under a profile", false, true, "", "turn PKCE on in the client"},
	} {
		w := newWorld(t, func(config *engine.Config) { config.NoExceptions = c.strict })
		client := publicClient()
		if !c.public {
			client.TokenEndpointAuthMethod = ""
		}
		w.add(client)
		_, refusal := w.CheckAuthorize(t.Context(), request("code_challenge", "", "code_challenge_method", ""))
		refused(t, refusal, "invalid_request", "pkce_required")
		if refusal.Setting != c.setting || !strings.Contains(refusal.Detail, c.detail) {
			t.Errorf("%s: the setting is %q, the detail %q", c.name, refusal.Setting, refusal.Detail)
		}
	}
}

// Everything else goes back to the client, before anybody signs in.
func TestAuthorizeRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	app := publicClient()
	app.ID, app.RedirectURIs = "app", []string{"com.example.app:/cb"}
	w.add(app)
	machine := publicClient()
	machine.ID, machine.GrantTypes = "machine", []string{"client_credentials"}
	w.add(machine)
	bare := publicClient()
	bare.ID, bare.DefaultScope = "bare", ""
	w.add(bare)
	exempt := publicClient()
	exempt.ID, exempt.Insecure.SkipPKCE = "exempt", true // means nothing for a public client
	w.add(exempt)
	foreign := w.signIn().IDToken
	long := strings.Repeat("a", 44)
	for _, c := range []struct {
		name         string
		pairs        []string
		code, reason string
	}{
		{"response_type missing", []string{"response_type", ""}, "invalid_request", "parameter_missing"},
		{"response_type token", []string{"response_type", "token"}, "unsupported_response_type", "response_type_unsupported"},
		{"response_type of another case", []string{"response_type", "CODE"}, "unsupported_response_type", "response_type_unsupported"},
		{"response_type hybrid", []string{"response_type", "code id_token"}, "unsupported_response_type", "response_type_unsupported"},
		{"response_mode fragment", []string{"response_mode", "fragment"}, "invalid_request", "response_mode_unsupported"},
		{"form_post to an app", []string{"client_id", "app", "redirect_uri", "com.example.app:/cb", "response_mode", "form_post"}, "invalid_request", "response_mode_unsupported"},
		{"a client without the grant", []string{"client_id", "machine"}, "unauthorized_client", "grant_type_not_allowed"},
		{"request object", []string{"request", "e30"}, "invalid_request_object", "request_object_keys"},
		{"request_uri", []string{"request_uri", "https://app.example/r"}, "request_uri_not_supported", "request_uri_not_supported"},
		{"registration", []string{"registration", "{}"}, "registration_not_supported", "registration_not_supported"},
		{"unknown scope", []string{"scope", "openid zebra"}, "invalid_scope", "scope_unknown"},
		{"scope of another case", []string{"scope", "openid Profile"}, "invalid_scope", "scope_unknown"},
		{"wildcard scope", []string{"scope", "*"}, "invalid_scope", "scope_unknown"},
		{"scope with a line break", []string{"scope", "notes:read\nnotes:write"}, "invalid_scope", "scope_malformed"},
		{"scope left out without default", []string{"client_id", "bare", "scope", ""}, "invalid_scope", "scope_missing"},
		{"no challenge", []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request", "pkce_required"},
		{"no challenge of an exempt public client", []string{"client_id", "exempt", "code_challenge", "", "code_challenge_method", ""}, "invalid_request", "pkce_required"},
		{"method alone", []string{"code_challenge", ""}, "invalid_request", "pkce_required"},
		{"plain", []string{"code_challenge_method", "plain"}, "invalid_request", "pkce_method_unsupported"},
		{"plain by default", []string{"code_challenge_method", ""}, "invalid_request", "pkce_method_unsupported"},
		{"short challenge", []string{"code_challenge", long[:42]}, "invalid_request", "pkce_challenge_malformed"},
		{"long challenge", []string{"code_challenge", long}, "invalid_request", "pkce_challenge_malformed"},
		{"challenge with padding", []string{"code_challenge", long[:42] + "="}, "invalid_request", "pkce_challenge_malformed"},
		{"none with others", []string{"prompt", "none login"}, "invalid_request", "prompt_contradictory"},
		{"unknown prompt", []string{"prompt", "dance"}, "invalid_request", "prompt_unknown"},
		{"prompt of another case", []string{"prompt", "None"}, "invalid_request", "prompt_unknown"},
		{"too large", []string{"login_hint", strings.Repeat("a", 8<<10)}, "invalid_request", "request_too_large"},
		{"negative max_age", []string{"max_age", "-1"}, "invalid_request", "max_age_malformed"},
		{"max_age in words", []string{"max_age", "soon"}, "invalid_request", "max_age_malformed"},
		{"max_age beyond all bounds", []string{"max_age", "99999999999999"}, "invalid_request", "max_age_malformed"},
		{"hint that is none", []string{"id_token_hint", "a.b.c"}, "invalid_request", "id_token_hint_invalid"},
		{"hint of another client", []string{"client_id", "bare", "id_token_hint", foreign}, "invalid_request", "id_token_hint_invalid"},
		{"unknown resource", []string{"resource", api}, "invalid_target", "resource_not_allowed"},
		{"relative resource", []string{"resource", "/api"}, "invalid_target", "resource_malformed"},
		{"resource with fragment", []string{"resource", issuer + "#x"}, "invalid_target", "resource_malformed"},
		{"resource by prefix", []string{"resource", issuer + "/x/../"}, "invalid_target", "resource_not_allowed"},
		{"bad UTF-8", []string{"nonce", "\xff"}, "invalid_request", "parameter_malformed"},
		{"a line in the nonce", []string{"nonce", "a\nb"}, "invalid_request", "parameter_malformed"},
		{"NUL in a hint", []string{"login_hint", "al\x00ice"}, "invalid_request", "parameter_malformed"},
		{"a hidden line in a language", []string{"ui_locales", "de\u0085"}, "invalid_request", "parameter_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, refusal := w.CheckAuthorize(t.Context(), request(c.pairs...))
			refused(t, refusal, c.code, c.reason)
			if a.RedirectURI == "" {
				t.Fatal("the client is not told")
			}
			answer := w.Refuse(a, refusal)
			for name, want := range map[string]string{"error": c.code, "iss": issuer, "state": "xyz", "error_uri": issuer + "/errors#" + c.reason, "code": ""} {
				if got := answer.Params.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			for _, r := range answer.Params.Get("error_description") {
				if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
					t.Errorf("the error_description holds %q", r)
				}
			}
		})
	}
	t.Run("a line in the state", func(t *testing.T) { // RFC 6749 §A.5
		for _, state := range []string{"a\r\nSet-Cookie: b", "\x00", "a\x7f"} {
			a, refusal := w.CheckAuthorize(t.Context(), request("state", state))
			refused(t, refusal, "invalid_request", "parameter_malformed")
			if a.RedirectURI != callback || a.State != "" {
				t.Errorf("redirect %q with state %q", a.RedirectURI, a.State)
			}
		}
	})
	t.Run("a reason for the log alone", func(t *testing.T) {
		a, refusal := w.CheckAuthorize(t.Context(), request())
		w.fine(refusal)
		_, hidden := w.refresh(spa, "noise")
		if uri := w.Refuse(a, hidden).Params.Get("error_uri"); uri != issuer+"/errors#invalid_grant" {
			t.Errorf("the client is told %s", uri)
		}
	})
	t.Run("twice", func(t *testing.T) {
		form := request()
		form["state"] = []string{"a", "b"}
		a, refusal := w.CheckAuthorize(t.Context(), form)
		refused(t, refusal, "invalid_request", "parameter_repeated")
		if a.RedirectURI != callback || a.State != "" {
			t.Errorf("redirect %q with state %q", a.RedirectURI, a.State)
		}
	})
}

// OAuth 2.0 Multiple Response Type Encoding Practices §2.1
func TestAuthorizeReadsEverything(t *testing.T) {
	w := newWorld(t, nil)
	c := publicClient()
	c.Audiences = []string{"https://API.example/", other}
	w.add(c)
	hint := w.signIn().IDToken
	w.advance(48 * time.Hour) // an ended hint is still one
	form := request("prompt", "login consent", "max_age", "0", "acr_values", "gold silver", "login_hint", "al@example",
		"ui_locales", "de en", "display", "popup", "id_token_hint", hint, "nonce", "x", "state", "ä\"\\ &=", "response_mode", "form_post",
		"scope", "openid openid notes:read", "resource", "https://api.example")
	a, refusal := w.CheckAuthorize(t.Context(), form)
	w.fine(refusal)
	if a.MaxAge == nil || *a.MaxAge != 0 || a.Hint == nil || a.Hint.Subject != "alice" || a.Hint.ClientID != "spa" || a.Hint.SessionID != "session-1" {
		t.Errorf("max_age %v, hint %+v", a.MaxAge, a.Hint)
	}
	a.MaxAge, a.Hint, a.Client = nil, nil, nil
	want := &engine.Authorization{
		Params: form, RedirectURI: callback, ResponseMode: "form_post", State: "ä\"\\ &=",
		Scopes: []string{"openid", "notes:read"}, Audience: []string{"https://API.example/"}, // in the spelling that is registered
		Nonce: "x", Prompt: []string{"login", "consent"}, ACRValues: []string{"gold", "silver"},
		LoginHint: "al@example", UILocales: []string{"de", "en"}, Display: "popup",
	}
	if diff := cmp.Diff(want, a, cmpopts.IgnoreUnexported(engine.Authorization{})); diff != "" {
		t.Errorf("the authorization differs (-want +got):\n%s", diff)
	}
}

func TestAuthorizeDefaults(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	silent := publicClient()
	silent.ID, silent.GrantTypes = "silent", []string{"authorization_code"}
	w.add(silent)
	a, refusal := w.CheckAuthorize(t.Context(), request("redirect_uri", "", "scope", "", "state", "", "nonce", ""))
	w.fine(refusal)
	if a.RedirectURI != callback || !cmp.Equal(a.Scopes, []string{"notes:read"}) || !cmp.Equal(a.Audience, []string{issuer}) {
		t.Errorf("redirect %q, scopes %v, audience %v", a.RedirectURI, a.Scopes, a.Audience)
	}
	answer, refusal := w.Approve(t.Context(), a, engine.Approval{Subject: "alice", Scopes: a.Scopes})
	w.fine(refusal)
	if answer.Params.Has("state") {
		t.Errorf("a state was invented: %v", answer.Params)
	}
	person := publicClient()
	person.ID, person.DefaultScope = "person", "openid"
	w.add(person)
	_, refusal = w.CheckAuthorize(t.Context(), request("client_id", "person", "redirect_uri", "", "scope", ""))
	refused(t, refusal, "invalid_request", "parameter_missing")
	a, refusal = w.CheckAuthorize(t.Context(), request("client_id", "silent", "scope", "openid offline_access"))
	w.fine(refusal)
	if !cmp.Equal(a.Scopes, []string{"openid"}) {
		t.Errorf("a client that may not refresh got %v", a.Scopes)
	}
}

// What a hook approves by mistake is never issued.
func TestApproveRefusesNonsense(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	a, refusal := w.CheckAuthorize(t.Context(), request())
	w.fine(refusal)
	for name, ok := range map[string]engine.Approval{
		"nobody":          {},
		"a name too long": {Subject: strings.Repeat("a", 256)},
		"a line break":    {Subject: "alice\nbob"},
		"more scopes":     {Subject: "alice", Scopes: []string{"notes:write"}},
		"more audience":   {Subject: "alice", Audience: []string{api}},
		"the future":      {Subject: "alice", AuthTime: w.now().Add(time.Hour)},
	} {
		n := w.commits(func() {
			answer, refusal := w.Approve(t.Context(), a, ok)
			refused(t, refusal, "server_error", "approval_invalid")
			if answer != nil {
				t.Errorf("%s: answered %v", name, answer)
			}
		})
		if n != 0 {
			t.Errorf("%s: %d commits", name, n)
		}
	}
}

// The client may change while the person is busy.
func TestApproveChecksAgain(t *testing.T) {
	w := newWorld(t, nil)
	c := w.add(publicClient())
	a, refusal := w.CheckAuthorize(t.Context(), request())
	w.fine(refusal)
	c.RedirectURIs = []string{"https://new.example/cb"}
	must(t, w.clients.Put(t.Context(), c))
	w.advance(time.Second)
	_, refusal = w.Approve(t.Context(), a, engine.Approval{Subject: "alice", Scopes: a.Scopes})
	refused(t, refusal, "invalid_request", "redirect_uri_mismatch")
}

func TestAnswerURL(t *testing.T) {
	for uri, want := range map[string]string{
		"https://a.example/cb":         "https://a.example/cb?code=x",
		"https://a.example/cb?":        "https://a.example/cb?code=x",
		"https://a.example/cb?a=b%2Fc": "https://a.example/cb?a=b%2Fc&code=x",
		"com.example.app:/cb":          "com.example.app:/cb?code=x",
	} {
		answer := engine.Answer{RedirectURI: uri, Params: url.Values{"code": {"x"}}}
		if got := answer.URL(); got != want {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
}

// A request that ran out of luck with the store is no fault of the client.
func TestAuthorizeUnavailable(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	a, refusal := w.CheckAuthorize(t.Context(), request())
	w.fine(refusal)
	w.backend.failApply.Store(true)
	_, refusal = w.Approve(t.Context(), a, engine.Approval{Subject: "alice", Scopes: a.Scopes})
	refused(t, refusal, "temporarily_unavailable", "store_unavailable")
	w.backend.failGet.Store(true)
	a, refusal = w.CheckAuthorize(t.Context(), request())
	refused(t, refusal, "temporarily_unavailable", "store_unavailable")
	if refusal.Status != 503 || refusal.RetryAfter == 0 || a.RedirectURI != "" {
		t.Errorf("%d %v, redirect %q", refusal.Status, refusal.RetryAfter, a.RedirectURI)
	}
}
