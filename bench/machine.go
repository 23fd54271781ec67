package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// onDisk refuses a folder in memory: there a sync costs nothing, and the durable server
// would look faster than it is.
func onDisk(dir string) error {
	var is unix.Statfs_t
	if err := unix.Statfs(dir, &is); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if fileSystem(is) == "tmpfs" {
		return fmt.Errorf("%s is in memory (tmpfs), where syncs cost nothing: name a folder on a disk by -dir or TMPDIR", dir)
	}
	return nil
}

func fileSystem(is unix.Statfs_t) string {
	switch is.Type {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "tmpfs"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "XFS"
	case unix.BTRFS_SUPER_MAGIC:
		return "Btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("file system %#x", is.Type)
}

// machine is a line about where the figures were made. load is what loadBefore said.
func machine(ctx context.Context, dir, load string) string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, model, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				parts = append(parts, strings.TrimSpace(model))
				break
			}
		}
	}
	if memory, err := fields("/proc/meminfo"); err == nil {
		parts = append(parts, fmt.Sprintf("%.0f GiB of memory", float64(memory["MemTotal"])/(1<<20)))
	}
	var kernel unix.Utsname
	if unix.Uname(&kernel) == nil {
		parts = append(parts, "Linux "+unix.ByteSliceToString(kernel.Release[:]))
	}
	var is unix.Statfs_t
	if unix.Statfs(dir, &is) == nil {
		parts = append(parts, fileSystem(is))
	}
	parts = append(parts, runtime.Version())
	if out, err := exec.CommandContext(ctx, "node", "--version").Output(); err == nil {
		parts = append(parts, "Node.js "+strings.TrimSpace(string(out)))
	}
	return strings.Join(parts, ", ") + load
}

// loadBefore says how many processes wanted the machine before this one did.
func loadBefore() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	average, _, _ := strings.Cut(string(text), " ")
	return ", load average before " + average
}

// versions names the peers and their versions.
func versions(ctx context.Context) string {
	names := []string{"github.com/ory/fosite", "github.com/go-oauth2/oauth2/v4"}
	var parts []string
	out, err := exec.CommandContext(ctx, "go", append([]string{"list", "-m", "-f", "{{.Path}} {{.Version}}"}, names...)...).Output()
	if err == nil {
		parts = strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	var installed struct{ Version string }
	if text, err := os.ReadFile("peers/node/node_modules/oidc-provider/package.json"); err == nil && json.Unmarshal(text, &installed) == nil {
		parts = append(parts, "oidc-provider "+installed.Version)
	}
	return "Peers: " + strings.Join(parts, ", ")
}
