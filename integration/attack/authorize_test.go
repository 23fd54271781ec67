package attack

import (
	"net/http"
	"net/url"
	"strings"
)

// authorizeAttacks mangle every other parameter of an authorize request.
// RFC 6749 §3.1, §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2
func authorizeAttacks() []attack {
	sound := func(s *stage) *request { return s.authorize("web").from(s.person("alice")) }
	row := func(id, name string, verdict verdict, mutations ...mutation) attack {
		return attack{id: id, name: name, request: sound, works: code, verdict: verdict, mutations: mutations}
	}
	raw := func(name, more string) mutation {
		return mutation{name: name, change: func(r *request) { r.raw = r.query.Encode() + more }}
	}
	return []attack{
		row("methods", "GET and POST alone", status(http.StatusMethodNotAllowed), methods("PUT", "PATCH", "DELETE", "TRACE", "get", "PROPFIND")...),
		row("duplicates", "each parameter once", refused(), twiceInQuery("response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method")...),
		row("response_type", "code alone", refused("unsupported_response_type", "invalid_request"), each("response_type", "", "token", "id_token", "code token", "code id_token", "code id_token token", "none", "CODE", "code ", "code,token", "code code", "code\x00", "device_code")...),
		row("response_mode", "only those that exist", refused(), each("response_mode", "QUERY", "web_message", "x", "query\x00", "query fragment", "query.jwt.x", "okta_post_message", "form_post\n")...),
		row("PKCE", "a good challenge is needed", refused("invalid_request"), append(append(each("code_challenge", "", "x", challenge()+"=", challenge()+"x", challenge()[1:], verifier, strings.Repeat("a", 128), strings.Repeat("/", 43), strings.Repeat("+", 43), challenge()+"\x00"),
			each("code_challenge_method", "", "plain", "PLAIN", "s256", "S512", "none", "S256 ", "S256\x00")...),
			mutation{name: "none at all", change: func(r *request) { set("code_challenge")(r); set("code_challenge_method")(r) }})...),
		row("client_id", "one that is known, as it is spelled", stays, each("client_id", "", " ", "WEB", "web ", "web\x00", "nobody", "../web", "web/../other", "*", "' or 1=1 --", "<script>alert(1)</script>", strings.Repeat("a", 5000), "spa", "other",
			"http://127.0.0.1/x", "https://169.254.169.254/latest/meta-data", "https://localhost/client", "https://[::1]/client", "https://evil.test/client", "file:///etc/passwd")...),
		row("scope", "those of the client alone", refused("invalid_scope", "invalid_request"), each("scope", "OPENID", "openid admin", "*", "openid *", "openid\nadmin", "openid\x00", `openid "x"`, `openid \`, "openid,profile", "openid notes:*", "öpenid", strings.Repeat("x", 3000))...),
		row("state", "given back as it is, and in no header", either(code, refused("invalid_request")), each("state", "\x00", "a\r\nX-Injected: 1", "\x7f", "\xff\xfe", "a\nb")...),
		row("nonce", "in no header", either(code, refused("invalid_request")), each("nonce", "\x00", "a\r\nX-Injected: 1", "\xff\xfe")...),
		row("prompt", "only what exists, and none alone", refused("invalid_request"), each("prompt", "none login", "none consent", "NONE", "x", "login,consent", "none none login", "none\x00")...),
		row("max_age", "a number of seconds", refused("invalid_request"), each("max_age", "-1", "x", "1.5", "1e3", "0x10", " 1", "9999999999999999999999", "NaN", "null", "١")...),
		row("claims", "an object as it is specified", refused("invalid_request"), each("claims", "x", "[]", "null", "1", `{"id_token":[]}`, `{"id_token":{"sub":1}}`, `{"userinfo":"x"}`, `{"id_token":{},"id_token":{}}`, `{`, strings.Repeat(`{"a":`, 500), `{"id_token":{"`+strings.Repeat("a", 5000)+`":null}}`)...),
		row("request_uri", "nothing is fetched for a request", refused(), each("request_uri", "https://evil.test/r", "http://127.0.0.1/r", "file:///etc/passwd", "http://169.254.169.254/", "urn:ietf:params:oauth:request_uri:x", "data:text/plain,x", "urn:ietf:params:oauth:request_uri:../x")...),
		row("request", "no request object that the client can't sign", refused(), each("request", "x", "a.b.c", unsigned(map[string]any{"alg": "none"}, map[string]any{"redirect_uri": "https://evil.test"}, ""), hs256(map[string]any{"alg": "HS256"}, map[string]any{"iss": "web", "redirect_uri": "https://evil.test"}, secretOfWeb))...),
		row("registration", "no client that describes itself", refused(), each("registration", `{"redirect_uris":["https://evil.test"]}`, "x")...),
		row("resource", "only what the client may have", refused("invalid_target", "invalid_request"), each("resource", "https://evil.test", "https://api.test/..", "https://api.test#x", "https://evil@api.test", "*", "x", "\x00")...),
		row("id_token_hint", "an ID token of this client", refused("invalid_request"), hints()...),
		row("sizes", "no more than 8 KiB", either(refused("invalid_request"), stays), each("state", strings.Repeat("a", 9000), strings.Repeat("b", 70000))...),
		row("encodings", "well-formed", either(refused("invalid_request"), stays), raw("a bad escape", "&x=%zz"), raw("half an escape", "&x=%"), raw("a semicolon", ";x=1"), raw("no UTF-8", "&x=%ff"), raw("overlong", "&x=%c0%80")),
		row("unknown parameters", "change nothing", code, raw("a NUL", "&x=%00"), raw("in a name", "&x%0d%0aX-Injected=1"), raw("redirect_url", "&redirect_url=https://evil.test&return_to=https://evil.test"), raw("in brackets", "&scope[]=admin&client_id[]=other")),
		row("WB-55", "no implicit flow", refused(), mutation{name: "a token in the fragment", change: func(r *request) { set("response_type", "token")(r); set("response_mode", "fragment")(r) }},
			mutation{name: "an ID token", change: func(r *request) { set("response_type", "id_token")(r); set("response_mode", "form_post")(r) }, verdict: shows("unsupported_response_type")}),
		{id: "POST", name: "a form, checked as the query is", works: accepted, verdict: either(stays, refused("invalid_request")), request: func(s *stage) *request {
			r := post("/oauth/authorize", s.params("web")).from(s.person("alice"))
			r.header.Set("Origin", "https://web.test")
			return r
		}, mutations: []mutation{
			{name: "a query as well", change: func(r *request) { r.raw = "scope=openid" }}, {name: "twice", change: set("scope", "openid", "profile")},
			{name: "JSON", change: func(r *request) { r.header.Set("Content-Type", "application/json"); r.body = inJSON(r.form) }},
			{name: "multipart", change: header("Content-Type", "multipart/form-data; boundary=x")}, {name: "large", change: set("x", strings.Repeat("a", 70000))},
		}},
		{id: "WB-01", name: "every answer names its server", play: func(p *play) {
			p.control("a code", p.send(sound(p.stage)), code)
			for _, change := range [][2]string{{"scope", "nonsense"}, {"response_type", "token"}, {"prompt", "x"}, {"scope", "openid"}} {
				r := sound(p.stage)
				set(change[0], change[1])(r)
				a := p.send(r)
				if to := a.location(); to == nil || to.Query().Get("iss") != p.issuer || to.Query().Get("state") != "state-1" {
					p.t.Errorf("iss or state is missing: %s", a)
				}
			}
		}},
	}
}

func twiceInQuery(names ...string) []mutation {
	var list []mutation
	for _, name := range names {
		list = append(list, mutation{name: name, change: func(r *request) { r.raw = r.query.Encode() + "&" + url.Values{name: r.query[name]}.Encode() }},
			mutation{name: name + ", another value", change: func(r *request) { r.raw = r.query.Encode() + "&" + name + "=x" }},
			mutation{name: name + ", another value first", change: func(r *request) { r.raw = name + "=x&" + r.query.Encode() }})
	}
	return list
}

// hints are tokens of other kinds, and ID tokens that nobody issued.
func hints() []mutation {
	list := each("id_token_hint", "x", "a.b.c", "..", "\x00", strings.Repeat("a", 6000), unsigned(map[string]any{"alg": "none"}, map[string]any{"sub": "alice", "aud": "web"}, ""))
	return append(list, mutation{name: "signed by the client", change: func(r *request) {
		set("id_token_hint", hs256(map[string]any{"alg": "HS256"}, map[string]any{"sub": "alice", "aud": "web"}, secretOfWeb))(r)
	}})
}
