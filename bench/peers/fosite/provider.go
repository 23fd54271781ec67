// Command fosite is the library that Doorward stands on, put together with its own compose
// package and MemoryStore: everything is lost when it ends, and it is what our server would
// cost without pages, sessions, sealing and durable commits. Login is a form and a map.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"

	"github.com/doorward/doorward/bench/peer"
)

func main() { os.Exit(peer.Main(build)) }

func build(_ context.Context, o peer.Options, issuer string) (*peer.Server, error) {
	key, err := peer.Key(o.Algorithm)
	if err != nil {
		return nil, err
	}
	p := &provider{issuer: issuer, algorithm: o.Algorithm, jwt: o.JWT, provider: newProvider(issuer, key, o.JWT)}
	ready := peer.Ready{}
	if o.JWT {
		const reason = "one fosite provider issues one kind of access token; this one is for client credentials"
		ready.Lacks = map[string]string{"login": reason, "signed-in": reason, "refresh": reason, "introspection": reason, "userinfo": reason}
	}
	return &peer.Server{Handler: p.routes(key), Ready: ready}, nil
}

type provider struct {
	issuer    string
	algorithm string
	jwt       bool
	provider  fosite.OAuth2Provider
	sessions  peer.Sessions
}

// digest compares secrets by SHA-256. The bcrypt that fosite brings takes 60 ms for each
// request, and Doorward computes a slow hash once for each client and process.
type digest struct{}

func (digest) Hash(_ context.Context, secret []byte) ([]byte, error) {
	sum := sha256.Sum256(secret)
	return sum[:], nil
}

func (digest) Compare(_ context.Context, hash, secret []byte) error {
	sum := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(hash, sum[:]) != 1 {
		return errors.New("the secret is wrong")
	}
	return nil
}

func newProvider(issuer string, key crypto.Signer, asJWT bool) fosite.OAuth2Provider {
	secret := make([]byte, 32)
	rand.Read(secret)
	config := &fosite.Config{
		GlobalSecret: secret, IDTokenIssuer: issuer, AccessTokenIssuer: issuer, TokenURL: issuer + "/token",
		EnforcePKCE: true, ClientSecretsHasher: digest{}, RefreshTokenScopes: []string{},
		ScopeStrategy: fosite.ExactScopeStrategy, AudienceMatchingStrategy: fosite.DefaultAudienceMatchingStrategy,
	}
	keys := func(context.Context) (any, error) { return key, nil }
	var tokens oauth2.CoreStrategy = compose.NewOAuth2HMACStrategy(config)
	if asJWT {
		tokens = compose.NewOAuth2JWTStrategy(keys, tokens, config)
	}
	return compose.Compose(config, &memory{MemoryStore: clients()}, &compose.CommonStrategy{
		CoreStrategy: tokens, OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(keys, config), Signer: &jwt.DefaultSigner{GetPrivateKey: keys},
	},
		compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OpenIDConnectExplicitFactory, compose.OpenIDConnectRefreshFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory, compose.OAuth2PKCEFactory, compose.PushedAuthorizeHandlerFactory,
	)
}

func clients() *storage.MemoryStore {
	store := storage.NewMemoryStore()
	hash := func(secret string) []byte {
		sum := sha256.Sum256([]byte(secret))
		return sum[:]
	}
	store.Clients[peer.Machine] = &fosite.DefaultClient{
		ID: peer.Machine, Secret: hash(peer.MachineSecret), GrantTypes: []string{"client_credentials"}, Scopes: []string{peer.Scope}, Audience: []string{peer.Audience},
	}
	store.Clients[peer.Web] = &fosite.DefaultClient{
		ID: peer.Web, Secret: hash(peer.WebSecret), RedirectURIs: []string{peer.RedirectURI}, ResponseTypes: []string{"code"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, Scopes: []string{"openid", peer.Scope}, Audience: []string{peer.Audience},
	}
	return store
}

// session is what fosite keeps about a person, or of a machine.
func (p *provider) session(who string, machine bool) fosite.Session {
	header := &jwt.Headers{Extra: map[string]any{"kid": peer.KeyID}}
	if p.jwt && machine {
		return &oauth2.JWTSession{JWTClaims: &jwt.JWTClaims{Issuer: p.issuer, Subject: peer.Machine, Audience: []string{peer.Audience}}, JWTHeader: header}
	}
	now := time.Now().UTC()
	return &openid.DefaultSession{
		Claims: &jwt.IDTokenClaims{Issuer: p.issuer, Subject: who, RequestedAt: now, AuthTime: now}, Headers: header, Subject: who, Username: who,
	}
}

func (p *provider) routes(key crypto.Signer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.HandleFunc("/introspect", p.introspect)
	mux.HandleFunc("/userinfo", p.userInfo)
	mux.HandleFunc("/revoke", p.revoke)
	mux.HandleFunc("/par", p.push)
	mux.Handle("/login", &p.sessions)
	mux.HandleFunc("/jwks", peer.KeySet(key, p.algorithm))
	mux.HandleFunc("/.well-known/openid-configuration", p.discovery)
	return mux
}

// fail says why a request of the comparison did not work, so that it can be mended.
func fail(w http.ResponseWriter, what string, err error) {
	http.Error(w, fmt.Sprint("fosite: ", what, ": ", fosite.ErrorToRFC6749Error(err).WithExposeDebug(true).GetDescription()), http.StatusBadRequest)
}
