package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/gorilla/mux"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// currentUser stands for what an application has already: who is signed in.
func currentUser(r *http.Request) (handlers.Subject, error) {
	cookie, err := r.Cookie("session")
	if err != nil {
		return handlers.Subject{}, nil // nobody
	}
	return handlers.Subject{ID: cookie.Value}, nil
}

// quiet keeps the examples' output to what they print.
var quiet = slog.New(slog.DiscardHandler)

// Three fields make an application with a session of its own an identity provider.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	idp, err := server.New(ctx, server.Config{
		Issuer: "http://localhost:8080",
		Store:  memory.New(), // bolt.Open("doorward.db") outlives the process
		Login:  handlers.ExistingSession{CurrentUser: currentUser, LoginURL: "/login"},
		Logger: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	routes := mux.NewRouter()
	if err := idp.Mount(routes); err != nil {
		log.Fatal(err)
	}
	go idp.Run(ctx)

	// A client finds the rest by itself.
	w := httptest.NewRecorder()
	routes.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil))
	var metadata struct {
		Issuer string `json:"issuer"`
		Token  string `json:"token_endpoint"`
	}
	if err := json.NewDecoder(w.Body).Decode(&metadata); err != nil {
		log.Fatal(err)
	}
	fmt.Println(metadata.Issuer)
	fmt.Println(metadata.Token)
	// Output:
	// http://localhost:8080
	// http://localhost:8080/oauth/token
}

// A login page of one's own is one function for GET and POST.
func Example_ownLogin() {
	login := func(w http.ResponseWriter, r *http.Request, in *handlers.Interaction) {
		if r.Method == http.MethodPost {
			if r.PostFormValue("password") == "wonderland" { // your own check stands here
				in.Accept(w, r, handlers.Subject{ID: "alice", AMR: []string{"pwd"}})
				return
			}
			in.Error = errors.New("This password is not right. Please try again.")
		}
		if !in.Interactive() {
			return // prompt=none: no page may be shown
		}
		fmt.Fprintf(w, `<form method="post" action=%q><input name="password" type="password"></form>`, in.Action)
	}
	_, err := server.New(context.Background(), server.Config{
		Issuer: "http://localhost:8080",
		Store:  memory.New(),
		Login:  handlers.LoginFunc(login),
		Logger: quiet,
	})
	fmt.Println(err)
	// Output: <nil>
}

// All problems are reported at once, each with what to write.
func ExampleNew_problems() {
	_, err := server.New(context.Background(), server.Config{
		Issuer: "https://id.example.com/",
		Login:  handlers.ExistingSession{CurrentUser: currentUser, LoginURL: "/login"},
	})
	fmt.Println(err)
	// Output:
	// server: Issuer: found "https://id.example.com/", which ends in a slash; write "https://id.example.com"
	// server: Store: found nothing; open a database, as in bolt.Open("doorward.db")
}

// Clients can be made while the server runs. A generated secret is shown once.
func ExampleClients_Create() {
	ctx := context.Background()
	idp, err := server.New(ctx, server.Config{
		Issuer: "http://localhost:8080",
		Store:  memory.New(),
		Login:  handlers.ExistingSession{CurrentUser: currentUser, LoginURL: "/login"},
		Scopes: []server.Scope{{Name: "notes:read", Description: "Read your notes"}},
		Logger: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	client, secret, err := idp.Clients().Create(ctx, storage.Client{
		ID:           "partner",
		Name:         "A partner's application",
		RedirectURIs: []string{"https://partner.example.com/callback"},
		Scope:        "openid notes:read",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.ID, client.Grants(), len(secret) > 40)

	_, _, err = idp.Clients().Create(ctx, storage.Client{
		ID:           "cli",
		RedirectURIs: []string{"https://partner.example.com/callback"},
		Scope:        "notes:delete",
		GrantTypes:   []string{"password"},
	})
	fmt.Println(err)
	// Output:
	// partner [authorization_code refresh_token] true
	// server: grant_types[0]: found "password"; write one of authorization_code, refresh_token, client_credentials
	// server: scope: found "notes:delete"; write scopes that the server knows (openid offline_access notes:read), or add it to Config.Scopes
}
