package settings_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
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

// What lets somebody in lies in files that others can't read, or nothing starts.
func TestFilesThatOthersCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes")
	}
	const config = "clients:\n- client_id: a\n  grant_types: [client_credentials]\n  client_secret_file: client\nusers:\n- username: u\n  password_file: password\n" +
		"store:\n  postgres_file: dsn\n  secret_files: [secret]\n"
	path := write(t, "idp.yaml", config)
	secrets := map[string]string{"client": "clients[0].client_secret_file", "password": "users[0].password_file", "dsn": "store.postgres_file", "secret": "store.secret_files[0]"}
	text := map[string]string{"dsn": "postgres://doorward@db.internal/product"}
	for name := range secrets {
		if text[name] == "" {
			text[name] = "fK2p9QxLw7Vn4Rz1Tb6Yc8Hd3Jm5Gs0A"
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(text[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o440: true, 0o644: false, 0o604: false, 0o660: false, 0o666: false} {
		for name, field := range secrets {
			file := filepath.Join(filepath.Dir(path), name)
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			_, err := settings.Load(flags(path))
			told := err != nil && strings.Contains(err.Error(), field+": found a file that other users can read; run chmod 640 ")
			if told == good || good && err != nil || err != nil && strings.Contains(err.Error(), text[name]) {
				t.Errorf("%s with the mode %04o: %v", name, mode, err)
			}
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
