//go:build unix

package admin

import (
	"io/fs"
	"os"
	"syscall"
)

// foreign says whether somebody else may have put a socket where it is: it belongs neither
// to the user of this process nor to root, and stands in a folder that others can write to.
func foreign(socket, folder fs.FileInfo) bool {
	owner, ok := socket.Sys().(*syscall.Stat_t)
	return ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() && folder.Mode().Perm()&0o022 != 0
}
