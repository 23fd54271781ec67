package integration

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/storage"
)

// flows are the requests that the server answers, each as the one that a store lets
// down. What is asked before and after finds a sound store.
func flows() []flow {
	return slices.Concat(pageFlows(), codeFlows(), refreshFlows(), endingFlows(), readingFlows(), deviceFlows(), otherFlows(), registrationFlows())
}

// must is for what comes before a request: it ends the test when it does not work.
func (s *frailty) must(answer *reply, err error) *reply {
	s.t.Helper()
	if err != nil || answer.status >= http.StatusBadRequest {
		s.t.Fatalf("on the way: %v, %s", err, answer)
	}
	return answer
}

func (s *frailty) get(p *person, address string) func() (*reply, error) {
	return func() (*reply, error) { return send(p.client, http.MethodGet, address, nil, "") }
}

// ofPost is an attempt at an endpoint by a client.
func (s *frailty) ofPost(endpoint, client string, fields url.Values) *attempt {
	return &attempt{request: func() (*reply, error) { return s.post(endpoint, client, fields) }}
}

// signedIn is alice at a browser of her own.
func (s *frailty) signedIn() *person {
	s.t.Helper()
	p := s.person()
	s.mustCode(s.t, p, "own")
	return p
}

// atLogin is somebody who looks at the login page of web, atConsent at its question.
func (s *frailty) atLogin() *person {
	s.t.Helper()
	p := s.person()
	address, _ := s.authorizeURL("web", nil)
	s.must(p.open(address))
	return p
}

func (s *frailty) atConsent() *person {
	s.t.Helper()
	p := s.person()
	address, _ := s.authorizeURL("web", url.Values{"prompt": {"login consent"}})
	s.must(p.open(address))
	s.must(p.submit(url.Values{"username": {"alice"}, "password": {people["alice"]}}))
	return p
}

func redirectsWith(name string) func(*reply) bool {
	return func(r *reply) bool { return r.location() != nil && r.location().Query().Get(name) != "" }
}

func redirectsTo(part string) func(*reply) bool {
	return func(r *reply) bool { return r.location() != nil && strings.Contains(r.location().String(), part) }
}

func refusedAs(code string) func(*reply) bool {
	return func(r *reply) bool { return r.status == http.StatusBadRequest && r.text("error") == code }
}

// silently says whether alice is signed in: it is a sign-in that asks nothing.
func (s *frailty) silently(p *person) error {
	silent, _ := s.authorizeURL("own", url.Values{"prompt": {"none"}})
	answer, err := s.get(p, silent)()
	if err != nil {
		return err
	}
	if !redirectsWith("code")(answer) {
		return fmt.Errorf("nobody is signed in: %s", answer)
	}
	return nil
}

func pageFlows() []flow {
	return []flow{
		{"beginning an interaction", func(s *frailty) *attempt {
			p := s.person()
			address, _ := s.authorizeURL("web", nil)
			return &attempt{browser: true, request: s.get(p, address), good: redirectsTo("/interaction/"), holds: func(r *reply) error {
				page, err := p.follow(r)
				if err == nil && !page.has(url.Values{"username": {""}}) {
					err = fmt.Errorf("there is no login page: %s", page)
				}
				return err
			}}
		}},
		{"the login page", func(s *frailty) *attempt {
			p := s.atLogin()
			return &attempt{browser: true, request: s.get(p, p.last.at.String())}
		}},
		{"signing in", func(s *frailty) *attempt {
			p := s.atLogin()
			return &attempt{browser: true, good: func(r *reply) bool { return r.location() != nil },
				request: func() (*reply, error) {
					return p.press(url.Values{"username": {"alice"}, "password": {people["alice"]}})
				},
				holds: func(*reply) error { return s.silently(p) }}
		}},
		{"a wrong password", func(s *frailty) *attempt {
			p := s.atLogin()
			name := fmt.Sprintf("nobody-%d", time.Now().UnixNano()) // an account of its own is not slowed down
			s.advance(time.Hour / 2)                                // nor is the address
			p.last = s.must(p.open(func() string { a, _ := s.authorizeURL("web", nil); return a }()))
			return &attempt{browser: true, good: func(r *reply) bool { return r.status < 500 && r.location() == nil },
				request: func() (*reply, error) { return p.press(url.Values{"username": {name}, "password": {"wrong"}}) }}
		}},
		{"the question of consent", func(s *frailty) *attempt {
			p := s.atConsent()
			return &attempt{browser: true, request: s.get(p, p.last.at.String())}
		}},
		{"allowing", func(s *frailty) *attempt {
			p := s.atConsent()
			return &attempt{browser: true, good: redirectsWith("code"),
				request: func() (*reply, error) { return p.press(url.Values{"decision": {"allow"}}) },
				holds: func(*reply) error {
					silent, _ := s.authorizeURL("web", url.Values{"prompt": {"none"}})
					answer, err := s.get(p, silent)()
					if err == nil && !redirectsWith("code")(answer) {
						err = fmt.Errorf("the consent is not remembered: %s", answer)
					}
					return err
				}}
		}},
		{"denying", func(s *frailty) *attempt {
			p := s.atConsent()
			return &attempt{browser: true, good: redirectsWith("error"), request: func() (*reply, error) { return p.press(url.Values{"decision": {"deny"}}) }}
		}},
		{"a sign-in that asks nothing", func(s *frailty) *attempt {
			p := s.signedIn()
			address, verifier := s.authorizeURL("own", url.Values{"prompt": {"none"}})
			return &attempt{browser: true, request: s.get(p, address), good: redirectsWith("code"), holds: func(r *reply) error {
				answer, err := s.exchange("own", r.location().Query().Get("code"), verifier, nil)
				if err == nil && answer.status != http.StatusOK {
					err = fmt.Errorf("the code does not work: %s", answer)
				}
				return err
			}}
		}},
		{"signing out", func(s *frailty) *attempt {
			p := s.signedIn()
			hint := s.mustTokens(s.t, p, "own").text("id_token")
			return &attempt{browser: true, request: s.get(p, s.endpoint("logout")+"?id_token_hint="+hint), good: func(r *reply) bool { return r.status < 400 },
				holds: func(r *reply) error {
					if s.silently(p) == nil {
						return fmt.Errorf("the person is still signed in: %s", r)
					}
					return nil
				}}
		}},
		{"signing out with a way back", func(s *frailty) *attempt {
			p := s.signedIn()
			query := url.Values{"id_token_hint": {s.mustTokens(s.t, p, "own").text("id_token")}, "post_logout_redirect_uri": {"https://own.test/bye"}}
			return &attempt{browser: true, request: s.get(p, s.endpoint("logout")+"?"+query.Encode()), good: redirectsTo("https://own.test/bye"),
				holds: func(*reply) error {
					if s.silently(p) == nil {
						return errors.New("the person is still signed in")
					}
					return nil
				}}
		}},
		{"a sign-in with a hint", func(s *frailty) *attempt {
			p := s.signedIn()
			hint := s.mustTokens(s.t, p, "own").text("id_token")
			address, _ := s.authorizeURL("own", url.Values{"prompt": {"none"}, "id_token_hint": {hint}})
			return &attempt{browser: true, request: s.get(p, address), good: redirectsWith("code")}
		}},
		{"asking whether to sign out", func(s *frailty) *attempt {
			return &attempt{browser: true, request: s.get(s.signedIn(), s.endpoint("logout")), good: redirectsTo("/interaction/")}
		}},
		{"confirming to sign out", func(s *frailty) *attempt {
			p := s.signedIn()
			s.must(p.open(s.endpoint("logout")))
			return &attempt{browser: true, good: func(r *reply) bool { return r.status < 400 },
				request: func() (*reply, error) { return p.press(url.Values{"decision": {"signout"}}) },
				holds: func(r *reply) error {
					if s.silently(p) == nil {
						return fmt.Errorf("the person is still signed in: %s", r)
					}
					return nil
				}}
		}},
	}
}

// tokensWork holds an answer of the token endpoint to its tokens.
func (s *frailty) tokensWork(client string) func(*reply) error {
	return func(r *reply) error {
		if s.clients[client].Public() { // it may not introspect
			if !s.works(s.t, r.text("access_token")) {
				return errors.New("the access token does not work")
			}
			return nil
		}
		answer, err := s.post("introspect", client, url.Values{"token": {r.text("access_token")}})
		if err != nil || answer.text("active") != "true" {
			return fmt.Errorf("the access token is not active: %w, %s", err, answer)
		}
		if token := r.text("refresh_token"); token != "" {
			if answer, err = s.post("introspect", client, url.Values{"token": {token}}); err != nil || answer.text("active") != "true" {
				return fmt.Errorf("the refresh token is not active: %w, %s", err, answer)
			}
		}
		return nil
	}
}

// dead holds tokens to be of no use any more.
func (s *frailty) dead(client string, tokens ...string) func(*reply) error {
	return func(*reply) error {
		for _, token := range tokens {
			answer, err := s.post("introspect", client, url.Values{"token": {token}})
			if err != nil || answer.text("active") != "false" {
				return fmt.Errorf("a token that ended is active: %w, %s", err, answer)
			}
		}
		return nil
	}
}

func codeFlows() []flow {
	exchange := func(client string) flow {
		return flow{"redeeming a code of " + client, func(s *frailty) *attempt {
			code, verifier := s.mustCode(s.t, s.person(), client)
			return &attempt{once: true, holds: s.tokensWork(client),
				request: func() (*reply, error) { return s.exchange(client, code, verifier, nil) }}
		}}
	}
	return []flow{
		exchange("own"), exchange("spa"), exchange("web"), exchange("jot"),
		{"redeeming a code of a stored client", func(s *frailty) *attempt {
			id := s.stored()
			code, verifier := s.mustCode(s.t, s.person(), id)
			return &attempt{once: true, holds: s.tokensWork(id),
				request: func() (*reply, error) { return s.exchange(id, code, verifier, nil) }}
		}},
		{"a wrong verifier", func(s *frailty) *attempt {
			code, verifier := s.mustCode(s.t, s.person(), "own")
			return &attempt{good: refusedAs("invalid_grant"), request: func() (*reply, error) { return s.exchange("own", code, verifier+"x", nil) }}
		}},
		{"a code that is replayed", func(s *frailty) *attempt {
			code, verifier := s.mustCode(s.t, s.person(), "own")
			tokens := s.must(s.exchange("own", code, verifier, nil))
			return &attempt{good: refusedAs("invalid_grant"), holds: s.dead("own", tokens.text("access_token"), tokens.text("refresh_token")),
				request: func() (*reply, error) { return s.exchange("own", code, verifier, nil) }}
		}},
	}
}

// stored registers a client that is in the store, and returns its ID.
func (s *frailty) stored() string {
	s.t.Helper()
	id := fmt.Sprintf("stored-%d", time.Now().UnixNano())
	made, secret, err := s.server.Clients().Create(s.t.Context(), storage.Client{
		ID: id, FirstParty: true, RedirectURIs: []string{"https://stored.test/cb"}, Scope: "openid profile offline_access",
		GrantTypes: []string{storage.GrantAuthorizationCode, storage.GrantRefreshToken},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	made.Secret = secret
	s.clients[id] = &made
	return id
}

func refreshFlows() []flow {
	var all []flow
	for _, client := range []string{"own", "strict", "until", "fixed", "jot"} {
		all = append(all, flow{"a refresh of " + client, func(s *frailty) *attempt {
			token := s.mustTokens(s.t, s.person(), client).text("refresh_token")
			return &attempt{once: client == "strict", holds: s.tokensWork(client),
				request: func() (*reply, error) { return s.refresh(client, token, nil) }}
		}})
	}
	return append(all,
		flow{"a refresh that is repeated", func(s *frailty) *attempt {
			token := s.mustTokens(s.t, s.person(), "own").text("refresh_token")
			next := s.must(s.refresh("own", token, nil)).text("refresh_token")
			return &attempt{
				request: func() (*reply, error) { return s.refresh("own", token, nil) },
				holds: func(r *reply) error {
					if r.text("refresh_token") != next {
						return fmt.Errorf("there is another successor: %s", r)
					}
					return s.tokensWork("own")(r)
				}}
		}},
		flow{"a refresh token that is used again under strict", func(s *frailty) *attempt {
			tokens := s.mustTokens(s.t, s.person(), "strict")
			next := s.must(s.refresh("strict", tokens.text("refresh_token"), nil))
			return &attempt{good: refusedAs("invalid_grant"),
				holds:   s.dead("strict", tokens.text("access_token"), next.text("access_token"), next.text("refresh_token")),
				request: func() (*reply, error) { return s.refresh("strict", tokens.text("refresh_token"), nil) }}
		}})
}

func endingFlows() []flow {
	revoke := func(client, member string, all bool) flow {
		return flow{"revoking the " + member + " of " + client, func(s *frailty) *attempt {
			tokens := s.mustTokens(s.t, s.person(), client)
			a := s.ofPost("revoke", client, url.Values{"token": {tokens.text(member)}})
			a.holds = s.dead(client, tokens.text(member))
			if all {
				a.holds = s.dead(client, tokens.text("access_token"), tokens.text("refresh_token"))
			}
			return a
		}}
	}
	// call makes an answer of what the host's own calls return.
	call := func(err error) (*reply, error) {
		r := &reply{status: http.StatusOK, header: http.Header{}, at: &url.URL{Path: "call"}}
		switch {
		case errors.Is(err, storage.ErrUnavailable):
			r.status = http.StatusServiceUnavailable
			r.header.Set("Retry-After", "1")
		case err != nil:
			return nil, err
		}
		return r, nil
	}
	return []flow{
		revoke("own", "access_token", false), revoke("own", "refresh_token", true), revoke("jot", "access_token", false),
		{"the host ends all of a person", func(s *frailty) *attempt {
			tokens := s.mustTokens(s.t, s.person(), "own")
			return &attempt{holds: s.dead("own", tokens.text("access_token"), tokens.text("refresh_token")),
				request: func() (*reply, error) { return call(s.server.RevokeSubject(s.t.Context(), "alice")) }}
		}},
		{"the host disconnects an app", func(s *frailty) *attempt {
			tokens := s.mustTokens(s.t, s.person(), "own")
			return &attempt{holds: s.dead("own", tokens.text("access_token"), tokens.text("refresh_token")),
				request: func() (*reply, error) { return call(s.server.RevokeApp(s.t.Context(), "alice", "own")) }}
		}},
		{"the host removes a client", func(s *frailty) *attempt {
			id := s.stored()
			tokens := s.mustTokens(s.t, s.person(), id)
			request := func() (*reply, error) { return call(s.server.Clients().Delete(s.t.Context(), id)) }
			return &attempt{request: request,
				again: func() (*reply, error) {
					err := s.server.Clients().Delete(s.t.Context(), id)
					if errors.Is(err, storage.ErrNotFound) {
						err = nil // it is gone, and that is what was wanted
					}
					return call(err)
				},
				holds: func(*reply) error {
					if s.works(s.t, tokens.text("access_token")) {
						return errors.New("a token of a removed client works")
					}
					return nil
				}}
		}},
	}
}

func readingFlows() []flow {
	return []flow{
		{"introspection", func(s *frailty) *attempt {
			a := s.ofPost("introspect", "own", url.Values{"token": {s.mustTokens(s.t, s.person(), "own").text("access_token")}})
			a.good = func(r *reply) bool { return r.text("active") == "true" }
			return a
		}},
		{"introspection of a refresh token", func(s *frailty) *attempt {
			return s.ofPost("introspect", "own", url.Values{"token": {s.mustTokens(s.t, s.person(), "own").text("refresh_token")}})
		}},
		{"userinfo", func(s *frailty) *attempt {
			token := s.mustTokens(s.t, s.person(), "own").text("access_token")
			return &attempt{request: func() (*reply, error) {
				return send(&http.Client{Transport: s.transport}, http.MethodGet, s.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + token}}, "")
			}}
		}},
		{"introspection of a JWT", func(s *frailty) *attempt {
			a := s.ofPost("introspect", "jot", url.Values{"token": {s.mustTokens(s.t, s.person(), "jot").text("access_token")}})
			a.good = func(r *reply) bool { return r.text("active") == "true" }
			return a
		}},
		{"userinfo by a JWT", func(s *frailty) *attempt {
			token := s.mustTokens(s.t, s.person(), "jot").text("access_token")
			return &attempt{request: func() (*reply, error) {
				return send(&http.Client{Transport: s.transport}, http.MethodGet, s.endpoint("userinfo"), http.Header{"Authorization": {"Bearer " + token}}, "")
			}}
		}},
		{"the key set", func(s *frailty) *attempt {
			s.advance(time.Hour) // beyond what may be served from memory
			return &attempt{request: s.get(s.person(), s.endpoint("jwks"))}
		}},
	}
}

func deviceFlows() []flow {
	begin := func(s *frailty) *reply {
		return s.must(s.post("device_authorization", "tv", url.Values{"scope": {"openid offline_access"}}))
	}
	poll := func(s *frailty, begun *reply) func() (*reply, error) {
		return func() (*reply, error) {
			s.advance(6 * time.Second) // polls must not be too near
			return s.post("token", "tv", url.Values{"grant_type": {storage.GrantDeviceCode}, "device_code": {begun.text("device_code")}})
		}
	}
	// atQuestion is alice where she is asked whether the device may.
	atQuestion := func(s *frailty, begun *reply) *person {
		p := s.person()
		s.must(p.open(begun.text("verification_uri_complete")))
		s.must(p.submit(nil))
		s.must(p.submit(url.Values{"username": {"alice"}, "password": {people["alice"]}}))
		return p
	}
	return []flow{
		{"a device asks for codes", func(s *frailty) *attempt {
			a := s.ofPost("device_authorization", "tv", url.Values{"scope": {"openid"}})
			a.holds = func(r *reply) error {
				if answer, err := poll(s, r)(); err != nil || answer.text("error") != "authorization_pending" {
					return fmt.Errorf("the code is not known: %w, %s", err, answer)
				}
				return nil
			}
			return a
		}},
		{"a device that waits", func(s *frailty) *attempt {
			return &attempt{request: poll(s, begin(s)), good: refusedAs("authorization_pending")}
		}},
		{"typing the code of a device", func(s *frailty) *attempt {
			p := s.person()
			s.must(p.open(begin(s).text("verification_uri_complete")))
			return &attempt{browser: true, good: redirectsTo("/interaction/"), request: func() (*reply, error) { return p.press(nil) }}
		}},
		{"allowing a device", func(s *frailty) *attempt {
			begun := begin(s)
			p := atQuestion(s, begun)
			return &attempt{browser: true, good: func(r *reply) bool { return r.status < 400 },
				request: func() (*reply, error) { return p.press(url.Values{"decision": {"allow"}}) },
				holds: func(*reply) error {
					if answer, err := poll(s, begun)(); err != nil || answer.status != http.StatusOK {
						return fmt.Errorf("the device gets no tokens: %w, %s", err, answer)
					}
					return nil
				}}
		}},
		{"the tokens of a device", func(s *frailty) *attempt {
			begun := begin(s)
			s.must(atQuestion(s, begun).submit(url.Values{"decision": {"allow"}}))
			return &attempt{once: true, request: poll(s, begun), holds: s.tokensWork("tv")}
		}},
	}
}

func otherFlows() []flow {
	return []flow{
		{"client credentials", func(s *frailty) *attempt { return s.ofPost("token", "machine", machineGrant) }},
		{"a grant of the host's own", func(s *frailty) *attempt {
			a := s.ofPost("token", "swap", url.Values{"grant_type": {grantOfOurs}})
			a.holds = s.tokensWork("swap")
			return a
		}},
		{"a signed assertion", func(s *frailty) *attempt {
			assertion := s.robot.assert(nil)
			return &attempt{once: true, request: func() (*reply, error) { return s.robot.post(s.t, "token", assertion, machineGrant), nil }}
		}},
		{"a signed assertion of a request that is refused", func(s *frailty) *attempt {
			assertion := s.robot.assert(nil)
			return &attempt{
				request: func() (*reply, error) {
					return s.robot.post(s.t, "token", assertion, url.Values{"grant_type": {"client_credentials"}, "scope": {"nonsense"}}), nil
				},
				good: refusedAs("invalid_scope"),
				holds: func(*reply) error { // it was used up
					if answer := s.robot.post(s.t, "token", assertion, machineGrant); answer.status == http.StatusOK {
						return fmt.Errorf("the assertion works a second time: %s", answer)
					}
					return nil
				}}
		}},
		{"pushing a request", func(s *frailty) *attempt {
			params := s.authorizeParams("web", "verifier-verifier-verifier-verifier-verifier", nil)
			params.Del("client_id")
			a := s.ofPost("par", "web", params)
			a.good = func(r *reply) bool { return r.status == http.StatusCreated }
			a.holds = func(r *reply) error {
				query := url.Values{"client_id": {"web"}, "request_uri": {r.text("request_uri")}}
				answer, err := s.get(s.person(), s.endpoint("authorize")+"?"+query.Encode())()
				if err == nil && !redirectsTo("/interaction/")(answer) {
					err = fmt.Errorf("the pushed request is not known: %s", answer)
				}
				return err
			}
			return a
		}},
		{"a sign-in by a pushed request", func(s *frailty) *attempt {
			p := s.signedIn()
			params := s.authorizeParams("own", "verifier-verifier-verifier-verifier-verifier", nil)
			params.Del("client_id")
			pushed := s.must(s.post("par", "own", params))
			query := url.Values{"client_id": {"own"}, "request_uri": {pushed.text("request_uri")}}
			return &attempt{browser: true, once: true, good: redirectsWith("code"), request: s.get(p, s.endpoint("authorize")+"?"+query.Encode())}
		}},
	}
}
