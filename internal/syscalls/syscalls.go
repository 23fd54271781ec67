// Package syscalls lets a test see the system calls by which its own process writes files,
// before the kernel carries them out: to keep what was written and synced in which order,
// or to be a disk that breaks. A database such as bbolt calls the kernel directly, so
// there is no other place to stand. It works on Linux, by seccomp's user notification, and
// lasts until the process ends; so a test does it in a process of its own.
package syscalls

// Kind is a kind of call.
type Kind string

// The calls that are watched.
const (
	Write Kind = "write" // pwrite64
	Sync  Kind = "sync"  // fsync and fdatasync
	Grow  Kind = "grow"  // ftruncate, whichever way
)

// Call is a call that a thread of this process waits to make.
type Call struct {
	Kind   Kind
	File   int   // descriptor
	Offset int64 // of a Write
	Size   int64 // of a Grow: that of the file afterwards; of a Write: how many bytes

	address uint64
}
