package handlers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
)

// reasonArgument says which argument of a call is a reason.
var reasonArgument = map[string]int{
	"refuse": 1, "errCode": 0, "errRefresh": 0, "errAccess": 0, "errDevice": 0, "broken": 0, "unproven": 0, "unknownClient": 0,
	"badRequest": 0, "failed": 0, "unauthenticated": 0, "expired": 3, "defect": 0,
}

// TestEveryReasonIsExplained finds the reasons in the source: one that has no row
// would lead a developer to a page that says nothing about it.
func TestEveryReasonIsExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, r := range reasons {
		if explained[r.Anchor] {
			t.Errorf("%s stands twice in the table", r.Anchor)
		}
		explained[r.Anchor] = true
		if r.Code == "" || r.What == "" || r.Change == "" {
			t.Errorf("%s lacks its code, what happened or what to change", r.Anchor)
		}
	}
	found := map[string]bool{}
	for _, dir := range []string{".", "../internal/engine", "../internal/dpop"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !strings.HasSuffix(name, "_test.go") {
				for _, reason := range reasonsIn(t, name) {
					found[reason] = true
					if !explained[reason] {
						t.Errorf("%s: the reason %s has no row in the table", name, reason)
					}
				}
			}
		}
	}
	if len(found) < 60 {
		t.Errorf("only %d reasons were found: the test does not look at the right calls", len(found))
	}
}

var reasonForm = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

func reasonsIn(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	take := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		if s, err := strconv.Unquote(lit.Value); err == nil && reasonForm.MatchString(s) {
			list = append(list, s)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
				take(n.Value)
			}
		case *ast.CallExpr:
			called := ""
			switch f := n.Fun.(type) {
			case *ast.Ident:
				called = f.Name
			case *ast.SelectorExpr:
				called = f.Sel.Name
			}
			if i, ok := reasonArgument[called]; ok && len(n.Args) > i {
				take(n.Args[i])
			}
		}
		return true
	})
	return list
}

// What a guesser would like to know is in the log, and not in the link either.
func TestErrorURIKeepsSecrets(t *testing.T) {
	w := newWorld(t, options{})
	_, refusal := w.h.engine.Token(t.Context(), engine.TokenRequest{
		Credentials: engine.Credentials{ClientID: "nobody", Secret: "guess", Method: "client_secret_basic"},
		Form:        url.Values{"grant_type": {"client_credentials"}},
	})
	if refusal == nil || refusal.Reason != "client_unknown" {
		t.Fatalf("an unknown client: %v", refusal)
	}
	if got, want := w.h.engine.ErrorURI(refusal), w.url+"/errors#invalid_client"; got != want {
		t.Errorf("an unknown client is led to %s, want %s", got, want)
	}
	page := w.browser().get("/errors")
	page.shows(t, 200, `id="redirect_uri_mismatch"`, `id="code_expired"`)
}

// The page of errors is long and the same for everybody: it is made once, and a browser
// that has it is not sent it again. RFC 9110 §13.1.2
func TestErrorsPageIsMadeOnce(t *testing.T) {
	w := newWorld(t, options{})
	made := 0
	render := w.h.reasons
	w.h.reasons = sync.OnceValues(func() (*prepared, error) { made++; return render() })
	first := w.browser().get("/errors")
	first.shows(t, 200, `id="invalid_client"`)
	if got := first.Header; got.Get("Content-Type") != "text/html; charset=utf-8" || got.Get("Cache-Control") != "public, max-age=3600" ||
		got.Get("Content-Language") != "en" || got.Get("Content-Security-Policy") != pages.Policy || got.Get("X-Frame-Options") != "DENY" {
		t.Errorf("the headers are %v", got)
	}
	r, err := http.NewRequest(http.MethodGet, w.url+"/errors", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("If-None-Match", first.Header.Get("ETag"))
	if again := w.browser().send(r); again.StatusCode != http.StatusNotModified || again.body != "" {
		t.Errorf("who has it is answered %d, %d bytes", again.StatusCode, len(again.body))
	}
	if made != 1 {
		t.Errorf("it was made %d times", made)
	}
}
