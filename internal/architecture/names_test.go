package architecture_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// shapeless are names that say nothing about the job of a room, so that everything ends up
// in it.
var shapeless = []string{"util", "utils", "common", "helper", "helpers", "types", "misc"}

func TestNames(t *testing.T) {
	for _, s := range sources(t) {
		report(t, nameFindings(s))
	}
}

func nameFindings(s *source) []string {
	var findings []string
	refuse := func(what, name string) {
		if slices.Contains(shapeless, name) {
			findings = append(findings, fmt.Sprintf("%s: %s is named %s: name it after its one job", s.name, what, name))
		}
	}
	refuse("the package", strings.TrimSuffix(s.ast.Name.Name, "_test"))
	refuse("the file", strings.TrimSuffix(strings.TrimSuffix(path.Base(s.name), ".go"), "_test"))
	for folder := range strings.SplitSeq(s.dir(), "/") {
		refuse("the folder", folder)
	}
	return findings
}

func TestShapelessNamesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, pkg string
		want      int
	}{
		{"storage/grant.go", "storage", 0},
		{"storage/types.go", "storage", 1},
		{"storage/helpers_test.go", "storage_test", 1},
		{"internal/util/seal.go", "seal", 1},
		{"internal/util/seal.go", "util", 2},
		{"internal/common/a/b.go", "a", 1},
	} {
		if got := nameFindings(sample(t, c.name, "package "+c.pkg+"\n")); len(got) != c.want {
			t.Errorf("%s (package %s): %d findings, want %d: %v", c.name, c.pkg, len(got), c.want, got)
		}
	}
}
