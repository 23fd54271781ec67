package engine_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

func encoded(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// keyedJWT signs claims by HS256.
func keyedJWT(secret string, claims map[string]any) string {
	body, err := json.Marshal(claims)
	if err != nil {
		return err.Error()
	}
	input := encoded(`{"alg":"HS256"}`) + "." + encoded(string(body))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(input))
	return input + "." + encoded(string(mac.Sum(nil)))
}

// TestSignedAnswers: with a signed response mode the answer is one JWT, of success and of
// refusal alike, and what it says stands nowhere else. JARM §2.1, §2.3
func TestSignedAnswers(t *testing.T) {
	w := newWorld(t, nil)
	c := publicClient()
	c.AuthorizationSignedResponseAlg = "EdDSA"
	w.add(c)
	for asked, mode := range map[string]string{"jwt": "query", "query.jwt": "query", "form_post.jwt": "form_post"} {
		answer, refusal := w.Signed(t.Context(), w.approveAs(request("response_mode", asked), engine.Approval{}))
		w.fine(refusal)
		if answer.ResponseMode != mode || len(answer.Params) != 1 || answer.RedirectURI != callback {
			t.Errorf("%s: %+v", asked, answer)
		}
		claims := payload(t, answer.Params.Get("response"))
		if claims["iss"] != issuer || claims["aud"] != "spa" || claims["state"] != "xyz" || claims["code"] == "" || claims["sub"] != nil {
			t.Errorf("%s: %v", asked, claims)
		}
		if end, _ := claims["exp"].(float64); end <= float64(w.now().Unix()) || end > float64(w.now().Add(10*time.Minute).Unix()) {
			t.Errorf("%s: it ends at %v", asked, claims["exp"])
		}
		// It is no ID token, and can't be given for one.
		if _, err := w.ReadHint(t.Context(), answer.Params.Get("response")); err == nil {
			t.Error("a signed answer passes for an ID token")
		}
		code, _ := claims["code"].(string)
		_, refusal = w.redeem(spa, code)
		w.fine(refusal)
	}
	a, refusal := w.CheckAuthorize(t.Context(), request("response_mode", "jwt", "scope", "nonsense"))
	refused(t, refusal, "invalid_scope", "scope_unknown")
	answer, failed := w.Signed(t.Context(), w.Refuse(a, refusal))
	w.fine(failed)
	if claims := payload(t, answer.Params.Get("response")); claims["error"] != "invalid_scope" || claims["state"] != "xyz" || len(answer.Params) != 1 {
		t.Errorf("the refusal is %v in %v", claims, answer.Params)
	}
	plain := w.approveAs(request(), engine.Approval{})
	if same, _ := w.Signed(t.Context(), plain); same != plain {
		t.Error("an answer is signed that nobody asked to be")
	}
}

// TestSignedIntrospection: the answer is for who asked, of its own type, and hides what
// the plain one hides. RFC 9701 §5
func TestSignedIntrospection(t *testing.T) {
	w := newWorld(t, nil)
	w.add(publicClient())
	api := w.addConfidential(storage.Client{ID: "api", Introspects: []string{issuer}, Scope: "notes:read", IntrospectionSignedResponseAlg: "EdDSA"})
	other := w.addConfidential(storage.Client{ID: "other", Scope: "notes:read"})
	token := w.signIn().AccessToken
	for _, c := range []struct {
		by     engine.Credentials
		active bool
	}{{api, true}, {other, false}} {
		signed, refusal := w.IntrospectSigned(t.Context(), c.by, token)
		w.fine(refusal)
		claims := payload(t, signed)
		told, _ := claims["token_introspection"].(map[string]any)
		if claims["iss"] != issuer || claims["aud"] != c.by.ClientID || claims["iat"] == nil || told["active"] != c.active || claims["sub"] != nil {
			t.Errorf("%s is told %v", c.by.ClientID, claims)
		}
		if !c.active && len(told) != 1 {
			t.Errorf("a stranger is told %v", told)
		}
		if _, err := w.ReadHint(t.Context(), signed); err == nil || w.works(signed) {
			t.Error("a signed answer passes for another token")
		}
	}
	_, refusal := w.IntrospectSigned(t.Context(), engine.Credentials{ClientID: "api", Secret: "wrong", Method: "client_secret_basic"}, token)
	refused(t, refusal, "invalid_client", "client_secret_wrong")
}

// TestSignedUserInfo: a client that is registered for it gets a JWT that says who answers
// and to whom. OpenID Connect Core §5.3.2
func TestSignedUserInfo(t *testing.T) {
	w := newWorld(t, nil)
	c := publicClient()
	w.add(c)
	access, refusal := w.Access(t.Context(), w.signIn().AccessToken)
	w.fine(refusal)
	claims, refusal := w.UserInfo(t.Context(), access)
	w.fine(refusal)
	plain, refusal := w.SignUserInfo(t.Context(), access, claims)
	if w.fine(refusal); plain != "" {
		t.Errorf("signed for a client that wants JSON: %s", plain)
	}
	c.UserinfoSignedResponseAlg = "ES256"
	w.add(c)
	signed, refusal := w.SignUserInfo(t.Context(), access, claims)
	w.fine(refusal)
	if told := payload(t, signed); told["iss"] != issuer || told["aud"] != "spa" || told["sub"] != "alice" {
		t.Errorf("it says %v", told)
	}
	if _, err := w.ReadHint(t.Context(), signed); err == nil {
		t.Error("what userinfo signed passes for an ID token")
	}
}
