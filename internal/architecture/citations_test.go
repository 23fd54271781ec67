package architecture_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// citation is one reference of a comment to a specification, as in RFC 6749 §4.1.3.
type citation struct {
	name    string // of the specification, as testdata/specifications.txt has it
	section string // "4.1.3"; "" for the specification as a whole
	file    string
	line    int
	by      string // the declaration that the comment belongs to, or the script
	shows   bool   // a test or a script, not the code
}

func (c citation) String() string {
	if c.section == "" {
		return c.name
	}
	return c.name + " §" + c.section
}

// remark is the text of adjoining comment lines as one line, and where each began.
type remark struct {
	file  string
	by    string
	shows bool
	text  string
	lines []int // the line of each byte of text
}

func (r *remark) add(line int, text string) {
	if r.text != "" {
		text = " " + text
	}
	r.text += text
	for range len(text) {
		r.lines = append(r.lines, line)
	}
}

var (
	sectionForm = regexp.MustCompile(`^(?:[0-9]+|[A-Z])(?:\.[0-9]+)*`)
	// rfcForm finds the name of an RFC, in whatever spelling.
	rfcForm = regexp.MustCompile(`(?i)(?:^|[^a-z0-9/._-])(rfc[ -]?[0-9]+(?:bis)?)\b`)
	rfcName = regexp.MustCompile(`^RFC [0-9]+(?:bis)?$`)
	// otherForms are spellings of a section that nobody could look for.
	otherForms = regexp.MustCompile(`(?i)\b(?:sections?|sec\.|chapter|appendix)\s+(?:[0-9]+(?:\.[0-9]+)*|[A-Z](?:\.[0-9]+)*)\b`)
)

// read finds the citations of a remark, and what is written otherwise than CONTRIBUTING.md
// says.
func (r *remark) read(specs []*specification) (found []citation, findings []string) {
	at := func(offset int) string { return fmt.Sprintf("%s:%d", r.file, r.lines[offset]) }
	cited := make(map[int]bool) // where names end that have a section
	last := ""                  // what §, §4 goes on with
	end := -1                   // where the last citation ended
	for i := 0; i < len(r.text); {
		if !strings.HasPrefix(r.text[i:], "§") {
			i++
			continue
		}
		before, after := r.text[:i], r.text[i+len("§"):]
		name := ""
		if end >= 0 && r.text[end:i] == ", " {
			name = last
		} else if bare, ok := strings.CutSuffix(before, " "); ok {
			name = nameBefore(bare, specs)
			cited[len(bare)] = true
		}
		section := sectionForm.FindString(after)
		rest := after[len(section):]
		start := i
		i += len("§") + len(section)
		switch {
		case section == "":
			findings = append(findings, fmt.Sprintf("%s: %q is no section: write § and its number, as in RFC 6749 §4.1.3", at(start), excerpt(r.text, start)))
			continue
		case name == "":
			findings = append(findings, fmt.Sprintf("%s: %q does not say of which document: write the name before §, as in RFC 6749 §4.1.3, §10.5. The names are in internal/architecture/testdata/specifications.txt", at(start), excerpt(r.text, start)))
			continue
		case strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "–"):
			findings = append(findings, fmt.Sprintf("%s: %q is a range: name each section, as in RFC 6749 §4.1.3, §4.1.4", at(start), excerpt(r.text, start)))
			continue
		}
		last, end = name, i
		found = append(found, citation{name, section, r.file, r.lines[start], r.by, r.shows})
	}
	whole, odd := r.wholes(specs, cited)
	found, findings = append(found, whole...), append(findings, odd...)
	for _, place := range otherForms.FindAllStringIndex(r.text, -1) {
		if len(found) > 0 || len(odd) > 0 {
			findings = append(findings, fmt.Sprintf("%s: %q: write a section as § and its number, as in RFC 6749 §4.1.3; one of an appendix as in RFC 6749 §A.2", at(place[0]), r.text[place[0]:place[1]]))
		}
	}
	return found, findings
}

// wholes finds the specifications that are named without a section.
func (r *remark) wholes(specs []*specification, cited map[int]bool) (found []citation, findings []string) {
	for _, place := range rfcForm.FindAllStringSubmatchIndex(r.text, -1) {
		start, end := place[2], place[3]
		name := r.text[start:end]
		where := fmt.Sprintf("%s:%d", r.file, r.lines[start])
		switch {
		case !rfcName.MatchString(name):
			findings = append(findings, fmt.Sprintf("%s: %q: write it as RFC 6749", where, name))
		case nameBefore(r.text[:end], specs) == "":
			findings = append(findings, fmt.Sprintf("%s: %s is not in internal/architecture/testdata/specifications.txt: add its title and its link there", where, name))
		}
	}
	left := []byte(r.text)
	for _, s := range specs { // longer names come first, and leave nothing to shorter ones
		for i := 0; ; {
			n := bytes.Index(left[i:], []byte(s.name))
			if n < 0 {
				break
			}
			start := i + n
			i = start + len(s.name)
			if !wordEnds(r.text, start, i) {
				continue
			}
			clear(left[start:i])
			if !cited[i] {
				found = append(found, citation{s.name, "", r.file, r.lines[start], r.by, r.shows})
			}
		}
	}
	return found, findings
}

// nameBefore is the longest name of a specification that a text ends with.
func nameBefore(text string, longestFirst []*specification) string {
	for _, s := range longestFirst {
		if strings.HasSuffix(text, s.name) && wordEnds(text, len(text)-len(s.name), len(text)) {
			return s.name
		}
	}
	return ""
}

// wordEnds says whether neither side of a part of a text goes on with the same word.
func wordEnds(text string, start, end int) bool {
	letter := func(b byte) bool {
		return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-'
	}
	return (start == 0 || !letter(text[start-1])) && (end == len(text) || !letter(text[end]))
}

// excerpt is what stands around an offset.
func excerpt(text string, at int) string {
	from, to := max(0, at-20), min(len(text), at+12)
	return strings.ToValidUTF8(text[from:to], "")
}

// remarks returns the comments of a Go file, each with the declaration it belongs to.
func (s *source) remarks() []*remark {
	shows := s.test() || within(s.dir(), suites...)
	owners := s.owners()
	var found []*remark
	for _, group := range s.ast.Comments {
		r := &remark{file: s.name, by: owners.of(group), shows: shows}
		for _, c := range group.List {
			line := s.line(c)
			text, block := strings.CutPrefix(c.Text, "/*")
			if !block {
				if strings.HasPrefix(c.Text, "//go:") {
					continue
				}
				r.add(line, strings.TrimSpace(strings.TrimPrefix(c.Text, "//")))
				continue
			}
			for i, l := range strings.Split(strings.TrimSuffix(text, "*/"), "\n") {
				r.add(line+i, strings.TrimSpace(l))
			}
		}
		found = append(found, r)
	}
	return found
}

// suites are packages that hold tests though their files are not named so: what a backend
// is run through.
var suites = []string{"storage/storagetest"}

// owner is a piece of a file and the name of what it declares.
type owner struct {
	from, to token.Pos
	name     string
}

type ownership []owner

// of names the smallest declaration that a comment stands in or above.
func (o ownership) of(group *ast.CommentGroup) string {
	best := o[0] // the file
	for _, own := range o[1:] {
		if own.from <= group.Pos() && group.End() <= own.to && own.to-own.from < best.to-best.from {
			best = own
		}
	}
	return best.name
}

// owners are the declarations of a file with their comments: functions, types with their
// fields and methods, constants and variables. The first one is the file itself.
func (s *source) owners() ownership {
	pkg := path.Base(s.dir())
	if s.dir() == "." {
		pkg = path.Base(module)
	}
	found := ownership{{s.ast.FileStart, s.ast.FileEnd, "package " + pkg}}
	add := func(n ast.Node, doc, comment *ast.CommentGroup, name string) {
		own := owner{n.Pos(), n.End(), name}
		if doc != nil {
			own.from = doc.Pos()
		}
		if comment != nil {
			own.to = comment.End()
		}
		found = append(found, own)
	}
	fields := func(list *ast.FieldList, prefix string) {
		for _, f := range list.List {
			for _, n := range f.Names {
				add(f, f.Doc, f.Comment, prefix+"."+n.Name)
			}
		}
	}
	for _, decl := range s.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := pkg + "." + d.Name.Name
			if d.Recv != nil {
				name = pkg + "." + receiver(d) + "." + d.Name.Name
			}
			add(d, d.Doc, nil, name)
		case *ast.GenDecl:
			for i, spec := range d.Specs {
				switch sp := spec.(type) {
				case *ast.TypeSpec:
					name := pkg + "." + sp.Name.Name
					add(sp, sp.Doc, sp.Comment, name)
					if i == 0 {
						add(d, d.Doc, nil, name)
					}
					switch t := sp.Type.(type) {
					case *ast.StructType:
						fields(t.Fields, name)
					case *ast.InterfaceType:
						fields(t.Methods, name)
					}
				case *ast.ValueSpec:
					add(sp, sp.Doc, sp.Comment, pkg+"."+sp.Names[0].Name)
					if i == 0 {
						add(d, d.Doc, nil, pkg+"."+sp.Names[0].Name)
					}
				}
			}
		}
	}
	return found
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return "?"
		}
	}
}

// scripts is where the scripts of protocol flows are.
const scripts = "integration/testdata"

// scriptRemarks returns the comments of the scripts.
func scriptRemarks(t *testing.T) []*remark {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, scripts, "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no script in %s: %v", scripts, err)
	}
	var found []*remark
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, remarksOf(scripts+"/"+filepath.Base(name), string(text))...)
	}
	return found
}

// remarksOf returns the comments of one script, up to the first of its files.
func remarksOf(name, text string) []*remark {
	var found []*remark
	var open *remark
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "-- ") {
			break
		}
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			open = nil
			continue
		}
		if open == nil {
			open = &remark{file: name, by: path.Base(name), shows: true}
			found = append(found, open)
		}
		open.add(i+1, strings.TrimSpace(text))
	}
	return found
}

// bySection orders sections as a reader counts: the whole, 4.2 before 4.10, appendices last.
func bySection(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(a), len(b))
	}
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		m, noM := strconv.Atoi(a)
		n, noN := strconv.Atoi(b)
		switch {
		case noM == nil && noN == nil:
			return cmp.Compare(m, n)
		case noM == nil:
			return -1
		case noN == nil:
			return 1
		}
		return cmp.Compare(a, b)
	})
}

// appendix says whether a section is one of an appendix.
func appendix(section string) bool { return section[0] >= 'A' }
