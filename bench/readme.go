package main

import (
	"fmt"
	"os"
	"strings"
)

// The lines of README.md that the table stands between.
const (
	begins = "<!-- the comparison begins: go run . -compare -write -->"
	ends   = "<!-- the comparison ends -->"
)

// between puts a text between the marks of a page.
func between(page, text string) (string, error) {
	head, rest, found := strings.Cut(page, begins)
	_, foot, closed := strings.Cut(rest, ends)
	if !found || !closed {
		return "", fmt.Errorf("the page lacks the line %q, or %q after it", begins, ends)
	}
	return head + begins + "\n\n" + text + "\n" + ends + foot, nil
}

// writeInto puts a text between the marks of a file.
func writeInto(name, text string) error {
	page, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	written, err := between(string(page), text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(written), 0o644)
}
