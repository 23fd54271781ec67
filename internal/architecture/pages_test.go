package architecture_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is a fenced piece of Go in a page of text.
type block struct {
	line int
	info string // what follows the fence: "go" or "go fragment"
	text string
}

// TestProgramsCompile builds each Go block of README.md and of the pages under docs as a
// program of a host: what a reader copies must work. A block that is no whole program is
// marked "go fragment".
func TestProgramsCompile(t *testing.T) {
	sources(t) // so that a change of any package reruns this test
	for _, page := range pages(t) {
		programs := 0
		for _, b := range goBlocks(read(t, page)) {
			if b.info == "go fragment" {
				continue
			}
			programs++
			program(t, page, b)
		}
		if page == "README.md" && programs == 0 {
			t.Error("README.md shows no program: the embed is the first thing a reader looks for")
		}
	}
}

func program(t *testing.T, page string, b block) {
	t.Helper()
	name := fmt.Sprintf("%s:%d", page, b.line)
	s, err := parse(name, []byte(b.text))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if s.ast.Name.Name != "main" {
		t.Errorf("%s: the block is no program; write it whole or mark it ```go fragment", name)
		return
	}
	s.imports(func(p string, _ int) {
		if strings.Contains(p+"/", "/internal/") {
			t.Errorf("%s: imports %s, which no host can", name, p)
		}
	})
	// The line directive makes the compiler speak of lines of the page.
	build(t, name, fmt.Sprintf("//line %s:%d\n%s", filepath.Base(page), b.line+1, b.text))
}

// pages returns the Markdown pages at the root and under docs.
func pages(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.ToSlash(rel))
		}
	}
	if !slices.Contains(names, "README.md") {
		t.Fatalf("README.md is not among %q: the test would prove nothing", names)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLinks follows the relative links of the pages.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, target := range relativeLinks(read(t, page)) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, target)
			}
		}
	}
}

// link is the target of a Markdown link.
var link = regexp.MustCompile(`\]\(([^)#\s]+)`)

func relativeLinks(page string) []string {
	var targets []string
	for _, m := range link.FindAllStringSubmatch(page, -1) {
		if !strings.Contains(m[1], "://") {
			targets = append(targets, m[1])
		}
	}
	return targets
}

func TestLinksAreFound(t *testing.T) {
	got := fmt.Sprint(relativeLinks("[a](b.md), [c](https://example.com/d), [e](f#g) [h](#i)"))
	if want := "[b.md f]"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

// build compiles a program as if it stood in a folder of this module, without putting it
// there.
func build(t *testing.T, name, text string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "main.go")
	if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(top, "readme", "main.go"): program},
	})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, "-overlay", overlayFile, "./readme")
	cmd.Dir = top
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

// goBlocks returns the fenced blocks of a Markdown page whose language is Go.
func goBlocks(page string) []block {
	var blocks []block
	var open *block
	fenced := false
	for i, line := range strings.Split(page, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && fenced:
			fenced = false
			if open != nil {
				blocks = append(blocks, *open)
				open = nil
			}
		case isFence:
			fenced = true
			if info := strings.Join(strings.Fields(fence), " "); info == "go" || strings.HasPrefix(info, "go ") {
				open = &block{line: i + 1, info: info}
			}
		case open != nil:
			open.text += line + "\n"
		}
	}
	return blocks
}

func TestGoBlocksAreFound(t *testing.T) {
	page := "a\n```sh\ngo run .\n```\n```go\npackage main\n```\nb\n```go  fragment\nx := 1\n```\n```golang\n```\n"
	got := fmt.Sprint(goBlocks(page))
	if want := "[{5 go package main\n} {9 go fragment x := 1\n}]"; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}
