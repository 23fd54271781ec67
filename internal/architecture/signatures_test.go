package architecture_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// hidden are the modules whose types must not be reachable from a public signature. The
// engine's library has to stay replaceable without a change for hosts.
var hidden = []string{"github.com/ory/"}

// TestNoEngineTypeIsPublic follows every exported name of every public package through
// fields, methods, signatures, aliases and embedded types, also through our own internal
// packages, and refuses a type of a hidden module.
func TestNoEngineTypeIsPublic(t *testing.T) {
	var paths []string
	for _, dir := range folders(t) {
		if within(dir, "storage/...", "handlers/...", "server/...") {
			paths = append(paths, module+"/"+dir)
		}
	}
	if len(paths) == 0 {
		t.Fatal("no public package found: the test would prove nothing")
	}
	for _, pkg := range compiled(t, paths) {
		report(t, publicFindings(pkg))
	}
}

// compiled loads the packages from the export data that the compiler wrote for them, which
// takes a second where type-checking the engine's dependencies takes a minute.
func compiled(t *testing.T, paths []string) []*types.Package {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, paths...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -export: %v\n%s", err, stderr.String())
	}
	files := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[p.ImportPath] = p.Export
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(p string) (io.ReadCloser, error) {
		if files[p] == "" {
			return nil, fmt.Errorf("no export data for %s", p)
		}
		return os.Open(files[p])
	})
	var loaded []*types.Package
	for _, p := range paths {
		pkg, err := imp.Import(p)
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, pkg)
	}
	return loaded
}

// publicFindings says which exported names of a package lead to a hidden type, and by which
// way.
func publicFindings(pkg *types.Package) []string {
	v := &visitor{seen: map[types.Type]bool{}}
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		v.way = []string{pkg.Path() + "." + name}
		if tn, ok := obj.(*types.TypeName); ok && tn.IsAlias() {
			v.visit(types.Unalias(tn.Type()))
			continue
		}
		v.visit(obj.Type())
	}
	return v.findings
}

// visitor walks types; way is how it came to the one it looks at.
type visitor struct {
	way      []string
	seen     map[types.Type]bool
	findings []string
}

func (v *visitor) step(name string, t types.Type) {
	v.way = append(v.way, name)
	v.visit(t)
	v.way = v.way[:len(v.way)-1]
}

func (v *visitor) visit(t types.Type) {
	switch t := t.(type) {
	case *types.Basic:
		return
	case *types.Named, *types.Alias:
		v.named(t)
		return
	}
	if v.seen[t] {
		return
	}
	v.seen[t] = true
	switch t := t.(type) {
	case *types.Pointer:
		v.visit(t.Elem())
	case *types.Slice:
		v.visit(t.Elem())
	case *types.Array:
		v.visit(t.Elem())
	case *types.Chan:
		v.visit(t.Elem())
	case *types.Map:
		v.visit(t.Key())
		v.visit(t.Elem())
	case *types.Signature:
		v.signature(t)
	case *types.Tuple:
		for p := range t.Variables() {
			v.visit(p.Type())
		}
	case *types.Struct:
		// What is embedded shows its exported parts even when its own name is unexported.
		for f := range t.Fields() {
			if f.Exported() || f.Embedded() {
				v.step(f.Name(), f.Type())
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			if m.Exported() {
				v.step(m.Name(), m.Type())
			}
		}
		for e := range t.EmbeddedTypes() {
			v.visit(e)
		}
	case *types.Union:
		for term := range t.Terms() {
			v.visit(term.Type())
		}
	case *types.TypeParam:
		v.visit(t.Constraint())
	}
}

func (v *visitor) signature(t *types.Signature) {
	for p := range t.TypeParams().TypeParams() {
		v.visit(p)
	}
	v.visit(t.Params())
	v.visit(t.Results())
}

// named looks at a type with a name. It refuses hidden ones, looks inside ours, and leaves
// those of other modules alone but for their type arguments.
func (v *visitor) named(t types.Type) {
	type withName interface {
		types.Type
		Obj() *types.TypeName
		TypeArgs() *types.TypeList
	}
	n, ok := t.(withName)
	if !ok || n.Obj().Pkg() == nil {
		return
	}
	for arg := range n.TypeArgs().Types() {
		v.visit(arg)
	}
	from := n.Obj().Pkg().Path()
	if slices.ContainsFunc(hidden, func(h string) bool { return strings.HasPrefix(from, h) }) {
		v.findings = append(v.findings, fmt.Sprintf("%s shows %s.%s: give the host a type of ours",
			strings.Join(v.way, " -> "), from, n.Obj().Name()))
		return
	}
	if alias, ok := t.(*types.Alias); ok {
		v.visit(alias.Rhs())
		return
	}
	if v.seen[t] || from != module && !strings.HasPrefix(from, module+"/") {
		return
	}
	v.seen[t] = true
	named, ok := t.(*types.Named)
	if !ok {
		return
	}
	for p := range named.TypeParams().TypeParams() {
		v.visit(p)
	}
	v.visit(named.Underlying())
	for m := range named.Methods() {
		if m.Exported() {
			v.step(m.Name(), m.Type())
		}
	}
}

func TestHiddenTypesAreFound(t *testing.T) {
	fset := token.NewFileSet()
	check := func(p, text string, deps ...*types.Package) *types.Package {
		t.Helper()
		f, err := parser.ParseFile(fset, p+"/a.go", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		conf := types.Config{Importer: known(deps)}
		pkg, err := conf.Check(p, fset, []*ast.File{f}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return pkg
	}
	lib := check("github.com/ory/lib", `package lib
		type T struct{ A int }
		type I interface{ M() }`)
	inner := check(module+"/internal/engine", `package engine
		import "github.com/ory/lib"
		type Clean struct{ hidden lib.T }
		func (c Clean) inner() lib.T { return c.hidden }
		type Leaky struct{ Shown lib.T }
		type Same = lib.T`, lib)
	for _, c := range []struct {
		text string
		want int
	}{
		{`var V int`, 0},
		{`var v lib.T`, 0},
		{`type S struct{ a lib.T }; func (s S) b() lib.T { return s.a }`, 0},
		{`type S struct{ A engine.Clean }`, 0},
		{`var V lib.T`, 1},
		{`func F(...lib.T) {}`, 1},
		{`func F() (map[string]*lib.T, error) { return nil, nil }`, 1},
		{`type A = lib.T`, 1},
		{`type A = []engine.Same`, 1},
		{`type S struct{ lib.T }`, 1},
		{`type S struct{ inner }; type inner struct{ lib.I }`, 1},
		{`type S struct{}; func (S) M(func(lib.T)) {}`, 1},
		{`type I interface{ M(chan lib.T) }`, 1},
		{`type G[P lib.I] struct{ A P }`, 1},
		{`type box[P any] struct{ A P }; func F(box[lib.T]) {}`, 2}, // the argument and the field
		{`func F() *engine.Leaky { return nil }`, 1},
		{`type R struct{ next *R; Next *R }`, 0},
	} {
		text := "package server\nimport (\"github.com/ory/lib\"; \"" + module + "/internal/engine\")\n" + c.text +
			"\nvar _ lib.T; var _ engine.Clean\n"
		if got := publicFindings(check(module+"/server", text, lib, inner)); len(got) != c.want {
			t.Errorf("%s: %d findings, want %d:\n%s", c.text, len(got), c.want, strings.Join(got, "\n"))
		}
	}
}

// known imports from a list of packages that are loaded already.
type known []*types.Package

func (k known) Import(p string) (*types.Package, error) {
	for _, pkg := range k {
		if pkg.Path() == p {
			return pkg, nil
		}
	}
	return nil, fmt.Errorf("%s is not known", p)
}
