package storage_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/doorward/doorward/storage"
)

// longWord is what somebody might copy out of a page as a secret.
var longWord = regexp.MustCompile("[^\\s\"'`|<>(){},]{32,}")

// What stands in the documentation is no secret any more.
func TestSecretsOfTheDocumentationAreRefused(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	check(t, err)
	files = append(files, "../README.md", "../examples/idp/README.md", "../examples/idp/example.yaml")
	looked := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		check(t, err)
		for _, word := range longWord.FindAllString(string(text), -1) {
			looked++
			if storage.WeakSecret([]byte(word)) == "" {
				t.Errorf("%s shows %q, which would be taken as a secret: give the sample a word that WeakSecret knows", name, word)
			}
		}
	}
	if looked < 10 {
		t.Errorf("only %d words were looked at", looked)
	}
}
