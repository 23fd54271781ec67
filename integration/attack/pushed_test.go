package attack

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// pushed is the request that pushes the authorize request of a client.
func (s *stage) pushed(client string) *request {
	params := s.params(client)
	params.Del("client_id")
	return s.known(client, post("/oauth/par", params))
}

// use is the request that sends alice's browser with a pushed request.
func (s *stage) use(client, uri string) *request {
	r := get("/oauth/authorize")
	r.query = url.Values{"client_id": {client}, "request_uri": {uri}}
	return r.from(s.person("alice"))
}

// pushedAttacks are on pushed requests. RFC 9126 §2, §4, §7
func pushedAttacks() []attack {
	web := func(s *stage) *request { return s.pushed("web") }
	row := func(id, name string, v verdict, mutations ...mutation) attack {
		return attack{id: id, name: name, request: web, works: gives("request_uri", "expires_in"), verdict: v, mutations: mutations}
	}
	return []attack{
		row("gate", "only clients, by POST, in the body", status(400, 401, 405, 413, 415), append(append([]mutation{
			{name: "nobody", change: func(r *request) { r.id = "" }}, {name: "a wrong secret", change: func(r *request) { r.secret = "x" }}, {name: "its name alone", change: func(r *request) { r.id = ""; set("client_id", "web")(r) }},
			{name: "another client in the body", change: set("client_id", "other")}, {name: "the secret in the query", change: func(r *request) {
				r.id = ""
				set("client_id", "web")(r)
				r.query.Set("client_secret", secretOfWeb)
			}}, {name: "a reference", change: set("request_uri", "urn:ietf:params:oauth:request_uri:x")}, {name: "large", change: set("state", strings.Repeat("a", 9000))}, {name: "huge", change: set("state", strings.Repeat("b", 70000))},
			{name: "JSON", change: func(r *request) { r.header.Set("Content-Type", "application/json"); r.body = inJSON(r.form) }},
		}, methods("GET", "PUT", "DELETE")...), twice("scope", "redirect_uri", "state", "code_challenge")...)...),
		row("redirect", "no other redirect_uri", status(400), each("redirect_uri", mangled("https://web.test/cb")...)...),
		row("parameters", "checked as they would be in the browser", status(400), append(append(each("code_challenge", "", "x"), each("code_challenge_method", "plain", "")...), append(each("scope", "admin", "*"), append(each("response_type", "token", "", "code id_token"), each("prompt", "none login")...)...)...)...),
		{id: "merge", name: "nothing stands beside the request_uri", request: func(s *stage) *request {
			return s.use("web", s.send(s.pushed("web")).text("request_uri"))
		}, works: code, verdict: refused(), mutations: append(append(append(each("nonce", "evil"), each("code_challenge", challenge())...), append(each("scope", "openid notes:write"), each("state", "evil")...)...), append(each("redirect_uri", "https://evil.test", "https://web.test/cb"),
			append(each("client_id", "other", "spa", "nobody", ""), append(each("request", "a.b.c"), mutation{name: "twice", change: func(r *request) { r.query["request_uri"] = append(r.query["request_uri"], "x") }})...)...)...)},
		{id: "guess", name: "a request_uri is not guessed", request: func(s *stage) *request {
			return s.use("web", s.send(s.pushed("web")).text("request_uri"))
		}, works: code, verdict: refused(), mutations: []mutation{
			{name: "cut", change: func(r *request) { u := r.query.Get("request_uri"); r.query.Set("request_uri", u[:len(u)-1]) }}, {name: "longer", change: func(r *request) { r.query.Set("request_uri", r.query.Get("request_uri")+"A") }},
			{name: "in capitals", change: func(r *request) { r.query.Set("request_uri", strings.ToUpper(r.query.Get("request_uri"))) }}, {name: "without the prefix", change: func(r *request) {
				u := r.query.Get("request_uri")
				r.query.Set("request_uri", u[strings.LastIndex(u, ":")+1:])
			}},
		}},
		{id: "once", name: "it leads to one code, and ends", play: func(p *play) {
			uri := p.send(p.pushed("web")).text("request_uri")
			p.control("first", p.send(p.use("web", uri)), code)
			p.judge("again", p.send(p.use("web", uri)), refused())
			other := p.send(p.pushed("web")).text("request_uri")
			p.offset.Add(int64(61 * time.Second))
			p.judge("too late", p.send(p.use("web", other)), refused())
			p.offset.Add(-int64(61 * time.Second))
		}},
	}
}

// object is a request object of the robot's with these changes.
func (s *stage) object(head, changes map[string]any) string {
	claims := map[string]any{"iss": "robot", "aud": s.issuer, "exp": s.now().Unix() + 60, "iat": s.now().Unix(), "jti": rand.Text()}
	for name, values := range s.params("robot") {
		claims[name] = values[0]
	}
	return sign(s.robot, with(map[string]any{"alg": "EdDSA", "kid": "one", "typ": "oauth-authz-req+jwt"}, head), with(claims, changes))
}

// sendObject is the request that sends alice's browser with a request object.
func (s *stage) sendObject(object string) *request {
	r := get("/oauth/authorize")
	r.query = url.Values{"client_id": {"robot"}, "request": {object}, "response_type": {"code"}, "scope": {"openid"}}
	return r.from(s.person("alice"))
}

// objectAttacks are on signed requests. RFC 9101 §4, §6.3, §10, WB-13 to WB-16
func objectAttacks() []attack {
	return []attack{
		{id: "WB-14", name: "only what the client signed for this server and this purpose", play: func(p *play) {
			p.control("the right one", p.send(p.sendObject(p.object(nil, nil))), code)
			now := p.now().Unix()
			for name, changes := range map[string]map[string]any{
				"another iss": {"iss": "web"}, "no iss": {"iss": nil}, "another client": {"client_id": "web"}, "aud of another server": {"aud": "https://evil.test"}, "no aud": {"aud": nil}, "aud with others": {"aud": []string{"https://evil.test"}}, "a sub": {"sub": "robot"}, "expired": {"exp": now - 300},
				"no exp": {"exp": nil}, "for years": {"exp": now + 1e9}, "exp as text": {"exp": "9999999999"}, "from the future": {"iat": now + 600, "nbf": now + 600}, "a nested request": {"request": "x"}, "a nested request_uri": {"request_uri": "x"}, "another redirect_uri": {"redirect_uri": "https://evil.test"},
				"no challenge": {"code_challenge": nil}, "plain": {"code_challenge_method": "plain"}, "an object for a text": {"scope": map[string]any{"a": 1}}, "a list for a text": {"state": []string{"a"}}, "a huge jti": {"jti": strings.Repeat("a", 3000)}, "a scope of others": {"scope": "admin"}, "max_age as text": {"max_age": "x"},
			} {
				p.judge(name, p.send(p.sendObject(p.object(nil, changes))), refused())
			}
			for name, head := range map[string]map[string]any{
				"typ of an assertion": {"typ": "client-authentication+jwt"}, "typ of a proof": {"typ": "dpop+jwt"}, "typ of an access token": {"typ": "at+jwt"}, "typ of a logout token": {"typ": "logout+jwt"}, "another kid": {"kid": "two"}, "a kid that is a path": {"kid": "../../one"}, "crit": {"crit": []string{"x"}, "x": 1}, "b64": {"b64": false, "crit": []string{"b64"}},
				"another alg": {"alg": "ES256"}, "HS256": {"alg": "HS256"},
			} {
				p.judge("head: "+name, p.send(p.sendObject(p.object(head, nil))), refused())
			}
			good := p.object(nil, nil)
			head, claims := claimsOf(good, 0), claimsOf(good, 1)
			for name, object := range map[string]string{
				"WB-16 alg none": unsigned(with(head, map[string]any{"alg": "none"}), claims, ""), "WB-16 alg NONE": unsigned(with(head, map[string]any{"alg": "NONE"}), claims, ""), "another key": sign(newKey(), head, claims), "an embedded key": sign(newKey(), with(head, map[string]any{"jwk": map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "x"}}), claims),
				"HS256 by the public key": hs256(with(head, map[string]any{"alg": "HS256"}), claims, string(jwks(p.robot))), "HS256 by nothing": hs256(with(head, map[string]any{"alg": "HS256"}), claims, ""), "other claims": strings.Split(good, ".")[0] + "." + encoded(inJSON(with(claims, map[string]any{"scope": "openid"}))) + "." + strings.Split(good, ".")[2],
				"JWE": "a.b.c.d.e", "a large one": good + strings.Repeat("A", 7000), "empty parts": "..", "no JWT": "x",
			} {
				p.judge(name, p.send(p.sendObject(object)), either(refused(), stays))
			}
		}},
		{id: "unsigned", name: "what stands beside a signed request does not count", play: func(p *play) {
			r := p.sendObject(p.object(nil, nil))
			p.control("alone", p.send(r), code)
			for name, value := range map[string]string{"redirect_uri": "https://evil.test/cb", "state": "evil", "scope": "admin", "code_challenge": "x", "response_mode": "fragment"} {
				r := p.sendObject(p.object(nil, nil))
				set(name, value)(r)
				p.judge(name, p.send(r), func(a *answer) error {
					if to := a.location(); to != nil && to.Query().Has("code") && to.Query().Get("state") == "state-1" {
						return nil // by what was signed
					}
					return either(refused(), stays)(a)
				})
			}
		}},
		{id: "once", name: "it leads to one code", play: func(p *play) {
			object := p.object(nil, map[string]any{"jti": "once-" + p.issuer})
			p.control("first", p.send(p.sendObject(object)), code)
			p.judge("again", p.send(p.sendObject(object)), refused())
		}},
		{id: "foreign", name: "another client can't use it", play: func(p *play) {
			p.control("its own", p.send(p.sendObject(p.object(nil, nil))), code)
			r := p.sendObject(p.object(nil, nil))
			set("client_id", "web")(r)
			p.judge("web", p.send(r), either(refused(), stays))
			assertion := p.assertion(nil, nil)
			p.judge("an assertion", p.send(p.sendObject(assertion)), either(refused(), stays))
			p.judge("as an assertion", p.send(p.asserted(p.object(nil, nil))), both(refused("invalid_client"), status(http.StatusUnauthorized)))
		}},
	}
}
