package bolt

import (
	"log/slog"
	"strings"
	"testing"
)

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /mnt/far rw,nosuid - fuse.sshfs host:/home rw,user_id=0
31 22 0:31 / /mnt/far/near rw - fuseblk /dev/sdb1 rw
32 22 0:32 / /mnt/with\040space rw - fuse.rclone cloud: rw
33 22 0:33 / /mnt/covered rw - ext4 /dev/sdc1 rw
34 22 0:34 / /mnt/covered rw shared:2 master:3 - fuse.gcsfuse bucket rw
malformed
`

func TestMountOfAPath(t *testing.T) {
	for path, want := range map[string]string{
		"/":                  "ext4",
		"/mnt":               "ext4",
		"/mnt/far":           "fuse.sshfs",
		"/mnt/far/x":         "fuse.sshfs",
		"/mnt/farther":       "ext4",
		"/mnt/far/near/x":    "fuseblk",
		"/mnt/with space/db": "fuse.rclone",
		"/mnt/covered/x":     "fuse.gcsfuse",
	} {
		if got := mountType(mountinfo, path); got != want {
			t.Errorf("%s lies on %q, want %q", path, got, want)
		}
	}
}

func TestNetworkFileSystems(t *testing.T) {
	for magic, want := range map[uint32]string{
		0x6969: "nfs", 0xff534d42: "cifs", 0xfe534d42: "smb", 0x517b: "smb", 0x00c36400: "ceph",
		0xef53: "", 0x58465342: "", 0x9123683e: "", 0x01021994: "", 0x794c7630: "",
	} {
		if got := networkMagic(magic); got != want {
			t.Errorf("file system %#x is %q, want %q", magic, got, want)
		}
	}
	for kind, network := range map[string]bool{
		"fuse.sshfs": true, "fuse.rclone": true, "fuse.glusterfs": true,
		"fuseblk": false, "fuse.fuse-overlayfs": false, "fuse.grpcfuse": false, "ext4": false, "": false,
	} {
		if got := networkFUSE(kind) != ""; got != network {
			t.Errorf("%q counts as a network mount: %t, want %t", kind, got, network)
		}
	}
}

func TestNetworkMountIsRefused(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if err := refuseMount("/mnt/test.db", "nfs", false, log); err == nil || !strings.Contains(err.Error(), "/mnt/test.db") || !strings.Contains(err.Error(), "nfs") {
		t.Errorf("a database on nfs: %v", err)
	}
	if err := refuseMount("/mnt/test.db", "nfs", true, log); err != nil {
		t.Errorf("a database on nfs, which is allowed: %v", err)
	}
	if err := refuseMount("/mnt/test.db", "", false, log); err != nil {
		t.Errorf("a database on a local disk: %v", err)
	}
}
