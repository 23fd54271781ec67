package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is a server of the comparison, as it is built and started.
type program struct {
	name  string
	title string // the head of its column
	build string // the package it is built from; empty: it runs on Node.js
	from  string // another program's name that it is started from; empty: its own
	files bool   // it is given a folder
}

// ours is what the others are compared with.
const ours = "doorward"

// programs are ours, and then the peers by the order of the columns.
func programs() []program {
	return []program{
		{name: ours, title: "Doorward", build: "./peers/doorward", files: true},
		{name: "ceiling", title: "net/http, a constant", build: "./peers/ceiling"},
		{name: "node", title: "node oidc-provider"},
		{name: "fosite", title: "bare fosite", build: "./peers/fosite"},
		{name: "go-oauth2", title: "go-oauth2, memory", build: "./peers/gooauth2"},
		{name: "go-oauth2-file", title: "go-oauth2, file", build: "./peers/gooauth2", from: "go-oauth2", files: true},
	}
}

func findProgram(name string) (program, error) {
	all := programs()
	if i := slices.IndexFunc(all, func(p program) bool { return p.name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, p := range all {
		names = append(names, p.name)
	}
	return program{}, fmt.Errorf("there is no server %q; write a URL or one of %s", name, strings.Join(names, ", "))
}

// workshop builds the servers and gives each a folder. It is one folder itself, which close
// removes.
type workshop struct {
	dir  string
	made map[string]bool // what is built, by the name of the program
}

// newWorkshop opens a workshop in a folder; empty: that of temporary files.
func newWorkshop(in string) (*workshop, error) {
	if _, err := os.Stat(filepath.Join("peers", "node", "package.json")); err != nil {
		return nil, errors.New("this is not the folder bench of the source tree: start it there, as with `go -C bench run .`")
	}
	dir, err := os.MkdirTemp(in, "doorward-bench-")
	if err != nil {
		return nil, err
	}
	return &workshop{dir: dir, made: map[string]bool{}}, nil
}

func (w *workshop) close() error { return os.RemoveAll(w.dir) }

// command is how a program is started, which it is built for unless it is already.
func (w *workshop) command(ctx context.Context, p program) ([]string, error) {
	source := p.name
	if p.from != "" {
		source = p.from
	}
	binary := filepath.Join(w.dir, source+".bin")
	if p.build == "" {
		if w.made[source] {
			return []string{"node", "server.mjs"}, nil
		}
		if err := w.installNode(ctx); err != nil {
			return nil, err
		}
		w.made[source] = true
		return []string{"node", "server.mjs"}, nil
	}
	if !w.made[source] {
		progress("building %s", source)
		if err := say(ctx, ".", "go", "build", "-o", binary, p.build); err != nil {
			return nil, err
		}
		w.made[source] = true
	}
	return []string{binary}, nil
}

// installNode installs what package-lock.json names, without running anything of it.
func (w *workshop) installNode(ctx context.Context) error {
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is missing: install Node.js 20 or newer, with npm (apt-get install nodejs npm): %w", name, err)
		}
	}
	progress("installing oidc-provider")
	return say(ctx, filepath.Join("peers", "node"), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
}

// say runs a command.
func say(ctx context.Context, dir string, command ...string) error {
	_, err := ask(ctx, dir, command...)
	return err
}

// ask runs a command and returns its output; of one that fails, the error holds what it
// said.
func ask(ctx context.Context, dir string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(command, " "), err, out, said.String())
	}
	return string(out), nil
}

// folder makes an empty folder for the files of a server.
func (w *workshop) folder(name string) (string, error) {
	return os.MkdirTemp(w.dir, name+"-")
}
