package integration

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/storage"
)

// cookies is what the browser keeps for the provider.
func (v *visit) cookies(p *person) string {
	v.t.Helper()
	at, err := url.Parse(v.issuer)
	if err != nil {
		v.t.Fatal(err)
	}
	var all []string
	for _, c := range p.client.Jar.Cookies(at) {
		all = append(all, c.String())
	}
	return strings.Join(all, "; ")
}

// returns is a browser that kept its cookies.
func (v *visit) returns(cookies string) *person {
	v.t.Helper()
	at, err := url.Parse(v.issuer)
	if err != nil {
		v.t.Fatal(err)
	}
	all, err := http.ParseCookie(cookies)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range all {
		c.Path, c.Secure = "/", true
	}
	p := v.person()
	p.client.Jar.SetCookies(at, all)
	return p
}

// silently asks for a code without a page, and returns where the browser is sent.
func (v *visit) silently(who *person, client string) (answer url.Values, verifier string) {
	v.t.Helper()
	address, verifier := v.authorizeURL(client, url.Values{"prompt": {"none"}})
	to := v.good(send(who.client, http.MethodGet, address, nil, "")).location()
	if to == nil {
		v.t.Fatal("the client gets no answer")
	}
	return to.Query(), verifier
}

// wanted are scopes of which a person may leave out all but the first.
const wanted = "openid notes:read notes:write"

// completed holds an answer to a code that works.
func (v *visit) completed(client string, r *reply, verifier string) (tokens *reply) {
	v.t.Helper()
	if r.location() == nil || r.location().Query().Get("code") == "" {
		v.t.Fatalf("there is no code: %s", r)
	}
	return v.good(v.exchange(client, r.location().Query().Get("code"), verifier, nil))
}

// asking is a client that people are asked about.
func asking(c *storage.Client) { c.FirstParty = false }

// begun brings a person to the first page of a sign-in.
func (v *visit) begun(who *person, client string, extra url.Values) (verifier string) {
	v.t.Helper()
	address, verifier := v.authorizeURL(client, extra)
	v.good(who.open(address))
	return verifier
}

func (v *visit) page(who *person, verifier string) map[string]any {
	return map[string]any{"cookies": v.cookies(who), "page": who.last.at.String(), "verifier": verifier}
}

// named is a browser that says what it is.
type named struct {
	http.RoundTripper
	as string
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", n.as)
	return n.RoundTripper.RoundTrip(r)
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func signsInAs(name string) url.Values {
	return url.Values{"username": {name}, "password": {people[name]}}
}

// briefly is signsInAs somebody who does not want to stay signed in.
func briefly(name string) url.Values {
	form := signsInAs(name)
	form.Set("remember", "")
	return form
}

func keptOfBrowsers() []keepsake {
	allow := url.Values{"decision": {"allow"}}
	return []keepsake{
		{"a session", func(v *visit) map[string]any {
			who := v.person()
			who.client.Transport = named{v.transport, firefox}
			tokens := v.tokens(who, v.app("quiet"), "alice", nil)
			return map[string]any{"cookies": v.cookies(who), "said": v.verified("quiet", tokens.text("id_token"))}
		}, func(v *visit, has had) {
			answer, verifier := v.silently(v.returns(has.text("cookies")), "quiet")
			if answer.Get("code") == "" {
				v.t.Fatalf("the person is asked to sign in: %v", answer)
			}
			said, now := has["said"].(map[string]any), v.verified("quiet", v.good(v.exchange("quiet", answer.Get("code"), verifier, nil)).text("id_token"))
			for _, name := range []string{"sub", "sid", "auth_time", "acr", "amr"} {
				v.same("an ID token", map[string]any{name: said[name]}, now)
			}
			sessions, err := v.server.Sessions(v.t.Context(), "alice")
			if err != nil {
				v.t.Fatal(err)
			}
			if !slices.ContainsFunc(sessions, func(s handlers.SessionView) bool {
				return s.ID == said["sid"] && s.Browser == "Firefox" && s.System == "Linux"
			}) {
				v.t.Errorf("it is not among the sessions %+v", sessions)
			}
		}},
		{"a consent", func(v *visit) map[string]any {
			who := v.person()
			v.tokens(who, v.app("asks", asking), "alice", url.Values{"claims": {askedClaims}})
			return map[string]any{"cookies": v.cookies(who)}
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			if answer, _ := v.silently(who, "asks"); answer.Get("code") == "" {
				v.t.Errorf("what was allowed is asked for again: %v", answer)
			}
			apps, err := v.server.Apps(v.t.Context(), "alice")
			if err != nil {
				v.t.Fatal(err)
			}
			if !slices.ContainsFunc(apps, func(a handlers.AppView) bool { return a.ClientID == "asks" }) {
				v.t.Errorf("it is not among the apps %+v", apps)
			}
		}},
		{"a consent to a part", func(v *visit) map[string]any {
			who := v.person()
			verifier := v.begun(who, v.app("part", asking), url.Values{"scope": {wanted}})
			v.good(who.submit(signsInAs("alice")))
			v.completed("part", v.good(who.submit(url.Values{"decision": {"allow"}, "scope": {"notes:read"}})), verifier)
			return map[string]any{"cookies": v.cookies(who)}
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			address, verifier := v.authorizeURL("part", url.Values{"prompt": {"none"}, "scope": {wanted}})
			answer := v.good(send(who.client, http.MethodGet, address, nil, ""))
			if tokens := v.completed("part", answer, verifier); tokens.text("scope") != "openid notes:read" {
				v.t.Errorf("granted: %s", tokens)
			}
		}},
		{"a sign-in that waits for a password", func(v *visit) map[string]any {
			who := v.person()
			return v.page(who, v.begun(who, v.app("began", asking), url.Values{"ui_locales": {"de"}}))
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			v.good(who.open(has.text("page")))
			v.good(who.submit(signsInAs("alice")))
			v.completed("began", v.good(who.submit(allow)), has.text("verifier"))
		}},
		{"a sign-in that waits for an answer", func(v *visit) map[string]any {
			who := v.person()
			verifier := v.begun(who, v.app("midway", asking), nil)
			v.good(who.submit(briefly("alice")))
			return v.page(who, verifier)
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			v.good(who.open(has.text("page")))
			v.completed("midway", v.good(who.submit(allow)), has.text("verifier"))
		}},
		{"a sign-in that waits at a step", func(v *visit) map[string]any {
			who := v.person()
			verifier := v.begun(who, v.app("stepped"), nil)
			v.good(who.submit(briefly("alice")))
			v.good(who.submit(url.Values{"yes": {"yes"}})) // the first of two
			return v.page(who, verifier)
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			v.good(who.open(has.text("page")))
			tokens := v.completed("stepped", v.good(who.submit(url.Values{"yes": {"yes"}})), has.text("verifier"))
			v.same("an ID token", map[string]any{"amr": []string{"pwd", "terms", "factor"}}, v.verified("stepped", tokens.text("id_token")))
		}},
		{"an account that was chosen", func(v *visit) map[string]any {
			who := v.person()
			v.tokens(who, v.app("chooses"), "alice", nil)
			v.advance(time.Second) // the sign-in of just now is not the one that is asked for
			verifier := v.begun(who, "chooses", url.Values{"prompt": {"login select_account"}})
			v.good(who.submit(url.Values{"decision": {"account"}}))
			return v.page(who, verifier)
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			page := v.good(who.open(has.text("page")))
			if !strings.Contains(string(page.body), "alice@people.test") {
				v.t.Errorf("it is not the one of alice: %s", page)
			}
			v.completed("chooses", v.good(who.submit(signsInAs("alice"))), has.text("verifier"))
		}},
		{"a question whether to sign out", func(v *visit) map[string]any {
			who := v.person()
			v.tokens(who, v.app("leaves"), "alice", nil)
			v.good(who.open(v.endpoint("logout")))
			return v.page(who, "")
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			v.good(who.open(has.text("page")))
			v.good(who.submit(url.Values{"decision": {"signout"}}))
			if answer, _ := v.silently(who, "leaves"); answer.Get("error") != "login_required" {
				v.t.Errorf("nobody was signed out: %v", answer)
			}
		}},
		{"a sign-in to a page of the account", func(v *visit) map[string]any {
			who := v.person()
			v.good(who.open(v.endpoint("account/apps")))
			return v.page(who, "")
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			v.good(who.open(has.text("page")))
			if page := v.good(who.submit(signsInAs("alice"))); page.at.Path != "/oauth/account/apps" {
				v.t.Errorf("it does not come to the account: %s", page)
			}
		}},
		{"an answer that is given twice", func(v *visit) map[string]any {
			who := v.person()
			verifier := v.begun(who, v.app("doubled", asking), nil)
			v.good(who.submit(signsInAs("alice")))
			to, form, err := who.filled(allow)
			if err != nil {
				v.t.Fatal(err)
			}
			all := v.page(who, verifier)
			all["to"], all["form"], all["answer"] = to, form, v.good(who.send(to, form)).location().String()
			return all
		}, func(v *visit, has had) {
			again := v.good(v.returns(has.text("cookies")).send(has.text("to"), has.text("form")))
			if again.location() == nil || again.location().String() != has.text("answer") {
				v.t.Errorf("a double click is answered by %s", again)
			}
			v.completed("doubled", again, has.text("verifier"))
		}},
		{"pushed requests", func(v *visit) map[string]any {
			client, all := v.app("pushes"), map[string]any{"verifier": oauth2.GenerateVerifier()}
			for _, name := range []string{"waits", "used"} {
				params := v.authorizeParams(client, plain(all["verifier"]), nil)
				params.Del("client_id")
				pushed := v.good(v.post("par", client, params)).text("request_uri")
				all[name] = v.endpoint("authorize") + "?" + url.Values{"client_id": {client}, "request_uri": {pushed}}.Encode()
			}
			v.good(v.alice.signIn(plain(all["used"]), "alice"))
			return all
		}, func(v *visit, has had) {
			v.completed("pushes", v.good(v.alice.signIn(has.text("waits"), "alice")), has.text("verifier"))
			if again := v.must(v.person().open(has.text("used"))); again.status < http.StatusBadRequest {
				v.t.Errorf("one that was used: %s", again)
			}
		}},
		{"wrong passwords", func(v *visit) map[string]any {
			v.app("guessed")
			for range 2 {
				who := v.person()
				v.begun(who, "guessed", nil)
				v.must(who.submit(url.Values{"username": {"mallory"}, "password": {"a guess"}}))
			}
			return map[string]any{"username": "mallory"}
		}, func(v *visit, has had) {
			who := v.person()
			v.begun(who, "guessed", nil)
			guess := v.must(who.submit(url.Values{"username": {has.text("username")}, "password": {"a guess"}}))
			expect(v.t, "a guess more", guess, http.StatusTooManyRequests)
		}},
	}
}
