package architecture_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestStoredKinds holds the golden databases to the code. Every kind of record that the
// code stores, and every member of its JSON, is in one of them, so that a server of later
// has to read it; and whatever they hold is known to the code, so that nothing is renamed
// that somebody has in a database.
func TestStoredKinds(t *testing.T) {
	k, findings := readKinds(sources(t))
	report(t, findings)
	if len(k.found) < 20 {
		t.Errorf("only these kinds were found: %q", k.names())
	}
	kept := goldenKinds(t)
	excused := excuses(t)
	excuse := func(of string) bool {
		_, ok := excused[of]
		delete(excused, of)
		return ok
	}
	for _, kind := range k.names() {
		has, ok := kept[kind]
		if !ok {
			if !excuse(kind) {
				t.Errorf("%s stores records of the kind %q, and no golden database has one: give it a keepsake, see integration/golden_test.go, and write the next database", k.found[kind].place, kind)
			}
			continue
		}
		for _, member := range k.found[kind].members(k) {
			if !has[member] && !excuse(kind+member) {
				t.Errorf("%s stores %s in a %s, and no golden database has it: a keepsake has to, or a later release may forget to read it", k.found[kind].place, member, kind)
			}
		}
	}
	for kind, has := range kept {
		of, ok := k.found[kind]
		if !ok {
			t.Errorf("a golden database has records of the kind %q, which nothing stores any more: they are still in the databases of others", kind)
			continue
		}
		for member := range has {
			if of.json.expr != nil && !k.knows(of.json, strings.Split(strings.TrimPrefix(member, "/"), "/")) {
				t.Errorf("a golden database has %s in a %s, which %s does not know any more: it would be lost", member, kind, of.place)
			}
		}
	}
	for of := range excused {
		t.Errorf("%s is excused in testdata/unkept.txt for nothing", of)
	}
}

// goldenKinds reads what all golden databases hold: the members, by kind.
func goldenKinds(t *testing.T) map[string]map[string]bool {
	t.Helper()
	var files []string
	for _, dir := range []string{"integration", "examples/idp"} {
		found, err := filepath.Glob(filepath.Join(root, dir, "testdata", "golden", "*.json"))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s has no golden database: %v", dir, err)
		}
		files = append(files, found...)
	}
	all := map[string]map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var golden struct{ Kinds map[string][]string }
		if err := json.Unmarshal(text, &golden); err != nil || len(golden.Kinds) == 0 {
			t.Fatalf("%s: %v", file, err)
		}
		for kind, has := range golden.Kinds {
			if all[kind] == nil {
				all[kind] = map[string]bool{}
			}
			for _, member := range has {
				all[kind][member] = true
			}
		}
	}
	return all
}

// excuses reads what no golden database has to hold, with the reason.
func excuses(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "unkept.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		of, why, _ := strings.Cut(line, "\t")
		if all[of] = strings.TrimSpace(why); all[of] == "" {
			t.Errorf("testdata/unkept.txt does not say why of %s", of)
		}
	}
	return all
}

// kinds is what the code stores.
type kinds struct {
	found map[string]stored
	types map[string]map[string]expression // by folder and name
	words map[string]map[string]string     // constants, likewise
	trees []*source
}

// stored is one kind of record.
type stored struct {
	place string
	json  expression // the type that its JSON is made of; none for counters and what is no JSON
}

// expression is a type where it is written.
type expression struct {
	expr ast.Expr
	in   *source
}

// readKinds finds every call that names a kind. A kind that can't be read is an error: it
// must be a constant, or a parameter that constants are given for in the same folder.
func readKinds(trees []*source) (k *kinds, findings []string) {
	k = &kinds{found: map[string]stored{}, types: map[string]map[string]expression{}, words: map[string]map[string]string{}}
	for _, s := range trees {
		if s.test() || within(s.dir(), "storage/storagetest/...", "integration/...") {
			continue
		}
		k.trees = append(k.trees, s)
		k.declare(s)
	}
	for _, s := range k.trees {
		for _, d := range s.ast.Decls {
			fn, _ := d.(*ast.FuncDecl)
			ast.Inspect(d, func(n ast.Node) bool {
				kind, as := k.named(s, n)
				if kind == nil {
					return true
				}
				texts := k.texts(s, fn, kind)
				if len(texts) == 0 {
					findings = append(findings, fmt.Sprintf("%s:%d: the kind of what is stored here can't be read: name it by a constant", s.name, s.line(n)))
				}
				for _, text := range texts {
					if was := k.found[text]; was.json.expr == nil {
						k.found[text] = stored{fmt.Sprintf("%s:%d", s.name, s.line(n)), as}
					}
				}
				return true
			})
		}
	}
	return k, findings
}

func (k *kinds) names() []string { return slices.Sorted(maps.Keys(k.found)) }

// declare notes the types and constants of a file.
func (k *kinds) declare(s *source) {
	dir := s.dir()
	if k.types[dir] == nil {
		k.types[dir], k.words[dir] = map[string]expression{}, map[string]string{}
	}
	for _, d := range s.ast.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				k.types[dir][spec.Name.Name] = expression{spec.Type, s}
			case *ast.ValueSpec:
				for i := range min(len(spec.Names), len(spec.Values)) {
					if text, ok := quoted(spec.Values[i]); ok && g.Tok == token.CONST {
						k.words[dir][spec.Names[i].Name] = text
					}
				}
			}
		}
	}
}

// named returns the kind that a node names, nil for none: storage.Collect, Store.Count,
// Store.key, and a storage.Key that is written out.
func (k *kinds) named(s *source, n ast.Node) (kind ast.Expr, as expression) {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := last(n.Fun)
		switch {
		case name == "Collect" && len(n.Args) == 4:
			if fn, ok := n.Args[3].(*ast.FuncLit); ok && len(fn.Type.Params.List) == 1 {
				as = expression{fn.Type.Params.List[0].Type, s}
			}
			return n.Args[1], as
		case name == "Count" && len(n.Args) == 6:
			return n.Args[1], as
		case name == "key" && len(n.Args) == 2 && s.dir() == "storage":
			if text, ok := k.text(s, n.Args[0]); ok && text != "" { // else it was named where the collection was made
				return n.Args[0], as
			}
		}
	case *ast.CompositeLit:
		if n.Type == nil || last(n.Type) != "Key" {
			return nil, as
		}
		for _, e := range n.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok && last(pair.Key) == "Kind" {
				if _, ok := k.text(s, pair.Value); ok { // else it is that of another record
					return pair.Value, as
				}
			}
		}
	}
	return nil, as
}

// last is the last name of an expression.
func last(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr:
		return last(e.X)
	}
	return ""
}

func quoted(e ast.Expr) (string, bool) {
	b, ok := e.(*ast.BasicLit)
	if !ok || b.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(b.Value)
	return text, err == nil
}

// text is a constant.
func (k *kinds) text(s *source, e ast.Expr) (string, bool) {
	if text, ok := quoted(e); ok {
		return text, true
	}
	if name, ok := e.(*ast.Ident); ok {
		text, ok := k.words[s.dir()][name.Name]
		return text, ok
	}
	return "", false
}

// texts are the kinds that an expression in a function stands for.
func (k *kinds) texts(s *source, fn *ast.FuncDecl, e ast.Expr) (all []string) {
	if text, ok := k.text(s, e); ok {
		return []string{text}
	}
	at := parameter(fn, e)
	if at < 0 {
		return nil
	}
	for _, other := range k.trees {
		if other.dir() != s.dir() {
			continue
		}
		ast.Inspect(other.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && last(call.Fun) == fn.Name.Name && at < len(call.Args) {
				if text, ok := k.text(other, call.Args[at]); ok {
					all = append(all, text)
				}
			}
			return true
		})
	}
	return all
}

// parameter is the place of a parameter of a function, -1 for what is none.
func parameter(fn *ast.FuncDecl, e ast.Expr) int {
	if fn == nil {
		return -1
	}
	at := 0
	for _, field := range fn.Type.Params.List {
		for _, name := range field.Names {
			if name.Name == last(e) {
				return at
			}
			at++
		}
	}
	return -1
}
