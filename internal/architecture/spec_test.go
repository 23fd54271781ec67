package architecture_test

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write SPEC.md")

// specification is a document that comments cite.
type specification struct {
	group, name, title, link string
	sections                 map[string]string // titles
	complete                 bool              // sections has all there are
}

const listed = "testdata/specifications.txt"

// specifications reads the list of the documents that may be cited.
func specifications(t *testing.T) []*specification {
	t.Helper()
	f, err := os.Open(listed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var found []*specification
	group := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		fields := strings.Split(line, "\t")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case len(fields) == 1:
			group = line
		case fields[0] != "" && len(fields) == 3 && group != "":
			found = append(found, &specification{group: group, name: fields[0], title: fields[1], link: fields[2], sections: map[string]string{}, complete: true})
		case line == "\t..." && len(found) > 0:
			found[len(found)-1].complete = false
		case fields[0] == "" && len(fields) == 3 && len(found) > 0 && sectionForm.FindString(fields[1]) == fields[1]:
			found[len(found)-1].sections[fields[1]] = fields[2]
		default:
			t.Fatalf("%s:%d: %q: wanted a group, or a name, a title and a link, or an indented section and its title, with tabs between them", listed, n, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// longestFirst orders specifications so that a name is found before one that it ends with.
func longestFirst(specs []*specification) []*specification {
	return slices.SortedStableFunc(slices.Values(specs), func(a, b *specification) int { return cmp.Compare(len(b.name), len(a.name)) })
}

// TestSpecifications holds that each section which the code cites is shown by a test, that
// citations have one form, and that SPEC.md says who implements and who shows what.
func TestSpecifications(t *testing.T) {
	specs := specifications(t)
	var remarks []*remark
	for _, s := range sources(t) {
		if s.dir() != "internal/architecture" { // which only speaks of citing
			remarks = append(remarks, s.remarks()...)
		}
	}
	remarks = append(remarks, scriptRemarks(t)...)
	cited, findings := citations(remarks, specs)
	report(t, findings)
	report(t, unlisted(cited, specs))
	report(t, unshown(cited))

	text := specText(cited, specs)
	golden := filepath.Join(root, "SPEC.md")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != text {
		t.Errorf("SPEC.md is not what the comments say: go test ./internal/architecture -run TestSpecifications -update writes it. First difference: %s", difference(string(have), text))
	}
}

func citations(remarks []*remark, specs []*specification) (cited []citation, findings []string) {
	names := longestFirst(specs)
	for _, r := range remarks {
		c, f := r.read(names)
		cited, findings = append(cited, c...), append(findings, f...)
	}
	return cited, findings
}

// unlisted finds the sections that their document does not have.
func unlisted(cited []citation, specs []*specification) []string {
	var findings []string
	for _, c := range cited {
		s := specs[slices.IndexFunc(specs, func(s *specification) bool { return s.name == c.name })]
		if _, ok := s.sections[c.section]; !ok && c.section != "" && s.complete {
			findings = append(findings, fmt.Sprintf("%s:%d: %s has no §%s: look it up at %s", c.file, c.line, c.name, c.section, s.link))
		}
	}
	return findings
}

// unshown finds what the code cites and no test does.
func unshown(cited []citation) []string {
	shown := make(map[string]bool)
	for _, c := range cited {
		if c.shows {
			shown[c.String()] = true
			shown[c.name] = true // a test of a part is a test of the whole
		}
	}
	var findings []string
	told := make(map[string]bool)
	for _, c := range cited {
		if key := c.String(); !shown[key] && !told[key] {
			told[key] = true
			findings = append(findings, fmt.Sprintf("%s is cited by %s (%s:%d) and by no test: cite it in the test or script that shows it, or write that test", key, c.by, c.file, c.line))
		}
	}
	slices.Sort(findings)
	return findings
}

const specHead = `# Which code follows which rule, and which test shows it

Written by ` + "`go test ./internal/architecture -run TestSpecifications -update`" + ` from the comments of the code, as in ` + "`RFC 6749 §4.1.3`" + `, and of the tests and scripts. The same test fails when a section that the code cites is cited by no test. Scripts (` + "`.txtar`" + `) are transcripts over HTTP. That a section is not here does not mean that it is not followed; that it is here means that somebody looked.
`

// specText is SPEC.md.
func specText(cited []citation, specs []*specification) string {
	var b strings.Builder
	b.WriteString(specHead)
	group := ""
	for _, s := range specs {
		rows := make(map[string][]citation)
		for _, c := range cited {
			if c.name == s.name {
				rows[c.section] = append(rows[c.section], c)
			}
		}
		if len(rows) == 0 {
			continue
		}
		if s.group != group {
			group = s.group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s\n\n[%s](%s)\n\n| Section | Code | Shown by |\n|---|---|---|\n", s.name, s.title, s.link)
		sections := make([]string, 0, len(rows))
		for section := range rows {
			sections = append(sections, section)
		}
		slices.SortFunc(sections, bySection)
		for _, section := range sections {
			tests := links(rows[section], true)
			if tests == "" && section == "" {
				tests = "the tests of its sections"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", heading(s, section), links(rows[section], false), tests)
		}
	}
	return b.String()
}

// heading is the first cell of a row: the number, which leads there where one can tell the
// address, and the title where it is known.
func heading(s *specification, section string) string {
	if section == "" {
		return "as a whole"
	}
	number := "§" + section
	if strings.HasPrefix(s.link, "https://www.rfc-editor.org/rfc/") {
		part := "section"
		if appendix(section) {
			part = "appendix"
		}
		number = fmt.Sprintf("[%s](%s#%s-%s)", number, s.link, part, section)
	}
	return strings.TrimSpace(number + " " + strings.ReplaceAll(s.sections[section], "|", `\|`))
}

// links are the declarations that cite a section, or the tests, each once.
func links(cited []citation, shows bool) string {
	var found []string
	for _, c := range cited {
		if c.shows == shows {
			found = append(found, fmt.Sprintf("[%s](%s)", c.by, c.file))
		}
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), ", ")
}

// difference names the first line that differs.
func difference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(h), len(w)) {
		if h[i] != w[i] {
			return fmt.Sprintf("line %d is %q, wanted %q", i+1, h[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, wanted %d", len(h), len(w))
}
