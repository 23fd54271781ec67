package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader reads a YAML document into Go values and notes all that is wrong, where
// the library would stop at the first or leave out the name.
type reader struct {
	at    places
	found *Problems
}

// leaf is a value that reads itself from a node.
type leaf interface {
	read(*yaml.Node) error
}

// read fills into, a pointer, from node. The names of struct fields are those of
// their json tags.
func (r *reader) read(path string, node *yaml.Node, into reflect.Value) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if path != "" {
		r.at[path] = node.Line
	}
	if node.Tag == "!!null" {
		return // as if it was not there
	}
	if l, ok := into.Interface().(leaf); ok {
		r.note(path, node, l.read(node))
		return
	}
	switch value := into.Elem(); {
	case value.Type() == reflect.TypeFor[json.RawMessage]():
		r.note(path, node, readJSON(node, value))
	case value.Kind() == reflect.Struct:
		r.readStruct(path, node, value)
	case value.Kind() == reflect.Slice:
		if node.Kind != yaml.SequenceNode {
			r.note(path, node, wrong(shown(node), "write a list"))
			return
		}
		for i, child := range node.Content {
			entry := reflect.New(value.Type().Elem())
			r.read(path+"["+strconv.Itoa(i)+"]", child, entry)
			value.Set(reflect.Append(value, entry.Elem()))
		}
	case value.Kind() == reflect.Pointer:
		entry := reflect.New(value.Type().Elem())
		r.read(path, node, entry)
		value.Set(entry)
	default:
		r.note(path, node, readScalar(node, into))
	}
}

// readJSON keeps a value as it is, whatever it holds: the keys of a client.
func readJSON(node *yaml.Node, into reflect.Value) error {
	var held any
	if err := node.Decode(&held); err != nil {
		return wrong(shown(node), "write it as JSON or YAML")
	}
	body, err := json.Marshal(held)
	if err != nil {
		return wrong(shown(node), "write what JSON can hold")
	}
	into.SetBytes(body)
	return nil
}

func readScalar(node *yaml.Node, into reflect.Value) error {
	if into.Elem().Kind() == reflect.String {
		if node.Kind != yaml.ScalarNode {
			return wrong(shown(node), "write a text")
		}
		into.Elem().SetString(node.Value) // a number too: a secret may be one
		return nil
	}
	if err := node.Decode(into.Interface()); err != nil {
		want := map[reflect.Kind]string{reflect.Bool: "true or false", reflect.Int: "a number", reflect.Map: "names and values"}[into.Elem().Kind()]
		if want == "" {
			want = "a " + into.Elem().Kind().String()
		}
		return wrong(shown(node), "write "+want)
	}
	return nil
}

func (r *reader) readStruct(path string, node *yaml.Node, value reflect.Value) {
	if node.Kind != yaml.MappingNode {
		r.note(path, node, wrong(shown(node), "write "+strings.Join(names(value.Type()), ", ")+" below it"))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, child := node.Content[i], node.Content[i+1]
		name := strings.TrimPrefix(path+"."+key.Value, ".")
		if first := seen[key.Value]; first > 0 {
			r.add(key.Line, name, fmt.Sprintf("the key a second time, after line %d", first), "leave one of them out")
			continue
		}
		seen[key.Value] = key.Line
		field, ok := fieldOf(value, key.Value)
		if !ok {
			r.add(key.Line, name, "a key that is not known", advise(key.Value, names(value.Type())))
			continue
		}
		r.read(name, child, field.Addr())
		r.at[name] = key.Line
	}
}

func (r *reader) note(path string, node *yaml.Node, err error) {
	var v *valueError
	switch {
	case err == nil:
	case errors.As(err, &v):
		r.add(node.Line, path, v.found, v.want)
	default:
		r.add(node.Line, path, "", err.Error())
	}
}

func (r *reader) add(line int, path, found, want string) { r.found.add(line, path, found, want) }

// fieldOf returns the field whose json tag is name, those of embedded structs too.
func fieldOf(value reflect.Value, name string) (reflect.Value, bool) {
	for i := range value.NumField() {
		field := value.Type().Field(i)
		if field.Anonymous {
			if found, ok := fieldOf(value.Field(i), name); ok {
				return found, true
			}
		} else if tagName(field) == name {
			return value.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// names lists the keys that a struct knows.
func names(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		if field := t.Field(i); field.Anonymous {
			all = append(all, names(field.Type)...)
		} else if name := tagName(field); name != "" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unwritten are fields of the server's own that nobody writes into a file.
var unwritten = []string{"-", "", "incarnation", "created_at", "secrets", "declared"}

func tagName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if slices.Contains(unwritten, name) {
		return ""
	}
	return name
}

// advise names the key that was probably meant, or all of them.
func advise(wrote string, names []string) string {
	best, least := "", max(len(wrote)/3, 1)+1
	for _, name := range names {
		if d := distance(wrote, name); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return "write " + best
	}
	return "write one of " + strings.Join(names, ", ")
}

// distance is how many letters differ (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// shown names what stands in a node.
func shown(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "names and values"
	case yaml.SequenceNode:
		return "a list"
	}
	return quoted(node.Value)
}
