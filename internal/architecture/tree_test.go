package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/doorward/doorward"
	root   = "../.."
)

// source is one parsed Go file of this module.
type source struct {
	name  string // slash-separated, relative to the root of the module
	lines int
	fset  *token.FileSet
	ast   *ast.File
}

// dir is the folder of the file; "." for the root.
func (s *source) dir() string { return path.Dir(s.name) }

func (s *source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

func (s *source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }

// imports calls fn with the path and the line of each import.
func (s *source) imports(fn func(importPath string, line int)) {
	for _, spec := range s.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			fn(p, s.line(spec))
		}
	}
}

// tree parses every Go file of the module once.
var tree = sync.OnceValues(func() ([]*source, error) {
	var found []*source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && foreign(name) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), text)
		if err != nil {
			return err
		}
		found = append(found, s)
		return nil
	})
	return found, err
})

// foreign reports whether the go command would not look into the folder as part of this
// module: testdata, hidden folders and modules of their own.
func foreign(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parse(name string, text []byte) (*source, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{
		name:  name,
		lines: strings.Count(strings.TrimSuffix(string(text), "\n"), "\n") + 1,
		fset:  fset,
		ast:   f,
	}, nil
}

// sources returns the parsed tree.
func sources(t *testing.T) []*source {
	t.Helper()
	found, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no Go file found under %s: the tests of the architecture would prove nothing", root)
	}
	return found
}

// sample parses one file that a test of a rule made up.
func sample(t *testing.T, name, text string) *source {
	t.Helper()
	s, err := parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// folders returns the folders that hold a library package: Go files that are neither tests
// nor a program.
func folders(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, s := range sources(t) {
		if !s.test() && s.ast.Name.Name != "main" && !slices.Contains(dirs, s.dir()) {
			dirs = append(dirs, s.dir())
		}
	}
	return dirs
}

// within reports whether dir matches one of the patterns: a folder, or a folder and
// everything below it when the pattern ends in "/...".
func within(dir string, patterns ...string) bool {
	for _, p := range patterns {
		if parent, ok := strings.CutSuffix(p, "/..."); ok {
			if dir == parent || strings.HasPrefix(dir, parent+"/") {
				return true
			}
		} else if dir == p {
			return true
		}
	}
	return false
}

// report fails the test once for each finding.
func report(t *testing.T, findings []string) {
	t.Helper()
	for _, f := range findings {
		t.Error(f)
	}
}
