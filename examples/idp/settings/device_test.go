package settings_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/doorward/doorward/examples/idp/settings"
)

// Sign-in on devices is there to be tried without a file; a file says itself what it
// wants.
func TestDevicesAreASwitch(t *testing.T) {
	if s, err := settings.Load(settings.Flags{}); err != nil || !s.DeviceGrant {
		t.Errorf("without a file it is %v, %v", s.DeviceGrant, err)
	}
	for text, want := range map[string]bool{
		"name: Notes\n": false,
		"features: {device: true}\nlifetimes: {device_code: 5m}\n":        true,
		"features: {device: false}\nlifetimes: {device_code: 5m}\n":       false,
		"features: {demo: false, device: true}\nlifetimes: {code: 30s}\n": true,
	} {
		path := filepath.Join(t.TempDir(), "idp.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := settings.Load(settings.Flags{Where: settings.Where{Config: path}})
		if err != nil || s.DeviceGrant != want {
			t.Errorf("%q: it is %v, %v", text, s.DeviceGrant, err)
		}
		if life := s.Lifetimes.DeviceCode; life != 0 && life != 5*time.Minute {
			t.Errorf("%q: the codes live for %s", text, life)
		}
	}
}
