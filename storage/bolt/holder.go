package bolt

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// holderSuffix names the file beside the database that tells who has it open. It is
// for people only: the lock is on the database itself and ends with its process,
// so a file left behind by a crash does no harm.
const holderSuffix = ".lock"

const maxHolderFile = 1 << 10

// announceHolder leaves word of this process. Without it a second process is refused
// all the same, with less to say.
func announceHolder(path string, log *slog.Logger) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	text := fmt.Sprintf("host %s\npid %d\nsince %s\n", host, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	f, err := os.OpenFile(path+holderSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		if closing := f.Close(); err == nil {
			err = closing
		}
	}
	if err != nil {
		log.Warn("the file that tells who has the database open could not be written", "path", path+holderSuffix, "err", err)
	}
}

// forgetHolder is called while the database is still locked.
func forgetHolder(path string) {
	_ = os.Remove(path + holderSuffix) // a file left behind does no harm
}

// inUse is the error of a database that another process has open.
func inUse(path string) error {
	who := "another process"
	if h := readHolder(path + holderSuffix); h != "" {
		who = h
	}
	return fmt.Errorf("bolt: %s is in use by %s: stop that process, or give this one a file of its own", path, who)
}

// readHolder returns what the holder's file says, empty if it makes no sense.
func readHolder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxHolderFile))
	if err != nil {
		return ""
	}
	said := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[name] = value
	}
	pid, err := strconv.Atoi(said["pid"])
	if err != nil || said["host"] == "" {
		return ""
	}
	since, err := time.Parse(time.RFC3339, said["since"])
	if err != nil {
		return ""
	}
	return fmt.Sprintf("process %d on host %s since %s", pid, strconv.Quote(said["host"]), since.Format(time.RFC3339))
}
