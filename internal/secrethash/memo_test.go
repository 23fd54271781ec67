package secrethash

import (
	"encoding/binary"
	"testing"
)

func numbered(n int) (k mark) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

// Whoever brings many secrets must not fill the memory, and what is in use must not be
// forgotten because of it.
func TestMemoIsBounded(t *testing.T) {
	m := memo{limit: 10}
	m.add(numbered(0))
	for n := 1; n <= 1000; n++ {
		m.add(numbered(n))
		if !m.has(numbered(n)) {
			t.Fatalf("%d was forgotten at once", n)
		}
		if !m.has(numbered(0)) {
			t.Fatalf("the mark in use was forgotten after %d others", n)
		}
		if held := len(m.young) + len(m.old); held > 20 {
			t.Fatalf("%d marks are held, with a limit of 10 a generation", held)
		}
	}
	if m.has(numbered(1)) {
		t.Error("what nobody asks for is never forgotten")
	}
}
