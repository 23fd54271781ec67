package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// payloads are what would run, or break out, where it is written unescaped.
var payloads = []string{
	`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `</title><script>alert(1)</script>`, `javascript:alert(1)//`, `{{.}}`, `${7*7}`, `<svg/onload=alert(1)>`,
	`--><script>alert(1)</script>`, `" autofocus onfocus="alert(1)`, `\u003cscript\u003e`, `&lt;script&gt;<script>`, `<base href=//evil.test>`, `<meta http-equiv=refresh content=0;url=//evil.test>`,
}

// harmless holds that a page has no trace of a payload that a browser would act on.
func harmless(a *answer) error {
	for _, trace := range []string{"<script>alert", "<img src=x", "<svg/onload", `onfocus="alert`, "<base href=//", "<meta http-equiv=refresh content"} {
		if strings.Contains(string(a.body), trace) {
			return fmt.Errorf("the page holds %s", trace)
		}
	}
	if kind := a.header.Get("Content-Type"); len(a.body) > 0 && a.header.Get("X-Content-Type-Options") != "nosniff" {
		return fmt.Errorf("a browser may guess another type than %s", kind)
	}
	return nil
}

// framed holds what every page forbids. RFC 9700 §4.16, RFC 6749 §10.13
func framed(a *answer) error {
	policy := a.header.Get("Content-Security-Policy")
	switch {
	case !strings.Contains(policy, "frame-ancestors 'none'"), a.header.Get("X-Frame-Options") != "DENY":
		return fmt.Errorf("the page may be framed: %s", policy)
	case !strings.Contains(policy, "default-src 'none'"), strings.Contains(policy, "unsafe"), strings.Contains(policy, "*"):
		return fmt.Errorf("the page may run what it did not bring: %s", policy)
	case !strings.Contains(a.header.Get("Cache-Control"), "no-store"):
		return fmt.Errorf("the page may be kept")
	case a.header.Get("Referrer-Policy") != "same-origin" && a.header.Get("Referrer-Policy") != "no-referrer":
		return fmt.Errorf("the address of the page is told to others")
	}
	return nil
}

// pageAttacks are on what people see.
func pageAttacks() []attack {
	var reflected []mutation
	for _, name := range []string{"client_id", "redirect_uri", "scope", "state", "nonce", "response_type", "response_mode", "prompt", "login_hint", "ui_locales", "acr_values", "display", "claims", "max_age", "id_token_hint", "resource", "request", "request_uri", "code_challenge", "code_challenge_method", "unknown"} {
		reflected = append(reflected, each(name, payloads...)...)
	}
	for _, payload := range payloads {
		reflected = append(reflected, mutation{name: "the name " + payload, change: set(payload, "x")})
	}
	login := func(s *stage) *request {
		b := newBrowser()
		a := s.send(s.authorize("web").from(b))
		return get(a.location().String()).from(b)
	}
	return []attack{
		{id: "reflection", name: "nothing of a request runs in a page", works: accepted, verdict: harmless, mutations: reflected,
			request: func(s *stage) *request { return s.authorize("web").from(newBrowser()) }},
		{id: "form_post", name: "nor in the form that posts to the client", works: shows("web.test/cb"), verdict: harmless, mutations: each("state", payloads...),
			request: func(s *stage) *request {
				r := s.authorize("web").from(s.person("alice"))
				set("response_mode", "form_post")(r)
				return r
			}},
		{id: "login hint", name: "nor on the login page itself", play: func(p *play) {
			for _, name := range []string{"login_hint", "ui_locales", "acr_values", "state", "scope"} {
				for _, payload := range append([]string{"alice"}, payloads...) {
					r := p.authorize("web").from(newBrowser())
					set(name, payload)(r)
					a := p.follow(r.by, p.send(r))
					if payload == "alice" {
						if name == "login_hint" {
							p.control(name, a, shows("alice"))
						}
						continue
					}
					p.judge(name+" "+payload, a, harmless)
				}
			}
		}},
		{id: "WB-44", name: "what is typed does not run", play: func(p *play) {
			b := newBrowser()
			p.control("the page", p.open(b, p.authorize("web").url(p.issuer)), shows("password"))
			page := b.last
			for _, payload := range payloads {
				b.last = page
				a := p.submit(b, url.Values{"username": {payload}, "password": {"x"}})
				p.judge(payload, a, both(harmless, framed, status(http.StatusUnprocessableEntity, http.StatusTooManyRequests)))
			}
		}},
		{id: "framing", name: "no page may be framed, kept, or run what it did not bring", play: func(p *play) {
			b := newBrowser()
			p.control("login", p.open(b, p.authorize("asks").url(p.issuer)), shows("password"))
			p.judge("login", b.last, framed)
			p.judge("wrong password", p.submit(b, url.Values{"username": {"alice"}, "password": {"wrong"}}), framed)
			p.judge("consent", p.submit(b, url.Values{"username": {"bob"}, "password": {people["bob"]}}), both(framed, shows("decision")))
			for _, path := range []string{"/oauth/device", "/oauth/logout", "/oauth/account/apps", "/oauth/account/sessions", "/oauth/authorize?client_id=nobody", "/oauth/interaction/dwi_x", "/oauth/nothing"} {
				a := p.open(b, path)
				if a.status != http.StatusNotFound || strings.Contains(a.header.Get("Content-Type"), "html") {
					p.judge(path, a, framed)
				}
			}
		}},
		{id: "interaction", name: "its address is of no use to others", request: login, works: shows("password"), verdict: stays, mutations: []mutation{
			{name: "another browser", change: func(r *request) { r.by = newBrowser() }}, {name: "no cookies", change: func(r *request) { r.by = nil }},
			{name: "cut", change: func(r *request) { r.path = r.path[:len(r.path)-1] }}, {name: "longer", change: func(r *request) { r.path += "A" }},
			{name: "another case", change: func(r *request) {
				i := strings.Index(r.path, "dwi_") + 4
				r.path = r.path[:i] + swapCase(r.path[i:])
			}},
		}},
		{id: "errors", name: "nor does an error", works: accepted, verdict: both(stays, harmless, framed), mutations: append(each("client_id", payloads...), each("redirect_uri", payloads...)...),
			request: func(s *stage) *request { return s.authorize("web").from(newBrowser()) }},
		{id: "device", name: "nor does a user code", works: shows("user_code"), verdict: both(harmless, framed), mutations: each("user_code", payloads...),
			request: func(*stage) *request { return get("/oauth/device") }},
	}
}
