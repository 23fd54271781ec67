package engine_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/doorward/doorward/internal/engine"
)

// Every reason that the source names is explained, once, and none that it doesn't.
func TestReasonsAreExplained(t *testing.T) {
	var explained []string
	for _, r := range engine.Reasons() {
		if slices.Contains(explained, r.Anchor) {
			t.Errorf("%s is explained twice", r.Anchor)
		}
		if r.Code == "" || r.What == "" || r.Change == "" {
			t.Errorf("%s is not explained: %+v", r.Anchor, r)
		}
		explained = append(explained, r.Anchor)
	}
	named := regexp.MustCompile(`(?:refuse\(\w+, |broken\(|unknownClient\(|errCode\(|errRefresh\(|errAccess\(|hookFailure\()"(\w+)"` +
		`|return (?:"", )?"(\w+)", |reuseReason += "(\w+)"`)
	files, err := filepath.Glob("*.go")
	must(t, err)
	found := []string{"request_not_supported", "request_uri_not_supported", "registration_not_supported"}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "reasons.go" {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			for _, m := range named.FindAllStringSubmatch(strings.TrimSpace(line), -1) {
				found = append(found, m[1]+m[2]+m[3])
			}
		}
	}
	for _, reason := range found {
		if !slices.Contains(explained, reason) {
			t.Errorf("%s is not explained", reason)
		}
	}
	for _, reason := range explained {
		if !slices.Contains(found, reason) && !strings.HasPrefix(reason, "invalid_") {
			t.Errorf("%s is explained but never given", reason)
		}
	}
	if len(found) < 60 {
		t.Errorf("only %d reasons were found in the source", len(found))
	}
}
