package attack

import (
	"net/url"
	"time"
)

// refreshAttacks are on refresh tokens. RFC 6749 §6, §10.4, RFC 9700 §4.14
func refreshAttacks() []attack {
	of := func(client string) func(*stage) *request {
		return func(s *stage) *request { return s.refresh(client, s.tokens(client).text("refresh_token")) }
	}
	return []attack{
		{id: "client", name: "a refresh token is of one client", request: of("web"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_client", "invalid_request"), mutations: []mutation{
			{name: "another", change: func(r *request) { r.as("other", secretOfOther) }}, {name: "none", change: func(r *request) { r.id = "" }},
			{name: "its name alone", change: func(r *request) { r.id = ""; set("client_id", "web")(r) }}, {name: "a public one", change: func(r *request) { r.id = ""; set("client_id", "spa")(r) }},
			{name: "a wrong secret", change: func(r *request) { r.secret = "x" }},
		}},
		{id: "public", name: "and so it is without a secret", request: of("spa"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_client"), mutations: each("client_id", "cli", "app", "web", "nobody")},
		{id: "widen", name: "it gives no more than was granted", request: of("web"), works: gives("access_token"), verdict: refused("invalid_scope", "invalid_request", "invalid_target"), mutations: append(each("scope",
			"openid profile offline_access notes:write", "notes:write", "admin", "*", "OPENID", "openid\nnotes:write"), each("resource", "https://evil.test", "https://api.test/..")...)},
		{id: "guess", name: "it is not guessed", request: of("web"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_request"), mutations: append(each("refresh_token", "", "x", "dwr_x", "\x00", "null", "../x", "*"),
			mutation{name: "cut", change: func(r *request) {
				t := r.form.Get("refresh_token")
				set("refresh_token", t[:len(t)-1])(r)
			}}, mutation{name: "longer", change: func(r *request) { set("refresh_token", r.form.Get("refresh_token")+"A")(r) }},
			mutation{name: "another case", change: func(r *request) { set("refresh_token", swapCase(r.form.Get("refresh_token")))(r) }},
			mutation{name: "as a code", change: func(r *request) {
				r.form = url.Values{"grant_type": {"authorization_code"}, "code": r.form["refresh_token"], "code_verifier": {verifier}, "redirect_uri": {"https://web.test/cb"}}
			}})},
		{id: "other kinds", name: "no other token is one", play: func(p *play) {
			got := p.tokens("web")
			p.control("the refresh token", p.send(p.refresh("web", got.text("refresh_token"))), gives("access_token"))
			for _, kind := range []string{"access_token", "id_token"} {
				p.judge(kind, p.send(p.refresh("web", got.text(kind))), refused("invalid_grant"))
			}
		}},
		{id: "old", name: "an old one ends the grant", play: func(p *play) {
			old := p.tokens("strict").text("refresh_token")
			next := p.send(p.refresh("strict", old))
			p.control("first", next, gives("access_token", "refresh_token"))
			p.judge("the old one", p.send(p.refresh("strict", old)), refused("invalid_grant"))
			p.judge("the new one", p.send(p.refresh("strict", next.text("refresh_token"))), refused("invalid_grant"))
			p.judge("its access token", p.send(bearer(next.text("access_token"))), refused("invalid_token"))
		}},
		{id: "parallel", name: "twenty at once are one success", play: func(p *play) {
			p.control("one", p.send(of("strict")(p.stage)), gives("access_token"))
			for range 3 {
				token := p.tokens("strict").text("refresh_token")
				if won := p.atOnce(20, func() *request { return p.refresh("strict", token) }); won > 1 {
					p.t.Errorf("%d requests won", won)
				}
			}
		}},
		{id: "WB-25", name: "rotation does not make it live for ever", play: func(p *play) {
			got := p.tokens("web")
			p.control("at once", p.send(p.refresh("web", got.text("refresh_token"))), gives("refresh_token"))
			moved := time.Duration(0)
			defer func() { p.offset.Add(-int64(moved)) }()
			for range 8 {
				p.offset.Add(int64(20 * 24 * time.Hour))
				moved += 20 * 24 * time.Hour
				if got = p.send(p.refresh("web", got.text("refresh_token"))); got.status != 200 {
					break
				}
			}
			p.judge("after months", got, refused("invalid_grant"))
		}},
	}
}
