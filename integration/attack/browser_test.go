package attack

import (
	"bytes"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"

	"golang.org/x/net/html"
	"golang.org/x/oauth2"
)

// browser is somebody's browser, with its cookies.
type browser struct {
	jar  http.CookieJar
	last *answer
}

func newBrowser() *browser {
	jar, _ := cookiejar.New(nil) // it has no options that could be wrong
	return &browser{jar: jar}
}

func (s *stage) client(b *browser) *http.Client {
	c := &http.Client{
		Transport:     s.listener.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if b != nil {
		c.Jar = b.jar
	}
	return c
}

// open opens a page and follows where it leads within the server.
func (s *stage) open(b *browser, address string) *answer {
	s.t.Helper()
	return s.follow(b, s.send(get(address).from(b)))
}

func (s *stage) follow(b *browser, a *answer) *answer {
	s.t.Helper()
	home, _ := url.Parse(s.issuer)
	for range 10 {
		to := a.location()
		if to == nil || to.Host != home.Host {
			break
		}
		a = s.send(get(to.String()).from(b))
	}
	b.last = a
	return a
}

// press is the request of the first form of the open page that has all these fields, as
// the browser sends it.
func (s *stage) press(b *browser, fields url.Values) *request {
	s.t.Helper()
	for _, f := range b.last.forms() {
		filled, ok := f.fill(fields)
		if !ok {
			continue
		}
		to, err := b.last.at.Parse(f.action)
		if err != nil {
			s.t.Fatal(err)
		}
		r := post(to.String(), filled).from(b)
		r.header.Set("Origin", s.issuer)
		r.header.Set("Sec-Fetch-Site", "same-origin")
		return r
	}
	s.t.Fatalf("no form of the page has the fields %v: %s", fields, b.last)
	return nil
}

// submit sends it and follows the answer.
func (s *stage) submit(b *browser, fields url.Values) *answer {
	s.t.Helper()
	return s.follow(b, s.send(s.press(b, fields)))
}

// signIn begins a session of the person in a new browser.
func (s *stage) signIn(name string) *browser {
	s.t.Helper()
	b := newBrowser()
	s.open(b, s.authorize("web").url(s.issuer))
	if a := s.submit(b, url.Values{"username": {name}, "password": {people[name]}}); code(a) != nil {
		s.t.Fatalf("%s can't sign in: %s", name, a)
	}
	return b
}

// person is a browser in which somebody is signed in already.
func (s *stage) person(name string) *browser {
	s.t.Helper()
	if s.signedIn[name] == nil {
		s.signedIn[name] = s.signIn(name)
	}
	return s.signedIn[name]
}

const verifier = "the-verifier-of-all-requests-here-0123456789abcdefghij"

// authorize is the request of a client with what every client sends.
func (s *stage) authorize(client string) *request {
	r := get("/oauth/authorize")
	r.query = s.params(client)
	return r
}

func (s *stage) params(client string) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {s.redirectURI(client)}, "scope": {"openid profile offline_access"},
		"state": {"state-1"}, "nonce": {"nonce-1"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
}

func (s *stage) redirectURI(client string) string {
	for _, c := range s.cast() {
		if c.ID == client {
			return c.RedirectURIs[0]
		}
	}
	return "https://" + client + ".test/cb"
}

// codeFor is a code of a client that alice signed in to.
func (s *stage) codeFor(client string, changes ...func(*request)) string {
	s.t.Helper()
	r := s.authorize(client).from(s.person("alice"))
	for _, change := range changes {
		change(r)
	}
	a := s.send(r)
	if err := code(a); err != nil {
		s.t.Fatalf("%v: %s", err, a)
	}
	return a.location().Query().Get("code")
}

// redeem is the request that redeems a code.
func (s *stage) redeem(client, code string) *request {
	r := post("/oauth/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.redirectURI(client)}, "code_verifier": {verifier}})
	return s.known(client, r)
}

// known authenticates a client in the way that it is registered for.
func (s *stage) known(client string, r *request) *request {
	for _, c := range s.cast() {
		if c.ID == client && c.Secret != "" {
			return r.as(client, string(c.Secret))
		}
	}
	r.form.Set("client_id", client)
	return r
}

// tokens are those of a client that alice signed in to.
func (s *stage) tokens(client string, changes ...func(*request)) *answer {
	s.t.Helper()
	a := s.send(s.redeem(client, s.codeFor(client, changes...)))
	if err := gives("access_token")(a); err != nil {
		s.t.Fatalf("%v: %s", err, a)
	}
	return a
}

// refresh is the request that uses a refresh token.
func (s *stage) refresh(client, token string) *request {
	return s.known(client, post("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}))
}

// form is a form of a page.
type form struct {
	action string
	fields url.Values
	names  []string
	button url.Values
}

func (f *form) fill(with url.Values) (url.Values, bool) {
	filled := url.Values{}
	for name, values := range f.fields {
		filled[name] = values
	}
	for name, values := range with {
		if !slices.Contains(f.names, name) && !slices.Contains(f.button[name], values[0]) {
			return nil, false
		}
		filled[name] = values
	}
	return filled, true
}

// forms reads the forms of a page.
func (a *answer) forms() []*form {
	root, err := html.Parse(bytes.NewReader(a.body))
	if err != nil {
		return nil
	}
	var forms []*form
	var current *form
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch name := attribute(n, "name"); {
		case n.Data == "form":
			current = &form{action: attribute(n, "action"), fields: url.Values{}, button: url.Values{}}
			forms = append(forms, current)
		case current == nil || name == "":
		case n.Data == "button":
			current.button.Add(name, attribute(n, "value"))
		case n.Data == "input":
			current.names = append(current.names, name)
			current.fields.Set(name, attribute(n, "value"))
		}
	}
	return forms
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
