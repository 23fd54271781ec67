package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

var credentials = url.Values{"username": {"alice"}, "password": {people["alice"]}}

// crossSite are posts that another site makes a browser send. RFC 9700 §4.7, WB-46
var crossSite = []mutation{
	{name: "another origin", change: func(r *request) { header("Origin", "https://evil.test")(r); header("Sec-Fetch-Site", "cross-site")(r) }},
	{name: "another origin, by an old browser", change: func(r *request) { header("Origin", "https://evil.test")(r); header("Sec-Fetch-Site")(r) }},
	{name: "no origin that is told", change: func(r *request) { header("Origin", "null")(r); header("Sec-Fetch-Site", "cross-site")(r) }},
	{name: "no origin that is told, by an old browser", change: func(r *request) { header("Origin", "null")(r); header("Sec-Fetch-Site")(r) }},
	{name: "cross-site without an origin", change: func(r *request) { header("Sec-Fetch-Site", "cross-site")(r); header("Origin")(r) }},
	{name: "a neighbour without an origin", change: func(r *request) { header("Sec-Fetch-Site", "same-site")(r); header("Origin")(r) }},
	{name: "a part of the origin", change: func(r *request) {
		r.header.Set("Origin", r.header.Get("Origin")+".evil.test")
		r.header.Del("Sec-Fetch-Site")
	}},
}

// interactionAttacks are on the way between the request and the code. RFC 9700 §4.7,
// RFC 6749 §10.12, NIST SP 800-63B §5.2.2
func interactionAttacks() []attack {
	login := func(s *stage) *request {
		b := newBrowser()
		s.open(b, s.authorize("web").url(s.issuer))
		return s.press(b, credentials)
	}
	consent := func(s *stage) *request {
		b := newBrowser()
		r := s.authorize("asks")
		set("prompt", "consent")(r)
		s.open(b, r.url(s.issuer))
		s.submit(b, credentials)
		return s.press(b, url.Values{"decision": {"allow"}})
	}
	onward := func(a *answer) error {
		if a.status != http.StatusSeeOther && a.status != http.StatusFound {
			return fmt.Errorf("the person does not get on: %d", a.status)
		}
		return nil
	}
	foreign := []mutation{
		{name: "another browser", change: func(r *request) { r.by = newBrowser() }}, {name: "no cookies", change: func(r *request) { r.by = nil }},
		{name: "another interaction", change: func(r *request) { r.path = strings.Replace(r.path, "dwi_", "dwi_A", 1) }}, {name: "JSON", change: func(r *request) { r.header.Set("Content-Type", "text/plain"); r.body = r.form.Encode() }, verdict: noTokens},
		{name: "by GET", change: func(r *request) { r.method, r.query, r.form = "GET", url.Values{"decision": {"allow"}}, nil }, verdict: noTokens},
		{name: "PUT", change: func(r *request) { r.method = "PUT" }},
	}
	return []attack{
		{id: "WB-46", name: "a login that another site posts", request: login, works: onward, verdict: stays, mutations: append(crossSite, foreign[:4]...)},
		{id: "WB-46 consent", name: "a consent that another site posts", request: consent, works: onward, verdict: stays, mutations: append(crossSite, foreign...)},
		{id: "WB-35", name: "the client, scope and redirect of an interaction can't be changed", request: consent, works: code, verdict: func(a *answer) error {
			if to := a.location(); to != nil && to.Query().Has("code") && (to.Host != "asks.test" || to.Query().Get("state") != "state-1") {
				return fmt.Errorf("the code goes to %s", to)
			}
			return nil
		}, mutations: append(each("client_id", "web", "other"), append(each("redirect_uri", "https://evil.test", "https://other.test/cb"), append(each("scope", "openid notes:write", "admin"), append(each("state", "x"), append(each("sub", "bob"), each("username", "bob")...)...)...)...)...)},
		{id: "fixation", name: "signing in makes new cookies", play: func(p *play) {
			b := newBrowser()
			home, _ := url.Parse(p.issuer + "/oauth/authorize")
			p.open(b, p.authorize("web").url(p.issuer))
			before := map[string]bool{}
			for _, c := range b.jar.Cookies(home) {
				before[c.Name+"="+c.Value] = true
			}
			p.control("sign in", p.submit(b, credentials), code)
			attacker := newBrowser()
			for pair := range before {
				name, value, _ := strings.Cut(pair, "=")
				attacker.jar.SetCookies(home, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
			}
			r := p.authorize("web").from(attacker)
			set("prompt", "none")(r)
			p.judge("the cookies of before", p.send(r), refused("login_required"))
			made := newBrowser()
			for _, c := range b.jar.Cookies(home) {
				made.jar.SetCookies(home, []*http.Cookie{{Name: c.Name, Value: "made-up-by-the-attacker-0123456789abcdef", Path: "/"}})
			}
			r = p.authorize("web").from(made)
			set("prompt", "none")(r)
			p.judge("a made-up cookie", p.send(r), refused("login_required"))
		}},
		{id: "replay", name: "what was decided can't be decided again", play: func(p *play) {
			r := consent(p.stage)
			p.control("allow", p.send(r), code)
			deny := *r
			deny.form = url.Values{"decision": {"deny"}}
			p.judge("deny afterwards", p.send(&deny), stays)
			r.by = newBrowser()
			p.judge("again in another browser", p.send(r), stays)
		}},
		{id: "other decisions", name: "only allow allows", request: consent, works: code, verdict: func(a *answer) error { return noTokens(a) }, mutations: append(each("decision", "", "ALLOW", "allow ", "yes", "true", "1", "deny", "allow\x00", "approve"),
			mutation{name: "none", change: set("decision")}, mutation{name: "both", change: set("decision", "deny", "allow")})},
		{id: "cookies", name: "they are for the server alone", play: func(p *play) {
			a := p.send(p.authorize("web").from(newBrowser()))
			p.control("begin", a, accepted)
			for _, c := range (&http.Response{Header: a.header}).Cookies() {
				secure := strings.HasPrefix(p.issuer, "https")
				if !c.HttpOnly || c.SameSite == http.SameSiteNoneMode || c.SameSite == 0 || c.Domain != "" || secure != c.Secure || secure && !strings.HasPrefix(c.Name, "__Host-") {
					p.t.Errorf("the cookie %s is open to others: %+v", c.Name, c)
				}
			}
		}},
		{id: "enumeration", name: "a wrong name and a wrong password are answered alike", play: func(p *play) {
			p.control("the right ones", p.send(login(p.stage)), onward)
			var first string
			for _, name := range []string{"bob", "nobody-of-this-name"} {
				b := newBrowser()
				p.open(b, p.authorize("web").url(p.issuer))
				a := p.submit(b, url.Values{"username": {name}, "password": {"wrong-" + name}})
				p.judge(name, a, status(http.StatusUnprocessableEntity))
				text := varying.ReplaceAllString(strings.ReplaceAll(string(a.body), name, "NAME"), "")
				if first == "" {
					first = text
				}
				if text != first {
					p.t.Errorf("%s is told apart:\n%s\n%s", name, first, text)
				}
			}
		}},
		{id: "WB-41", name: "guessing is slowed down, however the name is spelled", play: func(p *play) {
			p.control("another person", p.send(login(p.stage)), onward)
			b := newBrowser()
			p.open(b, p.authorize("web").url(p.issuer))
			page, slowed := b.last, 0
			for i := range 14 {
				b.last = page
				name := []string{"victim", "VICTIM", " victim", "Victim ", "ｖictim"}[i%5]
				r := p.press(b, url.Values{"username": {name}, "password": {fmt.Sprint("guess-", i)}})
				r.header.Set("X-Forwarded-For", fmt.Sprintf("10.0.0.%d", i))
				if a := p.send(r); a.status == http.StatusTooManyRequests {
					slowed++
				}
			}
			b.last = page
			a := p.submit(b, url.Values{"username": {"victim"}, "password": {people["victim"]}})
			p.judge("the right password, too soon", a, both(status(http.StatusTooManyRequests), says("wait")))
			if slowed == 0 {
				p.t.Error("14 guesses at one moment were all looked at")
			}
		}},
		{id: "WB-37", name: "what anybody can pretend to be is never let through unasked", play: func(p *play) {
			p.control("a client with a secret", p.send(p.authorize("web").from(p.person("alice"))), code)
			for _, client := range []string{"cli", "app"} {
				r := p.authorize(client).from(p.person("alice"))
				p.judge(client, p.send(r), noTokens)
				set("prompt", "none")(r)
				p.judge(client+" without pages", p.send(r), noTokens)
			}
		}},
	}
}

// varying is what differs between two pages of one kind.
var varying = regexp.MustCompile(`dwi_[A-Za-z0-9_-]+|nonce="[^"]*"|req_[A-Za-z0-9_-]+`)
