package attack

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// forgeries are tokens that nobody issued, made of a real one. RFC 8725, WB-17, WB-18
func (s *stage) forgeries(real string) map[string]string {
	head, claims := claimsOf(real, 0), claimsOf(real, 1)
	parts := strings.Split(real, ".")
	set := s.send(get("/oauth/jwks"))
	robot := newKey()
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	rs256 := func(head map[string]any) string {
		input := encoded(inJSON(head)) + "." + parts[1]
		sum := sha256.Sum256([]byte(input))
		signature, err := rsa.SignPKCS1v15(rand.Reader, own, crypto.SHA256, sum[:])
		if err != nil {
			s.t.Fatal(err)
		}
		return input + "." + encoded(string(signature))
	}
	jwk := map[string]any{"kty": "RSA", "n": encoded(string(own.N.Bytes())), "e": encoded(string(big.NewInt(int64(own.E)).Bytes())), "kid": head["kid"]}
	list := map[string]string{
		"another signature": parts[0] + "." + parts[1] + "." + encoded(strings.Repeat("x", 256)), "no signature": parts[0] + "." + parts[1] + ".", "other claims": parts[0] + "." + encoded(inJSON(with(claims, map[string]any{"sub": "bob"}))) + "." + parts[2],
		"a key of its own": rs256(head), "an embedded key": rs256(with(head, map[string]any{"jwk": jwk})), "an embedded certificate": rs256(with(head, map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString([]byte("x"))}})),
		"a key to be fetched": rs256(with(head, map[string]any{"jku": "http://127.0.0.1:1/jwks"})), "a certificate to be fetched": rs256(with(head, map[string]any{"x5u": "http://127.0.0.1:1/x"})),
		"another kind of key": sign(robot, with(head, map[string]any{"alg": "EdDSA"}), claims), "HS256 by a client's secret": hs256(with(head, map[string]any{"alg": "HS256"}), claims, secretOfWeb), "HS256 by nothing": hs256(with(head, map[string]any{"alg": "HS256"}), claims, ""),
		"HS256 by the key set": hs256(with(head, map[string]any{"alg": "HS256"}), claims, string(set.body)), "b64 false": rs256(with(head, map[string]any{"b64": false, "crit": []string{"b64"}})), "crit": rs256(with(head, map[string]any{"crit": []string{"x"}, "x": 1})),
		"five parts": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIiwiemlwIjoiREVGIn0..x.x.x", "PBES2": encoded(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483648,"p2s":"x"}`) + ".x.x.x.x", "JSON": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"ten thousand dots": strings.Repeat(".", 6000), "padded": real + "=", "with a space": real + " x", "with a newline": strings.Replace(real, ".", ".\t", 1), "a head twice": encoded(`{"alg":"none","alg":"RS256"}`) + "." + parts[1] + "." + parts[2],
		"a later exp": parts[0] + "." + encoded(inJSON(with(claims, map[string]any{"exp": time.Now().Add(1e6 * time.Hour).Unix()}))) + "." + parts[2],
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", "null"} {
		list["alg "+none] = unsigned(with(head, map[string]any{"alg": none}), claims, "")
		list["alg "+none+" and the signature"] = encoded(inJSON(with(head, map[string]any{"alg": none}))) + "." + parts[1] + "." + parts[2]
	}
	for _, kid := range []string{"", "../../../../dev/null", "' union select 'x", "/etc/passwd", "http://127.0.0.1:1/", strings.Repeat("k", 3000), "\x00", "one"} {
		list[fmt.Sprintf("kid %.20q by HS256", kid)] = hs256(with(head, map[string]any{"alg": "HS256", "kid": kid}), claims, "")
		list[fmt.Sprintf("kid %.20q", kid)] = rs256(with(head, map[string]any{"kid": kid}))
	}
	var keys struct{ Keys []json.RawMessage }
	_ = json.Unmarshal(set.body, &keys)
	for i, key := range keys.Keys {
		list[fmt.Sprintf("HS256 by the public key %d", i)] = hs256(with(head, map[string]any{"alg": "HS256"}), claims, string(key))
	}
	return list
}

// identityAttacks are on ID tokens and on userinfo. RFC 8725 §3, RFC 9068 §5, RFC 6750 §2,
// OpenID Connect Core §5.3, WB-17 to WB-21
func identityAttacks() []attack {
	hint := func(s *stage, token string) *request {
		r := s.authorize("web").from(s.person("alice"))
		set("id_token_hint", token)(r)
		return r
	}
	user := func(s *stage) *request { return bearer(s.tokens("web").text("access_token")) }
	moved := func(r *request, to func(token string)) {
		token := strings.TrimPrefix(r.header.Get("Authorization"), "Bearer ")
		r.header.Del("Authorization")
		to(token)
	}
	return []attack{
		{id: "WB-17", name: "a forged ID token is no hint", play: func(p *play) {
			real := p.tokens("web").text("id_token")
			p.control("the real one", p.send(hint(p.stage, real)), code)
			for name, token := range p.forgeries(real) {
				p.judge(name, p.send(hint(p.stage, token)), either(refused("invalid_request"), stays))
				p.judge(name+" at logout", p.send(logout(token)), stays)
			}
		}},
		{id: "WB-17 access", name: "a forged access token opens nothing", play: func(p *play) {
			real := p.tokens("jwt").text("access_token")
			p.control("the real one", p.send(bearer(real)), gives("sub"))
			p.control("the real one, introspected", p.send(introspect("jwt", "secret-of-jwt-0123456789abcdef", real)), active(true))
			for name, token := range p.forgeries(real) {
				if !strings.ContainsAny(token, "\t\r\n\x00") {
					p.judge(name, p.send(bearer(token)), either(refused("invalid_token", "invalid_request"), status(401, 400)))
				}
				p.judge(name+", introspected", p.send(introspect("jwt", "secret-of-jwt-0123456789abcdef", token)), either(active(false), refused("invalid_request")))
			}
		}},
		{id: "WB-21", name: "an access token is no ID token, and the other way round", play: func(p *play) {
			got, opaque := p.tokens("jwt"), p.tokens("web")
			p.control("userinfo", p.send(bearer(got.text("access_token"))), gives("sub"))
			p.control("hint", p.send(hint(p.stage, opaque.text("id_token"))), code)
			if typ := claimsOf(got.text("access_token"), 0)["typ"]; typ != "at+jwt" {
				p.t.Errorf("the typ of an access token is %v", typ)
			}
			for name, token := range map[string]string{"JWT access token": got.text("access_token"), "access token": opaque.text("access_token"), "refresh token": opaque.text("refresh_token"), "ID token of another client": got.text("id_token")} {
				p.judge(name+" as a hint", p.send(hint(p.stage, token)), refused("invalid_request"))
			}
			for name, token := range map[string]string{"ID token": opaque.text("id_token"), "refresh token": opaque.text("refresh_token")} {
				p.judge(name+" as an access token", p.send(bearer(token)), refused("invalid_token"))
			}
			r := machine(p.stage)
			p.judge("a token of no person", p.send(bearer(p.send(r).text("access_token"))), refused("insufficient_scope", "invalid_token"))
		}},
		{id: "userinfo", name: "the token comes in one header", request: user, works: gives("sub"), verdict: status(400, 401, 405, 415), mutations: []mutation{
			{name: "none", change: header("Authorization")}, {name: "in the query", change: func(r *request) { moved(r, func(t string) { r.query.Set("access_token", t) }) }},
			{name: "in the query as well", change: func(r *request) {
				r.query.Set("access_token", strings.TrimPrefix(r.header.Get("Authorization"), "Bearer "))
			}},
			{name: "twice", change: func(r *request) {
				r.header["Authorization"] = append(r.header["Authorization"], r.header["Authorization"][0])
			}},
			{name: "two kinds", change: func(r *request) { r.header["Authorization"] = append(r.header["Authorization"], "Basic eDp4") }},
			{name: "as DPoP", change: func(r *request) { moved(r, func(t string) { r.header.Set("Authorization", "DPoP "+t) }) }},
			{name: "as Basic", change: func(r *request) { moved(r, func(t string) { r.header.Set("Authorization", "Basic "+t) }) }},
			{name: "as a cookie", change: func(r *request) { moved(r, func(t string) { r.header.Set("Cookie", "access_token="+t) }) }},
			{name: "cut", change: func(r *request) {
				v := r.header.Get("Authorization")
				r.header.Set("Authorization", v[:len(v)-1])
			}},
			{name: "longer", change: func(r *request) { r.header.Set("Authorization", r.header.Get("Authorization")+"A") }},
			{name: "with a list", change: func(r *request) { r.header.Set("Authorization", r.header.Get("Authorization")+", x") }},
			{name: "PUT", change: func(r *request) { r.method = "PUT" }}, {name: "DELETE", change: func(r *request) { r.method = "DELETE" }},
			{name: "huge", change: header("Authorization", "Bearer "+strings.Repeat("a", 60000))}, {name: "empty", change: header("Authorization", "Bearer ")},
		}},
		{id: "userinfo POST", name: "a body says nothing else", works: gives("sub"), verdict: status(400, 401, 413, 415), request: func(s *stage) *request {
			r := post("/oauth/userinfo", url.Values{})
			r.header.Set("Authorization", "Bearer "+s.tokens("web").text("access_token"))
			return r
		}, mutations: []mutation{
			{name: "two tokens", change: set("access_token", "x")}, {name: "large", change: set("x", strings.Repeat("a", 70000))}, {name: "JSON", change: func(r *request) { r.header.Set("Content-Type", "application/json"); r.body = `{"access_token":"x"}` }, verdict: either(status(400, 415), gives("sub"))},
		}},
		{id: "scope", name: "userinfo wants openid", play: func(p *play) {
			p.control("with it", p.send(user(p.stage)), gives("sub"))
			r := p.tokens("web", set("scope", "notes:read"))
			p.judge("without", p.send(bearer(r.text("access_token"))), both(refused("insufficient_scope"), status(http.StatusForbidden)))
		}},
		{id: "expired", name: "an access token ends", play: func(p *play) {
			token := p.tokens("web").text("access_token")
			p.control("now", p.send(bearer(token)), gives("sub"))
			p.offset.Add(int64(2 * time.Hour))
			p.judge("two hours later", p.send(bearer(token)), refused("invalid_token"))
			p.offset.Add(-int64(2 * time.Hour))
		}},
	}
}
