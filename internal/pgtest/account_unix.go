//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account returns the user that the server runs as: PostgreSQL refuses to run as root. ok
// is false when that is the user of this process.
func account() (uid, gid int, ok bool, err error) {
	if os.Geteuid() != 0 {
		return 0, 0, false, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		return uid, gid, true, errors.Join(uidErr, gidErr)
	}
	return 0, 0, false, errors.New("pgtest: PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// give makes the server's user the owner of a directory.
func give(dir string) error {
	uid, gid, ok, err := account()
	if err != nil || !ok {
		return err
	}
	return os.Chown(dir, uid, gid)
}

// become has a command run as the server's user.
func become(cmd *exec.Cmd) error {
	uid, gid, ok, err := account()
	if err != nil || !ok {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return nil
}
