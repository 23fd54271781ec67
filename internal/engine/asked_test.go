package engine_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// OpenID Connect Core §5.5, §5.5.1
func TestClaimsParameter(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	a, refusal := w.CheckAuthorize(t.Context(), request("acr_values", "silver", "claims", `{
		"userinfo": {"given_name": {"essential": true}, "nickname": null, "picture": null, "http://example.info/claims/groups": null, "odd": {"unheard_of": 1}},
		"id_token": {"auth_time": {"essential": true}, "acr": {"values": ["urn:mace:incommon:iap:silver", "silver"]}, "n": {"value": 9007199254740993}},
		"unheard_of": []}`))
	w.fine(refusal)
	want := storage.AskedClaims{
		UserInfo: map[string]storage.AskedClaim{"given_name": {Essential: true}, "nickname": {}, "picture": {}, "http://example.info/claims/groups": {}, "odd": {}},
		IDToken: map[string]storage.AskedClaim{
			"auth_time": {Essential: true}, "acr": {Values: []any{"urn:mace:incommon:iap:silver", "silver"}}, "n": {Value: json.Number("9007199254740993")},
		},
	}
	if diff := cmp.Diff(want, a.Asked); diff != "" {
		t.Errorf("what was asked differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"silver", "urn:mace:incommon:iap:silver"}, a.ACRValues); diff != "" || a.EssentialACR != nil {
		t.Errorf("a wish for an acr: %v, %v", a.ACRValues, a.EssentialACR)
	}
	a, refusal = w.CheckAuthorize(t.Context(), request("claims", `{"id_token":{"acr":{"essential":true,"values":["gold","platinum"]}}}`))
	w.fine(refusal)
	if diff := cmp.Diff([]string{"gold", "platinum"}, a.EssentialACR); diff != "" || len(a.ACRValues) > 0 {
		t.Errorf("an acr that is needed: %v, %v", a.EssentialACR, a.ACRValues)
	}
	a, refusal = w.CheckAuthorize(t.Context(), request("scope", "notes:read", "claims", `{"userinfo":{"email":null}}`))
	w.fine(refusal)
	if !a.Asked.IsZero() {
		t.Errorf("without openid it means something: %v", a.Asked)
	}
}

// What is half understood is refused before anybody signs in. OpenID Connect Core §5.5
func TestClaimsParameterRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	many := `{"userinfo":{"c0":null`
	for i := 1; i <= 50; i++ {
		many += `,"c` + string(rune('a'+i%26)) + strings.Repeat("x", i) + `":null`
	}
	for claims, reason := range map[string]string{
		`nonsense`:                             "claims_malformed",
		`[]`:                                   "claims_malformed",
		`null`:                                 "claims_malformed",
		`{"userinfo":{}} x`:                    "claims_malformed",
		`{"userinfo":{},"userinfo":{}}`:        "claims_malformed",
		`{"userinfo":[]}`:                      "claims_malformed",
		`{"userinfo":"email"}`:                 "claims_malformed",
		`{"userinfo":{"email":true}}`:          "claims_malformed",
		`{"userinfo":{"":null}}`:               "claims_malformed",
		`{"userinfo":{"a":null,"a":null}}`:     "claims_malformed",
		`{"id_token":{"a":{"essential":1}}}`:   "claims_malformed",
		`{"id_token":{"a":{"values":"x"}}}`:    "claims_malformed",
		`{"id_token":{"a":{"values":[]}}}`:     "claims_malformed",
		`{"id_token":{"a":{"values":null}}}`:   "claims_malformed",
		`{"id_token":{"a":{"values":[null]}}}`: "claims_malformed",
		`{"id_token":{"acr":{"essential":true,"values":[1]}}}`: "claims_malformed",
		many + `}}`: "claims_malformed",
		`{"userinfo":{"` + strings.Repeat("a", 256) + `":null}}`:           "claims_malformed",
		`{"userinfo":{"a":{"value":"` + strings.Repeat("a", 4096) + `"}}}`: "claims_too_large",
	} {
		a, refusal := w.CheckAuthorize(t.Context(), request("claims", claims))
		if refusal == nil || refusal.Code != "invalid_request" || refusal.Reason != reason || a.RedirectURI == "" {
			t.Errorf("%.60s: %v, want %s", claims, refusal, reason)
		}
		if _, refusal := w.Push(t.Context(), engine.PushRequest{Credentials: spa, Form: request("claims", claims, "client_id", "")}); refusal == nil || refusal.Reason != reason {
			t.Errorf("pushed: %.60s: %v, want %s", claims, refusal, reason)
		}
	}
}

// OpenID Connect Core §5.5: what is asked for is told where it is asked for, at the
// sign-in and at every refresh, and nothing beside it.
func TestAskedClaimsAreTold(t *testing.T) {
	var seen []storage.AskedClaims
	w, _ := hooked(t, func(_ context.Context, c *engine.ClaimsRequest) error {
		seen = append(seen, c.Asked.Clone())
		c.User["email"], c.User["phone_number"], c.User["birthdate"], c.User["locale"] = "a@example", "+1", "1852-05-04", "en"
		c.User["groups"] = []string{"staff", "chess"}
		c.Asked.IDToken["phone_number"] = storage.AskedClaim{} // its own copy
		return nil
	})
	tokens, refusal := w.redeem(spa, w.approve(request("scope", "openid", "claims",
		`{"id_token":{"email":null,"birthdate":{"value":"1852-05-04"},"locale":{"values":["de","fr"]},"absent":{"essential":true}},"userinfo":{"phone_number":{"essential":true}}}`)))
	w.fine(refusal)
	for _, token := range []string{tokens.IDToken, w.mustRefresh(tokens.RefreshToken).IDToken} {
		id := payload(t, token)
		for name, want := range map[string]any{"email": "a@example", "birthdate": "1852-05-04", "locale": nil, "absent": nil, "phone_number": nil} {
			if id[name] != want {
				t.Errorf("%s of the ID token is %v, want %v", name, id[name], want)
			}
		}
	}
	a, refusal := w.Access(t.Context(), tokens.AccessToken)
	w.fine(refusal)
	info, refusal := w.UserInfo(t.Context(), a)
	w.fine(refusal)
	if diff := cmp.Diff(map[string]any{"sub": "alice", "phone_number": "+1", "groups": []string{"staff", "chess"}}, info); diff != "" {
		t.Errorf("userinfo differs:\n%s", diff)
	}
	for _, s := range seen {
		if !s.UserInfo["phone_number"].Essential || s.IDToken["birthdate"].Value != "1852-05-04" || len(s.IDToken) != 4 {
			t.Errorf("the hook saw %+v", s)
		}
	}
}

// A value is compared as JSON does, and one of a list is enough.
func TestAskedClaimTakes(t *testing.T) {
	for _, c := range []struct {
		asked storage.AskedClaim
		value any
		takes bool
	}{
		{storage.AskedClaim{}, nil, true},
		{storage.AskedClaim{Value: "a"}, "a", true},
		{storage.AskedClaim{Value: "a"}, "A", false},
		{storage.AskedClaim{Value: json.Number("1")}, 1, true},
		{storage.AskedClaim{Value: true}, "true", false},
		{storage.AskedClaim{Values: []any{"a", "b"}}, []string{"x", "b"}, true},
		{storage.AskedClaim{Values: []any{"a", "b"}}, []any{"x"}, false},
		{storage.AskedClaim{Value: "a"}, func() {}, false},
	} {
		if got := c.asked.Takes(c.value); got != c.takes {
			t.Errorf("%+v takes %v: %v", c.asked, c.value, got)
		}
	}
}
