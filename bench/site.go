package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/doorward/doorward/bench/peer"
)

// site is a provider as the load knows it.
type site struct {
	issuer    string
	endpoints peer.Endpoints
	lacks     map[string]string // why it can't do an operation
	plain     bool              // it knows no OpenID Connect
	constant  bool              // its answers are made up

	machine, web credentials
	redirectURI  string
	machineScope string
	webScope     string
	person       string // empty: another one at each login
	password     string
	algorithm    string // of what it signs
	jwt          bool   // access tokens of the machine are JWTs

	process process // that is measured; nil: none
}

// credentials are those of a client.
type credentials struct{ id, secret string }

// basic is the header that authenticates the client. RFC 6749 §2.3.1
func (c credentials) basic() string {
	pair := url.QueryEscape(c.id) + ":" + url.QueryEscape(c.secret)
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) + "\r\n"
}

// newSite is the provider of an issuer with the clients of the comparison.
func newSite(issuer string) *site {
	return &site{
		issuer: issuer, machine: credentials{peer.Machine, peer.MachineSecret}, web: credentials{peer.Web, peer.WebSecret},
		redirectURI: peer.RedirectURI, machineScope: peer.Scope, webScope: "openid", password: peer.Password, algorithm: "ES256",
	}
}

// discover reads the endpoints from the metadata. OpenID Connect Discovery 1.0 §4
func (s *site) discover(ctx context.Context) error {
	address := strings.TrimSuffix(s.issuer, "/") + "/.well-known/openid-configuration"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	a, err := client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err != nil {
		return err
	}
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, a.Status)
	}
	if err := json.Unmarshal(text, &s.endpoints); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	s.endpoints.Discovery = address
	return nil
}

// verify checks the signatures of an answer of the token endpoint, and that the ID token
// is for this client and this nonce. It is for the first answers: the cost would be the
// load's. OpenID Connect Core §3.1.3.7
func (s *site) verify(ctx context.Context, clientID, nonce, access, id string) error {
	if s.constant {
		return nil
	}
	keys := oidc.NewRemoteKeySet(ctx, s.endpoints.JWKS)
	if strings.Count(access, ".") == 2 && !s.plain {
		if err := s.signed(access); err != nil {
			return fmt.Errorf("access token: %w", err)
		}
		if _, err := keys.VerifySignature(ctx, access); err != nil {
			return fmt.Errorf("access token: %w", err)
		}
	}
	if id == "" {
		return nil
	}
	if err := s.signed(id); err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	token, err := oidc.NewVerifier(s.issuer, keys, &oidc.Config{ClientID: clientID, SupportedSigningAlgs: []string{"RS256", "ES256", "EdDSA", "PS256"}}).Verify(ctx, id)
	if err != nil {
		return err
	}
	if nonce != "" && token.Nonce != nonce {
		return fmt.Errorf("ID token: the nonce is %q, not the one that was sent", token.Nonce)
	}
	return nil
}

// signed checks by which algorithm a token is signed.
func (s *site) signed(token string) error {
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return err
	}
	var header struct{ Alg string }
	if err := json.Unmarshal(text, &header); err != nil {
		return err
	}
	if s.algorithm != "" && header.Alg != s.algorithm {
		return fmt.Errorf("it is signed by %s, not by %s", header.Alg, s.algorithm)
	}
	return nil
}
