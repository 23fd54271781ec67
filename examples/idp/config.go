package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/doorward/doorward/examples/idp/settings"
	"github.com/doorward/doorward/storage/memory"
	"github.com/doorward/doorward/storage/moving"
)

type configCommands struct {
	Check configCheck `cmd:"" help:"Print all that is wrong with a configuration file, or OK."`
}

type configCheck struct {
	File string `arg:"" optional:"" help:"The file. Default: that of --config."`
}

// Run checks the file as a start would, on a database in memory.
func (c *configCheck) Run(x *call) error {
	where := x.where
	if c.File != "" {
		where.Config = c.File
	}
	if where.Config == "" {
		return fmt.Errorf("%w: which file? as in: %s config check doorward.yaml", errUsage, self())
	}
	if err := check(x.ctx, where); err != nil {
		return err
	}
	return x.done(map[string]string{"file": where.Config, "state": "ok"}, "OK: %s", where.Config)
}

func check(ctx context.Context, where settings.Where) error {
	s, loaded := settings.Load(settings.Flags{Where: where})
	found := settings.Merge(loaded, dryRun(ctx, s))
	if s.TLS() && loaded == nil {
		if _, err := openKeyPair(s.Cert, s.Key, slog.New(slog.DiscardHandler)); err != nil {
			found = settings.Merge(s.Problem("tls", "", strings.TrimPrefix(err.Error(), "tls: ")), found)
		}
	}
	return found
}

// dryRun puts a provider together as a start would.
func dryRun(ctx context.Context, s *settings.Settings) error {
	port := s.Port()
	if port == 0 {
		port = 8080 // any: the issuer only has to have one
	}
	_, err := newProvider(ctx, s, s.IssuerAt(port), moving.New(memory.New()), slog.New(slog.DiscardHandler))
	return err
}

type versionCommand struct{}

// Run prints what this program was built from.
func (c *versionCommand) Run(x *call) error {
	version, revision := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return x.done(map[string]string{"version": version, "revision": revision, "go": runtime.Version()}, "idp %s (%s)", version, runtime.Version())
}
