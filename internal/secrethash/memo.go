package secrethash

import "sync"

// remembered is how many marks each of the two generations of a memo holds.
const remembered = 4096

// memo is a bounded set. It has two generations: when the young one is full it becomes
// the old one, and what was not asked for in the meantime is forgotten.
type memo struct {
	limit      int
	mu         sync.Mutex
	young, old map[mark]struct{}
}

func (m *memo) has(k mark) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.young[k]; ok {
		return true
	}
	_, ok := m.old[k]
	if ok {
		m.put(k)
	}
	return ok
}

func (m *memo) add(k mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(k)
}

func (m *memo) put(k mark) {
	if m.young == nil || len(m.young) >= m.limit {
		m.young, m.old = make(map[mark]struct{}), m.young
	}
	m.young[k] = struct{}{}
}
