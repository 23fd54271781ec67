package bolt

import (
	"fmt"
	"log/slog"
	"path/filepath"
)

// checkMount refuses a file on a network mount, where a lock may be kept on one
// machine only and a sync may not reach a disk.
func checkMount(path string, allowed bool, log *slog.Logger) error {
	kind := networkMount(filepath.Dir(path))
	if kind == "" {
		kind = networkMount(path) // a link that leads elsewhere
	}
	return refuseMount(path, kind, allowed, log)
}

func refuseMount(path, kind string, allowed bool, log *slog.Logger) error {
	if kind == "" {
		return nil
	}
	if !allowed {
		return fmt.Errorf("bolt: %s lies on a network mount (%s), where locks and syncs can't be relied on: use a local disk", path, kind)
	}
	log.Warn("the database lies on a network mount, where locks and syncs can't be relied on", "path", path, "mount", kind)
	return nil
}
