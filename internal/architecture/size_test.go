package architecture_test

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

const (
	longestFile     = 600 // lines; about 400 is the aim
	longestFunction = 100 // lines of a function outside tests; about 60 is the aim
)

func TestLength(t *testing.T) {
	for _, s := range sources(t) {
		report(t, lengthFindings(s))
	}
}

func lengthFindings(s *source) []string {
	var findings []string
	if s.lines > longestFile {
		findings = append(findings, fmt.Sprintf("%s has %d lines, at most %d are allowed: find the second noun in it and give it a file",
			s.name, s.lines, longestFile))
	}
	if s.test() {
		return findings
	}
	for _, d := range s.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := s.fset.Position(fn.End()).Line - s.line(fn) + 1; n > longestFunction {
			findings = append(findings, fmt.Sprintf("%s:%d: %s has %d lines, at most %d are allowed: name its steps and give them functions",
				s.name, s.line(fn), fn.Name.Name, n, longestFunction))
		}
	}
	return findings
}

func TestLengthIsCounted(t *testing.T) {
	function := func(lines int) string {
		return "package a\n\nfunc f() {\n" + strings.Repeat("\tg()\n", lines-2) + "}\n"
	}
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"a.go", function(longestFunction), 0},
		{"a.go", function(longestFunction + 1), 1},
		{"a_test.go", function(longestFunction + 1), 0},
		{"a_test.go", function(longestFile - 2), 0},
		{"a_test.go", function(longestFile - 1), 1},
		{"a.go", function(longestFile - 1), 2},
	} {
		s := sample(t, c.name, c.text)
		if got := lengthFindings(s); len(got) != c.want {
			t.Errorf("%s with %d lines: %d findings, want %d: %v", c.name, s.lines, len(got), c.want, got)
		}
	}
}
