package bolt

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzInspect harms a sound file. Whatever it becomes, looking at it must end, and
// in an error or not at all.
func FuzzInspect(f *testing.F) {
	path := filepath.Join(f.TempDir(), "test.db")
	b, err := Open(path)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 60 {
		mustApply(f, b, record(string(rune('a'+i)), 400))
	}
	if err := b.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	whole = bytes.TrimRight(whole, "\x00")
	whole = append(whole, make([]byte, os.Getpagesize())...)
	if _, err := inspect(bytes.NewReader(whole), int64(len(whole)), walkLimit); err != nil {
		f.Fatalf("a sound file %v", err)
	}
	f.Add(uint32(0), []byte{1}, uint32(0))
	f.Add(uint32(8192), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint32(5))
	f.Add(uint32(4096*5+16), []byte{0xff, 0xff, 0xff, 0xff}, uint32(0))
	f.Fuzz(func(t *testing.T, at uint32, harm []byte, cut uint32) {
		raw := bytes.Clone(whole)
		copy(raw[int(at)%len(raw):], harm)
		raw = raw[:len(raw)-int(cut)%len(raw)]
		_, _ = inspect(bytes.NewReader(raw), int64(len(raw)), walkLimit) // either answer is right
	})
}
