package attack

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	resource "github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/storage"
)

// neighbourPath is the path of the second issuer of a run.
const neighbourPath = "/two"

// neighbour is a second issuer in the same process and the same store, with the same
// clients, secrets and people. Whoever holds something of the first one tries it there.
func (s *stage) neighbour() *stage { return &stage{shared: s.beside, t: s.t} }

// planted are the cookies of a browser, once as they are and once under the names by which
// the other issuer knows its own.
func planted(from, to *stage, of, like *browser) []*browser {
	home := from.home()
	same, renamed := newBrowser(), newBrowser()
	var names []string
	for _, c := range like.jar.Cookies(to.home()) {
		names = append(names, c.Name)
	}
	for _, c := range of.jar.Cookies(home) {
		same.jar.SetCookies(to.home(), []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/"}})
		for _, name := range names {
			if strings.Contains(name, "session") == strings.Contains(c.Name, "session") {
				renamed.jar.SetCookies(to.home(), []*http.Cookie{{Name: name, Value: c.Value, Path: "/"}})
			}
		}
	}
	return []*browser{of, same, renamed}
}

// silent is a request of a client that shows no page.
func (s *stage) silent(client string, b *browser) *request {
	r := s.authorize(client).from(b)
	set("prompt", "none")(r)
	return r
}

// neighbourAttacks take what one issuer gave to another one in the same process and the
// same store: it is worth nothing there, and nothing that is done there with it ends what
// is good at home. WB-02, RFC 9207 §1, RFC 8414 §2
func neighbourAttacks() []attack {
	return []attack{
		{id: "WB-02 tokens", name: "no token of one issuer is one of the other", play: neighbourTokens},
		{id: "WB-02 codes", name: "no code, pushed request, request object or assertion either", play: neighbourCodes},
		{id: "WB-02 sessions", name: "nor a session, an interaction, a consent", play: neighbourSessions},
		{id: "WB-02 sign-out", name: "nor an ID token as a hint, nor the end of a session", play: neighbourSignOut},
		{id: "WB-02 devices", name: "nor the codes of a device", play: neighbourDevices},
		{id: "WB-02 registrations", name: "nor a registration and its token", play: neighbourRegistrations},
		{id: "WB-02 proofs", name: "nor a nonce or a proof of a key", play: neighbourProofs},
	}
}

func neighbourTokens(p *play) {
	next := p.neighbour()
	for _, client := range []string{"web", "jwt"} {
		got, secret := p.tokens(client), "secret-of-"+client+"-0123456789abcdef"
		access, refresh := got.text("access_token"), got.text("refresh_token")
		p.control(client+": userinfo", p.send(bearer(access)), gives("sub"))
		p.control(client+": introspection", p.send(introspect(api, secretOfAPI, access)), active(true))
		p.control(client+": a token of the other", next.send(bearer(next.tokens(client).text("access_token"))), gives("sub"))
		p.judge(client+": userinfo", next.send(bearer(access)), refused("invalid_token"))
		for kind, token := range map[string]string{"access": access, "refresh": refresh, "id": got.text("id_token")} {
			for _, by := range [][2]string{{api, secretOfAPI}, {client, secret}} {
				p.judge(client+": introspection by "+by[0]+": "+kind, next.send(introspect(by[0], by[1], token)), active(false))
			}
			p.judge(client+": revocation: "+kind, next.send(post("/oauth/revoke", url.Values{"token": {token}}).as(client, secret)), status(http.StatusOK))
		}
		if _, err := next.server.Verify(p.t.Context(), access); !errors.Is(err, resource.ErrInvalid) {
			p.t.Errorf("%s: an API of the other issuer: %v", client, err)
		}
		p.judge(client+": a refresh", next.send(next.refresh(client, refresh)), refused("invalid_grant"))
		p.control(client+": at home it lives", p.send(bearer(access)), gives("sub"))
		p.control(client+": at home it is refreshed", p.send(p.refresh(client, refresh)), gives("access_token"))
	}
}

func neighbourCodes(p *play) {
	next := p.neighbour()
	code1 := p.codeFor("web")
	p.control("a code of the other", next.send(next.redeem("web", next.codeFor("web"))), gives("access_token"))
	for i := range 6 { // more than the wrong tries that a code bears
		p.judge(fmt.Sprint("a code, try ", i), next.send(next.redeem("web", code1)), refused("invalid_grant"))
	}
	p.control("the code at home", p.send(p.redeem("web", code1)), gives("access_token"))
	code2 := p.codeFor("web")
	p.control("used at home", p.send(p.redeem("web", code2)), gives("access_token"))
	p.judge("a used code", next.send(next.redeem("web", code2)), refused("invalid_grant"))

	uri := p.send(p.pushed("web")).text("request_uri")
	p.control("a pushed request of the other", next.send(next.use("web", next.send(next.pushed("web")).text("request_uri"))), code)
	p.judge("a pushed request", next.send(next.use("web", uri)), both(stays, refused()))
	p.control("the pushed request at home", p.send(p.use("web", uri)), code)

	object := p.object(nil, nil)
	p.control("a request object of the other", next.send(next.sendObject(next.object(nil, nil))), code)
	p.judge("a request object", next.send(next.sendObject(object)), stays)
	p.judge("pushed there", next.send(robotPushes(next, object)), refused("invalid_request_object"))
	p.control("the request object at home", p.send(p.sendObject(object)), code)

	jti := map[string]any{"jti": "of-both-issuers"}
	assertion := p.assertion(nil, jti)
	p.judge("an assertion", next.send(next.asserted(assertion)), refused("invalid_client"))
	p.control("the assertion at home", p.send(p.asserted(assertion)), gives("access_token"))
	p.control("its jti for the other", next.send(next.asserted(next.assertion(nil, jti))), gives("access_token"))
	p.judge("the one for the other at home", p.send(p.asserted(next.assertion(nil, nil))), refused("invalid_client"))
}

func robotPushes(s *stage, object string) *request {
	return post("/oauth/par", url.Values{"request": {object}, "client_assertion": {s.assertion(nil, nil)}, "client_assertion_type": {assertionType}})
}

func neighbourSessions(p *play) {
	next := p.neighbour()
	alice, there := p.signIn("alice"), next.signIn("alice")
	p.control("signed in", p.send(p.silent("web", alice)), code)
	p.control("signed in at the other", next.send(next.silent("web", there)), code)
	for i, b := range planted(p.stage, next, alice, there) {
		p.judge(fmt.Sprint("a session, ", i), next.send(next.silent("web", b)), refused("login_required"))
	}

	// An interaction that waits at home.
	b, like := newBrowser(), newBrowser()
	p.control("an interaction", p.open(b, p.authorize("web").url(p.issuer)), shows("password"))
	p.control("an interaction of the other", next.open(like, next.authorize("web").url(next.issuer)), shows("password"))
	form := p.press(b, credentials)
	moved := strings.Replace(form.path, p.issuer, next.issuer, 1)
	for i, by := range planted(p.stage, next, b, like) {
		p.judge(fmt.Sprint("an interaction, ", i), next.send(get(moved).from(by)), stays)
		r := *form
		r.path, r.by = moved, by
		p.judge(fmt.Sprint("a sign-in into it, ", i), next.send(&r), stays)
	}
	p.control("the sign-in at home", p.follow(b, p.send(form)), code)

	// A consent that is remembered at home.
	ask := func(s *stage, who *browser) *request { return s.silent("asks", who) }
	once := p.authorize("asks")
	set("prompt", "consent")(once) // others may have been here before
	p.open(alice, once.url(p.issuer))
	p.control("a consent", p.submit(alice, url.Values{"decision": {"allow"}}), code)
	p.control("it is remembered", p.send(ask(p.stage, alice)), code)
	p.judge("it is not at the other", next.send(ask(next, there)), refused("consent_required", "interaction_required"))
}

func neighbourSignOut(p *play) {
	next := p.neighbour()
	alice, there := p.signIn("alice"), next.signIn("alice")
	hint, own := p.tokens("web").text("id_token"), next.tokens("web").text("id_token")
	as := func(s *stage, b *browser, hint string) *request {
		r := s.authorize("web").from(b)
		set("id_token_hint", hint)(r)
		return r
	}
	p.control("a hint", p.send(as(p.stage, alice, hint)), code)
	p.control("a hint at the other", next.send(as(next, there, own)), code)
	p.judge("a hint of the other issuer", next.send(as(next, there, hint)), refused("invalid_request"))
	p.judge("a hint of the other issuer to sign out by", next.send(logout(hint).from(there)), stays)
	plain := logout(hint).from(there)
	set("post_logout_redirect_uri")(plain)
	p.judge("such a hint without a way back asks", next.follow(there, next.send(plain)), shows("signout"))
	p.control("still signed in at the other", next.send(next.silent("web", there)), code)

	// The page that asks at home is no page of the other.
	p.control("the page that asks", p.open(alice, "/oauth/logout"), shows("signout"))
	form := p.press(alice, url.Values{"decision": {"signout"}})
	moved := *form
	moved.path = strings.Replace(form.path, p.issuer, next.issuer, 1)
	for i, b := range planted(p.stage, next, alice, there) {
		moved.by = b
		p.judge(fmt.Sprint("its answer, ", i), next.send(&moved), stays)
	}
	p.follow(alice, p.send(form))
	p.judge("after signing out at home", p.send(p.silent("web", alice)), refused("login_required"))
	p.control("the session at the other goes on", next.send(next.silent("web", there)), code)
}

func neighbourDevices(p *play) {
	next := p.neighbour()
	made := p.device()
	device, user := made.text("device_code"), made.text("user_code")
	p.control("polling at home", p.send(p.poll("web", device)), refused("authorization_pending"))
	p.control("polling at the other", next.send(next.poll("web", next.device().text("device_code"))), refused("authorization_pending"))
	p.judge("a device code", next.send(next.poll("web", device)), refused("invalid_grant"))
	b := newBrowser()
	next.open(b, next.issuer+"/oauth/device")
	p.judge("a user code", next.submit(b, url.Values{"user_code": {user}}), both(status(400, 404, 422), harmless))
	here := p.signIn("bob")
	p.open(here, "/oauth/device")
	p.control("the user code at home", p.submit(here, url.Values{"user_code": {user}}), shows("decision"))
	form := p.press(here, url.Values{"decision": {"allow"}})
	moved := *form
	moved.path = strings.Replace(form.path, p.issuer, next.issuer, 1)
	p.judge("the answer to it", next.send(&moved), stays)
	p.control("the answer at home", p.follow(here, p.send(form)), status(http.StatusOK))
	p.judge("the device code, allowed at home", next.send(next.poll("web", device)), refused("invalid_grant"))
}

func neighbourRegistrations(p *play) {
	next := p.neighbour()
	mine := p.send(p.registration(nil))
	id, token := mine.text("client_id"), mine.text("registration_access_token")
	read := func(method, address string) *request {
		r := get(address)
		r.method = method
		r.header.Set("Authorization", "Bearer "+token)
		return r
	}
	place := mine.text("registration_client_uri")
	p.control("its place", p.send(read("GET", place)), gives("client_id"))
	for _, method := range []string{"GET", "DELETE"} {
		p.judge(method, next.send(read(method, strings.Replace(place, p.issuer, next.issuer, 1))), status(http.StatusUnauthorized))
	}
	r := p.authorize("web").from(next.person("alice"))
	set("client_id", id)(r)
	set("redirect_uri", "https://notes.test/cb")(r)
	p.judge("the client", next.send(r), stays)
	ask := post("/oauth/introspect", url.Values{"token": {"x"}})
	p.control("its secret at home", p.send(ask.as(id, mine.text("client_secret"))), active(false))
	p.judge("its secret", next.send(ask), refused("invalid_client"))
	_, initial, err := p.server.Clients().IssueInitialToken(p.t.Context(), storage.InitialToken{Uses: 1})
	if err != nil {
		p.t.Fatal(err)
	}
	with := p.registration(nil)
	with.header.Set("Authorization", "Bearer "+string(initial))
	p.judge("an initial token", next.send(with), status(http.StatusUnauthorized))
	p.control("the initial token at home", p.send(with), gives("client_id"))
}

func neighbourProofs(p *play) {
	const at = "/oauth/token"
	next, h := p.neighbour(), p.holder()
	there := &holder{key: h.key, s: next}
	ask := func(h *holder, nonce string) *request {
		changes := map[string]any{}
		if nonce != "" {
			changes["nonce"] = nonce
		}
		r := h.s.known("proving", post(at, url.Values{"grant_type": {"client_credentials"}}))
		r.header.Set("DPoP", h.proof("POST", at, "", nil, changes))
		return r
	}
	nonce := p.send(ask(h, "")).header.Get("DPoP-Nonce")
	other := next.send(ask(there, "")).header.Get("DPoP-Nonce")
	p.control("a nonce", p.send(ask(h, nonce)), gives("access_token"))
	p.control("a nonce of the other", next.send(ask(there, other)), gives("access_token"))
	p.judge("a nonce of the other issuer", next.send(ask(there, nonce)), refused("use_dpop_nonce"))
	p.judge("and the other way round", p.send(ask(h, other)), refused("use_dpop_nonce"))
	proof := ask(h, other)
	proof.path = next.issuer + at
	p.judge("a proof for the other issuer", next.send(proof), refused("invalid_dpop_proof"))

	bound := p.send(ask(h, nonce)).text("access_token")
	show := func(h *holder) *request {
		r := introspect(api, secretOfAPI, bound)
		r.path = h.s.issuer + "/oauth/introspect"
		return r
	}
	p.control("a bound token", p.send(show(h)), active(true))
	p.judge("a bound token at the other", next.send(show(there)), active(false))
}
