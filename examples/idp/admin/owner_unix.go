//go:build unix

package admin

import (
	"io/fs"
	"syscall"
)

// foreign says whether somebody else than user may have put a socket where it is: it
// belongs neither to that user nor to root, and stands in a folder that others can write to.
func foreign(socket, folder fs.FileInfo, user int) bool {
	owner, ok := socket.Sys().(*syscall.Stat_t)
	return ok && owner.Uid != 0 && int(owner.Uid) != user && folder.Mode().Perm()&0o022 != 0
}
