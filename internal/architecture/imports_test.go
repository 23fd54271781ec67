package architecture_test

import (
	"fmt"
	"strings"
	"testing"
)

// leaves stands for the packages under internal that import nothing of ours. A new folder
// under internal is a leaf without an edit here, as long as it keeps to that.
const leaves = "(leaves)"

// notLeaves are the packages under internal that stand on others.
var notLeaves = []string{"internal/architecture/...", "internal/engine/...", "internal/keyring/...", "internal/outbox/..."}

// direction is the table of allowed imports inside the module. The first row that matches
// the importing folder decides. may lists what the folder may import, tests what its test
// files may import on top. A package may always import itself.
var direction = []struct {
	from  string
	may   []string
	tests []string
	why   string
}{
	{
		from: ".",
		why:  "the root is the map of the module and holds no code",
	},
	{
		from:  "storage",
		may:   []string{leaves},
		tests: []string{"storage/..."},
		why:   "the storage contract stands on leaves alone, so that every backend can import it",
	},
	{
		from:  "storage/storagetest/...",
		may:   []string{"storage", leaves},
		tests: []string{"storage/..."},
		why:   "the suite knows the contract and no backend",
	},
	{
		from:  "storage/...",
		may:   []string{"storage"},
		tests: []string{"storage/...", leaves},
		why:   "a backend imports storage and its driver: it knows nothing of OAuth and nothing of its neighbours",
	},
	{
		from: "internal/architecture/...",
		why:  "the rules look at the tree from outside",
	},
	{
		from:  "internal/keyring/...",
		may:   []string{"storage", leaves},
		tests: []string{"storage/memory"},
		why:   "the keyring stands on storage, below the engine",
	},
	{
		from:  "internal/outbox/...",
		may:   []string{"storage", leaves},
		tests: []string{"storage/memory"},
		why:   "the outbox stands on storage, below those who have something to tell",
	},
	{
		from:  "internal/engine/...",
		may:   []string{"internal/engine/...", "internal/keyring/...", "internal/outbox/...", "storage", leaves},
		tests: []string{"storage/..."},
		why:   "the engine knows storage and internal packages, and nothing of HTTP endpoints or pages",
	},
	{
		from:  "internal/dpop/...",
		may:   []string{"internal/jws"},
		tests: []string{leaves},
		why:   "a proof is a signed token, and nothing more of ours",
	},
	{
		from:  "internal/...",
		tests: []string{leaves},
		why:   "a leaf imports nothing of ours: one job, no view of the house",
	},
	{
		from:  "handlers/pages/...",
		may:   []string{leaves},
		tests: []string{leaves},
		why:   "pages are templates and their data",
	},
	{
		from:  "handlers/bearer/...",
		may:   []string{leaves},
		tests: []string{"handlers", "server/...", "storage/..."},
		why:   "an API that verifies tokens must link neither the engine nor storage",
	},
	{
		from:  "handlers/...",
		may:   []string{"handlers/...", "internal/engine/...", "internal/keyring/...", "storage", leaves},
		tests: []string{"storage/memory", "server/servertest"},
		why:   "handlers stand between the server and the engine, and know no backend",
	},
	{
		from:  "server/servertest/...",
		may:   []string{"server", "handlers/...", "storage", "storage/memory", leaves},
		tests: []string{"storage/..."},
		why:   "the test kit is a host: it builds on the public packages and the memory backend",
	},
	{
		from:  "server",
		may:   []string{"handlers/...", "internal/engine/...", "internal/keyring/...", "internal/outbox/...", "storage", leaves},
		tests: []string{"storage/...", "server/servertest"},
		why:   "the server takes a backend as a value: importing one would link its driver into every host",
	},
	{
		from:  "examples/idp/...",
		may:   []string{"examples/idp/...", "server/...", "handlers/...", "storage/...", "internal/secrethash", "internal/opaque", "internal/redact"},
		tests: []string{"internal/pipe"},
		why:   "the single binary is part of the house: its passwords are hashed as client secrets are",
	},
	{
		from: "examples/...",
		may:  []string{"examples/...", "server/...", "handlers/...", "storage/..."},
		why:  "an example shows what a host can do, and a host has the public packages only",
	},
	{
		from: "integration/...",
		may:  []string{"integration/...", "server/...", "handlers/...", "storage/...", "internal/clock", "internal/pgtest", "internal/syscalls"},
		why:  "the whole is tested from outside, through public packages and HTTP",
	},
}

// doors lists the modules that only some folders may import. Everything below a path counts.
var doors = []struct {
	path  string
	may   []string
	tests []string
	why   string
}{
	{"github.com/ory/", []string{"internal/engine/..."}, nil, "only internal/engine knows fosite, so that it can be replaced behind one door"},
	{"go.etcd.io/bbolt", []string{"storage/bolt/..."}, nil, "a driver is linked by its backend alone"},
	{"github.com/jackc/", []string{"storage/postgres/...", "internal/pgtest"}, []string{"integration/..."}, "a driver is linked by its backend, and by what starts its server in tests"},
	{"github.com/alecthomas/kong", []string{"examples/..."}, nil, "command lines belong to programs"},
	{"go.yaml.in/yaml", []string{"examples/..."}, nil, "configuration files belong to programs"},
	{"github.com/chromedp/", []string{"integration/..."}, []string{"examples/..."}, "browsers are driven by tests"},
	{"github.com/stretchr/testify", nil, nil, "tests use the standard library and go-cmp"},
	{"github.com/golang/mock", nil, nil, "tests use storage/memory, no generated doubles"},
}

func TestImportDirection(t *testing.T) {
	for _, s := range sources(t) {
		report(t, importFindings(s))
	}
}

// importFindings says what is wrong with the imports of one file.
func importFindings(s *source) []string {
	var findings []string
	s.imports(func(p string, line int) {
		var why string
		var ok bool
		if to, ours := strings.CutPrefix(p+"/", module+"/"); ours {
			why, ok = mayImport(s.dir(), strings.TrimSuffix(to, "/"), s.test())
		} else {
			why, ok = mayOpen(s.dir(), p, s.test())
		}
		if !ok {
			findings = append(findings, fmt.Sprintf("%s:%d: %s must not import %q: %s", s.name, line, s.dir(), p, why))
		}
	})
	return findings
}

// mayImport decides about an import inside the module; to is "" for its root.
func mayImport(from, to string, test bool) (why string, ok bool) {
	if from == to {
		return "", true
	}
	for _, rule := range direction {
		if !within(from, rule.from) {
			continue
		}
		return rule.why, allowed(to, rule.may) || test && allowed(to, rule.tests)
	}
	return "no rule is known for this folder: give it a row in the table of " + module + "/internal/architecture", false
}

func allowed(to string, patterns []string) bool {
	for _, p := range patterns {
		if p == leaves {
			if within(to, "internal/...") && !within(to, notLeaves...) {
				return true
			}
		} else if within(to, p) {
			return true
		}
	}
	return false
}

// mayOpen decides about an import of another module.
func mayOpen(from, p string, test bool) (why string, ok bool) {
	for _, d := range doors {
		if strings.HasPrefix(p+"/", strings.TrimSuffix(d.path, "/")+"/") {
			return d.why, within(from, d.may...) || test && within(from, d.tests...)
		}
	}
	return "", true
}

func TestImportRulesDecide(t *testing.T) {
	const test = true
	for _, c := range []struct {
		from, path string
		test, want bool
	}{
		{"storage", module + "/internal/seal", false, true},
		{"storage", module + "/internal/engine", false, false},
		{"storage", module + "/storage/memory", false, false},
		{"storage", module + "/storage/memory", test, true},
		{"storage/bolt", module + "/storage", false, true},
		{"storage/bolt", module + "/internal/seal", false, false},
		{"storage/bolt", module + "/storage/storagetest", false, false},
		{"storage/bolt", module + "/storage/storagetest", test, true},
		{"storage/bolt", "go.etcd.io/bbolt", false, true},
		{"storage/bolt", "go.etcd.io/bbolt/errors", false, true},
		{"server", "go.etcd.io/bbolt", false, false},
		{"storage/postgres", "github.com/jackc/pgx/v5/pgxpool", false, true},
		{"storage/postgres", module + "/internal/pgtest", false, false},
		{"storage/postgres", module + "/internal/pgtest", test, true},
		{"server", "github.com/jackc/pgx/v5", false, false},
		{"server", module + "/storage/postgres", false, false},
		{"integration", module + "/internal/pgtest", test, true},
		{"internal/redirect", module + "/internal/seal", false, false},
		{"internal/redirect", module + "/internal/redirect", test, true},
		{"internal/brandnew", "net/url", false, true},
		{"internal/keyring", module + "/storage", false, true},
		{"internal/keyring", module + "/internal/engine", false, false},
		{"internal/engine", module + "/internal/brandnew", false, true},
		{"internal/engine", module + "/internal/keyring", false, true},
		{"internal/engine", module + "/handlers", false, false},
		{"internal/engine", module + "/server", test, false},
		{"internal/engine/authorize", "github.com/ory/fosite/handler/oauth2", false, true},
		{"handlers", "github.com/ory/fosite", false, false},
		{"handlers", "github.com/ory/fosite", test, false},
		{"handlers", module + "/internal/engine", false, true},
		{"handlers", module + "/server", false, false},
		{"handlers/pages", module + "/handlers", false, false},
		{"handlers/bearer", module + "/storage", false, false},
		{"handlers/bearer", module + "/internal/engine", false, false},
		{"handlers/bearer", module + "/internal/engine", test, false},
		{"handlers/bearer", module + "/internal/keyring", false, false},
		{"handlers/bearer", module + "/handlers", false, false},
		{"handlers/bearer", module + "/server", false, false},
		{"handlers/bearer", module + "/internal/jws", false, true},
		{"handlers/bearer", module + "/server", test, true},
		{"server", module + "/handlers", false, true},
		{"server", module + "/storage/bolt", false, false},
		{"server", module + "/storage/bolt", test, true},
		{"server/servertest", module + "/storage/memory", false, true},
		{"server/servertest", module + "/internal/engine", false, false},
		{"examples/idp", module + "/examples/idp/accounts", false, true},
		{"examples/idp", module + "/internal/seal", false, false},
		{"examples/idp", module + "/internal/pipe", false, false},
		{"examples/idp", module + "/internal/pipe", test, true},
		{"examples/idp/accounts", module + "/internal/secrethash", false, true},
		{"examples/minimal", module + "/internal/secrethash", false, false},
		{"integration", module + "/storage/bolt", test, true},
		{"integration", "github.com/stretchr/testify/require", test, false},
		{"somewhere", module + "/storage", false, false},
		{".", module + "/server", false, false},
	} {
		name := c.from + "/a.go"
		if c.test {
			name = c.from + "/a_test.go"
		}
		if c.from == "." {
			name = "a.go"
		}
		findings := importFindings(sample(t, name, fmt.Sprintf("package a\n\nimport _ %q\n", c.path)))
		if got := len(findings) == 0; got != c.want {
			t.Errorf("%s imports %s: allowed is %v, want %v %v", name, c.path, got, c.want, findings)
		}
	}
}
