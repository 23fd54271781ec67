package attack

import (
	"fmt"
	"net/http"
	"strings"
)

func (s *stage) registration(changes map[string]any) *request {
	document := map[string]any{"client_name": "Notes", "redirect_uris": []string{"https://notes.test/cb"}, "grant_types": []string{"authorization_code", "refresh_token"}}
	r := post("/oauth/register", nil)
	r.header.Set("Content-Type", "application/json")
	r.body = inJSON(with(document, changes))
	return r
}

// registrationAttacks are on clients that register themselves. RFC 7591 §5, RFC 7592 §2,
// WB-08, WB-11, WB-43
func registrationAttacks() []attack {
	return []attack{
		{id: "redirects", name: "no redirect URI that runs something or goes in the clear", play: func(p *play) {
			p.control("a good one", p.send(p.registration(nil)), gives("client_id", "client_secret"))
			for _, uri := range []string{"", "javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "vbscript:x", "http://notes.test/cb", "https://notes.test/cb#x", "https://evil@notes.test/cb", "https://*.test/cb", "*", "//notes.test/cb", "/cb", "notes.test", "file:///etc/passwd", "blob:https://x", "about:blank",
				"https://notes.test/\r\nX-Injected: 1", "https://notes.test/\x00", "https:///cb", "https:notes.test", `https:\\notes.test`, "ftp://notes.test/", "ws://notes.test/", "https://notes.test/" + strings.Repeat("a", 5000), "http://127.0.0.1.evil.test/cb", "http://localhost.evil.test/cb"} {
				p.judge(fmt.Sprintf("%.60q", uri), p.send(p.registration(map[string]any{"redirect_uris": []string{uri}})), both(status(http.StatusBadRequest), refused("invalid_redirect_uri", "invalid_client_metadata")))
			}
		}},
		{id: "WB-08", name: "nothing inside is named to be fetched", play: func(p *play) {
			p.control("nothing to fetch", p.send(p.registration(nil)), gives("client_id"))
			for _, name := range []string{"jwks_uri", "sector_identifier_uri", "logo_uri", "client_uri", "policy_uri", "tos_uri", "backchannel_logout_uri"} {
				for _, uri := range []string{"http://169.254.169.254/latest", "javascript:alert(1)", "file:///etc/passwd", "gopher://127.0.0.1/", "x"} {
					changes := map[string]any{name: uri}
					if name == "jwks_uri" {
						changes["token_endpoint_auth_method"] = "private_key_jwt"
					}
					p.judge(name+" "+uri, p.send(p.registration(changes)), status(http.StatusBadRequest))
				}
			}
		}},
		{id: "members", name: "what only the host decides is not taken", play: func(p *play) {
			p.control("a good one", p.send(p.registration(nil)), gives("client_id"))
			for name, changes := range map[string]map[string]any{
				"client credentials": {"grant_types": []string{"client_credentials"}}, "implicit": {"response_types": []string{"token"}}, "a scope that is none": {"scope": "admin"}, "redirects as text": {"redirect_uris": "https://notes.test/cb"}, "none": {"redirect_uris": nil}, "a method that is none": {"token_endpoint_auth_method": "magic"},
				"keys and a place of keys": {"jwks": map[string]any{"keys": []any{}}, "jwks_uri": "https://notes.test/jwks"}, "a private key": {"jwks": map[string]any{"keys": []any{map[string]any{"kty": "oct", "k": "AAAA"}}}, "token_endpoint_auth_method": "private_key_jwt"}, "unsigned tokens": {"id_token_signed_response_alg": "none"}, "unsigned requests": {"request_object_signing_alg": "none"}, "a statement": {"software_statement": "eyJhbGciOiJub25lIn0.e30."},
			} {
				p.judge(name, p.send(p.registration(changes)), status(http.StatusBadRequest))
			}
			taken := p.send(p.registration(map[string]any{"client_id": "web", "client_secret": "chosen-by-the-attacker-01", "first_party": true, "insecure": map[string]any{"skip_pkce": true}, "audiences": []string{"https://evil.test"}}))
			if taken.text("client_id") == "web" || strings.Contains(string(taken.body), "chosen-by") || taken.field("first_party") != nil {
				p.t.Errorf("it chose for itself: %s", taken)
			}
			id := taken.text("client_id")
			r := p.authorize("web").from(p.person("alice"))
			set("client_id", id)(r)
			set("redirect_uri", "https://notes.test/cb")(r)
			p.judge("it is not let through unasked", p.send(r), noTokens)
		}},
		{id: "gate", name: "one JSON object, by POST", play: func(p *play) {
			p.control("a good one", p.send(p.registration(nil)), gives("client_id"))
			for name, body := range map[string]string{"no JSON": "x", "a list": "[]", "null": "null", "a name twice": `{"redirect_uris":["https://a.test/cb"],"redirect_uris":["https://b.test/cb"]}`, "deep": strings.Repeat(`{"a":`, 3000), "two": `{} {}`, "no UTF-8": "{\"client_name\":\"\xff\"}", "a number": "1e999", "huge": `{"x":"` + strings.Repeat("a", 70000) + `"}`} {
				r := p.registration(nil)
				r.body = body
				p.judge(name, p.send(r), status(400, 413))
			}
			r := p.registration(nil)
			r.header.Set("Content-Type", formType)
			p.judge("a form", p.send(r), status(http.StatusUnsupportedMediaType))
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				r := p.registration(nil)
				r.method = method
				p.judge(method, p.send(r), status(http.StatusMethodNotAllowed))
			}
		}},
		{id: "WB-43", name: "a name that deceives is not shown", play: func(p *play) {
			p.control("a good one", p.send(p.registration(nil)), gives("client_id"))
			for _, name := range append([]string{"\u202eelgooG", "Goo\u200bgle", "A\x00B", "A\r\nB", strings.Repeat("a", 10000), "\u2066x"}, payloads...) {
				a := p.send(p.registration(map[string]any{"client_name": name}))
				id := a.text("client_id")
				if id == "" {
					p.judge(fmt.Sprintf("%.40q", name), a, status(http.StatusBadRequest))
					continue
				}
				r := p.authorize("web").from(p.person("alice"))
				set("client_id", id)(r)
				set("redirect_uri", "https://notes.test/cb")(r)
				p.judge(fmt.Sprintf("%.40q", name), p.follow(r.by, p.send(r)), both(harmless, func(a *answer) error {
					for _, trace := range []string{"\u202eelgooG", "Goo\u200bgle", strings.Repeat("a", 500), "\u2066x"} {
						if strings.Contains(string(a.body), trace) {
							return fmt.Errorf("the page shows %q", trace[:20])
						}
					}
					return nil
				}))
			}
		}},
		{id: "WB-43 links", name: "links and pictures of a stranger are on no page", play: func(p *play) {
			links := map[string]any{"logo_uri": "https://evil.test/pixel.png", "client_uri": "https://evil.test/home", "policy_uri": "https://evil.test/privacy", "tos_uri": "https://evil.test/terms"}
			made := p.send(p.registration(links))
			p.control("they are registered", made, gives("client_id", "logo_uri", "client_uri", "policy_uri", "tos_uri"))
			for name, prompt := range map[string]string{"signing in": "login", "consent": "consent", "choosing": "select_account"} {
				r := p.authorize("web").from(p.person("alice"))
				set("client_id", made.text("client_id"))(r)
				set("redirect_uri", "https://notes.test/cb")(r)
				set("prompt", prompt)(r)
				a := p.follow(r.by, p.send(r))
				p.judge(name, a, both(harmless, noTokens))
				if body := string(a.body); !strings.Contains(body, "Notes") || strings.Contains(body, "evil.test") {
					p.t.Errorf("%s: the page does not name the client, or has its links: %s", name, a)
				}
			}
		}},
		{id: "management", name: "only the token of the client opens it", play: func(p *play) {
			mine, other := p.send(p.registration(map[string]any{"client_name": "mine"})), p.send(p.registration(map[string]any{"client_name": "other"}))
			read := func(place, token, method string) *request {
				r := get(place)
				r.method = method
				if token != "" {
					r.header.Set("Authorization", "Bearer "+token)
				}
				return r
			}
			place, token := mine.text("registration_client_uri"), mine.text("registration_access_token")
			p.control("the client", p.send(read(place, token, "GET")), gives("client_id"))
			for _, method := range []string{"GET", "DELETE"} {
				for name, wrong := range map[string]string{"none": "", "x": "x", "of another": other.text("registration_access_token"), "cut": token[:len(token)-1], "longer": token + "A", "an access token": p.tokens("web").text("access_token"), "its secret": mine.text("client_secret")} {
					p.judge(method+" "+name, p.send(read(place, wrong, method)), status(http.StatusUnauthorized))
				}
				for _, path := range []string{"/oauth/register/web", "/oauth/register/nobody", "/oauth/register/robot"} {
					p.judge(method+" "+path, p.send(read(path, token, method)), status(http.StatusUnauthorized))
				}
			}
			p.control("it lives", p.send(read(place, token, "GET")), gives("client_id"))
		}},
		{id: "WB-11", name: "a document inside is not fetched, and its URL is no client", play: func(p *play) {
			p.control("a client", p.send(p.authorize("web").from(p.person("alice"))), code)
			for _, id := range []string{"https://127.0.0.1/client", "https://localhost/client", "https://[::1]/client", "https://169.254.169.254/latest/meta-data", "https://10.0.0.1/client", "https://[::ffff:127.0.0.1]/client", "https://[64:ff9b::7f00:1]/client", "https://100.64.0.1/c", "https://0.0.0.0/c",
				"http://evil.test/client", "https://evil.test", "https://evil.test/", "https://u:p@evil.test/client", "https://evil.test/client#x", "https://evil.test/a/../client", "https://evil.test:0/client", p.issuer + "/oauth/jwks"} {
				r := p.authorize("web").from(p.person("alice"))
				set("client_id", id)(r)
				set("redirect_uri", "https://evil.test/cb")(r)
				p.judge(strings.Replace(id, p.issuer, "issuer", 1), p.send(r), stays)
			}
		}},
	}
}
