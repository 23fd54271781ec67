package settings_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/doorward/doorward/examples/idp/settings"
)

// The key file of a database is a secret file: its digits stand for the secret. What only
// looks like one is tried as it is, too.
func TestKeyFileAsSecret(t *testing.T) {
	key := bytes.Repeat([]byte{0xa1, 7, 0x33, 0xfe}, 8)
	digits := hex.EncodeToString(key)
	for text, want := range map[string][][]byte{
		digits + "\n":             {key, []byte(digits)},
		digits + "00":             {[]byte(digits + "00")},
		strings.Repeat("xyz", 20): {[]byte(strings.Repeat("xyz", 20))},
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := settings.Load(settings.Flags{Where: settings.Where{SecretFiles: []string{path}}})
		if err != nil || len(s.Secrets) != len(want) {
			t.Errorf("%q: %d secrets, %v", text, len(s.Secrets), err)
			continue
		}
		for i := range want {
			if !bytes.Equal(s.Secrets[i], want[i]) {
				t.Errorf("%q: secret %d is %q", text, i, s.Secrets[i])
			}
		}
	}
}
