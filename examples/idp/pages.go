package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/doorward/doorward/handlers/pages"
)

type pagesCommand struct {
	Folder string   `arg:"" help:"Where to. It is made when it is not there; no file in it is overwritten." placeholder:"FOLDER"`
	Names  []string `arg:"" optional:"" help:"The files, as in login.html or messages/de.json. Default: all." placeholder:"NAME"`
}

// Run writes the files.
func (c *pagesCommand) Run(x *call) error {
	shipped, err := pages.Files()
	if err != nil {
		return err
	}
	names := c.Names
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(shipped))
	}
	slices.Sort(names)
	for _, name := range names { // nothing is written when one can't be
		if shipped[name] == nil {
			return fmt.Errorf("%w: there is no page %q; %s pages FOLDER writes them all", errUsage, name, self())
		}
		if _, err := os.Lstat(filepath.Join(c.Folder, name)); err == nil {
			return fmt.Errorf("%s is there already; take another folder, or remove it", filepath.Join(c.Folder, name))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range names {
		to := filepath.Join(c.Folder, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := writeNew(to, shipped[name]); err != nil {
			return err
		}
	}
	return x.done(map[string]any{"folder": c.Folder, "files": names},
		"Wrote %s\nto %s. Change what you like and remove the rest, so that it stays that of the release.\nThen write in the configuration file:  pages: %s\nand look what is wrong with it:        %s config check FILE",
		strings.Join(names, ", "), c.Folder, c.Folder, self())
}

// writeNew writes a file that is not there yet, not even as a link.
func writeNew(path string, body []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	return errors.Join(err, file.Close())
}
