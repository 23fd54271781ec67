package bolt

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch sees the system calls by which this process writes and syncs files, before
// the kernel carries them out, and can have them fail. bbolt calls the kernel
// directly, so there is no other place from which to count its syncs or to be a disk
// that breaks.
type watch struct {
	mu   sync.Mutex
	seen []string                     // "write", "sync", "grow" in their order
	fail func(what string) unix.Errno // 0 lets the call go on
}

// The kernel's struct seccomp_notif and struct seccomp_notif_resp.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	response struct {
		id    uint64
		val   int64
		error int32
		flags uint32
	}
)

var watched = map[int32]string{
	unix.SYS_PWRITE64: "write", unix.SYS_FDATASYNC: "sync", unix.SYS_FSYNC: "sync", unix.SYS_FTRUNCATE: "grow",
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
	listener, err := w.install()
	if err != nil {
		missing(t, fmt.Errorf("system calls can't be watched here: %w", err))
	}
	go w.serve(listener)
	return w
}

// install has the kernel ask about the watched calls of all threads.
func (w *watch) install() (listener uintptr, err error) {
	const load, equal, give = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{{Code: load, K: 0}} // the number of the call
	for nr := range watched {
		filter = append(filter,
			unix.SockFilter{Code: equal, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: give, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return 0, errno
	}
	return listener, nil
}

func (w *watch) serve(listener uintptr) {
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // interrupted
		}
		answer := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno := w.judge(watched[n.nr]); errno != 0 {
			answer.flags, answer.error = 0, -int32(errno)
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
	}
}

func (w *watch) judge(what string) unix.Errno {
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
	w.fail = func(seen string) unix.Errno {
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
