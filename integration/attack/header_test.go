package attack

import (
	"fmt"
	"strings"
)

// headerAttacks try to make the server believe that it is another one: metadata and links
// come from the issuer alone. RFC 8414 §3.3, RFC 9700 §4.13
func headerAttacks() []attack {
	lies := []mutation{}
	for name, value := range map[string]string{
		"Host": "evil.test", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "http", "Forwarded": `for=10.0.0.1;host=evil.test;proto=http`, "X-Original-Url": "/evil.test",
		"X-Rewrite-Url": "/evil.test", "X-Host": "evil.test", "X-Forwarded-Server": "evil.test", "X-Forwarded-Prefix": "/evil.test", "X-Original-Host": "evil.test", "X-Forwarded-Port": "1",
		"X-Forwarded-For": "127.0.0.1, evil.test", "X-Real-Ip": "evil.test", "True-Client-Ip": "evil.test", "X-Forwarded-Scheme": "http", "Origin": "https://evil.test", "Referer": "https://evil.test/",
		"Accept-Language": "evil.test;q=1, <script>", "User-Agent": "evil.test<script>", "X-Request-Id": "evil.test", "Traceparent": "evil.test", "X-Client-Cert": "evil.test", "Client-Cert": ":ZXZpbA==:",
	} {
		lies = append(lies, mutation{name: name, change: header(name, value)})
	}
	honest := func(a *answer) error {
		// The dot is in no random value, so that no cookie or code holds it by chance.
		if whole := string(a.body) + fmt.Sprint(a.header); strings.Contains(whole, "evil.test") {
			return fmt.Errorf("the answer repeats what a header said")
		}
		return nil
	}
	page := func(path string) func(*stage) *request { return func(*stage) *request { return get(path) } }
	var rows []attack
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth/jwks", "/errors"} {
		rows = append(rows, attack{
			id: path, name: "says the same whatever the headers say", request: page(path), works: status(200), mutations: lies,
			verdict: both(honest, either(status(200), stays)),
		})
	}
	return append(rows, attack{
		id: "authorize", name: "sends nobody elsewhere", mutations: lies, verdict: either(honest, stays), works: accepted,
		request: func(s *stage) *request { return s.authorize("web").from(s.person("alice")) },
	}, attack{
		id: "token", name: "issues for nobody else", request: machine, works: gives("access_token"), mutations: lies, verdict: honest,
	}, attack{
		id: "WB-47", name: "a path is served as it is spelled", request: page("/oauth/jwks"), works: status(200), verdict: stays, mutations: paths(
			"//oauth/jwks", "/oauth//jwks", "/oauth/jwks/", "/oauth/jwks;x=1", "/oauth/%6awks", "/OAUTH/jwks", "/oauth/x/../jwks", "/oauth/./jwks", "/oauth/jwks%00", "/oauth/jwks%2f", "/oauth%2fjwks", "/oauth/jwks.json",
			"/oauth/%2e%2e/oauth/jwks", `/oauth\jwks`, "/oauth/jwks%20", "/oauth/jwks%0d%0aX-Injected:1", "/..;/oauth/jwks", "/oauth/;/jwks", "/.well-known/../oauth/jwks", "/oauth/assets/../jwks", "/oauth/assets/%2e%2e/jwks",
			"/oauth/assets/..%2f..%2fetc%2fpasswd", "/oauth/assets/", "/oauth/interaction/", "/oauth/interaction/../authorize", "/debug/pprof/", "/metrics", "/.git/config", "/oauth/", "/admin", "/.env"),
	}, attack{
		id: "WB-41", name: "a forged address does not excuse", request: machine, works: gives("access_token"), verdict: refused("invalid_client"), mutations: []mutation{
			{name: "X-Forwarded-For", change: func(r *request) { r.secret = "x"; r.header.Set("X-Forwarded-For", "10.0.0.1") }},
		},
	}, attack{
		id: "CORS", name: "only registered origins may read", request: func(s *stage) *request {
			r := s.known("spa", post("/oauth/revoke", map[string][]string{"token": {"x"}}))
			r.header.Set("Origin", "https://spa.test")
			return r
		}, works: func(a *answer) error {
			if a.header.Get("Access-Control-Allow-Origin") != "https://spa.test" {
				return fmt.Errorf("the client's own page may not read")
			}
			return nil
		}, verdict: func(a *answer) error {
			if got := a.header.Get("Access-Control-Allow-Origin"); got != "" || a.header.Get("Access-Control-Allow-Credentials") != "" {
				return fmt.Errorf("the origin %q may read", got)
			}
			return nil
		}, mutations: headers("Origin", "https://evil.test", "null", "http://spa.test", "https://spa.test.evil.test", "https://evil-spa.test", "https://spa.test:8443", "https://SPA.test/", "https://spa.test@evil.test", "*", "https://web.test", "https://spa.test, https://evil.test"),
	})
}

func headers(name string, values ...string) []mutation {
	var list []mutation
	for _, value := range values {
		list = append(list, mutation{name: name + ": " + value, change: header(name, value)})
	}
	return list
}

func paths(list ...string) []mutation {
	var all []mutation
	for _, path := range list {
		all = append(all, mutation{name: path, change: func(r *request) { r.path = path }})
	}
	return all
}
