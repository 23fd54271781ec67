package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
)

// people is how many different persons sign in where each flow has a login.
const people = 10_000

var errNoToken = errors.New("a token is missing")

// request is an authorization request with PKCE. RFC 7636 §4
type request struct {
	query           url.Values
	nonce, verifier string
}

// tokens are what a flow ends with.
type tokens struct{ access, refresh, id string }

// request makes a request as a client would. The random numbers keep nothing secret here.
func (c *caller) request() *request {
	r := &request{nonce: c.random(16), verifier: c.random(32)}
	challenge := sha256.Sum256([]byte(r.verifier))
	r.query = url.Values{
		"client_id": {c.site.web.id}, "response_type": {"code"}, "redirect_uri": {c.site.redirectURI}, "state": {c.random(16)},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if c.site.webScope != "" {
		r.query.Set("scope", c.site.webScope)
	}
	if !c.site.plain {
		r.query.Set("nonce", r.nonce)
	}
	return r
}

func (c *caller) random(n int) string {
	b := make([]byte, 0, 32)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, c.numbers.Uint64())
	}
	return base64.RawURLEncoding.EncodeToString(b[:n])
}

// flow is one authorization code flow in a browser, from the authorize request to the
// tokens. RFC 6749 §4.1
func (c *caller) flow(b *browser) (*tokens, error) {
	r := c.request()
	authorize, err := c.wire.target(c.site.endpoints.Authorization)
	if err != nil {
		return nil, err
	}
	separator := "?"
	if strings.Contains(authorize, "?") {
		separator = "&"
	}
	back, err := b.authorize(authorize+separator+r.query.Encode(), c.site.redirectURI)
	if err != nil {
		return nil, err
	}
	if back.Get("code") == "" || back.Get("state") != r.query.Get("state") {
		return nil, fmt.Errorf("the redirect has no code, or another state: %s %s", back.Get("error"), back.Get("error_description"))
	}
	return c.token(url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "redirect_uri": {c.site.redirectURI}, "code_verifier": {r.verifier},
	}, r.nonce, !c.site.plain)
}

// token asks for tokens and checks that all are there.
func (c *caller) token(fields url.Values, nonce string, openID bool) (*tokens, error) {
	target, err := c.wire.target(c.site.endpoints.Token)
	if err != nil {
		return nil, err
	}
	a, err := c.wire.send("POST", target, c.webHeader, fields.Encode())
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, unexpected(target, a)
	}
	t := &tokens{member(a.body, "access_token"), member(a.body, "refresh_token"), member(a.body, "id_token")}
	if t.access == "" || openID && t.id == "" {
		return nil, fmt.Errorf("%s: %w: %.300s", target, errNoToken, a.body)
	}
	return t, c.prove(c.site.web, nonce, t.access, t.id)
}

// newBrowser opens a browser of its own in which a person can sign in.
func (c *caller) newBrowser() *browser {
	name := c.site.person
	if name == "" {
		name = fmt.Sprintf("person-%d", rand.IntN(people))
	}
	return &browser{wire: c.wire, name: name, secret: c.site.password}
}

// loginFlows signs in each time in a browser that was never used.
func (c *caller) loginFlows() (func() error, error) {
	return func() error {
		b := c.newBrowser()
		if _, err := c.flow(b); err != nil {
			return err
		}
		if b.pages == 0 {
			return errors.New("nobody was asked to sign in")
		}
		return nil
	}, nil
}

// signedInFlows signs in once; then the browser is sent on without a page.
func (c *caller) signedInFlows() (func() error, error) {
	b := c.newBrowser()
	if _, err := c.flow(b); err != nil {
		return nil, err
	}
	b.name = ""
	return func() error {
		_, err := c.flow(b)
		return err
	}, nil
}

// signIn is one flow with a login, for what needs its tokens.
func (c *caller) signIn() (*tokens, error) { return c.flow(c.newBrowser()) }

// accessToken is one of a person. A server whose answers are made up takes any.
func (c *caller) accessToken() (string, error) {
	if c.site.constant {
		return "none", nil
	}
	t, err := c.signIn()
	if err != nil {
		return "", err
	}
	return t.access, nil
}

// refreshes goes along a chain: each refresh uses the token of the one before.
// RFC 6749 §6
func (c *caller) refreshes() (func() error, error) {
	t, err := c.signIn()
	if err != nil {
		return nil, err
	}
	token := t.refresh
	if token == "" {
		return nil, fmt.Errorf("refresh token: %w", errNoToken)
	}
	return func() error {
		t, err := c.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, "", !c.site.plain)
		if err != nil {
			return err
		}
		if t.refresh != "" { // one that does not rotate answers with none
			token = t.refresh
		}
		return nil
	}, nil
}

// after returns what follows the name of a member in a JSON object, from its value on; nil
// when it is not there. It looks no further than the load needs.
func after(body []byte, name string) []byte {
	at := bytes.Index(body, append(append([]byte{'"'}, name...), '"'))
	if at < 0 {
		return nil
	}
	rest := bytes.TrimLeft(body[at+len(name)+2:], " \t\r\n")
	if len(rest) < 2 || rest[0] != ':' {
		return nil
	}
	return bytes.TrimLeft(rest[1:], " \t\r\n")
}

// member returns a string of a JSON object that needs no escapes, as tokens don't.
func member(body []byte, name string) string {
	rest := after(body, name)
	if len(rest) == 0 || rest[0] != '"' {
		return ""
	}
	end := bytes.IndexByte(rest[1:], '"')
	if end < 0 {
		return ""
	}
	return string(rest[1 : 1+end])
}

// truth says whether a member of a JSON object is true.
func truth(body []byte, name string) bool { return bytes.HasPrefix(after(body, name), []byte("true")) }
