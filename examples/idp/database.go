package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

type backupCommand struct {
	File    string `arg:"" help:"The new file; one that is there is never overwritten."`
	WithKey bool   `help:"Copy the key file too, to FILE.key. Keep it elsewhere: together they open everything."`
}

// Run copies the database as it is at this moment.
func (c *backupCommand) Run(x *call) error {
	s, err := settings.Load(settings.Flags{Where: x.where})
	if err != nil {
		return err
	}
	if s.Postgres != "" {
		return notAFile("back it up by its own tools, as pg_dump, and keep the files of secrets elsewhere", s)
	}
	made := struct {
		File  string `json:"file"`
		Bytes int64  `json:"bytes"`
		Key   string `json:"key,omitempty"`
	}{File: c.File}
	err = withAPI(x, false, func(ctx context.Context, api admin.API) error {
		made.Bytes, err = bolt.SaveBackup(ctx, c.File, func(w io.Writer) (int64, error) { return api.Backup(ctx, w) })
		return err
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s is backed up to %s (%s).", s.Store, c.File, inBytes(made.Bytes))
	switch {
	case c.WithKey:
		made.Key = c.File + ".key"
		if err := bolt.BackupKey(s.Store, c.File); err != nil {
			return fmt.Errorf("the backup %s was made, but its key file was not copied: %w", c.File, err)
		}
		text += " Its key file is " + made.Key + "; keep it elsewhere, together they open everything."
	case exists(s.Store + ".key"):
		text += " It opens only with " + s.Store + ".key: keep a copy of that too, elsewhere."
	}
	return x.done(made, "%s", text)
}

type checkCommand struct {
	File string `arg:"" optional:"" help:"A backup, or another database that is not in use. Default: the provider's own database, with every seal."`
}

// Run says what is damaged, or that nothing is.
func (c *checkCommand) Run(x *call) error {
	if c.File != "" {
		records, err := bolt.Verify(x.ctx, c.File)
		if err != nil {
			return err
		}
		return x.done(admin.Checked{Records: records}, "OK: %s is whole and has %d records. Whether they open, its key can tell.", c.File, records)
	}
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		checked, err := api.Check(ctx)
		if err != nil {
			return err
		}
		if s, err := settings.Load(settings.Flags{Where: x.where}); err == nil && s.Postgres != "" {
			return x.done(checked, "OK: of the %d records the %d sealed ones of this issuer open. Pages are for PostgreSQL's own tools, as pg_amcheck.", checked.Records, checked.Opened)
		}
		return x.done(checked, "OK: every page and all %d records are sound; the %d sealed ones of this issuer open.", checked.Records, checked.Opened)
	})
}

func notAFile(advice string, s *settings.Settings) error {
	return fmt.Errorf("the state is in %s, not in a file: %s", s.Place(), advice)
}

type compactCommand struct{}

// Run compacts the file, which no server may have open.
func (c *compactCommand) Run(x *call) error {
	s, err := settings.Load(settings.Flags{Where: x.where})
	if err != nil {
		return err
	}
	if s.Postgres != "" {
		return notAFile("it gives space back by itself (autovacuum)", s)
	}
	remote, err := admin.Dial(x.ctx, socketOf(s))
	if err == nil {
		status, err := remote.Status(x.ctx)
		if err != nil {
			return err
		}
		return fmt.Errorf("process %d serves %s: stop it first; or restart it, a start compacts a file that is large and more than half free", status.PID, s.Store)
	}
	if !errors.Is(err, admin.ErrNobody) {
		return err
	}
	before, err := os.Stat(s.Store)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database %s; name the file by --store", s.Store)
	}
	if err != nil {
		return err
	}
	if err := bolt.Compact(x.ctx, s.Store, s.Store); err != nil {
		return err
	}
	after, err := os.Stat(s.Store)
	if err != nil {
		return err
	}
	return x.done(map[string]any{"file": s.Store, "before_bytes": before.Size(), "file_bytes": after.Size()},
		"%s is compacted: %s, before %s.", s.Store, inBytes(after.Size()), inBytes(before.Size()))
}

type statsCommand struct{}

// Run shows what the database holds.
func (c *statsCommand) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		s, err := api.Stats(ctx)
		if err != nil {
			return err
		}
		if x.json {
			return x.printJSON(s)
		}
		fmt.Fprintf(x.streams.out, "sealing  by data key %d%s\n", s.DataKeys.Current, older(s.DataKeys))
		if s.Database == admin.OnPostgres {
			fmt.Fprintf(x.streams.out, "tables   %s, with their indexes\n", inBytes(s.FileBytes))
			fmt.Fprintf(x.streams.out, "writing  %d commits, %d connections, %d waits for one, since it was opened\n\n", s.Commits, s.Connections, s.Waits)
			return printKinds(x, s.Kinds)
		}
		fmt.Fprintf(x.streams.out, "file     %s, of which %s are free (%d pages of %s)\n", inBytes(s.FileBytes), inBytes(s.FreeBytes), s.FreePages, inBytes(int64(s.PageBytes)))
		fmt.Fprintf(x.streams.out, "writing  %d commits for %d batches (%.1f each), %d syncs, since it was opened\n", s.Commits, s.Batches, s.AverageBatch, s.Syncs)
		fmt.Fprintf(x.streams.out, "sweeping %d records in %d commits, the longest held the writer for %.1f ms\n\n", s.Swept, s.Sweeps, s.LongestSweep)
		return printKinds(x, s.Kinds)
	})
}

// older says how far the rotation of the data keys is.
func older(k storage.DataKeys) string {
	if k.Older == 0 {
		return ", and no other"
	}
	return fmt.Sprintf("; %d older kept, of %d records looked at %d were sealed anew", k.Older, k.Looked, k.Resealed)
}

type rotateCommand struct{}

// Run makes a new data key.
func (c *rotateCommand) Run(x *call) error {
	return withAPI(x, false, func(ctx context.Context, api admin.API) error {
		k, err := api.RotateDataKey(ctx)
		if err != nil {
			return err
		}
		return x.done(k, "Data key %d seals from now on. The server seals older records anew while it runs; idp stats shows how far it is.", k.Current)
	})
}

func printKinds(x *call, kinds []storage.Tally) error {
	return table(x.streams.out, "KIND\tLIVE\tEXPIRED\tBYTES\tOF", kinds, func(t storage.Tally) string {
		return strings.Join([]string{t.Kind, strconv.Itoa(t.Live), strconv.Itoa(t.Expired), inBytes(t.Bytes), t.Namespace}, "\t")
	})
}

// inBytes writes a size for people.
func inBytes(n int64) string {
	const unit = 1 << 10
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, name := float64(n), ""
	for _, name = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size /= unit; size < unit {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", size, name)
}
