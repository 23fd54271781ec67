package storage

import (
	"cmp"
	"sync"
)

// generationSize is how many values one of the two generations holds where nothing is said.
const generationSize = 1024

// generations keeps what was used lately, and forgets the rest without looking for it: when
// the young generation is full it becomes the old one, and what was old and not used since
// is gone. It is safe for concurrent use; the zero value is empty.
type generations[K comparable, V any] struct {
	size       int // of one of them; 0: generationSize
	mu         sync.Mutex
	young, old map[K]V
}

// get returns what is kept under k.
func (g *generations[K, V]) get(k K) (value V, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if value, ok = g.young[k]; ok {
		return value, true
	}
	if value, ok = g.old[k]; ok {
		g.add(k, value)
	}
	return value, ok
}

// put keeps a value under k.
func (g *generations[K, V]) put(k K, value V) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.add(k, value)
}

// remove forgets what is kept under k.
func (g *generations[K, V]) remove(k K) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.young, k)
	delete(g.old, k)
}

func (g *generations[K, V]) add(k K, value V) {
	if len(g.young) >= cmp.Or(g.size, generationSize) {
		g.old, g.young = g.young, nil
	}
	if g.young == nil {
		g.young = map[K]V{}
	}
	g.young[k] = value
}
