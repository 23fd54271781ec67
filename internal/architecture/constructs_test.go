package architecture_test

import (
	"fmt"
	"go/ast"
	"path"
	"strconv"
	"strings"
	"testing"
)

// refused are references that library code must not hold. A path and a name; the name may
// end in * to stand for all that begin with it. An empty path is a builtin.
var refused = []struct {
	path, name string
	in         []string // folders the rule is for; none means every library package
	why        string
}{
	{"", "panic", nil, "return an error: a panic in a library takes the host's other requests down"},
	{"os", "Exit", nil, "only main decides when the process ends"},
	{"log", "Fatal*", nil, "only main decides when the process ends"},
	{"log", "Panic*", nil, "return an error"},
	{"net/http", "DefaultClient", nil, "it has no timeout and follows every redirect: take a client from the host"},
	{"net/http", "Get", nil, "it uses http.DefaultClient"},
	{"net/http", "Head", nil, "it uses http.DefaultClient"},
	{"net/http", "Post", nil, "it uses http.DefaultClient"},
	{"net/http", "PostForm", nil, "it uses http.DefaultClient"},
	{"net/http", "DefaultServeMux", nil, "it belongs to the host"},
	{"time", "Now", []string{"internal/engine/...", "handlers/..."}, "ask the Store's clock, so that a test can move it and a replica agrees"},
	{"time", "Since", []string{"internal/engine/...", "handlers/..."}, "it reads the host's clock: ask the Store's"},
	{"time", "Until", []string{"internal/engine/...", "handlers/..."}, "it reads the host's clock: ask the Store's"},
}

// exceptions are the places where a refused reference is right, as "file: reference", with
// the reason.
var exceptions = map[string]string{
	"examples/idp/admin/database.go: panic": "http.ErrAbortHandler is how net/http breaks off an answer that has begun",
	"handlers/bearer/remote.go: time.Now":   "an API elsewhere has no Store; RemoteConfig.Clock takes its place",
}

func TestConstructs(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, f := range constructFindings(s) {
			if _, ok := exceptions[f.place]; ok {
				used[f.place] = true
				continue
			}
			t.Error(f.text)
		}
	}
	for place := range exceptions {
		if !used[place] {
			t.Errorf("the exception %q is not needed any more: remove it", place)
		}
	}
}

type construct struct{ place, text string }

// constructFindings lists the refused constructs of one file of library code.
func constructFindings(s *source) []construct {
	if s.test() || s.ast.Name.Name == "main" {
		return nil
	}
	var findings []construct
	names := importNames(s)
	refuse := func(n ast.Node, importPath, name string) {
		for _, r := range refused {
			prefix, open := strings.CutSuffix(r.name, "*")
			if r.path != importPath || name != r.name && (!open || !strings.HasPrefix(name, prefix)) {
				continue
			}
			if r.in != nil && !within(s.dir(), r.in...) {
				continue
			}
			reference := name
			if importPath != "" {
				reference = path.Base(importPath) + "." + name
			}
			findings = append(findings, construct{
				place: s.name + ": " + reference,
				text:  fmt.Sprintf("%s:%d: %s: %s", s.name, s.line(n), reference, r.why),
			})
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok {
				refuse(n, "", id.Name)
			}
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && names[id.Name] != "" {
				refuse(n, names[id.Name], n.Sel.Name)
			}
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				findings = append(findings, construct{
					place: s.name + ": init",
					text:  fmt.Sprintf("%s:%d: func init: importing a package must have no effect", s.name, s.line(n)),
				})
			}
		}
		return true
	})
	return findings
}

// importNames maps the names that a file gives to its imports to their paths.
func importNames(s *source) map[string]string {
	names := map[string]string{}
	for _, spec := range s.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

func TestConstructsAreFound(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       string
	}{
		{"storage/a.go", `package storage; func f() { panic("x") }`, "storage/a.go: panic"},
		{"storage/a.go", `package storage; import "os"; func f() { os.Exit(1) }`, "storage/a.go: os.Exit"},
		{"storage/a.go", `package storage; import "log"; func f() { log.Fatalf("x") }`, "storage/a.go: log.Fatalf"},
		{"storage/a.go", `package storage; import l "log"; func f() { l.Fatal("x") }`, "storage/a.go: log.Fatal"},
		{"storage/a.go", `package storage; func init() {}`, "storage/a.go: init"},
		{"storage/a.go", `package storage; type t int; func (t) init() {}`, ""},
		{"server/a.go", `package server; import "net/http"; var c = http.DefaultClient`, "server/a.go: http.DefaultClient"},
		{"server/a.go", `package server; import "net/http"; func f(h http.Header) string { return h.Get("A") }`, ""},
		{"handlers/a.go", `package handlers; import "time"; var clock = time.Now`, "handlers/a.go: time.Now"},
		{"internal/engine/x/a.go", `package x; import "time"; func f() { time.Now() }`, "internal/engine/x/a.go: time.Now"},
		{"storage/a.go", `package storage; import "time"; func f() { time.Now() }`, ""},
		{"handlers/a_test.go", `package handlers; import "time"; func f() { time.Now() }`, ""},
		{"examples/idp/main.go", `package main; import "os"; func main() { os.Exit(1) }`, ""},
	} {
		got := ""
		for _, f := range constructFindings(sample(t, c.name, c.text)) {
			got += f.place
		}
		if got != c.want {
			t.Errorf("%s\n%s\nfound %q, want %q", c.name, c.text, got, c.want)
		}
	}
}
