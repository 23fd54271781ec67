package storage

// Remembered counts the records that Recent keeps in memory.
func (s *Store) Remembered() int {
	s.recents.mu.Lock()
	defer s.recents.mu.Unlock()
	return len(s.recents.kept)
}
