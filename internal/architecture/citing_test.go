package architecture_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// madeUp are the documents of the tests of the rule.
func madeUp() []*specification {
	return []*specification{
		{group: "OAuth", name: "RFC 6749", title: "The OAuth 2.0 Authorization Framework", link: "https://www.rfc-editor.org/rfc/rfc6749", complete: true,
			sections: map[string]string{"4.1.3": "Access Token Request", "10.5": "Authorization Codes", "4.10": "", "4.2": "Implicit Grant", "A.2": `"client_secret" Syntax`}},
		{group: "OAuth", name: "RFC 7519", title: "JSON Web Token", link: "https://www.rfc-editor.org/rfc/rfc7519", sections: map[string]string{}},
		{group: "OpenID", name: "OpenID Connect Core", title: "OpenID Connect Core 1.0", link: "https://openid.net/core", sections: map[string]string{}},
		{group: "OpenID", name: "OpenID Connect Core Error Code x", title: "Error Code", link: "https://openid.net/x", sections: map[string]string{}},
	}
}

func TestCitationForms(t *testing.T) {
	for _, c := range []struct{ text, want, finding string }{
		{"Token is the token endpoint. RFC 6749 §4.1.3, §10.5, RFC 7519 §4", "RFC 6749 §4.1.3, RFC 6749 §10.5, RFC 7519 §4", ""},
		{"as RFC 6749 §4.1.3 has it, and (RFC 7519 §4).", "RFC 6749 §4.1.3, RFC 7519 §4", ""},
		{"OpenID\nConnect Core §3.1.2.1, RFC\n6749 §10.5", "OpenID Connect Core §3.1.2.1, RFC 6749 §10.5", ""},
		{"the characters of RFC 6749 §A.2", "RFC 6749 §A.2", ""},
		{"the device grant. RFC 7519", "RFC 7519", ""},
		{"RFC 7519, RFC 6749 §4.2, RFC 7519", "RFC 6749 §4.2, RFC 7519, RFC 7519", ""},
		{"OpenID Connect Core Error Code x", "OpenID Connect Core Error Code x", ""},
		{"nothing is cited", "", ""},
		{"see https://www.rfc-editor.org/rfc/rfc6749 for more", "", ""},
		{"the previous section 4 of the page", "", ""},

		{"§4.1.3 of it", "", "does not say of which document"},
		{"A code. RFC 6749 §4.1.3 and §10.5", "RFC 6749 §4.1.3", "does not say of which document"},
		{"Core §3.1", "", "does not say of which document"},
		{"Some Draft §3", "", "does not say of which document"},
		{"RFC 6749§4.1.3", "RFC 6749", "does not say of which document"},
		{"RFC 6749 § 4.1.3", "", "is no section"},
		{"RFC 6749 §4.2-4.10", "", "is a range"},
		{"RFC 6749, section 4.1", "RFC 6749", "write a section as §"},
		{"RFC 6749 appendix A.2", "RFC 6749", "write a section as §"},
		{"RFC6749 §4.1.3", "", "write it as RFC 6749"},
		{"rfc 6749", "", "write it as RFC 6749"},
		{"RFC 9999", "", "add its title"},
		{"XRFC 6749 §4.2", "", "does not say of which document"},
	} {
		r := &remark{file: "x.go"}
		for i, line := range strings.Split(c.text, "\n") {
			r.add(i+1, line)
		}
		found, findings := r.read(longestFirst(madeUp()))
		var got []string
		for _, c := range found {
			got = append(got, c.String())
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%q cites %q, want %q", c.text, got, c.want)
		}
		if c.finding == "" && len(findings) > 0 || c.finding != "" && !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, c.finding) }) {
			t.Errorf("%q: the findings are %q, want %q", c.text, findings, c.finding)
		}
	}
}

const citing = `// Package p is cited as a whole. RFC 7519 §1
package p

// T is a type. RFC 7519 §2
type T struct {
	// A is a field. RFC 7519 §3
	A int
	B int // RFC 7519 §4
}

// M is a method. RFC 7519 §5
func (t *T) M() {
	// Inside. RFC 7519 §6
}

// Both. RFC 7519 §7
const (
	// C is the first. RFC 7519 §8
	C = 1
	D = 2 // RFC 7519 §9
)

// I is an interface.
type I interface {
	N() // RFC 7519 §10
}

/* L is
long. RFC 7519 §11 */
var L = 1
`

func TestWhoCites(t *testing.T) {
	var got []string
	for _, r := range sample(t, "x/p/p.go", citing).remarks() {
		found, _ := r.read(longestFirst(madeUp()))
		for _, c := range found {
			got = append(got, fmt.Sprintf("%s %d %s", c.section, c.line, c.by))
		}
	}
	want := []string{
		"1 1 package p", "2 4 p.T", "3 6 p.T.A", "4 8 p.T.B", "5 11 p.T.M", "6 13 p.T.M", "7 16 p.C", "8 18 p.C", "9 20 p.D", "10 25 p.I.N", "11 29 p.L",
	}
	if !slices.Equal(got, want) {
		t.Errorf("cited by\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const transcript = `# A flow. RFC 6749 §4.1.3,
# RFC 7519 §4
get /authorize # RFC 6749 §10.5
# Another part. RFC 6749 §4.2
-- file --
# RFC 6749 §4.10
`

// TestUnshown holds what a section that no test cites leads to, and one that does not exist.
func TestUnshown(t *testing.T) {
	code := sample(t, "x/p/p.go", "// F issues. RFC 6749 §4.1.3, §10.5, §4.3, RFC 7519, OpenID Connect Core §2\npackage p\n")
	cited, findings := citations(append(code.remarks(), remarksOf("integration/testdata/x.txtar", transcript)...), madeUp())
	findings = append(append(findings, unlisted(cited, madeUp())...), unshown(cited)...)
	want := []string{
		"x/p/p.go:1: RFC 6749 has no §4.3: look it up at https://www.rfc-editor.org/rfc/rfc6749",
		"OpenID Connect Core §2 is cited by package p (x/p/p.go:1) and by no test: cite it in the test or script that shows it, or write that test",
		"RFC 6749 §10.5 is cited by package p (x/p/p.go:1) and by no test: cite it in the test or script that shows it, or write that test",
		"RFC 6749 §4.3 is cited by package p (x/p/p.go:1) and by no test: cite it in the test or script that shows it, or write that test",
	}
	for _, w := range want[1:] { // documents that list no section must say that there are more
		if i := slices.Index(findings, w); i < 0 {
			t.Errorf("%q is not found", w)
		}
	}
	if findings[0] != want[0] {
		t.Errorf("the first finding is %q, want %q", findings[0], want[0])
	}
	if n := len(findings); n != len(want) {
		t.Errorf("%d findings, want %d: %q", n, len(want), findings)
	}
}

func TestSpecText(t *testing.T) {
	cited := []citation{
		{"RFC 6749", "10.5", "a/a.go", 1, "a.F", false},
		{"RFC 6749", "4.10", "a/a.go", 2, "a.F", false},
		{"RFC 6749", "4.2", "a/a_test.go", 3, "a.TestF", true},
		{"RFC 6749", "A.2", "b/b.go", 3, "b.G", false},
		{"RFC 6749", "4.1.3", "b/b.go", 4, "b.G", false},
		{"RFC 6749", "4.1.3", "b/b.go", 9, "b.G", false},
		{"RFC 6749", "4.1.3", "integration/testdata/code.txtar", 1, "code.txtar", true},
		{"RFC 6749", "", "b/b.go", 5, "b.G", false},
		{"OpenID Connect Core", "2", "b/b.go", 5, "b.G", false},
	}
	_, text, _ := strings.Cut(specText(cited, madeUp()), "\n\n## ")
	want := "OAuth\n\n### RFC 6749\n\n[The OAuth 2.0 Authorization Framework](https://www.rfc-editor.org/rfc/rfc6749)\n\n| Section | Code | Shown by |\n|---|---|---|\n" +
		"| as a whole | [b.G](b/b.go) | the tests of its sections |\n" +
		"| [§4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3) Access Token Request | [b.G](b/b.go) | [code.txtar](integration/testdata/code.txtar) |\n" +
		"| [§4.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.2) Implicit Grant |  | [a.TestF](a/a_test.go) |\n" +
		"| [§4.10](https://www.rfc-editor.org/rfc/rfc6749#section-4.10) | [a.F](a/a.go) |  |\n" +
		"| [§10.5](https://www.rfc-editor.org/rfc/rfc6749#section-10.5) Authorization Codes | [a.F](a/a.go) |  |\n" +
		"| [§A.2](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.2) \"client_secret\" Syntax | [b.G](b/b.go) |  |\n" +
		"\n## OpenID\n\n### OpenID Connect Core\n\n[OpenID Connect Core 1.0](https://openid.net/core)\n\n| Section | Code | Shown by |\n|---|---|---|\n| §2 | [b.G](b/b.go) |  |\n"
	if text != want {
		t.Errorf("the table is\n%s\nwant\n%s\n%s", text, want, difference(text, want))
	}
}
