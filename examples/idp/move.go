package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage/bolt"
	"github.com/doorward/doorward/storage/moving"
	"github.com/doorward/doorward/storage/postgres"
)

type moveCommand struct {
	ToStore        string   `help:"Move to this file; a new one, or the one that the store was moved away from." placeholder:"FILE"`
	ToPostgres     string   `help:"Move to this PostgreSQL database. Keep a DSN with a password in a file." placeholder:"DSN"`
	ToPostgresFile string   `help:"File with the DSN." placeholder:"FILE"`
	ToSecretFiles  []string `name:"to-secret-file" help:"File with a secret that the new place is opened with. Default: those of the configuration. To leave a file that has a key file, name that: doorward.db.key." placeholder:"FILE"`
}

// Run moves the store, of the server that runs or of the database itself.
func (c *moveCommand) Run(x *call) error {
	s, err := settings.Load(settings.Flags{Where: x.where})
	if err != nil {
		return err
	}
	d, to, err := c.destination(x)
	if err != nil {
		return err
	}
	var moved admin.Moved
	remote, err := admin.Dial(x.ctx, socketOf(s))
	switch {
	case err == nil:
		moved, err = remote.Move(x.ctx, d)
	case errors.Is(err, admin.ErrNobody):
		moved, err = moveDatabase(x, s, d)
	}
	if err != nil {
		return err
	}
	return x.done(moved, "%s", c.text(moved, s, to))
}

// destination reads the flags as a configuration that names the new place.
func (c *moveCommand) destination(x *call) (admin.Destination, *settings.Settings, error) {
	if c.ToStore == "" && c.ToPostgres == "" && c.ToPostgresFile == "" {
		return admin.Destination{}, nil, fmt.Errorf("%w: where to? as in: %s move --to-postgres-file dsn --to-secret-file doorward.db.key", errUsage, self())
	}
	where := x.where
	where.Store, where.Postgres, where.PostgresFile = c.ToStore, c.ToPostgres, c.ToPostgresFile
	if len(c.ToSecretFiles) > 0 {
		where.SecretFiles = c.ToSecretFiles
	}
	to, err := settings.Load(settings.Flags{Where: where})
	if err != nil {
		return admin.Destination{}, nil, err
	}
	d := admin.Destination{Postgres: to.Postgres, Secrets: to.Secrets}
	if d.Postgres == "" { // the server may run in another folder
		d.Store, err = filepath.Abs(to.Store)
	}
	return d, to, err
}

// text says what was done, and what is left to do.
func (c *moveCommand) text(moved admin.Moved, from, to *settings.Settings) string {
	var b strings.Builder
	if moved.Finished {
		fmt.Fprintf(&b, "An earlier move had copied everything: the store lives in %s now.\n", moved.To)
	} else {
		fmt.Fprintf(&b, "The store lives in %s now: %d records, %d of them copied by this command, all compared", moved.To, moved.Records, moved.Copied)
		if moved.Checksum != "" {
			fmt.Fprintf(&b, " (checksum %s)", moved.Checksum)
		}
		fmt.Fprintf(&b, ". It took %v, and writes waited for %v.\n", milliseconds(moved.Milliseconds), milliseconds(moved.HeldMilliseconds))
	}
	fmt.Fprintf(&b, "\nWhat is in %s is old and can't be started any more. Before the next start, change the configuration:\n\n    store:\n", moved.From)
	switch {
	case to.Postgres == "":
		fmt.Fprintf(&b, "      path: %s\n", to.Store)
	case c.ToPostgresFile != "":
		fmt.Fprintf(&b, "      postgres_file: %s\n", c.ToPostgresFile)
	default:
		b.WriteString("      postgres_file: a file with the DSN, readable by its owner only\n")
	}
	switch files := c.ToSecretFiles; {
	case len(files) > 0:
		fmt.Fprintf(&b, "      secret_files: [%s]\n", strings.Join(files, ", "))
		b.WriteString("\nKeep a copy of the secret elsewhere: nothing else opens the database.")
	case len(to.Secrets) > 0:
		b.WriteString("      secret_files: as they are\n")
	default:
		fmt.Fprintf(&b, "\nThe secret is in %s.key; keep a copy of it elsewhere.", to.Store)
	}
	if from.Postgres == "" && len(from.Secrets) == 0 && len(c.ToSecretFiles) > 0 {
		fmt.Fprintf(&b, " %s.key is that secret, so keep it when you remove %s.", from.Store, from.Store)
	}
	return b.String()
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// moveDatabase moves what no server has open.
func moveDatabase(x *call, s *settings.Settings, d admin.Destination) (moved admin.Moved, err error) {
	if s.Postgres == "" && !exists(s.Store) {
		return moved, fmt.Errorf("there is no database %s; name the file by --store", s.Store)
	}
	log := slog.New(slog.NewTextHandler(x.streams.err, &slog.HandlerOptions{Level: slog.LevelError}))
	opened, err := openStore(x.ctx, s, bolt.Options{Logger: log, CompactAbove: -1})
	if err != nil {
		return moved, err
	}
	backend := moving.New(opened)
	moved, err = moveStore(x.ctx, backend, s.Place(), d, log)
	return moved, errors.Join(err, backend.Close())
}

// move moves the store of the running server, whose place changes with it.
func (p *provider) move(ctx context.Context, d admin.Destination) (admin.Moved, error) {
	p.moves.Lock()
	defer p.moves.Unlock()
	moved, err := moveStore(ctx, p.backend, cmp.Or(p.place, p.settings.Place()), d, p.log)
	if err == nil {
		p.place = moved.To
	}
	return moved, err
}

// moveStore opens the destination, moves the store there, and closes the place it has left.
func moveStore(ctx context.Context, backend *moving.Backend, from string, d admin.Destination, log *slog.Logger) (admin.Moved, error) {
	place := d.Store
	if d.Postgres != "" {
		var err error
		if place, err = postgres.Place(d.Postgres); err != nil {
			return admin.Moved{}, err
		}
	}
	existed := d.Postgres != "" || exists(d.Store)
	to, err := openStore(ctx, &settings.Settings{Store: d.Store, Postgres: d.Postgres}, bolt.Options{Logger: log, CompactAbove: -1})
	if err != nil {
		return admin.Moved{}, err
	}
	log.InfoContext(ctx, "moving the store", "from", from, "to", place, "existed", existed)
	old := backend.Unwrap()
	var phase moving.Phase
	report, err := backend.Move(ctx, to, moving.Options{From: from, To: place, Secrets: d.Secrets, Progress: func(p moving.Progress) {
		if p.Phase != phase {
			phase = p.Phase
			log.InfoContext(ctx, "moving the store", "phase", string(p.Phase), "records", p.Total)
		}
	}})
	if backend.Unwrap() == to {
		err = errors.Join(err, old.Close())
	} else {
		err = errors.Join(err, to.Close())
	}
	if err != nil {
		log.WarnContext(ctx, "the store was not moved as it should", "from", from, "to", place, "err", err)
		return admin.Moved{}, err
	}
	log.InfoContext(ctx, "the store has moved: change the configuration before the next start", "from", from, "to", place, "records", report.Records, "held", report.Held.String())
	return admin.Moved{
		From: from, To: place, Records: report.Records, Copied: report.Copied, Deleted: report.Deleted, Checksum: report.Checksum,
		HeldMilliseconds: report.Held.Milliseconds(), Milliseconds: report.Took.Milliseconds(), Finished: report.Finished,
	}, nil
}
