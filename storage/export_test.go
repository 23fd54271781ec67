package storage

// Remembered counts the records that Recent keeps in memory.
func (s *Store) Remembered() int {
	kept := &s.recents.kept
	kept.mu.Lock()
	defer kept.mu.Unlock()
	return len(kept.young) + len(kept.old)
}
