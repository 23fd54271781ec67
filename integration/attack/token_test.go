package attack

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

func machine(*stage) *request {
	return post("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}}).as("web", secretOfWeb)
}

// tokenAttacks are on the gate of the token endpoint. RFC 6749 §2.3, §3.2, §5.2
func tokenAttacks() []attack {
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	inBody := func(*stage) *request {
		return post("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}, "client_id": {"web"}, "client_secret": {secretOfWeb}})
	}
	return []attack{
		{id: "methods", name: "only POST", request: machine, works: gives("access_token"), verdict: status(http.StatusMethodNotAllowed), mutations: methods("GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "post", "PROPFIND", "QUERY")},
		{id: "method override", name: "a header does not change the method", request: func(s *stage) *request {
			r := machine(s)
			r.header.Set("X-Unknown", "1")
			return r
		}, works: gives("access_token"), verdict: status(http.StatusMethodNotAllowed), mutations: []mutation{
			{name: "X-HTTP-Method-Override", change: func(r *request) { r.method = "GET"; r.header.Set("X-HTTP-Method-Override", "POST") }},
			{name: "X-Method-Override", change: func(r *request) { r.method = "PUT"; r.header.Set("X-Method-Override", "POST") }},
		}},
		{id: "WB-57", name: "only forms", request: machine, works: gives("access_token"), verdict: refused("invalid_request"), mutations: bodies()},
		{id: "query", name: "no credentials in the query", request: inBody, works: gives("access_token"), verdict: refused(), mutations: inQuery("client_secret", "client_id", "grant_type", "scope")},
		{id: "duplicates", name: "each parameter once", request: inBody, works: gives("access_token"), verdict: refused("invalid_request"), mutations: twice("grant_type", "scope", "client_id", "client_secret")},
		{id: "mixed identities", name: "one client, by one kind of credentials", request: machine, works: gives("access_token"), verdict: refused("invalid_request", "invalid_client"), mutations: []mutation{
			{name: "another client_id in the body", change: set("client_id", "spa")},
			{name: "another confidential client in the body", change: set("client_id", "other")},
			{name: "a secret in the body too", change: set("client_secret", secretOfWeb)},
			{name: "another client with its secret in the body", change: func(r *request) { set("client_id", "other")(r); set("client_secret", secretOfOther)(r) }},
			{name: "an assertion too", change: func(r *request) {
				set("client_assertion", "a.b.c")(r)
				set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")(r)
			}},
			{name: "two Authorization headers", change: func(r *request) {
				r.id = ""
				r.header["Authorization"] = []string{basic("web:" + secretOfWeb), basic("other:" + secretOfOther)}
			}},
			{name: "the same Authorization header twice", change: func(r *request) {
				r.id = ""
				r.header["Authorization"] = []string{basic("web:" + secretOfWeb), basic("web:" + secretOfWeb)}
			}},
		}},
		{id: "authorization", name: "the header is well-formed Basic", request: machine, works: gives("access_token"), verdict: refused("invalid_client", "invalid_request"), mutations: authorizations(
			"", "Basic", "Basic ", "Basic !!!", "Basic "+base64.StdEncoding.EncodeToString([]byte("web")), basic(":"), basic("web:"), basic(":"+secretOfWeb), basic("web:"+secretOfWeb+"\x00"), basic("web:"+secretOfWeb+" "),
			basic(" web:"+secretOfWeb), basic("WEB:"+secretOfWeb), basic("web\x00:"+secretOfWeb), basic("web:"+strings.ToUpper(secretOfWeb)), basic("web:"+secretOfWeb+":"), basic("web:"+secretOfOther), basic("web:%zz"),
			"Bearer "+secretOfWeb, "Digest username=web", "Negotiate abc", basic("web:"+secretOfWeb)+", "+basic("web:"+secretOfWeb), "Basic"+basic("web:" + secretOfWeb)[6:], basic("web:"+secretOfWeb[:8]), basic("spa:"), basic("spa:x"),
			basic("web:"+strings.Repeat("x", 5000)), basic(strings.Repeat("x", 5000)+":x"), basic("\xff\xfe:x"),
		)},
		{id: "enumeration", name: "an unknown client and a wrong secret are answered alike", play: func(p *play) {
			p.control("the right secret", p.send(machine(p.stage)), gives("access_token"))
			var first *answer
			for _, c := range [][2]string{{"web", "wrong-wrong-wrong"}, {"nobody", "wrong-wrong-wrong"}, {"other", secretOfWeb}, {"robot", "wrong-wrong-wrong"}, {"spa", "wrong-wrong-wrong"}, {"https://evil.test/client", "x"}} {
				a := p.send(machine(p.stage).as(c[0], c[1]))
				p.judge(c[0], a, refused("invalid_client"))
				if first == nil {
					first = a
				}
				if a.status != first.status || a.text("error_description") != first.text("error_description") || a.header.Get("WWW-Authenticate") != first.header.Get("WWW-Authenticate") {
					p.t.Errorf("%s is told apart:\n%s\n%s", c[0], first, a)
				}
			}
		}},
		{id: "grant types", name: "only those that exist, spelled as they are", request: machine, works: gives("access_token"), verdict: refused("unsupported_grant_type", "unauthorized_client", "invalid_request"), mutations: each("grant_type",
			"", "password", "implicit", "CLIENT_CREDENTIALS", "client_credentials ", " client_credentials", "client_credentials,password", "client_credentials password", "client_credentials\x00", "urn:ietf:params:oauth:grant-type:jwt-bearer",
			"urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:uma-ticket", "urn:openid:params:grant-type:ciba", strings.Repeat("a", 20000), "../client_credentials", "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code")},
		{id: "WB-55", name: "no password grant", request: machine, works: gives("access_token"), verdict: refused(), mutations: []mutation{{name: "alice", change: func(r *request) {
			r.form = url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {people["alice"]}}
		}}}},
		{id: "WB-23", name: "scopes are exact", request: machine, works: gives("access_token"), verdict: refused("invalid_scope", "invalid_request"), mutations: each("scope",
			"*", "notes:*", "NOTES:READ", "notes:read\nnotes:write", "notes:read\tnotes:write", "notes:read,notes:write", `"notes:read"`, "notes:read\\", "notes:read\x00", "notés", "admin", "notes:read admin", strings.Repeat("x ", 3000))},
		{id: "WB-22", name: "audiences are exact", request: func(s *stage) *request {
			r := machine(s)
			set("resource", api)(r)
			return r
		}, works: gives("access_token"), verdict: refused("invalid_target", "invalid_request"), mutations: each("resource",
			"https://api.test/x/../admin", "https://api.test/admin", "https://evil@api.test", "https://api.test.evil.test", "https://api.test:8443", "http://api.test", "https://api.test#x", "https://api.test?x", "//api.test", "api.test", "*", "https://evil.test", "https://api.test\x00", "https://api.test%2f..", `https://api.test\`)},
		{id: "public", name: "a client without a secret gets nothing of its own", request: machine, works: gives("access_token"), verdict: refused(), mutations: []mutation{
			{name: "spa", change: func(r *request) { r.id = ""; r.form.Set("client_id", "spa") }},
			{name: "confidential without a secret", change: func(r *request) { r.id = ""; r.form.Set("client_id", "web") }},
			{name: "an empty secret", change: func(r *request) { r.id = ""; r.form.Set("client_id", "web"); r.form.Set("client_secret", "") }},
			{name: "nobody", change: func(r *request) { r.id = "" }},
		}},
	}
}

func methods(names ...string) []mutation {
	var list []mutation
	for _, name := range names {
		list = append(list, mutation{name: name, change: func(r *request) { r.method = name }})
	}
	return list
}

// bodies are those that are no form, or that two readers read differently.
func bodies() []mutation {
	list := []mutation{
		{name: "JSON", change: func(r *request) {
			r.header.Set("Content-Type", "application/json")
			r.body = `{"grant_type":"client_credentials"}`
		}},
		{name: "multipart", change: func(r *request) {
			r.header.Set("Content-Type", "multipart/form-data; boundary=x")
			r.body = "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n"
		}},
		{name: "multipart with a file", change: func(r *request) {
			r.header.Set("Content-Type", "multipart/form-data; boundary=x")
			r.body = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 40000) + "\r\n--x--\r\n"
		}},
		{name: "two content types", change: header("Content-Type", formType, "application/json")},
		{name: "larger than 64 KiB", change: set("x", strings.Repeat("a", 70000)), verdict: status(http.StatusRequestEntityTooLarge)},
		{name: "compressed", change: header("Content-Encoding", "gzip"), verdict: either(refused(), gives("access_token"))},
		{name: "empty", change: func(r *request) { r.form = nil }},
		{name: "a NUL", change: set("x", "a\x00")}, {name: "no UTF-8", change: set("x", "\xff\xfe")}, {name: "a name with a line", change: set("x\r\ny", "1")},
		{name: "a bad escape", change: func(r *request) { r.body = r.form.Encode() + "&x=%zz" }},
		{name: "semicolons", change: func(r *request) { r.body = strings.ReplaceAll(r.form.Encode(), "&", ";") }},
		{name: "ten thousand parameters", change: func(r *request) { r.body = r.form.Encode() + strings.Repeat("&a=", 10000) }},
	}
	for _, kind := range []string{"", "text/plain", "application/xml", "application/x-www-form-urlencoded, application/json", "application/x-www-form-urlencode", "multipart/form-data", "*/*", "application/x-www-form-urlencoded; charset=utf-7", "application/x-www-form-urlencoded; charset=utf-16"} {
		list = append(list, mutation{name: fmt.Sprintf("Content-Type %q", kind), change: header("Content-Type", kind)})
	}
	return list
}

// inQuery moves parameters of a form into the URL.
func inQuery(names ...string) []mutation {
	var list []mutation
	for _, name := range names {
		list = append(list,
			mutation{name: name, change: func(r *request) { r.query[name] = r.form[name]; r.form.Del(name) }},
			mutation{name: name + " as well", change: func(r *request) { r.query[name] = r.form[name] }})
	}
	return append(list, mutation{name: "all of them", change: func(r *request) { r.query, r.form = r.form, url.Values{} }})
}

// twice repeats parameters of a form, with the same value and with another one.
func twice(names ...string) []mutation {
	var list []mutation
	for _, name := range names {
		list = append(list,
			mutation{name: name, change: func(r *request) { r.form[name] = append(r.form[name], r.form.Get(name)) }},
			mutation{name: name + ", the second differs", change: func(r *request) { r.form[name] = append(r.form[name], "x") }},
			mutation{name: name + ", the first is empty", change: func(r *request) { r.form[name] = append([]string{""}, r.form[name]...) }})
	}
	return list
}

func authorizations(values ...string) []mutation {
	var list []mutation
	for i, value := range values {
		list = append(list, mutation{name: fmt.Sprintf("%d", i), change: func(r *request) { r.id = ""; r.header.Set("Authorization", value) }})
	}
	return list
}
