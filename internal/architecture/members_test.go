package architecture_test

import (
	"go/ast"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// resolve follows a type of the module to how it is made; open says that its members are
// not written in the code, as those of a map.
func (k *kinds) resolve(e expression) (made ast.Expr, in *source, open bool) {
	for {
		switch expr := e.expr.(type) {
		case *ast.StarExpr:
			e.expr = expr.X
		case *ast.ArrayType:
			e.expr = expr.Elt
		case *ast.StructType:
			return expr, e.in, false
		case *ast.MapType:
			return expr, e.in, true
		case *ast.Ident:
			next, ok := k.types[e.in.dir()][expr.Name]
			if !ok {
				return nil, nil, expr.Name == "any"
			}
			e = next
		case *ast.SelectorExpr:
			next, ok := k.types[folderOf(e.in, last(expr.X))][expr.Sel.Name]
			if !ok {
				return nil, nil, expr.Sel.Name == "RawMessage"
			}
			e = next
		default:
			return nil, nil, true
		}
	}
}

// folderOf is the folder of a package of the module by its name in a file.
func folderOf(s *source, name string) (dir string) {
	s.imports(func(p string, _ int) {
		if within, ok := strings.CutPrefix(p, module+"/"); ok && path.Base(p) == name {
			dir = within
		}
	})
	return dir
}

// knows says whether a value of a type can have a member.
func (k *kinds) knows(of expression, member []string) bool {
	made, in, open := k.resolve(of)
	if len(member) == 0 {
		return true
	}
	switch made := made.(type) {
	case *ast.MapType:
		return k.knows(expression{made.Value, in}, member[1:])
	case *ast.StructType:
		for _, f := range fieldsOf(made) {
			switch {
			case f.name == member[0] && k.knows(expression{f.of, in}, member[1:]),
				f.name == "" && k.knows(expression{f.of, in}, member):
				return true
			}
		}
		return false
	}
	return open
}

// members are the paths of all members that a kind is written with.
func (of stored) members(k *kinds) (all []string) {
	if of.json.expr == nil {
		return nil
	}
	return k.membersOf(of.json, "")
}

func (k *kinds) membersOf(of expression, at string) (all []string) {
	made, in, _ := k.resolve(of)
	s, ok := made.(*ast.StructType)
	if !ok {
		return nil
	}
	for _, f := range fieldsOf(s) {
		under := at
		if f.name != "" {
			under = at + "/" + f.name
			all = append(all, under)
		}
		all = append(all, k.membersOf(expression{f.of, in}, under)...)
	}
	return all
}

// member is a field of a struct as JSON has it; name is empty for one that is embedded.
type member struct {
	name string
	of   ast.Expr
}

func fieldsOf(s *ast.StructType) (all []member) {
	for _, f := range s.Fields.List {
		name := ""
		if f.Tag != nil {
			if tag, err := strconv.Unquote(f.Tag.Value); err == nil {
				name, _, _ = strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			}
		}
		switch {
		case name == "-":
		case name != "" || len(f.Names) == 0:
			all = append(all, member{name, f.Type})
		default:
			for _, n := range f.Names {
				if n.IsExported() {
					all = append(all, member{n.Name, f.Type})
				}
			}
		}
	}
	return all
}

func TestKindsAreRead(t *testing.T) {
	k, findings := readKinds([]*source{
		sample(t, "other/other.go", `package other
			type Sender struct { Key string `+"`json:\"jkt,omitempty\"`"+` }`),
		sample(t, "kept/kept.go", `package kept
			import ("github.com/doorward/doorward/other"; "github.com/doorward/doorward/storage")
			const counter = "counted"
			type base struct { ID string }
			type note struct {
				base
				Hidden string `+"`json:\"-\"`"+`
				Text   string `+"`json:\"text\"`"+`
				From   []*other.Sender `+"`json:\"from\"`"+`
				More   map[string]other.Sender `+"`json:\"more\"`"+`
			}
			func notes(s *storage.Store, kind string) *storage.Collection[note] {
				return storage.Collect(s, kind, 1, func(n *note) storage.Meta { return storage.Meta{ID: n.ID} })
			}
			func use(s *storage.Store) { notes(s, "left"); notes(s, "right"); s.Count(nil, counter, "", 1, 0, 0); _ = storage.Key{Kind: "raw"} }
			func unread(s *storage.Store) { storage.Collect(s, kindOf(), 1, func(n *note) storage.Meta { return storage.Meta{} }) }`),
	})
	if found := k.names(); !slices.Equal(found, []string{"counted", "left", "raw", "right"}) {
		t.Errorf("the kinds are %q", found)
	}
	if len(findings) != 1 || !strings.Contains(findings[0], "kept/kept.go:") {
		t.Errorf("of the kind that can't be read is said %q", findings)
	}
	of := k.found["left"]
	if has := of.members(k); !slices.Equal(has, []string{"/ID", "/text", "/from", "/from/jkt", "/more"}) {
		t.Errorf("the members are %q", has)
	}
	for member, known := range map[string]bool{
		"ID": true, "text": true, "Text": false, "Hidden": false, "from/jkt": true, "from/kid": false, "more/any/jkt": true, "more/any/kid": false,
	} {
		if got := k.knows(of.json, strings.Split(member, "/")); got != known {
			t.Errorf("%s is known: %v", member, got)
		}
	}
}
