package attack

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed testdata/catalogue.txt
var catalogue []byte

// TestCatalogue looks up the tests that the catalogue names: each threat has some, and
// each row that has the number of a threat stands there. A threat that no row plays has a
// reason, and no other has one.
func TestCatalogue(t *testing.T) {
	rows := map[string]bool{}
	for _, a := range areas() {
		for _, row := range a.rows {
			rows[a.name+"/"+row.id] = true
		}
	}
	named, threats, excused := map[string]bool{}, 0, map[string]bool{}
	for line := range strings.Lines(string(catalogue)) {
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			if number, reason, ok := strings.Cut(comment, ": "); ok && strings.HasPrefix(number, "WB-") {
				excused[number] = len(reason) > 20
			}
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		threats++
		parts := strings.Split(strings.TrimSpace(line), " | ")
		if len(parts) != 3 || parts[0] != fmt.Sprintf("WB-%02d", threats) {
			t.Fatalf("this is not threat %d: %s", threats, line)
		}
		if played := strings.Contains(parts[2], "attack "); played == excused[parts[0]] {
			t.Errorf("%s: a row plays it: %t, there is a reason why none does: %t", parts[0], played, excused[parts[0]])
		}
		for test := range strings.SplitSeq(parts[2], "; ") {
			kind, name, _ := strings.Cut(test, " ")
			named[name] = true
			if kind == "attack" && rows[name] || kind == "script" && exists(filepath.Join("..", "testdata", name+".txtar")) || declared(t, kind, name) {
				continue
			}
			t.Errorf("%s: there is no %s", parts[0], test)
		}
	}
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		if strings.Contains(row, "/WB-") && !named[row] {
			t.Errorf("the catalogue does not name %s", row)
		}
	}
	if threats < 60 {
		t.Errorf("there are %d threats", threats)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// declared says whether a package has a test.
func declared(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pkg), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(source, []byte("\nfunc "+name+"("))
	})
}
