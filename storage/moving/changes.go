package moving

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
)

// settling is how long a batch whose outcome is not known may still be on its way: longer
// than a database of ours lets a statement take.
const settling = 30 * time.Second

// changes are the keys that were written since somebody last asked.
type changes struct {
	mu        sync.Mutex
	keys      map[storage.Key]struct{}
	unsettled map[storage.Key]time.Time // since when
}

func newChanges() *changes {
	return &changes{keys: map[storage.Key]struct{}{}, unsettled: map[storage.Key]time.Time{}}
}

// note keeps what a batch has written, or may have. It is called when the outcome is known,
// so a key that is taken has its new value already.
func (c *changes) note(b *storage.Batch, outcome error) {
	unknown := errors.Is(outcome, storage.ErrUnknown)
	if outcome != nil && !unknown {
		return // nothing was written
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b.Ops {
		if b.Ops[i].Action == storage.ActionCheck {
			continue
		}
		c.keys[b.Ops[i].Key] = struct{}{}
		if unknown {
			c.unsettled[b.Ops[i].Key] = time.Now()
		}
	}
}

// take returns what was noted since the last take, in order, with what is not settled.
func (c *changes) take() []storage.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, since := range c.unsettled {
		c.keys[k] = struct{}{}
		if time.Since(since) > settling {
			delete(c.unsettled, k)
		}
	}
	taken := make([]storage.Key, 0, len(c.keys))
	for k := range c.keys {
		taken = append(taken, k)
	}
	clear(c.keys)
	slices.SortFunc(taken, compareKeys)
	return taken
}

// settled says that no batch can be on its way any more.
func (c *changes) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unsettled) == 0
}

func compareKeys(a, b storage.Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}
