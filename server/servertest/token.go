package servertest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/doorward/doorward/storage"
)

// The client by which Token and Tokens get what they return.
const (
	tokensClient   = "servertest"
	tokensRedirect = "https://client.test/callback"
)

// Tokens is what a sign-in gives a client. RFC 6749 §5.1
type Tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"` // with the scope openid
	Scope        string `json:"scope"`
	ExpiresIn    int    `json:"expires_in"` // seconds
}

// Token returns an access token of a person with these scopes, as a client would
// have got it: what the API under test accepts. Scopes that the provider does not
// know become known.
func (p *Provider) Token(subject string, scopes ...string) string {
	p.t.Helper()
	return p.Tokens(subject, scopes...).AccessToken
}

// Tokens signs a person in at a client and returns all tokens. Who SignIn named
// stays signed in.
func (p *Provider) Tokens(subject string, scopes ...string) Tokens {
	p.t.Helper()
	if len(scopes) == 0 {
		scopes = []string{"openid"}
	}
	p.signing.Lock()
	defer p.signing.Unlock()
	p.know(scopes)
	p.people.mu.Lock()
	next, since, denies := p.people.next, p.people.since, p.people.denies
	p.people.denies = false
	p.people.mu.Unlock()
	p.SignIn(subject, nil)
	defer func() {
		p.people.mu.Lock()
		defer p.people.mu.Unlock()
		p.people.next, p.people.since, p.people.denies = next, since, denies
	}()
	verifier := rand.Text()
	verifier += verifier // RFC 7636 §4.1: 43 characters or more
	challenge := sha256.Sum256([]byte(verifier))
	code := p.authorize(url.Values{
		"response_type": {"code"}, "client_id": {tokensClient}, "redirect_uri": {tokensRedirect},
		"scope": {strings.Join(scopes, " ")}, "state": {rand.Text()}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	})
	return p.redeem(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {tokensRedirect}, "code_verifier": {verifier},
	})
}

// Refresh uses a refresh token that Tokens returned.
func (p *Provider) Refresh(refreshToken string) Tokens {
	p.t.Helper()
	return p.redeem(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

func (p *Provider) addTokensClient() {
	p.tokens = storage.Secret(rand.Text())
	p.config.Clients = append(slices.Clone(p.config.Clients), storage.Client{
		ID: tokensClient, Name: "servertest", Secret: p.tokens, RedirectURIs: []string{tokensRedirect},
		Scope: p.scopes(), FirstParty: true,
	})
}

// authorize goes from redirect to redirect, as a browser would, until the code is there.
func (p *Provider) authorize(params url.Values) (code string) {
	p.t.Helper()
	browser := p.Browser()
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), tokensRedirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := browser.Get(p.endpoint("/authorize") + "?" + params.Encode())
	if err != nil {
		p.t.Fatalf("servertest: authorize: %v", err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		p.t.Fatalf("servertest: authorize stopped at %s: %s", resp.Request.URL.Path, answer(resp))
	}
	if code = back.Query().Get("code"); code == "" {
		p.t.Fatalf("servertest: authorize was refused: %s: %s", back.Query().Get("error"), back.Query().Get("error_description"))
	}
	return code
}

func (p *Provider) redeem(form url.Values) (tokens Tokens) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.endpoint("/token"), strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatalf("servertest: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(tokensClient, string(p.tokens))
	resp, err := p.HTTP.Do(req)
	if err != nil {
		p.t.Fatalf("servertest: token: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("servertest: token: %s", answer(resp))
	}
	if err := json.NewDecoder(resp.Body).Decode(&tokens); err != nil {
		p.t.Fatalf("servertest: token: %v", err)
	}
	return tokens
}

// endpoint returns the URL of an endpoint.
func (p *Provider) endpoint(path string) string {
	switch prefix := p.config.Prefix; prefix {
	case "":
		return p.Issuer + "/oauth" + path
	case "/":
		return p.Issuer + path
	default:
		return p.Issuer + prefix + path
	}
}

// answer shows an answer that was not expected.
func answer(resp *http.Response) string {
	const most = 600
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return fmt.Sprintf("%s, and its body: %v", resp.Status, err)
	}
	return fmt.Sprintf("%s: %s", resp.Status, body)
}
