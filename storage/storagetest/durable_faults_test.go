package storagetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// disk stands for what outlives a process: a memory backend that a closed door
// leads to again.
type disk struct {
	*memory.Backend
	closed sync.RWMutex
	over   bool
	forget func(op *storage.Op) bool // what is acknowledged and not kept
	lost   bool                      // LastCommit and Secret do not outlive the restart
	opened int
}

type door struct {
	*disk
	session int
}

func (d *disk) open() storage.Backend {
	d.closed.Lock()
	defer d.closed.Unlock()
	d.over = false
	d.opened++
	return &door{disk: d, session: d.opened}
}

func (d *door) Apply(ctx context.Context, b storage.Batch) error {
	d.closed.RLock()
	defer d.closed.RUnlock()
	if d.over {
		return storage.ErrUnavailable
	}
	if d.forget != nil {
		var kept []storage.Op
		for _, op := range b.Ops {
			if !d.forget(&op) {
				kept = append(kept, op)
			}
		}
		if b.Ops = kept; len(kept) == 0 {
			return nil
		}
	}
	return d.disk.Apply(ctx, b)
}

func (d *door) LastCommit(ctx context.Context) (time.Time, error) {
	if d.lost && d.session > 1 {
		return time.Time{}, nil
	}
	return d.disk.LastCommit(ctx)
}

func (d *door) Secret(ctx context.Context, create bool) ([]byte, error) {
	if d.lost {
		return memory.New().Secret(ctx, create)
	}
	return d.disk.Secret(ctx, create)
}

func (d *door) Close() error {
	d.closed.Lock()
	defer d.closed.Unlock()
	d.over = true
	return nil
}

func TestDurableSuitePassesASoundBackend(t *testing.T) {
	RunDurable(t, func(*testing.T) func(*testing.T) storage.Backend {
		d := &disk{Backend: memory.New()}
		return func(*testing.T) storage.Backend { return d.open() }
	})
}

func TestEachDurableFaultIsNoticed(t *testing.T) {
	onDisk := func(d *disk) func() storage.Backend { d.Backend = memory.New(); return d.open }
	for _, f := range []struct {
		name, breaks, says string
		place              func() func() storage.Backend
	}{
		{"nothing is kept", "records", "is not what was acknowledged", func() func() storage.Backend {
			return func() storage.Backend { return memory.New() }
		}},
		{"revisions begin anew", "revisions", "a revision was used again", func() func() storage.Backend {
			return func() storage.Backend { return memory.New() }
		}},
		{"expiry is not kept", "sweep", "deleted 0 records", func() func() storage.Backend {
			return onDisk(&disk{forget: func(op *storage.Op) bool { op.Expiry = time.Time{}; return false }})
		}},
		{"a write is acknowledged before it is kept", "close under load", "acknowledged is not there", func() func() storage.Backend {
			return onDisk(&disk{forget: func(op *storage.Op) bool { return strings.HasSuffix(op.Key.ID, "/7") }})
		}},
		{"the time of the last commit is not kept", "clock witness", "after a restart LastCommit", func() func() storage.Backend {
			return onDisk(&disk{lost: true})
		}},
		{"the secret is made anew", "secret keeper", "another one after a restart", func() func() storage.Backend {
			return onDisk(&disk{lost: true})
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			for _, c := range durableCases() {
				if c.name != f.breaks {
					continue
				}
				err := c.run(t.Context(), f.place())
				if err == nil || !strings.Contains(err.Error(), f.says) {
					t.Errorf("the case %q said %v, want %q", c.name, err, f.says)
				}
				return
			}
			t.Errorf("there is no case %q", f.breaks)
		})
	}
}
