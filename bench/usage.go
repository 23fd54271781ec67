package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/doorward/doorward/bench/peer"
)

// process is the process of a server, as far as it can be looked into.
type process interface {
	usage() (usage, error)
	stats(context.Context) (peer.Stats, error)
}

// usage is what a process has taken from the machine.
type usage struct {
	cpu       time.Duration // of all its threads, in the kernel and outside
	rss       int64         // bytes of it in memory, files included
	anonymous int64         // bytes of it in memory that belong to no file
	written   int64         // bytes that it had the kernel write to a disk
}

func (u usage) since(before usage) usage {
	return usage{cpu: u.cpu - before.cpu, rss: u.rss, anonymous: u.anonymous, written: u.written - before.written}
}

// look reads both of a process. A nil one has used nothing.
func look(ctx context.Context, p process) (u usage, s peer.Stats, err error) {
	if p == nil {
		return u, s, nil
	}
	if s, err = p.stats(ctx); err != nil {
		return u, s, err
	}
	u, err = p.usage()
	return u, s, err
}

// outsider is a process that somebody else started.
type outsider int

func (o outsider) stats(context.Context) (peer.Stats, error) { return peer.Stats{}, nil }

// usage reads /proc, and the clock of the process, which counts in nanoseconds where
// /proc/PID/stat counts in hundredths of a second. clock_getcpuclockid(3), proc(5)
func (o outsider) usage() (usage, error) {
	var u usage
	var spent unix.Timespec
	const cpuClock = 2 // CPUCLOCK_SCHED of a whole process
	if err := unix.ClockGettime(int32(^int(o)<<3|cpuClock), &spent); err != nil {
		return u, fmt.Errorf("processor time of process %d: %w", int(o), err)
	}
	u.cpu = time.Duration(spent.Nano())
	status, err := fields(fmt.Sprintf("/proc/%d/status", int(o)))
	if err != nil {
		return u, err
	}
	u.rss, u.anonymous = status["VmRSS"]<<10, status["RssAnon"]<<10
	disk, err := fields(fmt.Sprintf("/proc/%d/io", int(o)))
	if err != nil {
		return u, err
	}
	u.written = disk["write_bytes"]
	return u, nil
}

// fields reads the lines "name: number" of a file.
func fields(name string) (map[string]int64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		parts := strings.Fields(value)
		if len(parts) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(parts[0], 10, 64); err == nil {
			found[name] = n
		}
	}
	return found, nil
}
