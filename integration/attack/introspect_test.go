package attack

import (
	"net/http"
	"net/url"
)

func introspect(client, secret, token string) *request {
	return post("/oauth/introspect", url.Values{"token": {token}}).as(client, secret)
}

func logout(hint string) *request {
	r := get("/oauth/logout")
	r.query = url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://web.test/bye"}}
	return r.from(newBrowser())
}

// introspectAttacks are on introspection and revocation. RFC 7662 §2.1, §4, RFC 7009 §2.1
func introspectAttacks() []attack {
	ask := func(s *stage) *request { return introspect("web", secretOfWeb, s.tokens("web").text("access_token")) }
	revoke := func(s *stage) *request {
		return post("/oauth/revoke", url.Values{"token": {s.tokens("web").text("refresh_token")}}).as("web", secretOfWeb)
	}
	gate := func(id string, sound func(*stage) *request, works verdict) []attack {
		return []attack{
			{id: id + " gate", name: "only clients, by POST", request: sound, works: works, verdict: status(400, 401, 405, 415), mutations: append([]mutation{
				{name: "nobody", change: func(r *request) { r.id = "" }}, {name: "a wrong secret", change: func(r *request) { r.secret = "x" }}, {name: "its name alone", change: func(r *request) { r.id = ""; set("client_id", "web")(r) }},
				{name: "an access token", change: func(r *request) { r.id = ""; r.header.Set("Authorization", "Bearer "+r.form.Get("token")) }},
				{name: "the token in the query", change: func(r *request) { r.query, r.form = r.form, url.Values{} }}, {name: "another client in the body", change: set("client_id", "other")},
				{name: "no token", change: set("token")}, {name: "two tokens", change: set("token", "a", "b")}, {name: "JSON", change: func(r *request) { r.header.Set("Content-Type", "application/json"); r.body = `{"token":"x"}` }},
			}, methods("GET", "PUT", "DELETE", "HEAD")...)},
		}
	}
	rows := append(gate("introspect", ask, active(true)), gate("revoke", revoke, status(http.StatusOK))...)
	return append(rows, attack{
		id: "oracle", name: "others learn nothing of a token", request: ask, works: active(true), verdict: active(false), mutations: append(each("token", "x", "dwa_x", "null", "a.b.c", "' or 1=1 --"),
			mutation{name: "another client", change: func(r *request) { r.as("other", secretOfOther) }}, mutation{name: "cut", change: func(r *request) { t := r.form.Get("token"); set("token", t[:len(t)-1])(r) }},
			mutation{name: "another case", change: func(r *request) { set("token", swapCase(r.form.Get("token")))(r) }}, mutation{name: "a wrong hint", change: func(r *request) { set("token_type_hint", "nonsense")(r) }, verdict: active(true)}),
	}, attack{id: "refresh token", name: "a resource server is not told of refresh tokens", play: func(p *play) {
		got := p.tokens("web")
		p.control("the access token", p.send(introspect(api, secretOfAPI, got.text("access_token"))), active(true))
		p.judge("the refresh token", p.send(introspect(api, secretOfAPI, got.text("refresh_token"))), active(false))
		p.judge("the ID token", p.send(introspect(api, secretOfAPI, got.text("id_token"))), active(false))
	}}, attack{id: "public", name: "who has no secret asks nothing", play: func(p *play) {
		token := p.tokens("spa").text("access_token")
		p.control("the API", p.send(introspect(api, secretOfAPI, token)), active(true))
		p.judge("spa", p.send(p.known("spa", post("/oauth/introspect", url.Values{"token": {token}}))), refused())
	}}, attack{id: "revoke others", name: "nobody revokes what belongs to others", play: func(p *play) {
		got := p.tokens("web")
		for _, kind := range []string{"access_token", "refresh_token"} {
			p.control(kind, p.send(bearer(got.text("access_token"))), gives("sub"))
			p.judge(kind+" by another", p.send(post("/oauth/revoke", url.Values{"token": {got.text(kind)}}).as("other", secretOfOther)), noTokens)
			p.judge(kind+" by a public client", p.send(p.known("spa", post("/oauth/revoke", url.Values{"token": {got.text(kind)}}))), noTokens)
			p.control(kind+" lives", p.send(bearer(got.text("access_token"))), gives("sub"))
		}
	}}, attack{id: "revoked", name: "what is revoked is dead everywhere", play: func(p *play) {
		got := p.tokens("web")
		p.control("before", p.send(bearer(got.text("access_token"))), gives("sub"))
		p.control("revoke", p.send(post("/oauth/revoke", url.Values{"token": {got.text("refresh_token")}}).as("web", secretOfWeb)), status(http.StatusOK))
		p.judge("userinfo", p.send(bearer(got.text("access_token"))), refused("invalid_token"))
		p.judge("introspection", p.send(introspect("web", secretOfWeb, got.text("access_token"))), active(false))
		p.judge("refresh", p.send(p.refresh("web", got.text("refresh_token"))), refused("invalid_grant"))
	}}, attack{id: "oracle of revocation", name: "the answer does not tell whether there was a token", play: func(p *play) {
		p.control("one", p.send(revoke(p.stage)), status(http.StatusOK))
		for _, token := range []string{"x", "dwr_x", "a.b.c"} {
			p.judge(token, p.send(post("/oauth/revoke", url.Values{"token": {token}}).as("web", secretOfWeb)), status(http.StatusOK))
		}
	}})
}
