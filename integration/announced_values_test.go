package integration

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/doorward/doorward/storage"
)

// list is how the values of a list are tried, and what stands beside it.
type list struct {
	works   func(value string)
	beside  []string
	refused func(value string)
}

// lists are the trials of all lists.
func (a *announced) lists() map[string]list {
	const text = "unsupported_grant_type"
	wrong := []string{"none", "HS512", "ES384", "RS512"}
	lists := map[string]list{
		"response_types_supported": {
			works: func(v string) { a.signsIn(url.Values{"response_type": {v}}) }, beside: []string{"token", "id_token", "code id_token", "none"},
			refused: func(v string) { a.refusesAt(v, "web", "unsupported_response_type", url.Values{"response_type": {v}}) },
		},
		"response_modes_supported": {
			works: a.answersBy, beside: []string{"fragment", "fragment.jwt", "web_message"},
			refused: func(v string) { a.refusesAt(v, "web", "invalid_request", url.Values{"response_mode": {v}}) },
		},
		"grant_types_supported": {
			works: a.grants, beside: []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:openid:params:grant-type:ciba"},
			refused: func(v string) {
				expect(a.t, v, answered(a.t)(a.site.post("token", "web", url.Values{"grant_type": {v}})), http.StatusBadRequest, text)
			},
		},
		"subject_types_supported": {works: func(v string) {
			sub := a.claimsOf(a.tokens(map[string]string{"public": "web", "pairwise": "pair"}[v], nil).text("id_token"), "RS256")["sub"]
			if (sub == "alice") != (v == "public") {
				a.t.Errorf("%s: the sub is %v", v, sub)
			}
		}},
		"code_challenge_methods_supported": {
			works: func(v string) { a.signsIn(url.Values{"code_challenge_method": {v}}) }, beside: []string{"plain", "S512"},
			refused: func(v string) { a.refusesAt(v, "web", "invalid_request", url.Values{"code_challenge_method": {v}}) },
		},
		"scopes_supported": {
			works: func(v string) {
				tokens := a.tokens("web", url.Values{"scope": {"openid " + v}})
				if !slices.Contains(strings.Fields(tokens.text("scope")), v) {
					a.t.Errorf("%s: %s", v, tokens)
				}
			},
			beside:  []string{"phone", "notes:*", "Notes:read"},
			refused: func(v string) { a.refusesAt(v, "web", "invalid_scope", url.Values{"scope": {"openid " + v}}) },
		},
		"claims_supported":      {works: a.tells},
		"claim_types_supported": {works: func(string) { a.tells("sub") }},
		"prompt_values_supported": {
			works: a.prompts, beside: []string{"signup", "None"},
			refused: func(v string) { a.refusesAt(v, "web", "invalid_request", url.Values{"prompt": {v}}) },
		},
		"display_values_supported": {works: func(v string) { a.signsIn(url.Values{"display": {v}}) }},
		"ui_locales_supported": {
			works: func(v string) { a.speaks(v, v) }, beside: []string{"tlh"}, refused: func(v string) { a.speaks(v, "en") },
		},
		"protected_resources": {
			works: func(v string) {
				token := answered(a.t)(a.site.post("token", "machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}, "resource": {v}})).text("access_token")
				if told := answered(a.t)(a.site.post("introspect", "machine", url.Values{"token": {token}})); !strings.Contains(string(told.body), `"aud":["`+v+`"]`) {
					a.t.Errorf("%s: %s", v, told)
				}
			},
			beside: []string{"https://other.test"},
			refused: func(v string) {
				expect(a.t, v, answered(a.t)(a.site.post("token", "machine", url.Values{"grant_type": {"client_credentials"}, "resource": {v}})), http.StatusBadRequest, "invalid_target")
			},
		},
		"dpop_signing_alg_values_supported": {
			works: func(v string) { expect(a.t, v, a.boundBy(v), http.StatusOK, `"DPoP"`) }, beside: wrong,
			refused: func(v string) { expect(a.t, v, a.boundBy(v), http.StatusBadRequest, "invalid_dpop_proof") },
		},
		"request_object_signing_alg_values_supported": {
			works: func(v string) {
				if r := a.signed(v); back(r).Get("code") == "" {
					a.t.Errorf("%s: %s", v, r)
				}
			},
			beside: wrong,
			refused: func(v string) {
				if r := a.signed(v); !strings.Contains(string(r.body), "invalid_request_object") {
					a.t.Errorf("%s: %s", v, r)
				}
			},
		},
	}
	for name, try := range map[string]func(string){
		"id_token_signing_alg_values_supported": func(v string) { a.claimsOf(a.tokens("told-"+v, url.Values{"scope": {"openid"}}).text("id_token"), v) },
		"userinfo_signing_alg_values_supported": func(v string) {
			token := a.tokens("told-"+v, url.Values{"scope": {"openid"}}).text("access_token")
			a.claimsOf(string(a.ask("userinfo", http.Header{"Authorization": {"Bearer " + token}}, nil).body), v)
		},
		"authorization_signing_alg_values_supported": func(v string) {
			r, _ := a.asks("told-"+v, url.Values{"scope": {"openid"}, "response_mode": {"jwt"}})
			a.claimsOf(back(r).Get("response"), v)
		},
		"introspection_signing_alg_values_supported": func(v string) {
			token := a.tokens("told-"+v, url.Values{"scope": {"openid"}}).text("access_token")
			c := a.clients["told-"+v]
			r := a.ask("introspect", http.Header{"Authorization": {basicHeader(c.ID, c.Secret)}, "Accept": {"application/token-introspection+jwt"}}, url.Values{"token": {token}})
			if inner, _ := a.claimsOf(string(r.body), v)["token_introspection"].(map[string]any); inner["active"] != true {
				a.t.Errorf("%s: %v", v, inner)
			}
		},
	} {
		member := strings.Replace(name, "_signing_alg_values_supported", "_signed_response_alg", 1)
		lists[name] = list{works: try, beside: append(slices.Clone(wrong), "PS256", "HS256"), refused: func(v string) {
			r := answered(a.t)(a.registers(http.MethodPost, a.endpoint("register"), "", `{"redirect_uris":["https://new.test/cb"],"`+member+`":"`+v+`"}`))
			expect(a.t, v, r, http.StatusBadRequest, "invalid_client_metadata", member)
		}}
	}
	for endpoint, place := range map[string]string{"token_endpoint": "token", "revocation_endpoint": "revoke", "introspection_endpoint": "introspect"} {
		lists[endpoint+"_auth_methods_supported"] = a.methods(place)
		lists[endpoint+"_auth_signing_alg_values_supported"] = a.assertions(place, wrong)
	}
	return lists
}

// methods are how clients are known at an endpoint.
func (a *announced) methods(place string) list {
	by := func(method string) *reply {
		alg := map[string]string{storage.AuthMethodSecretJWT: "HS256", storage.AuthMethodPrivateKey: "ES256"}[method]
		return a.proven(method, alg, place, a.formFor(place, method))
	}
	l := list{works: func(v string) { expect(a.t, v, by(v), http.StatusOK) }}
	if place == "introspect" {
		l.beside = []string{storage.AuthMethodNone}
		l.refused = func(v string) { expect(a.t, v, by(v), http.StatusUnauthorized, "invalid_client") }
	}
	return l
}

// assertions are the algorithms by which clients sign at an endpoint.
func (a *announced) assertions(place string, wrong []string) list {
	by := func(alg string) *reply {
		method := storage.AuthMethodPrivateKey
		if alg == "HS256" {
			method = storage.AuthMethodSecretJWT
		}
		return a.proven(method, alg, place, a.formFor(place, method))
	}
	return list{
		works: func(v string) { expect(a.t, v, by(v), http.StatusOK) }, beside: wrong,
		refused: func(v string) { expect(a.t, v, by(v), http.StatusUnauthorized, "invalid_client") },
	}
}

// ask sends a request without a client's name; without a form it reads.
func (a *announced) ask(place string, header http.Header, form url.Values) *reply {
	a.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return answered(a.t)(send(&http.Client{Transport: a.transport}, method, a.endpoint(place), header, form.Encode()))
}

// signsIn wants a sign-in to end with tokens.
func (a *announced) signsIn(extra url.Values) { a.t.Helper(); a.tokens("web", extra) }

// answersBy wants an answer in a mode, and no other.
func (a *announced) answersBy(mode string) {
	a.t.Helper()
	r, _ := a.asks("web", url.Values{"response_mode": {mode}})
	fields, way := back(r), "query"
	if strings.HasPrefix(mode, "form_post") {
		forms, err := r.forms()
		if err != nil || len(forms) != 1 {
			a.t.Fatalf("%s: %v %s", mode, err, r)
		}
		way = "form_post"
		fields, _ = forms[0].fill(nil)
	}
	if signed := strings.HasSuffix(mode, "jwt"); signed {
		if fields.Get("code") != "" || a.claimsOf(fields.Get("response"), "RS256")["code"] == nil {
			a.t.Errorf("%s by %s: %s", mode, way, r)
		}
	} else if fields.Get("code") == "" || fields.Has("response") {
		a.t.Errorf("%s by %s: %s", mode, way, r)
	}
}

// grants wants tokens by a grant.
func (a *announced) grants(grant string) {
	a.t.Helper()
	form, client := url.Values{"grant_type": {grant}}, "web"
	switch grant {
	case "authorization_code":
		a.signsIn(nil)
		return
	case "refresh_token":
		form.Set("refresh_token", a.tokens("web", nil).text("refresh_token"))
	case "client_credentials":
		client = "machine"
	case storage.GrantDeviceCode:
		client = "tv"
		made := answered(a.t)(a.site.post("device_authorization", client, url.Values{"scope": {"openid"}}))
		if err := a.person().answerDevice(a.world, made.text("verification_uri_complete"), "allow"); err != nil {
			a.t.Fatalf("%v: %s", err, made)
		}
		form.Set("device_code", made.text("device_code"))
	case badge:
		client = "reader"
	default:
		a.t.Errorf("nobody tries the grant %s", grant)
	}
	expect(a.t, grant, answered(a.t)(a.site.post("token", client, form)), http.StatusOK, "access_token")
}

// tells wants a claim in an ID token or at userinfo.
func (a *announced) tells(claim string) {
	a.t.Helper()
	ask, _ := json.Marshal(map[string]any{"id_token": map[string]any{claim: nil}, "userinfo": map[string]any{claim: nil}})
	tokens := a.tokens("web", url.Values{"claims": {string(ask)}, "scope": {"openid profile email"}, "max_age": {"600"}})
	if told := a.claimsOf(tokens.text("id_token"), "RS256"); told[claim] != nil {
		if told["_claim_names"] != nil {
			a.t.Errorf("claims of others: %v", told)
		}
		return
	}
	if told := a.ask("userinfo", http.Header{"Authorization": {"Bearer " + tokens.text("access_token")}}, nil); told.text(claim) == "" {
		a.t.Errorf("nobody tells %s: %s", claim, told)
	}
}

// prompts wants a value of prompt to do what it is for, for somebody who is signed in.
func (a *announced) prompts(prompt string) {
	a.t.Helper()
	alice := a.person()
	address := func(prompt string) string {
		link, _ := a.authorizeURL("web", url.Values{"prompt": {prompt}})
		return link
	}
	first, _ := a.authorizeURL("web", nil)
	if r := answered(a.t)(alice.signIn(first, "alice")); back(r).Get("code") == "" {
		a.t.Fatal(r)
	}
	silent := func(who *person) url.Values { return back(answered(a.t)(who.open(address("none")))) }
	if silent(alice).Get("code") == "" || silent(a.person()).Get("error") != "login_required" {
		a.t.Errorf("%s: prompt=none does not tell who is signed in", prompt)
	}
	want := map[string]string{"login": `name="password"`, "consent": `name="decision"`, "select_account": `name="username"`, "create": "Create your account"}[prompt]
	if r := answered(a.t)(alice.open(address(prompt))); prompt != "none" && (r.status != http.StatusOK || want == "" || !strings.Contains(string(r.body), want)) {
		a.t.Errorf("%s: want a page with %q, got %s", prompt, want, r)
	}
}

// speaks wants the page for who asks for one language to be in another one.
func (a *announced) speaks(asked, told string) {
	a.t.Helper()
	link, _ := a.authorizeURL("web", url.Values{"ui_locales": {asked}})
	if r := answered(a.t)(a.person().open(link)); !strings.Contains(string(r.body), `<html lang="`+told+`"`) {
		a.t.Errorf("%s: the page is not in %s: %.300s", asked, told, r.body)
	}
}

// boundBy asks for tokens that are bound to a key of an algorithm.
func (a *announced) boundBy(alg string) *reply {
	a.t.Helper()
	client, key := a.keyFor(alg)
	proof := signWith(a.t, alg, key, map[string]any{"typ": "dpop+jwt", "jwk": a.jwks[client]}, map[string]any{
		"jti": rand.Text(), "htm": http.MethodPost, "htu": a.endpoint("token"), "iat": a.now().Unix(),
	})
	c := a.clients["machine"]
	return a.ask("token", http.Header{"Authorization": {basicHeader(c.ID, c.Secret)}, "Dpop": {proof}}, url.Values{"grant_type": {"client_credentials"}})
}

// signed has alice follow a link of a client that signed it.
func (a *announced) signed(alg string) *reply {
	a.t.Helper()
	client, key := a.keyFor(alg)
	object := signWith(a.t, alg, key, map[string]any{"typ": "oauth-authz-req+jwt", "kid": "one"}, map[string]any{
		"iss": client, "aud": a.issuer, "client_id": client, "exp": a.now().Unix() + 60, "response_type": "code", "redirect_uri": a.redirectURI(client),
		"scope": "openid", "code_challenge": oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier()), "code_challenge_method": "S256",
	})
	link := a.endpoint("authorize") + "?" + url.Values{"client_id": {client}, "request": {object}}.Encode()
	return answered(a.t)(a.person().signIn(link, "alice"))
}
