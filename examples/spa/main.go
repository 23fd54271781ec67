// Command spa shows an application that lives in the browser alone: a page without
// dependencies that signs people in by code and PKCE, binds its tokens to a key that
// never leaves the browser (DPoP), refreshes them, and signs out.
//
//	go run ./examples/spa
//
// Open the URL that it prints and sign in as alice with the password "wonderland". The
// page and the identity provider have different origins, as they would in production.
// It listens on loopback and keeps spa.db in the working directory.
//
// The files:
//
//	main.go          the provider, and a web server for the page
//	page/oauth.js    all that the page knows of OAuth, to take along
//	page/app.js      the buttons
//	page/index.html  what it looks like
package main

import (
	"context"
	"crypto/subtle"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

//go:embed page
var files embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, "localhost:8082", "localhost:8083"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, provider, page string) error {
	var listeners []net.Listener
	for _, address := range []string{provider, page} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("%w; stop the program that uses this port, or write another one in main", err)
		}
		defer l.Close()
		listeners = append(listeners, l)
	}
	backend, err := bolt.Open("spa.db")
	if err != nil {
		return err
	}
	defer backend.Close()
	issuer, application := "http://"+provider, "http://"+page
	idp, err := newProvider(ctx, issuer, application, backend)
	if err != nil {
		return err
	}
	web, err := newPage(issuer)
	if err != nil {
		return err
	}
	go idp.Run(ctx)
	fmt.Println("Open " + application + " and sign in as alice with the password wonderland")
	ended := make(chan error, 2)
	for i, handler := range []http.Handler{idp.Handler(), web} {
		web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		defer context.AfterFunc(ctx, func() { web.Close() })()
		go func() { ended <- web.Serve(listeners[i]) }()
	}
	select {
	case err := <-ended:
		if ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
	}
	return nil
}

const clientID = "spa"

func newProvider(ctx context.Context, issuer, application string, backend storage.Backend) (*server.Server, error) {
	return server.New(ctx, server.Config{
		Issuer: issuer,
		Store:  backend,
		Login: handlers.PasswordLogin{Verify: func(_ context.Context, username, password string) (handlers.Subject, error) {
			if username == "alice" && subtle.ConstantTimeCompare([]byte(password), []byte("wonderland")) == 1 {
				return handlers.Subject{ID: "alice", AMR: []string{"pwd"}}, nil
			}
			return handlers.Subject{}, handlers.ErrWrongPassword
		}},
		Claims: func(_ context.Context, c *handlers.ClaimsRequest) error {
			c.User["name"] = "Alice Liddell"
			return nil
		},
		Scopes: []server.Scope{{Name: "profile", Description: "See your name"}},
		Clients: []storage.Client{{
			ID: clientID, Name: "A page in your browser",
			TokenEndpointAuthMethod: storage.AuthMethodNone, // whoever reads the page would read a secret
			RedirectURIs:            []string{application + "/"},
			PostLogoutRedirectURIs:  []string{application + "/"},
			Scope:                   "openid profile",
			// Every token is bound to the key of the page, so a stolen one is of no use.
			DPoPBoundAccessTokens: true,
		}},
		Pages: server.Pages{Name: "The provider"},
	})
}

// newPage serves the page, which may talk to itself and to the provider and runs no
// script but its own.
func newPage(issuer string) (http.Handler, error) {
	routes := http.NewServeMux()
	index, err := template.ParseFS(files, "page/index.html")
	if err != nil {
		return nil, err
	}
	page, err := fs.Sub(files, "page")
	if err != nil {
		return nil, err
	}
	routes.Handle("/", http.FileServerFS(page))
	routes.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := index.Execute(w, map[string]string{"Issuer": issuer, "ClientID": clientID}); err != nil {
			log.Print(err)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' "+issuer+"; base-uri 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer") // the code is in the address for a moment
		w.Header().Set("X-Content-Type-Options", "nosniff")
		routes.ServeHTTP(w, r)
	}), nil
}
