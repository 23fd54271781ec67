package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/syscalls"
)

// disk keeps in their order the calls by which this process writes one file, so that the
// file can be made again as a power cut at any of them may leave it. It spares the real
// disk its syncs: what was not synced is lost here by the test itself.
type disk struct {
	mu     sync.Mutex
	file   os.FileInfo // nil: nothing is kept
	base   platter
	events []event
	failed error

	count atomic.Int64 // of events
}

// event is one call. A sync has ended when it is counted, a write has only begun.
type event struct {
	kind         syscalls.Kind
	offset, size int64
	data         []byte
	at           time.Time
}

func (d *disk) judge(c syscalls.Call) syscalls.Verdict {
	verdict := syscalls.Verdict{Skip: c.Kind == syscalls.Sync}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil || !c.Of(d.file) {
		return verdict
	}
	e := event{kind: c.Kind, offset: c.Offset, size: c.Size, at: time.Now()}
	switch c.Kind {
	case syscalls.Write:
		data, err := c.Data()
		if err != nil {
			d.failed = err
		}
		e.data = data
	case syscalls.Sync:
		time.Sleep(syncTakes)
	}
	d.events = append(d.events, e)
	d.count.Add(1)
	return verdict
}

// syncTakes is what a sync costs, so that callers share commits as on a real disk.
const syncTakes = 100 * time.Microsecond

// begin keeps what happens to a file from now on. Nobody may be writing it.
func (d *disk) begin(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.file, d.events, d.failed = file, nil, nil
	d.base = platter{data: bytes.TrimRight(content, "\x00"), size: int64(len(content))}
	d.count.Store(0)
}

// end keeps nothing any more.
func (d *disk) end(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.file = nil
	if d.failed != nil {
		t.Fatal(d.failed)
	}
}

// platter is the content of a file: data, and zeros up to its size.
type platter struct {
	data []byte
	size int64
}

func (p *platter) clone() *platter { return &platter{data: bytes.Clone(p.data), size: p.size} }

func (p *platter) apply(e event) {
	switch e.kind {
	case syscalls.Grow:
		p.size = e.size
		p.data = p.data[:min(int64(len(p.data)), e.size)]
	case syscalls.Write:
		p.write(e.offset, e.data)
	}
}

func (p *platter) write(offset int64, data []byte) {
	end := offset + int64(len(data))
	if missing := end - int64(len(p.data)); missing > 0 {
		p.data = append(p.data, make([]byte, missing)...)
	}
	copy(p.data[offset:], data)
	p.size = max(p.size, end)
}

func (p *platter) save(path string) error {
	if err := os.WriteFile(path, p.data, 0o600); err != nil {
		return err
	}
	return os.Truncate(path, p.size)
}

// loss is what a power cut takes of the writes that were not synced.
type loss struct {
	name string
	keep func(p *platter, pending []event, r *rand.Rand)
}

// losses are all that a disk may do that keeps its word: of what was not synced it may
// have written nothing, all, or any part, in any order, down to single sectors.
func losses() []loss {
	each := func(size int) func(*platter, []event, *rand.Rand) {
		return func(p *platter, pending []event, r *rand.Rand) {
			for _, e := range pending {
				if e.kind != syscalls.Write || size == 0 {
					if r.IntN(2) == 0 {
						p.apply(e)
					}
					continue
				}
				for at := 0; at < len(e.data); at += size {
					if r.IntN(2) == 0 {
						p.write(e.offset+int64(at), e.data[at:min(at+size, len(e.data))])
					}
				}
			}
		}
	}
	return []loss{
		{"all of it", func(*platter, []event, *rand.Rand) {}},
		{"nothing", func(p *platter, pending []event, _ *rand.Rand) {
			for _, e := range pending {
				p.apply(e)
			}
		}},
		{"single writes", each(0)},
		{"single pages", each(4096)},
		{"single sectors", each(512)},
		{"one write alone", func(p *platter, pending []event, r *rand.Rand) {
			lost := r.IntN(max(len(pending), 1))
			for i, e := range pending {
				if i != lost {
					p.apply(e)
				}
			}
		}},
		{"all but one write", func(p *platter, pending []event, r *rand.Rand) {
			if len(pending) > 0 {
				p.apply(pending[r.IntN(len(pending))])
			}
		}},
	}
}

// cut is a power cut before call number at.
type cut struct {
	at   int
	loss loss
}

func (c cut) String() string {
	return fmt.Sprintf("power cut before call %d, of what was not synced is lost: %s", c.at, c.loss.name)
}

// cuts draws n of them in their order: half of them anywhere, the others right before
// and right after a sync, where what counts changes.
func (d *disk) cuts(r *rand.Rand, n int) []cut {
	var syncs []int
	for i, e := range d.events {
		if e.kind == syscalls.Sync {
			syncs = append(syncs, i)
		}
	}
	at := make([]int, 0, n)
	for i := range n {
		if i%2 == 0 || len(syncs) == 0 {
			at = append(at, 1+r.IntN(len(d.events)))
			continue
		}
		at = append(at, syncs[r.IntN(len(syncs))]+r.IntN(2))
	}
	all := losses()
	cuts := make([]cut, 0, n)
	for i, k := range at {
		cuts = append(cuts, cut{k, all[i/2%len(all)]})
	}
	return cuts
}

// after is the file that a cut leaves.
func (d *disk) after(c cut, r *rand.Rand) *platter {
	synced := 0
	for i := range c.at {
		if d.events[i].kind == syscalls.Sync {
			synced = i + 1
		}
	}
	p := d.base.clone()
	for _, e := range d.events[:synced] {
		p.apply(e)
	}
	c.loss.keep(p, d.events[synced:c.at], r)
	return p
}
