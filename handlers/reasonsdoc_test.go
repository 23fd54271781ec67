package handlers

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/errors.md anew")

// errorsPreface stands before the list of docs/errors.md.
const errorsPreface = `# Errors, and what to change

Every refusal has a code that its RFC names, a description of what came and what was expected, and ` + "`error_uri`" + `, which leads to its entry on ` + "`<issuer>/errors`" + `. This is the same list. A page for a person has a request ID; the log has one line with it, with the exact reason (` + "`reason`" + `), the details and the setting to change (` + "`setting`" + `).

Where telling more would show a stranger whether a client, a code or a token exists, the client is told the code alone and the log has the reason.

`

// TestDocsOfErrors holds docs/errors.md to the table, so that each anchor that an answer
// leads to stands there too: first the codes, then every finer reason with its code.
func TestDocsOfErrors(t *testing.T) {
	var doc strings.Builder
	doc.WriteString(errorsPreface)
	for _, r := range reasons {
		doc.WriteString("### " + r.Anchor + "\n\n")
		if r.Anchor != r.Code {
			doc.WriteString("`" + r.Code + "`. ")
		}
		doc.WriteString(r.What + " " + r.Change + "\n\n")
	}
	file := filepath.Join("..", "docs", "errors.md")
	want := strings.TrimSuffix(doc.String(), "\n")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(is)); diff != "" {
		t.Errorf("docs/errors.md is not what the table says; go test ./handlers -run DocsOfErrors -update writes it anew:\n%s", diff)
	}
}
