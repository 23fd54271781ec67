// Command idp is an identity provider in one binary: Doorward with accounts of its
// own, a configuration file, a command line that works while it runs, and a demo
// application.
//
//	idp                        serve on http://localhost:8080, with a demo
//	idp --config FILE          serve what the file declares
//	idp client add|list|show|rotate-secret|remove
//	idp user add|list|disable|enable|reset-password|remove
//	idp backup FILE            copy the database, also while the server runs
//	idp check [FILE]           look for damage, in a backup too
//	idp compact                give free pages back, while the server is stopped
//	idp stats                  what the database holds
//	idp rotate-data-key        seal what is stored by a new key
//	idp move --to-postgres-file FILE | --to-store FILE
//	                           move the store, also while the server runs
//	idp pages FOLDER [NAME ...]
//	                           write the built-in pages, to be changed
//	idp config check FILE      print all that is wrong with a configuration file
//	idp doctor URL             walk a deployed server as a client would
//	idp version
//
// Flags win over the environment (DOORWARD_ISSUER, DOORWARD_LISTEN ...), which wins
// over the file. Exit codes: 0 done; 1 could not start, or could not do it; 2 wrong
// usage; 3 a second signal ended it before everything was drained. SIGINT and
// SIGTERM stop it: no new requests, those under way are answered, then the database
// is closed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/examples/idp/settings"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitForced = 3
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(context.Background(), streams{os.Stdin, os.Stdout, os.Stderr}, signals, os.Args[1:]))
}

// streams are what a program reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// commandLine is the grammar.
type commandLine struct {
	settings.Where
	JSON bool `help:"Write JSON, for scripts."`

	Serve   serveCommand   `cmd:"" default:"withargs" help:"Serve (when no command is given)."`
	Client  clientCommands `cmd:"" help:"Manage clients, also while the server runs."`
	Tokens  tokenCommands  `cmd:"" name:"registration-token" help:"Let others register clients, also while the server runs."`
	User    userCommands   `cmd:"" help:"Manage users, also while the server runs."`
	Backup  backupCommand  `cmd:"" help:"Copy the database into a new file, also while the server runs."`
	Check   checkCommand   `cmd:"" help:"Look for damage in the database, or in a backup."`
	Compact compactCommand `cmd:"" help:"Give the free pages of the database back, while the server is stopped."`
	Stats   statsCommand   `cmd:"" help:"Show what the database holds and what writing it cost."`
	Rotate  rotateCommand  `cmd:"" name:"rotate-data-key" help:"Seal what is stored by a new key, also while the server runs."`
	Move    moveCommand    `cmd:"" help:"Move the store to PostgreSQL or to a file, also while the server runs."`
	Config_ configCommands `cmd:"" name:"config" help:"Look at a configuration file."`
	Pages   pagesCommand   `cmd:"" help:"Write the built-in pages into a folder, to be changed and named by pages in the configuration file."`
	Doctor  doctorCommand  `cmd:"" help:"Walk a deployed server as a client would, and name what a client would choke on."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// call is one run of the program, for the command that is run.
type call struct {
	ctx     context.Context //nolint:containedctx // it lives as long as the run
	streams streams
	signals <-chan os.Signal
	where   settings.Where
	json    bool
}

// leave ends parsing early, as after --help.
type leave int

// run is the program. It ends when its work is done, at a signal, or when ctx ends.
func run(ctx context.Context, s streams, signals <-chan os.Signal, args []string) (code int) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case leave:
			code = int(v)
		default:
			panic(v)
		}
	}()
	var line commandLine
	parser, err := kong.New(&line, kong.Name("idp"), kong.Writers(s.out, s.err), kong.Exit(func(code int) { panic(leave(code)) }),
		kong.Description("An identity provider in one binary. Without a command it serves; idp serve --help lists the flags for that."), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(s.err, "idp:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(s.err, "idp: %v\n\nidp --help shows what there is.\n", err)
		return exitUsage
	}
	err = parsed.Run(&call{ctx: ctx, streams: s, signals: signals, where: line.Where, json: line.JSON})
	return report(s.err, err)
}

// errForced means that a second signal came.
var errForced = errors.New("a second signal came before everything was drained")

// errUsage means that the command was called wrongly.
var errUsage = errors.New("wrong usage")

// startError is why the server could not start: a list.
type startError struct{ reasons []error }

func (e *startError) Error() string { return errors.Join(e.reasons...).Error() }

// report tells what went wrong and returns the exit code.
func report(w io.Writer, err error) int {
	var start *startError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errForced):
		fmt.Fprintln(w, "idp:", err)
		return exitForced
	case errors.Is(err, errUsage):
		fmt.Fprintln(w, "idp:", strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		return exitUsage
	case errors.As(err, &start):
		fmt.Fprint(w, "idp can't start:\n\n")
		for _, reason := range start.reasons {
			for line := range strings.Lines(admin.Text(reason)) {
				fmt.Fprintf(w, "  - %s\n", strings.TrimSpace(line))
			}
		}
		fmt.Fprintln(w)
		return exitFailed
	}
	text := admin.Text(err)
	if strings.Contains(text, "\n") {
		text = "\n  - " + strings.ReplaceAll(text, "\n", "\n  - ")
	}
	fmt.Fprintln(w, "idp:", text)
	return exitFailed
}

// self is how this program was called, for advice.
func self() string {
	path, err := os.Executable()
	if err != nil || strings.Contains(path, string(filepath.Separator)+"go-build") {
		return "go run ./examples/idp"
	}
	return os.Args[0]
}
