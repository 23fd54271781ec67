package syscalls

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Verdict is what becomes of a call.
type Verdict struct {
	Err  syscall.Errno // the call is not made and fails by it, unless it is 0
	Skip bool          // the call is not made and returns 0, as a Sync that went well
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

var watched = map[int32]Kind{
	unix.SYS_PWRITE64: Write, unix.SYS_FDATASYNC: Sync, unix.SYS_FSYNC: Sync, unix.SYS_FTRUNCATE: Grow,
}

// Watch has judge decide about every watched call of this process from now on, one after
// the other. judge must make none itself. The error is what the kernel says where it does
// not allow watching.
func Watch(judge func(Call) Verdict) error {
	listener, err := install()
	if err != nil {
		return fmt.Errorf("syscalls: system calls can't be watched here: %w", err)
	}
	go serve(listener, judge)
	return nil
}

// install has the kernel ask about the watched calls of all threads.
func install() (listener uintptr, err error) {
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

func serve(listener uintptr, judge func(Call) Verdict) {
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // interrupted
		}
		answer := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		switch v := judge(callOf(&n)); {
		case v.Err != 0:
			answer.flags, answer.error = 0, -int32(v.Err)
		case v.Skip:
			answer.flags = 0
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
	}
}

func callOf(n *notification) Call {
	c := Call{Kind: watched[n.nr], File: int(n.args[0])}
	switch c.Kind {
	case Write:
		c.address, c.Size, c.Offset = n.args[1], int64(n.args[2]), int64(n.args[3])
	case Grow:
		c.Size = int64(n.args[1])
	}
	return c
}

// Data copies what a Write is to write. It must be called while judge runs.
func (c Call) Data() ([]byte, error) {
	if c.Kind != Write || c.Size == 0 {
		return nil, nil
	}
	data := make([]byte, c.Size)
	n, err := unix.ProcessVMReadv(os.Getpid(),
		[]unix.Iovec{{Base: &data[0], Len: uint64(len(data))}}, []unix.RemoteIovec{{Base: uintptr(c.address), Len: len(data)}}, 0)
	if err == nil && n < len(data) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("syscalls: read what is to be written: %w", err)
	}
	return data, nil
}

// Of says whether the call is about this file.
func (c Call) Of(file os.FileInfo) bool {
	want, ok := file.Sys().(*syscall.Stat_t)
	var got unix.Stat_t
	return ok && unix.Fstat(c.File, &got) == nil && got.Ino == want.Ino && uint64(got.Dev) == uint64(want.Dev) //nolint:unconvert // it is shorter on some machines
}
