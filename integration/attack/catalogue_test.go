package attack

import (
	"crypto/rand"
	"net"
	"net/url"
	"strings"

	"github.com/doorward/doorward/storage"
)

// furtherAttacks are rows of the catalogue of threats that belong to no single endpoint.
func furtherAttacks() []attack {
	return []attack{
		{id: "WB-10", name: "what is named to be fetched tells nothing of this machine", play: scanPorts},
		{id: "WB-13", name: "a number in a signed request counts as one", play: func(p *play) {
			p.control("an hour", p.send(p.sendObject(p.object(nil, map[string]any{"max_age": 3600}))), code)
			p.judge("never", p.send(p.sendObject(p.object(nil, map[string]any{"max_age": 0}))), noTokens)
			quiet := map[string]any{"max_age": 0, "prompt": "none"}
			p.judge("never, without pages", p.send(p.sendObject(p.object(nil, quiet))), refused("login_required"))
		}},
		{id: "WB-15", name: "a signed request counts also where nobody signs in by OpenID Connect", play: func(p *play) {
			plain := map[string]any{"scope": "notes:read", "nonce": nil}
			r := p.sendObject(p.object(nil, plain))
			r.query = url.Values{"client_id": {"robot"}, "request": r.query["request"], "redirect_uri": {"https://evil.test/cb"}, "state": {"evil"}, "response_type": {"code"}, "scope": {"notes:read notes:write"}}
			a := p.send(r)
			p.control("by what was signed", a, code)
			if to := a.location(); to.Host != "robot.test" || to.Query().Get("state") != "state-1" {
				p.t.Errorf("it went by the link: %s", to)
			}
			form := url.Values{"grant_type": {"authorization_code"}, "code": {a.location().Query().Get("code")}, "redirect_uri": {"https://robot.test/cb"}, "code_verifier": {verifier}}
			asserted := p.asserted(p.assertion(nil, nil))
			for name, values := range form {
				asserted.form[name] = values
			}
			asserted.form.Del("scope")
			if got := p.send(asserted); got.text("scope") != "notes:read" {
				p.t.Errorf("more was granted than was signed: %s", got)
			}
			plain["redirect_uri"] = "https://evil.test/cb"
			p.judge("another redirect_uri, signed", p.send(p.sendObject(p.object(nil, plain))), stays)
		}},
		{
			id: "WB-45", name: "no form posts to an app", request: func(s *stage) *request { return s.authorize("app").from(s.person("alice")) },
			works: accepted, verdict: both(harmless, noTokens, shows("test.app:/cb?error=invalid_request")),
			mutations: each("response_mode", "form_post", "form_post.jwt"),
		},
		{id: "WB-52", name: "details that nobody checked are in no token", play: func(p *play) {
			details := set("authorization_details", `[{"type":"payment_initiation","actions":["initiate"]}]`)
			r := p.authorize("jwt").from(p.person("alice"))
			p.control("without", p.send(r), code)
			redeem := p.redeem("jwt", p.codeFor("jwt", details))
			details(redeem)
			a := p.send(redeem)
			if claims := claimsOf(a.text("access_token"), 1); len(claims) == 0 || claims["authorization_details"] != nil || a.field("authorization_details") != nil {
				p.t.Errorf("it grants what it does not know: %s", a)
			}
			if told := p.send(introspect(api, secretOfAPI, a.text("access_token"))); told.field("active") != true || told.field("authorization_details") != nil {
				p.t.Errorf("introspection tells of it: %s", told)
			}
		}},
		{id: "WB-53", name: "what introspection signs is for who asks", play: func(p *play) {
			token := p.tokens("web").text("access_token")
			ask := func(client, secret string) map[string]any {
				r := introspect(client, secret, token)
				r.header.Set("Accept", "application/token-introspection+jwt")
				a := p.send(r)
				if got := a.header.Get("Content-Type"); got != "application/token-introspection+jwt" {
					p.t.Errorf("%s is told %s: %s", client, got, a)
				}
				if head := claimsOf(string(a.body), 0); head["typ"] != "token-introspection+jwt" {
					p.t.Errorf("%s is told by a JWT of the type %v", client, head["typ"])
				}
				claims := claimsOf(string(a.body), 1)
				if claims["aud"] != client || claims["iss"] != p.issuer || claims["exp"] != nil || claims["sub"] != nil {
					p.t.Errorf("%s is told %v", client, claims)
				}
				told, _ := claims["token_introspection"].(map[string]any)
				return told
			}
			p.control("by JSON", p.send(introspect(api, secretOfAPI, token)), active(true))
			if told := ask(api, secretOfAPI); told["active"] != true || told["client_id"] != "web" {
				p.t.Errorf("its API is told %v", told)
			}
			if told := ask("other", secretOfOther); told["active"] != false || len(told) != 1 {
				p.t.Errorf("others are told %v", told)
			}
			r := introspect(api, secretOfAPI, token)
			r.header.Set("Accept", "application/token-introspection+jwt")
			answer := string(p.send(r).body)
			p.judge("it is no token", p.send(bearer(answer)), refused("invalid_token"))
			p.judge("nor a hint", p.send(logout(answer)), stays)
			p.judge("nor an assertion", p.send(p.asserted(answer)), refused("invalid_client"))
		}},
	}
}

// scanPorts names places of this machine, one where somebody listens and one where nobody
// does, and reads the answers as a port scanner would.
func scanPorts(p *play) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		p.t.Fatal(err)
	}
	look := func(place, unlike string, a *answer) string {
		text := strings.NewReplacer(place, "place", unlike, "mark", a.header.Get("X-Request-Id"), "request").Replace(string(a.body))
		return varying.ReplaceAllString(text, "")
	}
	p.control("a client", p.send(p.authorize("web").from(p.person("alice"))), code)
	var pages, assertions []string
	for what, place := range map[string]string{"a port that listens": open.Addr().String(), "one that does not": nobody, "another machine": "10.0.0.1:443"} {
		r := p.authorize("web").from(p.person("alice"))
		set("client_id", "https://"+place+"/client.json")(r)
		set("redirect_uri", "https://app.test/cb")(r)
		a := p.send(r)
		p.judge("a document at "+what, a, stays)
		pages = append(pages, look(place, "none", a))

		id := "keys-" + strings.NewReplacer(" ", "-").Replace(what) + rand.Text()
		made := storage.Client{ID: id, TokenEndpointAuthMethod: storage.AuthMethodPrivateKey, JWKSURI: "https://" + place + "/jwks", Scope: "notes:read", GrantTypes: []string{"client_credentials"}}
		if _, _, err := p.server.Clients().Create(p.t.Context(), made); err != nil {
			p.t.Fatal(err)
		}
		a = p.send(p.asserted(p.assertion(nil, map[string]any{"iss": id, "sub": id})))
		p.judge("keys at "+what, a, refused("invalid_client"))
		assertions = append(assertions, look(place, id, a))
	}
	for i := range pages {
		if pages[i] != pages[0] || assertions[i] != assertions[0] {
			p.t.Errorf("the answers differ:\n%s\n%s\n%s\n%s", pages[0], pages[i], assertions[0], assertions[i])
		}
	}
}
