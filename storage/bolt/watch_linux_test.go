package bolt

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/doorward/doorward/internal/syscalls"
)

// watch sees the system calls by which this process writes and syncs files, before
// the kernel carries them out, and can have them fail.
type watch struct {
	mu   sync.Mutex
	seen []string                        // "write", "sync", "grow" in their order
	fail func(what string) syscall.Errno // 0 lets the call go on
}

// inChild runs the calling test again in a process of its own, because what watches
// a process can't be taken away again. It returns nil in the parent.
func inChild(t *testing.T) *watch {
	t.Helper()
	const marker = "BOLT_TEST_WATCHED"
	if os.Getenv(marker) == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), marker+"=1")
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("%s", out)
		}
		return nil
	}
	w := &watch{}
	err := syscalls.Watch(func(c syscalls.Call) syscalls.Verdict { return syscalls.Verdict{Err: w.judge(string(c.Kind))} })
	if err != nil {
		missing(t, err)
	}
	return w
}

func (w *watch) judge(what string) syscall.Errno {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, what)
	if w.fail == nil {
		return 0
	}
	return w.fail(what)
}

// count says how often a call was seen so far.
func (w *watch) count(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, seen := range w.seen {
		if seen == what {
			n++
		}
	}
	return n
}

// from forgets what was seen and has the nth call of a name from here on fail, and
// with lasting all that follow.
func (w *watch) from(what string, nth int, errno syscall.Errno, lasting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = nil
	n := 0
	w.fail = func(seen string) syscall.Errno {
		if seen != what {
			return 0
		}
		if n++; n == nth || lasting && n > nth {
			return errno
		}
		return 0
	}
}

// calls returns what was seen in runs, such as "3 write, 1 sync", and forgets it.
func (w *watch) calls() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var runs []string
	for i := 0; i < len(w.seen); {
		n := i
		for n < len(w.seen) && w.seen[n] == w.seen[i] {
			n++
		}
		runs = append(runs, fmt.Sprint(n-i, " ", w.seen[i]))
		i = n
	}
	w.seen = nil
	return strings.Join(runs, ", ")
}
