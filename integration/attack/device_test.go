package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func (s *stage) device() *answer {
	s.t.Helper()
	return s.send(s.known("web", post("/oauth/device_authorization", url.Values{"scope": {"openid notes:read"}})))
}

func (s *stage) poll(client, code string) *request {
	return s.known(client, post("/oauth/token", url.Values{"grant_type": {deviceGrant}, "device_code": {code}}))
}

// deviceAttacks are on devices without a browser. RFC 8628 §3.5, §5, WB-38
func deviceAttacks() []attack {
	begin := func(s *stage) *request {
		return s.known("web", post("/oauth/device_authorization", url.Values{"scope": {"openid notes:read"}}))
	}
	waiting := func(a *answer) error { return refused("authorization_pending", "slow_down")(a) }
	return []attack{
		{id: "gate", name: "only clients, by POST", request: begin, works: gives("device_code", "user_code"), verdict: status(400, 401, 405, 415), mutations: append([]mutation{
			{name: "nobody", change: func(r *request) { r.id = "" }}, {name: "a wrong secret", change: func(r *request) { r.secret = "x" }}, {name: "its name alone", change: func(r *request) { r.id = ""; set("client_id", "web")(r) }}, {name: "another client in the body", change: set("client_id", "other")},
			{name: "a scope of others", change: set("scope", "admin")}, {name: "the scope twice", change: set("scope", "openid", "openid")}, {name: "a query", change: func(r *request) { r.query.Set("client_id", "web") }}, {name: "JSON", change: func(r *request) { r.header.Set("Content-Type", "application/json"); r.body = "{}" }}, {name: "a client that may not", change: func(r *request) { r.as(api, secretOfAPI) }},
		}, methods("GET", "PUT", "DELETE")...)},
		{id: "guess", name: "a device code is not guessed, nor of another client", play: func(p *play) {
			made := p.device().text("device_code")
			p.control("its own", p.send(p.poll("web", made)), waiting)
			for name, code := range map[string]string{"none": "", "x": "x", "cut": made[:len(made)-1], "longer": made + "A", "another case": swapCase(made), "NUL": "\x00"} {
				p.judge(name, p.send(p.poll("web", code)), refused("invalid_grant", "invalid_request", "expired_token"))
			}
			p.judge("another client", p.send(p.poll("other", made)), refused("invalid_grant"))
			p.judge("a public client", p.send(p.poll("spa", made)), refused("invalid_grant"))
			r := p.poll("web", made)
			r.form["device_code"] = []string{made, made}
			p.judge("twice", p.send(r), refused("invalid_request"))
			r = p.poll("web", made)
			r.form = url.Values{"grant_type": {"authorization_code"}, "code": {made}, "code_verifier": {verifier}}
			p.judge("as a code", p.send(r), refused("invalid_grant"))
			p.judge("too often", p.send(p.poll("web", made)), refused("slow_down"))
		}},
		{id: "WB-38", name: "the code is claimed by the browser that typed it, and a link approves nothing", play: func(p *play) {
			made := p.device()
			victim, thief := p.signIn("bob"), p.signIn("alice")
			link := made.text("verification_uri_complete")
			p.control("the link", p.open(victim, link), shows("user_code"))
			p.judge("the link alone", p.send(p.poll("web", made.text("device_code"))), waiting)
			form := p.press(victim, nil)
			for _, m := range crossSite {
				r := *form
				r.header = form.header.Clone()
				m.change(&r)
				p.judge("typed by another site: "+m.name, p.send(&r), status(http.StatusForbidden))
			}
			p.control("typed", p.follow(victim, p.send(form)), shows("decision"))
			stolen := p.press(victim, url.Values{"decision": {"allow"}})
			stolen.by = thief
			p.judge("answered by another browser", p.send(stolen), stays)
			p.open(thief, link)
			p.judge("typed by another browser", p.follow(thief, p.send(p.press(thief, nil))), func(a *answer) error {
				if strings.Contains(string(a.body), "decision") {
					return fmt.Errorf("a second browser may answer")
				}
				return nil
			})
			allow := p.press(victim, url.Values{"decision": {"allow"}})
			for _, m := range crossSite {
				r := *allow
				r.header = allow.header.Clone()
				m.change(&r)
				p.judge("allowed by another site: "+m.name, p.send(&r), status(http.StatusForbidden))
			}
			p.judge("before the answer", p.send(p.poll("web", made.text("device_code"))), waiting)
			p.control("allow", p.follow(victim, p.send(allow)), status(http.StatusOK))
			p.offset.Add(int64(30 * time.Second))
			defer p.offset.Add(-int64(30 * time.Second))
			p.control("tokens", p.send(p.poll("web", made.text("device_code"))), gives("access_token"))
			p.judge("tokens again", p.send(p.poll("web", made.text("device_code"))), refused("invalid_grant"))
		}},
		{id: "brute force", name: "user codes are not found by trying", play: func(p *play) {
			b := newBrowser()
			p.control("the page", p.open(b, "/oauth/device"), shows("user_code"))
			page, slowed := b.last, 0
			for i := range 60 {
				b.last = page
				r := p.press(b, url.Values{"user_code": {fmt.Sprintf("BCDF-%04d", i)}})
				a := p.send(r)
				if a.status == http.StatusTooManyRequests {
					slowed++
				}
				if a.status < 400 {
					p.t.Errorf("a guess was right? %s", a)
				}
			}
			if slowed == 0 {
				p.t.Error("60 guesses were all looked at")
			}
		}},
	}
}

// logoutAttacks are on the end of sessions. OpenID Connect RP-Initiated Logout §2, §3, §6
func logoutAttacks() []attack {
	rows := []attack{{
		id: "redirect", name: "nobody is sent to what is not registered", verdict: either(stays, func(a *answer) error {
			if to := a.location(); to != nil && to.Host == "web.test" {
				return fmt.Errorf("it leads to %s", to)
			}
			return nil
		}), works: func(a *answer) error {
			if to := a.location(); to == nil || to.String() != "https://web.test/bye" {
				return fmt.Errorf("it does not lead to the client")
			}
			return nil
		},
		request: func(s *stage) *request {
			return logout(s.tokens("web").text("id_token"))
		}, mutations: append(each("post_logout_redirect_uri", mangled("https://web.test/bye")[1:]...), each("post_logout_redirect_uri", "https://web.test/cb", "https://other.test/bye")...),
	}, {
		id: "hint", name: "a hint of another client does not lead to this one", play: func(p *play) {
			p.control("its own", p.send(logout(p.tokens("web").text("id_token"))), func(a *answer) error {
				if a.location() == nil {
					return fmt.Errorf("it leads nowhere")
				}
				return nil
			})
			other := p.tokens("other")
			p.judge("of another", p.send(logout(other.text("id_token"))), stays)
			p.judge("an access token", p.send(logout(other.text("access_token"))), stays)
			r := logout(p.tokens("web").text("id_token"))
			set("client_id", "other")(r)
			p.judge("another client_id", p.send(r), stays)
		},
	}, {
		id: "session", name: "a hint of another session of the person asks", play: func(p *play) {
			here, elsewhere := p.signIn("bob"), p.signIn("bob")
			hintOf := func(b *browser) string {
				r := p.authorize("web").from(b)
				set("prompt", "none")(r)
				a := p.send(r)
				p.control("signed in", a, code)
				return p.send(p.redeem("web", a.location().Query().Get("code"))).text("id_token")
			}
			own, other := hintOf(here), hintOf(elsewhere)
			p.judge("a hint of the session in another browser", p.follow(here, p.send(logout(other).from(here))), shows("signout"))
			p.judge("a hint of another person", p.follow(here, p.send(logout(p.tokens("web").text("id_token")).from(here))), shows("signout"))
			hintOf(here)
			hintOf(elsewhere)
			p.control("a hint of this one", p.send(logout(own).from(here)), func(a *answer) error {
				if to := a.location(); to == nil || to.String() != "https://web.test/bye" {
					return fmt.Errorf("it does not lead to the client")
				}
				return nil
			})
			r := p.authorize("web").from(here)
			set("prompt", "none")(r)
			p.judge("afterwards", p.send(r), refused("login_required"))
			hintOf(elsewhere)
		},
	}, {
		id: "csrf", name: "another site signs nobody out", play: func(p *play) {
			b := p.signIn("bob")
			quiet := func() *answer {
				r := p.authorize("web").from(b)
				set("prompt", "none")(r)
				return p.send(r)
			}
			p.control("signed in", quiet(), code)
			p.control("a plain link asks", p.open(b, "/oauth/logout"), shows("signout"))
			form := p.press(b, url.Values{"decision": {"signout"}})
			for _, m := range crossSite {
				r := *form
				r.header = form.header.Clone()
				m.change(&r)
				p.judge(m.name, p.send(&r), status(http.StatusForbidden))
				p.control("still signed in after "+m.name, quiet(), code)
			}
			stolen := *form
			stolen.by = newBrowser()
			p.judge("another browser", p.send(&stolen), stays)
			p.judge("a hint of another person", p.open(b, func() string {
				r := logout(p.tokens("web").text("id_token"))
				return r.url(p.issuer)
			}()), func(a *answer) error { return code(quiet()) })
			p.follow(b, p.send(form))
			p.judge("afterwards", quiet(), refused("login_required"))
		},
	}}
	return rows
}

// accountAttacks are on the pages by which people look after their account. WB-46
func accountAttacks() []attack {
	return []attack{{id: "csrf", name: "nothing is taken away by another site, or for another person", play: func(p *play) {
		grant := p.tokens("web")
		alive := func() *answer { return p.send(bearer(grant.text("access_token"))) }
		p.control("the grant", alive(), gives("sub"))
		alice, bob := p.person("alice"), p.signIn("bob")
		ask := get("/oauth/account/apps").from(alice)
		ask.query.Set("app", "web")
		p.control("the page", p.follow(alice, p.send(ask)), shows("decision"))
		form := p.press(alice, url.Values{"decision": {"remove"}})
		for _, m := range append(crossSite[:len(crossSite):len(crossSite)], mutation{name: "without a token of the form", change: func(r *request) {
			r.form = url.Values{"app": {"web"}, "decision": {"remove"}}
		}}, mutation{name: "with a made-up one", change: func(r *request) {
			r.form = url.Values{"app": {"web"}, "decision": {"remove"}, "token": {"made-up-0123456789abcdef"}}
		}}, mutation{name: "in another person's browser", change: func(r *request) { r.by = bob }}, mutation{name: "without cookies", change: func(r *request) { r.by = nil }}, mutation{name: "by GET", change: func(r *request) { r.method, r.query, r.form = "GET", r.form, nil }}) {
			r := *form
			r.header = form.header.Clone()
			m.change(&r)
			p.judge(m.name, p.send(&r), noTokens)
			p.control("the grant after "+m.name, alive(), gives("sub"))
		}
		p.control("other people's apps", p.open(bob, "/oauth/account/apps"), shows("apps"))
		for _, path := range []string{"/oauth/account/apps?app=nobody", "/oauth/account/apps?app=<script>alert(1)</script>", "/oauth/account/sessions?session=x", "/oauth/account/sessions?session=../x"} {
			p.judge(path, p.open(alice, path), both(harmless, framed))
		}
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			r := get("/oauth/account/apps").from(alice)
			r.method = method
			p.judge(method, p.send(r), status(http.StatusMethodNotAllowed))
		}
		p.judge("nobody", p.send(get("/oauth/account/apps").from(newBrowser())), func(a *answer) error {
			if strings.Contains(string(a.body), "The web app") {
				return fmt.Errorf("it shows somebody's apps")
			}
			return nil
		})
		p.follow(alice, p.send(form))
		p.judge("removed by the person", alive(), refused("invalid_token"))
	}}}
}
