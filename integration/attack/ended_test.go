package attack

import (
	"fmt"
	"net/http"
	"net/url"
)

// endedAttacks are by clients that go on with what has ended, or became something else,
// and by strangers who want it to end. WB-26, WB-36, WB-42, WB-60
func endedAttacks() []attack {
	return []attack{
		{id: "WB-26", name: "what a person took away is not refreshed", play: func(p *play) {
			carol := p.signIn("carol")
			a := p.send(p.authorize("web").from(carol))
			p.control("a code", a, code)
			tokens := p.send(p.redeem("web", a.location().Query().Get("code")))
			tokens = p.send(p.refresh("web", tokens.text("refresh_token")))
			p.control("a refresh", tokens, gives("access_token", "refresh_token"))
			late := p.send(p.authorize("web").from(carol))
			p.control("another code", late, code)
			ask := get("/oauth/account/apps").from(carol)
			ask.query.Set("app", "web")
			p.follow(carol, p.send(ask))
			p.submit(carol, url.Values{"decision": {"remove"}})
			p.judge("the refresh token", p.send(p.refresh("web", tokens.text("refresh_token"))), refused("invalid_grant"))
			p.judge("the access token", p.send(bearer(tokens.text("access_token"))), refused("invalid_token"))
			p.judge("a code of before", p.send(p.redeem("web", late.location().Query().Get("code"))), refused("invalid_grant"))
			if told := p.send(introspect(api, secretOfAPI, tokens.text("access_token"))); told.field("active") != false {
				p.t.Errorf("introspection says of it: %s", told)
			}
		}},
		{id: "WB-36", name: "a client that became another is not let through by an old consent", play: func(p *play) {
			carol := p.signIn("carol")
			made := p.send(p.registration(nil))
			id, token := made.text("client_id"), made.text("registration_access_token")
			silent := func(uri string) *answer {
				r := p.authorize("web").from(carol)
				for name, value := range map[string]string{"client_id": id, "redirect_uri": uri, "scope": "openid", "prompt": "none"} {
					set(name, value)(r)
				}
				return p.send(r)
			}
			change := func(changes map[string]any) *answer {
				r := p.registration(with(map[string]any{"client_id": id}, changes))
				r.method, r.path = http.MethodPut, made.text("registration_client_uri")
				r.header.Set("Authorization", "Bearer "+token)
				return p.send(r)
			}
			const cb, elsewhere = "https://notes.test/cb", "https://asks.test/cb" // also an address of the cast
			allow := func(uri string) {
				r := p.authorize("web").from(carol)
				set("client_id", id)(r)
				set("redirect_uri", uri)(r)
				set("scope", "openid")(r)
				p.follow(carol, p.send(r))
				p.control("carol allows it", p.submit(carol, url.Values{"decision": {"allow"}}), code)
			}
			allow(cb)
			p.control("it is remembered", silent(cb), code)
			p.control("another name", change(map[string]any{"client_name": "Your bank"}), gives("client_id"))
			p.judge("with another name", silent(cb), refused("consent_required", "interaction_required"))
			p.control("the name of before", change(nil), gives("client_id"))
			p.control("it is remembered for that name", silent(cb), code)
			p.control("another address", change(map[string]any{"redirect_uris": []string{cb, elsewhere}}), gives("client_id"))
			p.judge("to another host", silent(elsewhere), refused("consent_required", "interaction_required"))
			p.judge("to an address of before", silent("https://notes.test/old"), stays)
		}},
		{id: "WB-42", name: "a stranger who guesses shuts nobody out", play: func(p *play) {
			dora := p.signIn("dora")
			again := func() *answer {
				r := p.authorize("web").from(dora)
				set("prompt", "login")(r)
				p.follow(dora, p.send(r))
				return p.submit(dora, url.Values{"username": {"dora"}, "password": {people["dora"]}})
			}
			p.control("her own browser", again(), code)
			stranger := newBrowser()
			p.open(stranger, p.authorize("web").url(p.issuer))
			page, slowed := stranger.last, 0
			for i := range 30 {
				stranger.last = page
				if a := p.submit(stranger, url.Values{"username": {"dora"}, "password": {fmt.Sprint("guess-", i)}}); a.status == http.StatusTooManyRequests {
					slowed++
				}
			}
			if slowed == 0 {
				p.t.Error("30 guesses at one moment were all looked at")
			}
			p.judge("her own browser, meanwhile", again(), code)
		}},
		{
			id: "WB-60", name: "a state comes back as it was sent, and says nothing else", request: func(s *stage) *request { return s.authorize("web").from(s.person("alice")) },
			works: code, verdict: func(a *answer) error {
				if to := a.location(); to == nil || to.Host != "web.test" || len(to.Query()["state"]) > 1 || len(to.Query()["iss"]) != 1 || len(to.Query()["code"]) > 1 || a.header.Get("X-Injected") != "" {
					return fmt.Errorf("it goes to %v", to)
				}
				return nil
			},
			mutations: append(each("state", "a", "0", " ", "a&code=x", "a&iss=https://evil.test", "a#code=x", "?", "é"), mutation{name: "none", change: set("state")}),
		},
	}
}
