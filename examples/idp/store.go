package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/postgres"
)

// openStore opens the file or the PostgreSQL database that the settings name.
func openStore(ctx context.Context, s *settings.Settings, o bolt.Options) (storage.Backend, error) {
	if s.Postgres != "" {
		backend, err := postgres.OpenWith(ctx, s.Postgres, postgres.Options{Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		return backend, nil
	}
	backend, err := bolt.OpenWith(s.Store, o)
	if err != nil {
		return nil, err
	}
	return backend, nil
}

// isFile says that the state is in a file which is there.
func isFile(s *settings.Settings) bool { return s.Postgres == "" && exists(s.Store) }

// exists says whether there is a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// socketOf is where commands reach the server: beside its database file, or for
// PostgreSQL in the folder that the system keeps for this user, else in the working
// directory.
func socketOf(s *settings.Settings) string {
	switch folder := os.Getenv("XDG_RUNTIME_DIR"); {
	case s.AdminSocket != "":
		return admin.Shorter(s.AdminSocket)
	case s.Postgres == "":
		return admin.Shorter(s.Store + ".sock")
	default:
		return admin.Shorter(filepath.Join(folder, s.SocketName()))
	}
}
