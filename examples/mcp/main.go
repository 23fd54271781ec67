// Command mcp is an MCP server with its own sign-in, in one process: Claude, ChatGPT, VS
// Code and every other client that follows the specification connects to its URL alone,
// without having been registered, and acts for the person who signed in.
//
//	go run ./examples/mcp
//
// It listens on loopback and keeps mcp.db in the working directory. Add the URL that it
// prints to a client, and sign in as alice with the password "wonderland".
package main

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, "localhost:8084"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w; stop the program that uses this port, or write another one in main", err)
	}
	defer l.Close()
	backend, err := bolt.Open("mcp.db")
	if err != nil {
		return err
	}
	defer backend.Close()
	issuer := "http://" + address
	idp, handler, err := newServer(ctx, settings(issuer, backend))
	if err != nil {
		return err
	}
	go idp.Run(ctx)
	fmt.Println("Add " + issuer + "/mcp to an MCP client, and sign in as alice with the password wonderland")
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { web.Close() })()
	if err := web.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// settings are all that people and clients need to sign in.
func settings(issuer string, backend storage.Backend) server.Config {
	return server.Config{
		Issuer: issuer,
		Store:  backend,
		Login: handlers.PasswordLogin{Verify: func(_ context.Context, username, password string) (handlers.Subject, error) {
			if username == "alice" && subtle.ConstantTimeCompare([]byte(password), []byte("wonderland")) == 1 {
				return handlers.Subject{ID: "alice", AMR: []string{"pwd"}}, nil
			}
			return handlers.Subject{}, handlers.ErrWrongPassword
		}},
		MCP:    []string{issuer + "/mcp"},
		Scopes: []server.Scope{{Name: "notes:read", Description: "Read your notes"}},
		Pages:  server.Pages{Name: "Notes"},
	}
}

func newServer(ctx context.Context, config server.Config) (*server.Server, http.Handler, error) {
	idp, err := server.New(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	tools := mcp.NewStreamableHTTPHandler(notes, &mcp.StreamableHTTPOptions{Stateless: true})
	routes := http.NewServeMux()
	routes.Handle("/", idp.Handler())
	routes.Handle("/mcp", idp.API(config.MCP[0]).Require("notes:read")(tools))
	return idp, routes, nil
}

// notes is the MCP server for one request, which carries a token of whoever signed in.
func notes(r *http.Request) *mcp.Server {
	token := bearer.FromContext(r.Context())
	s := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "read_notes", Description: "Read the notes of the person who is signed in"},
		func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			text := &mcp.TextContent{Text: token.Subject + " has no notes yet"}
			return &mcp.CallToolResult{Content: []mcp.Content{text}}, nil, nil
		})
	return s
}
