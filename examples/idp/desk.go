package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/moving"
)

// withAPI does something with the server that runs, or, when none does, with the
// database itself. With create a database is made where there is none.
func withAPI(x *call, create bool, do func(ctx context.Context, api admin.API) error) error {
	s, err := settings.Load(settings.Flags{Where: x.where})
	if err != nil {
		return err
	}
	remote, err := admin.Dial(x.ctx, socketOf(s))
	switch {
	case err == nil:
		status, err := remote.Status(x.ctx)
		if err != nil {
			return err
		}
		if s.Issuer != "" && s.Issuer != status.Issuer && s.Postgres != "" {
			break // the socket is that of another replica; this database may have several open
		}
		if s.Issuer != "" && s.Issuer != status.Issuer {
			return fmt.Errorf("the server that runs on %s has the issuer %s, not %s; leave the issuer out, or name the database of the other one by --store", s.Store, status.Issuer, s.Issuer)
		}
		return do(x.ctx, remote)
	case !errors.Is(err, admin.ErrNobody):
		return err
	}
	if s.Postgres == "" && !create && !exists(s.Store) {
		return fmt.Errorf("there is no database %s; start the server first (%s), or name the file by --store", s.Store, self())
	}
	// Warnings are of use here; what happened is not news to who asked for it.
	log := slog.New(slog.NewTextHandler(x.streams.err, &slog.HandlerOptions{Level: slog.LevelError}))
	// A command that only looks does not compact.
	opened, err := openStore(x.ctx, s, bolt.Options{Logger: log, CompactAbove: -1})
	if err != nil {
		return err
	}
	backend := moving.New(opened)
	err = func() error {
		last, err := lastIssuer(x.ctx, backend)
		if err == nil && last == "" && !create {
			err = fmt.Errorf("%s has served nobody yet; start the server first (%s)", s.Place(), self())
		}
		if err != nil {
			return err
		}
		issuer, err := issuerOf(x.ctx, s, backend)
		if err != nil {
			return err
		}
		p, err := newProvider(x.ctx, s, issuer, backend, log)
		if err != nil {
			return err
		}
		if err := rememberIssuer(x.ctx, backend, p.server, log); err != nil {
			return err
		}
		return do(x.ctx, p.local())
	}()
	return errors.Join(err, backend.Close())
}

// issuerOf is the issuer that a command means: the one that was named, else the one
// that the database served last.
func issuerOf(ctx context.Context, s *settings.Settings, backend storage.Backend) (string, error) {
	if s.Issuer != "" {
		return s.Issuer, nil
	}
	last, err := lastIssuer(ctx, backend)
	if err != nil || last != "" {
		return last, err
	}
	return s.IssuerAt(s.Port()), nil
}

// printJSON writes a value for scripts.
func (x *call) printJSON(value any) error {
	e := json.NewEncoder(x.streams.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// readSecret reads one line of standard input, or all of it when it has no end of
// line: a secret never stands in the arguments, where every user of the machine and
// the shell's history see it.
func (x *call) readSecret(what string) (storage.Secret, error) {
	const most = 4 << 10
	body, err := io.ReadAll(io.LimitReader(x.streams.in, most))
	if err != nil {
		return "", fmt.Errorf("read the %s from standard input: %w", what, err)
	}
	line, _, _ := strings.Cut(string(body), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("%w: no %s came on standard input; write it there, as in: printf %%s \"$SECRET\" | %s", errUsage, what, self())
	}
	return storage.Secret(line), nil
}
