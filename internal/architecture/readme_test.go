package architecture_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// block is a fenced piece of Go in a page of text.
type block struct {
	line int
	info string // what follows the fence: "go" or "go fragment"
	text string
}

// TestReadmeCompiles builds each Go block of README.md as a program of a host: what a reader
// copies must work. A block that is no whole program is marked "go fragment".
func TestReadmeCompiles(t *testing.T) {
	sources(t) // so that a change of any package reruns this test
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	programs := 0
	for _, b := range goBlocks(string(text)) {
		if b.info == "go fragment" {
			continue
		}
		programs++
		name := fmt.Sprintf("README.md:%d", b.line)
		s, err := parse(name, []byte(b.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.ast.Name.Name != "main" {
			t.Errorf("%s: the block is no program; write it whole or mark it ```go fragment", name)
			continue
		}
		s.imports(func(p string, _ int) {
			if strings.Contains(p+"/", "/internal/") {
				t.Errorf("%s: imports %s, which no host can", name, p)
			}
		})
		build(t, name, b.text)
	}
	if programs == 0 {
		t.Error("README.md shows no program: the embed is the first thing a reader looks for")
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
	cmd := exec.CommandContext(t.Context(), "go", "vet", "-overlay", overlayFile, "./readme")
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
