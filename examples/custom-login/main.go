// Command custom-login shows an identity provider with a login page of its own, a script
// that talks JSON, and a second step: after the password a code is asked for, which this
// example prints to the terminal where yours would send it or ask an authenticator app.
//
//	go run ./examples/custom-login
//
// Open the URL that it prints and sign in as alice with the password "wonderland".
// It listens on loopback and keeps custom-login.db in the working directory.
//
// The files:
//
//	main.go    the provider: its Config, and where it listens
//	login.go   the login by password: login.html is its page, login.js the script
//	factor.go  the second step, with factor.html
//	client.go  a small application that people sign in to, so there is something to see
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, "localhost:8081"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w; stop the program that uses this port, or write another one in main", err)
	}
	defer l.Close()
	backend, err := bolt.Open("custom-login.db")
	if err != nil {
		return err
	}
	defer backend.Close()

	accounts, err := newAccounts()
	if err != nil {
		return err
	}
	issuer := "http://" + address
	idp, err := newProvider(ctx, issuer, backend, &login{accounts}, newFactor(func(user, code string) {
		fmt.Printf("The code for %s is %s\n", user, code)
	}))
	if err != nil {
		return err
	}

	routes := mux.NewRouter()
	if err := idp.Mount(routes); err != nil {
		return err
	}
	newClient(issuer).mount(routes)

	// Run deletes what has expired and rotates the keys. It ends with ctx.
	running := make(chan error, 1)
	go func() { running <- idp.Run(ctx) }()

	fmt.Println("Open " + issuer + " and sign in as alice with the password wonderland")
	web := &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { web.Close() })()
	if err := web.Serve(l); ctx.Err() == nil {
		return err
	}
	return <-running
}

// newProvider is all that an identity provider needs to be told.
func newProvider(ctx context.Context, issuer string, backend storage.Backend, login *login, second *factor) (*server.Server, error) {
	return server.New(ctx, server.Config{
		Issuer: issuer,
		Store:  backend,

		// A function is a Login. The server calls it for the page and for what
		// the page sends; everything of the protocol around it is the server's.
		Login: handlers.LoginFunc(login.serve),

		// A step is a page between the login and the consent.
		Steps: []handlers.Step{second.step()},

		// What clients learn about a person, by the scopes that were granted. It is
		// asked again at every refresh, so an account that is closed stops there.
		Claims: func(_ context.Context, c *handlers.ClaimsRequest) error {
			person, ok := login.accounts[c.Subject]
			if !ok {
				return handlers.Refuse("there is no such account any more")
			}
			c.User["name"] = person.name
			c.User["email"] = person.email
			return nil
		},

		Scopes: []server.Scope{
			{Name: "profile", Description: "See your name"},
			{Name: "email", Description: "See your email address"},
		},
		Clients: []storage.Client{{
			ID: clientID, Name: "The demo application",
			TokenEndpointAuthMethod: storage.AuthMethodNone,
			RedirectURIs:            []string{issuer + "/demo/callback"},
			Scope:                   "openid profile email",
		}},
		Pages: server.Pages{Name: "Custom login"},
	})
}
