package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// maxPath is how long the path of a socket may be on every system.
const maxPath = 103

// Shorter returns the path of a socket, the shorter of its absolute and its relative
// form: the system takes about a hundred bytes.
func Shorter(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	here, err := os.Getwd()
	if err != nil {
		return abs
	}
	rel, err := filepath.Rel(here, abs)
	if err != nil || len(rel) > len(abs) {
		return abs
	}
	return rel
}

// nobody says that there is no server behind a socket: none was made, or its
// server died and left it.
func nobody(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTSOCK)
}

// Listen makes the socket, for the owner of this process alone. A socket of a
// server that died is replaced: the caller holds the lock of the database, so no
// other server uses it. The socket is made in a folder that nobody else can enter
// and is moved into place with its mode set, so that it is never open to others.
// close stops listening and removes it.
func Listen(path string) (l net.Listener, stop func() error, err error) {
	folder, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, nil, fmt.Errorf("admin: make the socket %s: %w", path, err)
	}
	defer os.RemoveAll(folder)
	hidden := filepath.Join(folder, "s")
	if n := max(len(hidden), len(path)); n > maxPath {
		return nil, nil, fmt.Errorf("admin: the path of the socket %s is too long: %d bytes are needed, and the system takes %d; choose a shorter one", path, n, maxPath)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("admin: make the socket %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false)
	err = os.Chmod(hidden, 0o600)
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("admin: make the socket %s: %w", path, errors.Join(err, listener.Close()))
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("admin: make the socket %s: %w", path, errors.Join(err, listener.Close()))
	}
	return listener, func() error {
		if now, err := os.Lstat(path); err == nil && os.SameFile(made, now) {
			os.Remove(path)
		}
		return listener.Close()
	}, nil
}
