package engine_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

// Whatever a browser sends, the engine has an answer, never a failure, and sends
// nobody to an address that is not registered.
func FuzzAuthorize(f *testing.F) {
	w := newWorld(f, nil)
	w.add(publicClient())
	f.Add(request().Encode())
	f.Add(request("scope", "openid\topenid", "prompt", "none login", "max_age", "1e9", "resource", "http://[").Encode())
	f.Add("client_id=spa&client_id=spa&state=%ff&redirect_uri=https%3A%2F%2Fapp.example%2Fcb")
	f.Add("client_id=spa&request=e30&response_mode=form_post&scope=notes:read")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Skip()
		}
		a, refusal := w.CheckAuthorize(t.Context(), form)
		if a.RedirectURI != "" && a.RedirectURI != callback {
			t.Fatalf("the answer would go to %q", a.RedirectURI)
		}
		if refusal == nil {
			answer, refused := w.Approve(t.Context(), a, engine.Approval{Subject: "alice", Scopes: a.Scopes})
			if refused != nil || answer.Params.Get("code") == "" {
				t.Fatalf("a request that was found good is refused: %v", refused)
			}
			return
		}
		fault(t, refusal)
		if a.RedirectURI != "" {
			if _, err := url.Parse(w.Refuse(a, refusal).URL()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzAssertion holds that whatever stands in a signed assertion, the client is told an
// answer and never a failure, and that what was taken is not taken again.
func FuzzAssertion(f *testing.F) {
	w := newWorld(f, nil)
	s := w.addSigner(storage.Client{ID: "robot", GrantTypes: machine})
	now := w.now().Unix()
	f.Add(fmt.Sprintf(`{"iss":"robot","sub":"robot","aud":%q,"jti":"1","exp":%d}`, issuer, now+60), "")
	f.Add(fmt.Sprintf(`{"iss":"robot","sub":"robot","aud":[%q],"jti":"1","exp":%d.5,"iat":-1}`, issuer, now+60), "JWT")
	f.Add(`{"exp":1e999,"exp":0}`, "at+jwt")
	f.Fuzz(func(t *testing.T, claims, typ string) {
		token, err := jws.Sign(s.key, typ, json.RawMessage(claims))
		if err != nil {
			t.Skip()
		}
		by := engine.Credentials{ClientID: "robot", Method: "private_key_jwt", Assertion: storage.Secret(token)}
		for range 2 {
			refusal := w.Revoke(t.Context(), by, "x")
			if refusal == nil {
				continue
			}
			if refusal.Code != "invalid_client" {
				t.Fatalf("%v", refusal)
			}
			fault(t, refusal)
		}
		if w.Revoke(t.Context(), by, "x") == nil {
			t.Error("it was taken again")
		}
	})
}

// FuzzRequestObject holds that whatever a client signs as its request, it is told an answer
// and never a failure, nobody is sent where the client is not registered, and what was
// found good is answered once.
func FuzzRequestObject(f *testing.F) {
	w := newWorld(f, nil)
	s := w.addRequester(nil)
	now := w.now().Unix()
	f.Add(fmt.Sprintf(`{"iss":"spa","client_id":"spa","aud":%q,"exp":%d,"response_type":"code","redirect_uri":%q,"scope":"notes:read","code_challenge":%q,"code_challenge_method":"S256","max_age":0,"claims":{"id_token":{"acr":null}},"resource":[%q]}`,
		issuer, now+60, callback, challenge(), issuer), "oauth-authz-req+jwt")
	f.Add(fmt.Sprintf(`{"iss":"spa","client_id":"spa","aud":[%q],"exp":%d.5,"jti":"1","redirect_uri":"https://evil.example/","state":{"a":[1,null]}}`, issuer, now+60), "JWT")
	f.Add(`{"exp":1e999,"request":"e30","request_uri":1,"sub":null,"response_mode":"jwt"}`, "at+jwt")
	f.Fuzz(func(t *testing.T, claims, typ string) {
		object, err := jws.Sign(s.key, typ, json.RawMessage(claims))
		if err != nil {
			t.Skip()
		}
		a, refusal := w.CheckAuthorize(t.Context(), carrying(object))
		if a.RedirectURI != "" && a.RedirectURI != callback {
			t.Fatalf("the answer would go to %q", a.RedirectURI)
		}
		if refusal != nil {
			fault(t, refusal)
			return
		}
		ok := engine.Approval{Subject: "alice", Scopes: a.Scopes, AuthTime: w.now()}
		answer, refused := w.Approve(t.Context(), a, ok)
		if refused != nil && refused.Status >= 500 || refused == nil && answer.Params.Get("code") == "" {
			t.Fatalf("a request that was found good is answered %v", refused)
		}
		if refused != nil {
			return
		}
		if _, refusal := w.Approve(t.Context(), a, ok); refusal == nil || refusal.Reason != "request_object_used" {
			t.Fatalf("it was answered twice: %v", refusal)
		}
	})
}

func FuzzToken(f *testing.F) {
	w := newWorld(f, nil)
	w.add(publicClient())
	f.Add(redemption(w.approve(request())).Encode())
	f.Add("grant_type=refresh_token&refresh_token=" + w.signIn().RefreshToken)
	f.Add("grant_type=refresh_token&refresh_token=dwr_&scope=%00&resource=%25")
	f.Add("grant_type=client_credentials&scope=a+b")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			t.Skip()
		}
		if _, refusal := w.Token(t.Context(), engine.TokenRequest{Credentials: spa, Form: form}); refusal != nil {
			fault(t, refusal)
		}
		if refusal := w.Revoke(t.Context(), spa, "x"+body); refusal != nil {
			t.Fatal(refusal)
		}
		_, refusal := w.Access(t.Context(), body)
		fault(t, refusal)
	})
}

// fault fails on a refusal that is the server's fault or can't be sent.
func fault(t *testing.T, refusal *engine.Error) {
	t.Helper()
	if refusal == nil || refusal.Status >= 500 || refusal.Code == "" || refusal.Reason == "" {
		t.Fatalf("refused with %v", refusal)
	}
	for _, r := range refusal.Description {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			t.Fatalf("the description holds %q: %s", r, refusal.Description)
		}
	}
}
