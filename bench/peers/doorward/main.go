// Command doorward is our server as a host would run it: one bbolt file with durable
// commits, or PostgreSQL, ES256 or RS256. Only the password check is a stub, and the limit
// of sign-ins of one person is off, because few people sign in very often here.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/doorward/doorward/bench/peer"
	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/postgres"
)

func main() { os.Exit(peer.Main(build)) }

func build(ctx context.Context, o peer.Options, issuer string) (*peer.Server, error) {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if o.Postgres != "" {
		backend, err := postgres.OpenWith(ctx, o.Postgres, postgres.Options{Logger: log})
		if err != nil {
			return nil, err
		}
		return over(ctx, o, issuer, backend, log, nil)
	}
	if o.Dir == "" {
		return nil, errors.New("doorward: -dir is needed, for the database")
	}
	name := filepath.Join(o.Dir, "doorward.db")
	backend, err := bolt.OpenWith(name, bolt.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return over(ctx, o, issuer, backend, log, func() peer.Stats { return stats(name, backend.Stats()) })
}

// over makes the server over a backend, which it closes.
func over(ctx context.Context, o peer.Options, issuer string, backend storage.Backend, log *slog.Logger, stats func() peer.Stats) (*peer.Server, error) {
	s, err := server.New(ctx, config(o, issuer, backend, log))
	if err != nil {
		return nil, errors.Join(err, backend.Close())
	}
	return &peer.Server{Handler: s.Handler(), Run: s.Run, Close: backend.Close, Stats: stats}, nil
}

func config(o peer.Options, issuer string, backend storage.Backend, log *slog.Logger) server.Config {
	machine := storage.Client{ID: peer.Machine, Secret: peer.MachineSecret, Scope: peer.Scope, DefaultScope: peer.Scope}
	if o.JWT {
		machine.AccessTokenFormat = storage.AccessTokenJWT
	}
	clients := []storage.Client{machine, {
		ID: peer.Web, Secret: peer.WebSecret, FirstParty: true, RedirectURIs: []string{peer.RedirectURI},
		Scope: "openid " + peer.Scope, IDTokenSignedResponseAlg: o.Algorithm,
	}}
	for i := range o.Clients {
		clients = append(clients, storage.Client{
			ID: fmt.Sprintf("further-%d", i), TokenEndpointAuthMethod: storage.AuthMethodNone,
			RedirectURIs: []string{fmt.Sprintf("https://further-%d.test/cb", i)}, Scope: "openid " + peer.Scope,
		})
	}
	var secrets [][]byte
	if o.Postgres != "" { // a file keeps one beside it
		secrets = [][]byte{[]byte("0Qw5kq3n8c1TzVb7LrXe4mYh9uJp2sGd")}
	}
	return server.Config{
		Issuer: issuer, Secrets: secrets, Store: backend, Clients: clients, DefaultAudience: peer.Audience, Logger: log,
		Login: handlers.PasswordLogin{Verify: func(_ context.Context, username, _ string) (handlers.Subject, error) {
			return handlers.Subject{ID: username}, nil
		}},
		Scopes: []server.Scope{{Name: peer.Scope, Description: "Read your notes"}},
		Keys:   server.Keys{Algorithms: []string{o.Algorithm}},
		Limits: server.Limits{Begun: -1, Grants: -1},
	}
}
