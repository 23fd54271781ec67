//go:build unix

package admin

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

type owned struct {
	fs.FileInfo
	uid  uint32
	mode fs.FileMode
}

func (o owned) Sys() any          { return &syscall.Stat_t{Uid: o.uid} }
func (o owned) Mode() fs.FileMode { return o.mode }

// In a folder that everybody writes to, a socket of somebody else would be told passwords.
func TestForeignSocketIsNotTrusted(t *testing.T) {
	const own = 1000
	for _, c := range []struct {
		socket uint32
		folder fs.FileMode
		want   bool
	}{
		{own, 0o777 | fs.ModeSticky, false},
		{0, 0o777 | fs.ModeSticky, false},
		{own + 1, 0o777 | fs.ModeSticky, true},
		{own + 1, 0o770, true},
		{own + 1, 0o755, false}, // root asks the server of another user
	} {
		if got := foreign(owned{uid: c.socket}, owned{mode: c.folder}, own); got != c.want {
			t.Errorf("a socket of user %d in a folder of mode %v: %v", c.socket, c.folder, got)
		}
	}
}

func TestDialRefusesAForeignSocket(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Dial(t.Context(), path); err != nil {
		t.Fatalf("our own: %v", err)
	}
	if err := os.Chmod(folder, 0o1777); err != nil {
		t.Fatal(err)
	}
	user := os.Geteuid() + 1
	if user == 1 { // root, whom everybody trusts, gives the socket away
		user = 0
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dialAs(t.Context(), path, user); !errors.Is(err, ErrForeign) {
		t.Errorf("that of somebody else: %v", err)
	}
}
