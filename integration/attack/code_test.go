package attack

import (
	"net/url"
	"sync"
	"sync/atomic"

	"golang.org/x/oauth2"
)

// codeAttacks are on authorization codes. RFC 6749 §4.1.3, §10.5, RFC 7636 §4.6, RFC 9700 §2.1.1
func codeAttacks() []attack {
	of := func(client string) func(*stage) *request {
		return func(s *stage) *request { return s.redeem(client, s.codeFor(client)) }
	}
	verifiers := append(each("code_verifier",
		"", " ", "wrong-verifier-wrong-verifier-wrong-verifier-wrong", verifier[:42], verifier+"x", verifier+" ", " "+verifier, "\x00", "the-verifier-of-all-requests-here-0123456789ABCDEFGHIJ", verifier+"=", verifier+"\n",
		"vQ0Y4Ed_hlSfTVTmSVBFr1Vb3R9zRqHo3-wq1hYCbHg"),
		mutation{name: "none", change: set("code_verifier")},
		mutation{name: "the challenge itself", change: func(r *request) { set("code_verifier", challenge())(r) }},
		mutation{name: "twice", change: set("code_verifier", verifier, verifier)},
		mutation{name: "none, and the method plain", change: func(r *request) { set("code_verifier")(r); set("code_challenge_method", "plain")(r) }})
	return []attack{
		{id: "verifier", name: "of a public client", request: of("spa"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_request"), mutations: verifiers},
		{id: "verifier of a confidential client", name: "and of one with a secret", request: of("web"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_request"), mutations: verifiers},
		{id: "bypass", name: "a wrong verifier does not open the way for none", play: func(p *play) {
			for _, client := range []string{"spa", "web"} {
				p.control(client, p.send(of(client)(p.stage)), gives("access_token"))
				code := p.codeFor(client)
				wrong, none := p.redeem(client, code), p.redeem(client, code)
				wrong.form.Set("code_verifier", "wrong-verifier-wrong-verifier-wrong-verifier-wrong")
				none.form.Del("code_verifier")
				p.judge(client+": wrong", p.send(wrong), refused("invalid_grant"))
				p.judge(client+": none", p.send(none), refused("invalid_grant"))
				p.judge(client+": none again", p.send(none), refused("invalid_grant"))
			}
		}},
		{id: "client", name: "a code is of one client", request: of("web"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_client", "invalid_request"), mutations: []mutation{
			{name: "another one", change: func(r *request) { r.as("other", secretOfOther) }},
			{name: "a public one", change: func(r *request) { r.id = ""; r.form.Set("client_id", "spa") }},
			{name: "none", change: func(r *request) { r.id = "" }},
			{name: "its name alone", change: func(r *request) { r.id = ""; r.form.Set("client_id", "web") }},
			{name: "another one and its redirect_uri", change: func(r *request) { r.as("other", secretOfOther); r.form.Set("redirect_uri", "https://other.test/cb") }},
		}},
		{id: "redirect", name: "and of one redirect_uri", request: of("web"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_request"), mutations: each("redirect_uri", mangled("https://web.test/cb")[1:60]...)},
		{id: "guess", name: "codes are not guessed", request: of("web"), works: gives("access_token"), verdict: refused("invalid_grant", "invalid_request"), mutations: append(each("code",
			"", " ", "x", "null", "0", "\x00", "a.b", "../../etc/passwd", "' or 1=1 --", "*", "dwc_", "dwc_x", "{}"),
			mutation{name: "cut", change: func(r *request) { c := r.form.Get("code"); r.form.Set("code", c[:len(c)-1]) }},
			mutation{name: "longer", change: func(r *request) { r.form.Set("code", r.form.Get("code")+"A") }},
			mutation{name: "with a space", change: func(r *request) { r.form.Set("code", r.form.Get("code")+" ") }},
			mutation{name: "another case", change: func(r *request) { r.form.Set("code", swapCase(r.form.Get("code"))) }},
			mutation{name: "twice", change: func(r *request) { r.form["code"] = []string{r.form.Get("code"), r.form.Get("code")} }},
			mutation{name: "as a refresh token", change: func(r *request) {
				r.form = url.Values{"grant_type": {"refresh_token"}, "refresh_token": r.form["code"]}
			}},
			mutation{name: "of bob's access token", change: func(r *request) { r.form.Set("code", "dwa_0123456789abcdef0123456789abcdef0123456789abcdef") }})},
		{id: "replay", name: "a code is good once, and its replay ends the grant", play: func(p *play) {
			code := p.codeFor("web")
			first := p.send(p.redeem("web", code))
			p.control("first", first, gives("access_token", "refresh_token"))
			p.control("userinfo before", p.send(bearer(first.text("access_token"))), gives("sub"))
			p.judge("again", p.send(p.redeem("web", code)), refused("invalid_grant"))
			p.judge("the access token", p.send(bearer(first.text("access_token"))), refused("invalid_token"))
			p.judge("the refresh token", p.send(p.refresh("web", first.text("refresh_token"))), refused("invalid_grant"))
		}},
		{id: "expired", name: "a code lives for a minute", play: func(p *play) {
			p.control("at once", p.send(of("web")(p.stage)), gives("access_token"))
			code := p.codeFor("web")
			p.offset.Add(int64(61e9))
			p.judge("later", p.send(p.redeem("web", code)), refused("invalid_grant"))
			p.offset.Add(-int64(61e9))
		}},
		{id: "parallel", name: "twenty at once are one success", play: func(p *play) {
			p.control("one", p.send(of("spa")(p.stage)), gives("access_token"))
			for round := range 3 {
				code := p.codeFor("spa")
				if won := p.atOnce(20, func() *request { return p.redeem("spa", code) }); won > 1 {
					p.t.Errorf("round %d: %d requests won", round, won)
				}
			}
		}},
	}
}

// atOnce sends requests at the same moment, and counts those that were served.
func (p *play) atOnce(n int, request func() *request) int64 {
	var won atomic.Int64
	var all sync.WaitGroup
	begin := make(chan struct{})
	for range n {
		r := request()
		all.Go(func() {
			<-begin
			a := p.send(r)
			switch {
			case a.status == 200:
				won.Add(1)
			case a.status < 400 || a.status > 499:
				p.t.Errorf("%s", a)
			}
		})
	}
	close(begin)
	all.Wait()
	return won.Load()
}

func bearer(token string) *request {
	r := get("/oauth/userinfo")
	r.header.Set("Authorization", "Bearer "+token)
	return r
}

func challenge() string { return oauth2.S256ChallengeFromVerifier(verifier) }

func swapCase(s string) string {
	swapped := []byte(s)
	for i, b := range swapped {
		switch {
		case b >= 'a' && b <= 'z':
			swapped[i] = b - 32
		case b >= 'A' && b <= 'Z':
			swapped[i] = b + 32
		}
	}
	return string(swapped)
}
