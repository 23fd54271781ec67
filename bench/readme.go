package main

import (
	"fmt"
	"os"
	"strings"
)

// marks are the lines of README.md that a text stands between.
type marks struct{ begins, ends string }

var (
	compared = marks{"<!-- the comparison begins: go run . -compare -write -->", "<!-- the comparison ends -->"}
	grown    = marks{"<!-- growth begins: go run . -grow all -write -->", "<!-- growth ends -->"}
)

// between puts a text between the marks of a page.
func (m marks) between(page, text string) (string, error) {
	head, rest, found := strings.Cut(page, m.begins)
	_, foot, closed := strings.Cut(rest, m.ends)
	if !found || !closed {
		return "", fmt.Errorf("the page lacks the line %q, or %q after it", m.begins, m.ends)
	}
	return head + m.begins + "\n\n" + text + "\n" + m.ends + foot, nil
}

// writeInto puts a text between the marks of a file.
func (m marks) writeInto(name, text string) error {
	page, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	written, err := m.between(string(page), text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(written), 0o644)
}
