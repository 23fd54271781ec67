// Command gooauth2 is go-oauth2/oauth2 with its memory store, or with its file store where
// a folder is given. It knows neither OpenID Connect nor discovery, introspection,
// userinfo, revocation and pushed requests. Login is a form and a map.
package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/generates"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
	"github.com/go-oauth2/oauth2/v4/store"
	"github.com/golang-jwt/jwt/v5"

	"github.com/doorward/doorward/bench/peer"
)

func main() { os.Exit(peer.Main(build)) }

func build(_ context.Context, o peer.Options, issuer string) (*peer.Server, error) {
	manager, err := newManager(o)
	if err != nil {
		return nil, err
	}
	sessions := &peer.Sessions{}
	s := server.NewServer(&server.Config{
		TokenType: "Bearer", ForcePKCE: true,
		AllowedResponseTypes:        []oauth2.ResponseType{oauth2.Code},
		AllowedGrantTypes:           []oauth2.GrantType{oauth2.AuthorizationCode, oauth2.ClientCredentials, oauth2.Refreshing},
		AllowedCodeChallengeMethods: []oauth2.CodeChallengeMethod{oauth2.CodeChallengeS256},
	}, manager)
	s.SetClientInfoHandler(server.ClientBasicHandler)
	s.SetUserAuthorizationHandler(func(w http.ResponseWriter, r *http.Request) (string, error) {
		return sessions.Person(w, r), nil
	})
	mux := http.NewServeMux()
	mux.Handle("/login", sessions)
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		if err := s.HandleAuthorizeRequest(w, r); err != nil {
			http.Error(w, "go-oauth2: "+err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if err := s.HandleTokenRequest(w, r); err != nil {
			http.Error(w, "go-oauth2: "+err.Error(), http.StatusInternalServerError)
		}
	})
	return &peer.Server{Handler: mux, Ready: peer.Ready{
		Plain:     true,
		Endpoints: &peer.Endpoints{Authorization: issuer + "/authorize", Token: issuer + "/token"},
	}}, nil
}

func newManager(o peer.Options) (*manage.Manager, error) {
	manager := manage.NewDefaultManager()
	manager.SetAuthorizeCodeTokenCfg(&manage.Config{AccessTokenExp: time.Hour, RefreshTokenExp: 30 * 24 * time.Hour, IsGenerateRefresh: true})
	manager.SetRefreshTokenCfg(&manage.RefreshingConfig{
		AccessTokenExp: time.Hour, RefreshTokenExp: 30 * 24 * time.Hour,
		IsGenerateRefresh: true, IsRemoveAccess: true, IsRemoveRefreshing: true,
	})
	tokens, err := store.NewMemoryTokenStore()
	if o.Dir != "" {
		tokens, err = store.NewFileTokenStore(filepath.Join(o.Dir, "tokens.db"))
	}
	if err != nil {
		return nil, err
	}
	manager.MapTokenStorage(tokens)
	clients := store.NewClientStore()
	for _, client := range []*models.Client{
		{ID: peer.Machine, Secret: peer.MachineSecret},
		{ID: peer.Web, Secret: peer.WebSecret, Domain: "https://web.test"},
	} {
		if err := clients.Set(client.ID, client); err != nil {
			return nil, err
		}
	}
	manager.MapClientStorage(clients)
	if o.JWT {
		generate, err := newGenerate(o.Algorithm)
		if err != nil {
			return nil, err
		}
		manager.MapAccessGenerate(generate)
	}
	return manager, nil
}

// newGenerate makes what signs access tokens.
func newGenerate(algorithm string) (oauth2.AccessGenerate, error) {
	key, err := peer.Key(algorithm)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return generates.NewJWTAccessGenerate(peer.KeyID, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), jwt.GetSigningMethod(algorithm)), nil
}
