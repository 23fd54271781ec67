package bolt

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// networkMount names the network file system that path lies on; empty means a local
// one, or that the kernel does not tell.
func networkMount(path string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return ""
	}
	magic := uint32(s.Type)
	if magic != unix.FUSE_SUPER_MAGIC {
		return networkMagic(magic)
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return networkFUSE(mountType(string(mounts), real))
}

// networkMagic names a network file system by the number that statfs gives it.
func networkMagic(magic uint32) string {
	switch magic {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "smb"
	case unix.CIFS_SUPER_MAGIC:
		return "cifs"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "afs"
	case unix.CODA_SUPER_MAGIC:
		return "coda"
	case unix.NCP_SUPER_MAGIC:
		return "ncp"
	case unix.CEPH_SUPER_MAGIC:
		return "ceph"
	default:
		return ""
	}
}

// networkFUSE says whether a file system in user space, which all share one number,
// is known to lie beyond a network.
func networkFUSE(kind string) string {
	name, ok := strings.CutPrefix(kind, "fuse.")
	if !ok {
		return ""
	}
	for _, network := range []string{
		"sshfs", "s3fs", "goofys", "gcsfuse", "rclone", "glusterfs", "ceph", "davfs", "curlftpfs",
		"mount-s3", "mountpoint-s3", "juicefs", "JuiceFS", "blobfuse", "smbnetfs", "seaweedfs", "moosefs", "mfs", "hdfs", "afp",
	} {
		if strings.HasPrefix(name, network) {
			return kind
		}
	}
	return ""
}

// mountType finds the type of the mount that path lies on in the text of
// /proc/self/mountinfo: "id parent device root MOUNTPOINT options ... - TYPE source ...".
func mountType(mounts, path string) string {
	kind, longest := "", -1
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, types := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(types) < 1 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		under := path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")
		// Of two mounts on one point the later one covers the earlier.
		if under && len(point) >= longest {
			kind, longest = types[0], len(point)
		}
	}
	return kind
}
